//! `qx-host migrate`: the tables, made or brought up to date.

use std::path::Path;

use super::exit::{Exit, Failure};
use super::screen;
use crate::open;
use qx_events::shard::Split;

pub(super) async fn migrate(config: Option<&Path>) -> Result<Exit, Failure> {
    let config = open::config(config)?;
    let store = open::store(&config).await?;
    store
        .migrate()
        .await
        .map_err(|error| Failure::failed("migrate", error))?;
    let split = config.relay.split;
    store
        .set_split(split)
        .await
        .map_err(|error| Failure::failed("split the outbox", error))?;
    screen::say(&format!("{} is up to date", config.database.url));
    if let Split::By(_, _) = split {
        screen::say(&format!("the outbox is in {split}"));
    }
    Ok(Exit::Done)
}
