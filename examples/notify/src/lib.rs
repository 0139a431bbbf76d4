//! Tells a chat which packages came out, and what became of the protection of branches:
//! one message for each event, and `chat.told` when the chat has taken it.
//!
//! The message is no part of the commit: an event that is handled again sends it again,
//! with the same idempotency key, by which the chat can tell. What is counted and emitted
//! is committed once, whatever happens.
//!
//! `?` does what a chat's answers ask for: 429 and 5xx are tried again, not before the
//! time in `retry-after`; other statuses are a dead letter at once.

use std::collections::BTreeMap;

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct RuleChange {
    action: String,
    rule: Rule,
    #[serde(default)]
    changes: BTreeMap<String, Json>,
    repository: Repository,
    sender: Sender,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
}

#[derive(Deserialize)]
struct Published {
    package: Package,
    repository: Repository,
    sender: Sender,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(rename = "package_type")]
    kind: String,
    #[serde(rename = "package_version")]
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct Sender {
    login: String,
}

/// What the chat is sent.
#[derive(Serialize)]
struct Message<'a> {
    channel: &'a str,
    text: &'a str,
}

/// What it answers.
#[derive(Deserialize)]
struct Taken {
    id: String,
}

/// What `chat.told` tells.
#[derive(Serialize)]
struct Told<'a> {
    repository: &'a str,
    message: &'a str,
}

#[handler("github.package.published")]
fn tell_of_package(event: Event<Published>) -> Result<(), Failure> {
    let Published {
        package,
        repository,
        sender,
    } = event.payload;
    let Package {
        name,
        kind,
        version: Version { version },
    } = package;
    let login = sender.login;
    let text = format!("{login} published {name} {version} ({kind})");
    tell(&event.id, &repository.full_name, &text)
}

#[handler("github.branch_protection_rule.*")]
fn tell_of_protection(event: Event<RuleChange>) -> Result<(), Failure> {
    let RuleChange {
        action,
        rule: Rule { name },
        changes,
        repository,
        sender: Sender { login },
    } = event.payload;
    let text = match action.as_str() {
        "created" => format!("{login} protected the branch {name}"),
        "edited" => {
            let what: Vec<String> = changes.into_keys().collect();
            let what = what.join(", ");
            format!("{login} changed how the branch {name} is protected: {what}")
        }
        "deleted" => format!("{login} took the protection from the branch {name}"),
        other => return Err(Failure::reject(format_args!("what is `{other}`?"))),
    };
    tell(&event.id, &repository.full_name, &text)
}

fn tell(event_id: &str, repository: &str, text: &str) -> Result<(), Failure> {
    let chat = config::get("chat").unwrap_or_else(|| "https://chat.example.com".to_owned());
    let channel = config::get("channel").unwrap_or_else(|| "#general".to_owned());
    let taken: Taken = http::Request::post(&format!("{chat}/api/messages"))
        .bearer(&secrets::get("chat_token")?)
        .idempotency_key(event_id)
        .json(&Message {
            channel: &channel,
            text: &format!("{repository}: {text}"),
        })
        .send()?
        .ensure_ok()?
        .json()?;
    let key = format!("told/{repository}");
    state::set(&key, &(state::get(&key)?.unwrap_or(0) + 1))?;
    emit(
        "chat.told",
        &Told {
            repository,
            message: &taken.id,
        },
    )?;
    log::info!("{channel} knows of it: {repository}: {text}");
    Ok(())
}

#[cfg(test)]
mod tests;
