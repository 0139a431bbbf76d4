//! Sorts issues by urgency: `issue.triaged`. Declines what is locked as spam.
//!
//! Takes every event of issues by a pattern. Which labels make an issue urgent,
//! the operator says in the setting `urgent`, with commas; without it, `bug`.

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Change {
    action: String,
    issue: Issue,
    repository: Repository,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
    title: String,
    #[serde(default)]
    labels: Vec<Label>,
    assignee: Option<Account>,
    active_lock_reason: Option<String>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// What `issue.triaged` tells.
#[derive(Serialize)]
struct Triaged<'a> {
    issue: &'a str,
    title: &'a str,
    urgency: Urgency,
    assignee: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    Urgent,
    Normal,
}

#[handler("github.issues.*")]
fn triage(event: Event<Change>) -> Result<(), Failure> {
    let Change {
        action,
        issue,
        repository,
    } = event.payload;
    let name = format!("{}#{}", repository.full_name, issue.number);
    if issue.active_lock_reason.as_deref() == Some("spam") {
        return Err(Failure::reject(format_args!("{name} is locked as spam")));
    }
    if !changes_urgency(&action) {
        log::debug!("{name}: {action} changes nothing here");
        return Ok(());
    }
    let urgency = urgency(&issue.labels);
    let assignee = issue
        .assignee
        .as_ref()
        .map(|account| account.login.as_str());
    let triaged = Triaged {
        issue: &name,
        title: &issue.title,
        urgency,
        assignee,
    };
    emit("issue.triaged", &triaged)?;
    log::info!("{name} is {urgency:?} after it was {action}");
    Ok(())
}

fn changes_urgency(action: &str) -> bool {
    let actions = [
        "opened",
        "edited",
        "reopened",
        "labeled",
        "unlabeled",
        "assigned",
        "unassigned",
        "transferred",
    ];
    actions.contains(&action)
}

fn urgency(labels: &[Label]) -> Urgency {
    let setting = config::get("urgent");
    let urgent: Vec<&str> = setting
        .as_deref()
        .unwrap_or("bug")
        .split(',')
        .map(str::trim)
        .collect();
    if labels
        .iter()
        .any(|label| urgent.contains(&label.name.as_str()))
    {
        Urgency::Urgent
    } else {
        Urgency::Normal
    }
}

#[cfg(test)]
mod tests;
