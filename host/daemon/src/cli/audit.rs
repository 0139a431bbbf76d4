//! `qx-host audit`: rows, handled events and dead letters, counted.

use std::path::Path;

use super::args::Output;
use super::exit::{Exit, Failure};
use super::screen;
use crate::account::Account;
use crate::open;

pub(super) async fn audit(config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let store = open::existing_store(&open::config(config)?).await?;
    let audit = store
        .audit()
        .await
        .map_err(|fault| Failure::failed("account for the events", fault))?;
    // Which component should have what is known to a running host alone.
    let account = Account::draw_up(&audit, None);
    match output {
        Output::Json => screen::json(&account)?,
        Output::Text => account.show(),
    }
    Ok(Exit::Done)
}
