//! `qx-host dlq`: dead letters as an operator works with them.
//!
//! Never: changes what the command line does not name, and nothing at all in a dry
//! run.

mod change;
mod shown;
mod which;

use std::path::Path;
use std::sync::Arc;

use qx_events::ports::{Clock, DeadLetters};
use qx_events::{DeadLetter, LetterFilter};

use super::args::{DlqEditArgs, DlqListArgs, DlqManyArgs, DlqShowArgs, Output};
use super::exit::{Exit, Failure};
use super::screen;
use crate::clock::SystemClock;
use crate::open;
use shown::{Entry, Whole};

async fn letters(config: Option<&Path>) -> Result<Arc<dyn DeadLetters>, Failure> {
    let store = open::existing_store(&open::config(config)?).await?;
    Ok(store.dead_letters())
}

pub(super) async fn list(config: Option<&Path>, args: DlqListArgs) -> Result<Exit, Failure> {
    let letters = letters(config).await?;
    let filter = which::filter(args.which, SystemClock.now())?;
    let found = read(&*letters, &filter, args.limit).await?;
    let entries: Vec<Entry> = found.iter().map(Entry::of).collect();
    match args.output {
        Output::Json => screen::json(&entries)?,
        Output::Text if entries.is_empty() => screen::say("no dead letters"),
        Output::Text => screen::table(&Entry::HEADING, &Entry::rows(entries)),
    }
    Ok(Exit::Done)
}

pub(super) async fn show(config: Option<&Path>, args: &DlqShowArgs) -> Result<Exit, Failure> {
    let letters = letters(config).await?;
    let whole = Whole::of(&which::one(&*letters, &args.id).await?);
    match args.output {
        Output::Json => screen::json(&whole)?,
        Output::Text => whole.show(),
    }
    Ok(Exit::Done)
}

pub(super) async fn retry(config: Option<&Path>, args: DlqManyArgs) -> Result<Exit, Failure> {
    let letters = letters(config).await?;
    change::many(&*letters, args, change::Change::Retry).await
}

pub(super) async fn drop_letters(
    config: Option<&Path>,
    args: DlqManyArgs,
) -> Result<Exit, Failure> {
    let letters = letters(config).await?;
    change::many(&*letters, args, change::Change::Drop).await
}

pub(super) async fn edit(config: Option<&Path>, args: &DlqEditArgs) -> Result<Exit, Failure> {
    let letters = letters(config).await?;
    change::edit(&*letters, args).await
}

async fn read(
    letters: &dyn DeadLetters,
    filter: &LetterFilter,
    limit: u32,
) -> Result<Vec<DeadLetter>, Failure> {
    letters
        .list(filter, limit)
        .await
        .map_err(|fault| Failure::failed("read the dead letters", fault))
}
