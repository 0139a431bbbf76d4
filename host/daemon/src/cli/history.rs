//! `qx-host handlers history`: the builds of a component, from the tables; and to
//! which of them one goes back.

use std::path::Path;

use qx_events::ports::{Deployed, Refusal};
use qx_events::{ComponentName, Digest, Fault};
use serde::Serialize;

use super::args::{HistoryArgs, Output};
use super::exit::{Exit, Failure};
use super::screen;
use crate::admin::HandlerView;
use crate::catalog::{Builds, folder_name, host_name};
use crate::config::Config;
use crate::open;

/// A line as it is shown.
#[derive(Debug, Serialize)]
struct Line {
    at: String,
    digest: Option<String>,
    action: &'static str,
    by: String,
    host: String,
    folder: String,
    reason: String,
    /// Whether one can go back to it on this machine.
    kept: bool,
}

fn unread(fault: Fault) -> Failure {
    if fault.is_transient() {
        Failure::unreachable("read the history", fault)
    } else {
        Failure::failed("read the history", fault)
    }
}

pub(super) async fn history(config: Option<&Path>, args: &HistoryArgs) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let name = ComponentName::parse(&args.component);
    let name = name.map_err(|error| Failure::usage(error.to_string()))?;
    let store = open::existing_store(&config).await?;
    let history = store.deployments().history(&name).await.map_err(unread)?;
    let components = &config.components;
    let builds = Builds::new(components.builds_dir.clone(), components.builds_max);
    let line = |line: Deployed| Line {
        at: line.at.to_rfc3339(),
        kept: line
            .deployment
            .digest
            .is_some_and(|digest| builds.has(&name, digest)),
        digest: line.deployment.digest.map(|digest| digest.to_string()),
        action: line.deployment.action.as_str(),
        by: line.deployment.by,
        host: line.deployment.host,
        folder: line.deployment.folder,
        reason: line.deployment.reason,
    };
    let lines: Vec<Line> = history.into_iter().map(line).collect();
    match args.output {
        Output::Json => screen::json(&lines)?,
        Output::Text if lines.is_empty() => screen::say(&format!("no history of {name}")),
        Output::Text => {
            let row = |line: &Line| {
                let digest = line.digest.as_deref().unwrap_or("-");
                vec![
                    line.at.chars().take(19).collect(),
                    digest.chars().take(12).collect(),
                    line.action.to_owned(),
                    line.by.clone(),
                    line.host.clone(),
                    if line.kept { "yes" } else { "no" }.to_owned(),
                    line.reason.clone(),
                ]
            };
            let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
            let heading = [
                "AT (UTC)", "DIGEST", "ACTION", "BY", "HOST", "KEPT", "REASON",
            ];
            screen::table(&heading, &rows);
        }
    }
    Ok(Exit::Done)
}

/// The build that a rollback goes back to: the one that is named; or the one in
/// service, when another is tried beside it; or the one that was in service here
/// before it.
pub(super) async fn goes_back_to(
    config: &Config,
    (name, listed): (&ComponentName, Option<&HandlerView>),
    to: Option<&str>,
    builds: &Builds,
) -> Result<Digest, Failure> {
    let store = open::existing_store(config).await?;
    let table = store.deployments();
    let history = table.history(name).await.map_err(unread)?;
    let refused = table.refused(name).await.map_err(unread)?;
    let (host, folder) = (host_name(), folder_name(&config.components.dir));
    let here = history
        .iter()
        .map(|line| &line.deployment)
        .filter(|line| line.host == host && line.folder == folder && line.action.serves());
    let current = listed.and_then(|view| view.digest.clone());
    let has_canary = listed.is_some_and(|view| view.canary.is_some());
    let served: Vec<Digest> = here.filter_map(|line| line.digest).collect();
    choose(
        &served,
        (current.as_deref(), has_canary),
        (to, &refused),
        &|digest| builds.has(name, digest),
    )
    .map_err(|why| Failure::failed(&format!("roll {name} back"), why))
}

/// The rule. `served` are the builds that were in service, newest first.
fn choose(
    served: &[Digest],
    (current, has_canary): (Option<&str>, bool),
    (to, refused): (Option<&str>, &[Refusal]),
    is_kept: &dyn Fn(Digest) -> bool,
) -> Result<Digest, String> {
    if let Some(prefix) = to {
        let prefix = prefix.to_ascii_lowercase();
        let mut meant: Vec<Digest> = served.to_vec();
        meant.retain(|digest| digest.to_string().starts_with(&prefix));
        meant.sort_unstable();
        meant.dedup();
        return match meant.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!(
                "no build that begins with `{prefix}` was in service here; `qx-host handlers history` shows them"
            )),
            several => Err(format!(
                "{} builds begin with `{prefix}`; write more of it",
                several.len()
            )),
        };
    }
    let is_current = |digest: &&Digest| Some(digest.to_string().as_str()) == current;
    if has_canary {
        let stable = served.iter().find(is_current).copied();
        return stable.ok_or_else(|| "the build in service is not in the history".to_owned());
    }
    let is_refused = |digest: &Digest| refused.iter().any(|refusal| refusal.digest == *digest);
    let earlier = served.iter().filter(|digest| !is_current(digest));
    let mut earlier = earlier.filter(|digest| !is_refused(digest));
    let found = earlier.find(|digest| is_kept(**digest)).copied();
    found.ok_or_else(|| {
        "no earlier build is kept here; `qx-host handlers history` shows what there was, and its file can be put into the folder".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(digit: u8) -> Digest {
        Digest::new([digit; 32])
    }

    #[test]
    fn one_goes_back_to_what_was_in_service_before_and_is_kept() {
        let refusal = |digit| Refusal {
            digest: build(digit),
            since: chrono::DateTime::UNIX_EPOCH,
            host: String::new(),
            reason: String::new(),
        };
        let served = [4, 3, 2, 3, 1].map(build);
        let current = build(4).to_string();
        let current = Some(current.as_str());
        let pick = |canary, to, refused: &[Refusal], kept: &[u8]| {
            let is_kept = |digest: Digest| kept.contains(&digest.bytes()[0]);
            let chosen = choose(&served, (current, canary), (to, refused), &is_kept);
            chosen.ok().map(|digest| digest.bytes()[0])
        };
        assert_eq!(pick(false, None, &[], &[1, 2, 3, 4]), Some(3));
        assert_eq!(pick(false, None, &[], &[1, 2, 4]), Some(2), "not kept");
        assert_eq!(pick(false, None, &[refusal(3)], &[1, 2, 3]), Some(2));
        assert_eq!(pick(false, None, &[], &[4]), None);
        assert_eq!(pick(true, None, &[], &[4]), Some(4), "the canary goes");
        assert_eq!(pick(false, Some("01"), &[], &[]), Some(1));
        assert_eq!(pick(false, Some("0"), &[], &[]), None, "several");
        assert_eq!(pick(false, Some("05"), &[], &[]), None, "never served");
    }
}
