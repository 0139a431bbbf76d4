//! `qx-host migrate`: the tables, made or brought up to date.

use std::path::Path;

use super::exit::{Exit, Failure};
use super::screen;
use crate::open;

pub(super) async fn migrate(config: Option<&Path>) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let store = open::store(&config).await?;
    store
        .migrate()
        .await
        .map_err(|error| Failure::failed("migrate", error))?;
    screen::say(&format!("{} is up to date", config.database.url));
    Ok(Exit::Done)
}
