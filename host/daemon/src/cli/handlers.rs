//! `qx-host handlers`: asks the running host what it has in service.

use std::path::Path;

use super::args::Output;
use super::exit::{Exit, Failure};
use super::screen;
use crate::admin::client;
use crate::open;

pub(super) async fn list(config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let Some(listen) = config.admin.listen else {
        return Err(Failure::usage(
            "the host's admin address is off: set [admin] listen, for instance \"127.0.0.1:7420\"",
        ));
    };
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
                let reason = handler.reason.clone().unwrap_or_default();
                let events = handler.events.join(" ");
                vec![
                    handler.component.clone(),
                    digest,
                    handler.state.clone(),
                    events,
                    reason,
                ]
            };
            let rows: Vec<Vec<String>> = handlers.iter().map(row).collect();
            screen::table(&["COMPONENT", "DIGEST", "STATE", "EVENTS", "REASON"], &rows);
        }
    }
    Ok(Exit::Done)
}
