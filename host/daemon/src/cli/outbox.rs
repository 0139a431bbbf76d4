//! `qx-host outbox`: what waits, what went out, what was set aside.

use std::path::Path;

use qx_events::ports::OpenWriter;
use serde::Serialize;

use super::args::Output;
use super::exit::{Exit, Failure};
use super::screen;
use crate::open;

/// The fixed shape of `outbox status --output json`.
#[derive(Serialize)]
struct Status {
    pending: u64,
    delayed: u64,
    oldest_pending_ms: u64,
    published: u64,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_writer: Option<Writer>,
}

/// The transaction that has written to the outbox and been open for longest.
#[derive(Serialize)]
struct Writer {
    pid: Option<i32>,
    open_ms: Option<u64>,
    who: String,
}

pub(super) async fn status(config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let store = open::existing_store(&open::config(config)?).await?;
    let status = store
        .outbox()
        .status()
        .await
        .map_err(|fault| Failure::failed("read the outbox", fault))?;
    let oldest = store.outbox().oldest_writer().await;
    let oldest = oldest.map_err(|fault| Failure::failed("look for open transactions", fault))?;
    match output {
        Output::Json => screen::json(&Status {
            pending: status.pending,
            delayed: status.delayed,
            oldest_pending_ms: status.oldest_pending_ms,
            published: status.published,
            failed: status.failed,
            oldest_writer: oldest.map(|OpenWriter { pid, open_ms, who }| Writer {
                pid,
                open_ms,
                who,
            }),
        })?,
        Output::Text => {
            screen::table(
                &[
                    "PENDING",
                    "OF THEM LATER",
                    "OLDEST",
                    "PUBLISHED",
                    "SET ASIDE",
                ],
                &[vec![
                    status.pending.to_string(),
                    status.delayed.to_string(),
                    format!("{} ms", status.oldest_pending_ms),
                    status.published.to_string(),
                    status.failed.to_string(),
                ]],
            );
            if let Some(writer) = oldest {
                screen::say(&open(&writer));
            }
        }
    }
    Ok(Exit::Done)
}

/// Who has written to the outbox and not ended.
fn open(writer: &OpenWriter) -> String {
    let session = writer.pid.map(|pid| format!("session {pid}, "));
    let session = session.unwrap_or_default();
    let since = match writer.open_ms {
        Some(ms) => format!("for {ms} ms"),
        None => "for how long is shown to members of pg_read_all_stats".to_owned(),
    };
    let who = screen::plain(&writer.who);
    format!("open transaction that has written to the outbox: {session}{who}, {since}")
}
