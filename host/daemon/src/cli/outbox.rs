//! `qx-host outbox`: what waits, what went out, what was set aside.

use std::path::Path;

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
}

pub(super) async fn status(config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let store = open::existing_store(&open::config(config)?).await?;
    let status = store
        .outbox()
        .status()
        .await
        .map_err(|fault| Failure::failed("read the outbox", fault))?;
    match output {
        Output::Json => screen::json(&Status {
            pending: status.pending,
            delayed: status.delayed,
            oldest_pending_ms: status.oldest_pending_ms,
            published: status.published,
            failed: status.failed,
        })?,
        Output::Text => screen::table(
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
        ),
    }
    Ok(Exit::Done)
}
