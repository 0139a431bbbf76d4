//! Counts every event by its name and by who caused it.
//!
//! Takes whatever GitHub sends, of every version: the fields that it looks at have
//! always been there. It writes the same few keys with every event, so its sidecar
//! lets it work on one at a time.

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Anything {
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct Sender {
    login: String,
}

#[handler("github.>", versions = any)]
fn record(event: Event<Anything>) -> Result<(), Failure> {
    let sender = match &event.payload.sender {
        Some(sender) => sender.login.as_str(),
        None => "nobody",
    };
    count(&format!("event/{}", event.name))?;
    count(&format!("sender/{sender}"))?;
    log::info!("{} by {sender}", event.name);
    Ok(())
}

fn count(key: &str) -> Result<(), Failure> {
    let before: u64 = state::get(key)?.unwrap_or(0);
    state::set(key, &(before + 1))?;
    Ok(())
}

#[cfg(test)]
mod tests;
