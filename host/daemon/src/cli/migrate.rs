//! `qx-host migrate`: the tables, made or brought up to date.

use std::path::Path;

use super::args::MigrateArgs;
use super::exit::{Exit, Failure};
use super::screen;
use crate::open;
use qx_events::StateSize;
use qx_events::shard::Split;
use qx_store::Store;

pub(super) async fn migrate(config: Option<&Path>, args: &MigrateArgs) -> Result<Exit, Failure> {
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
    if args.count_state {
        count_state(&store).await?;
    }
    Ok(Exit::Done)
}

/// Counts what is there, and says where that is not what the commits have counted.
async fn count_state(store: &Store) -> Result<(), Failure> {
    let counted = store
        .count_state()
        .await
        .map_err(|fault| Failure::failed("count the state", fault))?;
    for recount in &counted {
        let (name, now, before) = (&recount.component, recount.now, recount.before);
        let name = screen::plain(name);
        let was = if now == before {
            String::new()
        } else {
            let StateSize { keys, bytes } = before;
            format!("; the count said {keys} keys, {bytes} bytes")
        };
        let StateSize { keys, bytes } = now;
        screen::say(&format!("{name}: {keys} keys, {bytes} bytes{was}"));
    }
    if counted.is_empty() {
        screen::say("no component has state");
    }
    Ok(())
}
