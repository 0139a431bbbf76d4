//! `qx-host handlers`: asks the running host what it has in service, and pauses and
//! resumes it.

use std::net::SocketAddr;
use std::path::Path;

use qx_events::ComponentName;

use super::args::{Output, PauseArgs};
use super::exit::{Exit, Failure};
use super::screen;
use crate::admin::client::{self, ClientError};
use crate::admin::{Request, RightsView, StoredView};
use crate::config::Config;
use crate::open;

/// The address of the running host.
pub(super) fn listen_of(config: &Config) -> Result<SocketAddr, Failure> {
    config.admin.listen.ok_or_else(|| {
        Failure::usage(
            "the host's admin address is off: set [admin] listen, for instance \"127.0.0.1:7420\"",
        )
    })
}

/// Pauses or resumes. What the host refuses is a failure, no host is one of its own.
pub(super) async fn change(
    config: Option<&Path>,
    verb: &str,
    args: &PauseArgs,
) -> Result<Exit, Failure> {
    let listen = listen_of(&open::config(config)?)?;
    let name =
        ComponentName::parse(&args.component).map_err(|error| Failure::usage(error.to_string()))?;
    let request = Request {
        by: args.by.clone(),
        reason: args.reason.clone(),
    };
    let json = serde_json::to_string(&request)
        .map_err(|error| Failure::failed("ask the running host", error))?;
    let path = format!("/api/handlers/{name}/{verb}");
    let words = client::post(listen, &path, &json).await.map_err(|error| {
        if matches!(error, ClientError::Refused { .. }) {
            Failure::failed(verb, error)
        } else {
            Failure::unreachable("ask the running host", error)
        }
    })?;
    let words = String::from_utf8_lossy(&words);
    screen::say(&format!("{name}: {}", words.trim()));
    Ok(Exit::Done)
}

pub(super) async fn list(config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let listen = listen_of(&config)?;
    let handlers = client::handlers(listen)
        .await
        .map_err(|error| Failure::unreachable("ask the running host", error))?;
    match output {
        Output::Json => screen::json(&handlers)?,
        Output::Text if handlers.is_empty() => {
            let dir = config.components.dir.display();
            screen::say(&format!("no components: put a .wasm file into {dir}"));
        }
        Output::Text => {
            let row = |handler: &crate::admin::HandlerView| {
                let digest = handler
                    .digest
                    .as_deref()
                    .unwrap_or("-")
                    .chars()
                    .take(12)
                    .collect();
                let tried = handler.canary.as_ref().map(|canary| {
                    let short: String = canary.digest.chars().take(12).collect();
                    let (percent, events) = (canary.percent, canary.events);
                    let (wanted, failed) = (canary.events_wanted, canary.failed);
                    let declined = canary.declined;
                    format!(
                        "{short} is tried with {percent} %: {events} of {wanted} events, {failed} failed, {declined} declined"
                    )
                });
                let reason = match (&handler.step, &handler.reason) {
                    (Some(step), Some(reason)) => format!("{step}: {reason}"),
                    (_, Some(reason)) => reason.clone(),
                    (_, None) => tried
                        .or_else(|| handler.warning.clone())
                        .unwrap_or_default(),
                };
                let events = handler.events.join(" ");
                let rights = handler.rights.as_ref().map(RightsView::line);
                let stored = handler.stored.as_ref().map(StoredView::line);
                vec![
                    handler.component.clone(),
                    digest,
                    handler.state.clone(),
                    signed(handler),
                    events,
                    rights.unwrap_or_default(),
                    stored.unwrap_or_default(),
                    reason,
                ]
            };
            let rows: Vec<Vec<String>> = handlers.iter().map(row).collect();
            let heading = [
                "COMPONENT",
                "DIGEST",
                "STATE",
                "SIGNED BY",
                "EVENTS",
                "RIGHTS",
                "STATE KEPT",
                "REASON",
            ];
            screen::table(&heading, &rows);
        }
    }
    Ok(Exit::Done)
}

/// The key that signed it, or that none did.
fn signed(handler: &crate::admin::HandlerView) -> String {
    let by = handler.signed_by.as_ref().or(handler.signature.as_ref());
    by.cloned().unwrap_or_else(|| "-".to_owned())
}
