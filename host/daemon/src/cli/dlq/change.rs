//! What changes dead letters: retry, drop, edit; and the dry run, which does not.

use qx_events::ports::{AfterEdit, Clock, DeadLetters, EditAnswer};
use qx_events::{ComponentName, LetterFilter};

use super::super::args::{DlqEditArgs, DlqManyArgs, Output};
use super::super::exit::{Exit, Failure};
use super::super::{screen, trigger};
use super::shown::Entry;
use super::{read, which};
use crate::clock::SystemClock;

/// Letters listed by a dry run; the count says how many there are beyond.
const LISTED_MAX: u32 = 1_000;

/// The component of letters that have none: the predecessor's.
const NO_COMPONENT: &str = "no-component";

/// What is done with the letters that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Retry,
    Drop,
}

impl Change {
    const fn would(self) -> &'static str {
        match self {
            Self::Retry => "would_retry",
            Self::Drop => "would_drop",
        }
    }

    const fn would_be(self) -> &'static str {
        match self {
            Self::Retry => "would be retried",
            Self::Drop => "would be dropped",
        }
    }

    /// The word of the answer, and what happens next.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Retry => (
                "requested",
                "a running host gives each to its component once more",
            ),
            Self::Drop => ("dropped", "they are gone for good"),
        }
    }
}

pub(super) async fn many(
    letters: &dyn DeadLetters,
    args: DlqManyArgs,
    change: Change,
) -> Result<Exit, Failure> {
    let (dry_run, output) = (args.dry_run, args.output);
    let filter = meant(letters, args).await?;
    if dry_run {
        return preview(letters, &filter, output, change).await;
    }
    let count = match change {
        Change::Retry => letters.request_retry(&filter).await,
        Change::Drop => letters.drop_letters(&filter).await,
    };
    let (word, next) = change.told();
    let doing = match change {
        Change::Retry => "request the retry",
        Change::Drop => "drop the dead letters",
    };
    let count = count.map_err(|fault| Failure::failed(doing, fault))?;
    match output {
        Output::Json => screen::json(&serde_json::json!({ word: count }))?,
        Output::Text if count == 0 => screen::say("no dead letter matches"),
        Output::Text => screen::say(&format!("{count} {word}: {next}")),
    }
    Ok(Exit::Done)
}

/// The filter of a command that changes something: ids, or `--all`, or a
/// condition; never everything by accident.
async fn meant(letters: &dyn DeadLetters, args: DlqManyArgs) -> Result<LetterFilter, Failure> {
    let ids = which::ids(letters, &args.ids).await?;
    let conditions = which::filter(args.which, SystemClock.now())?;
    let filter = LetterFilter { ids, ..conditions };
    if filter == LetterFilter::default() && !args.all {
        return Err(Failure::usage(
            "which dead letters? give their ids, or a condition such as --component, --event, --kind or --older-than, or --all",
        ));
    }
    Ok(filter)
}

async fn preview(
    letters: &dyn DeadLetters,
    filter: &LetterFilter,
    output: Output,
    change: Change,
) -> Result<Exit, Failure> {
    let all = count(letters, filter).await?;
    let stay = match change {
        Change::Retry => without_component(letters, filter).await?,
        Change::Drop => 0,
    };
    let count = all.saturating_sub(stay);
    let mut found = read(letters, filter, LISTED_MAX).await?;
    if stay > 0 {
        found.retain(|letter| letter.component.as_str() != NO_COMPONENT);
    }
    let entries: Vec<Entry> = found.iter().map(Entry::of).collect();
    match output {
        Output::Json => screen::json(&serde_json::json!({
            change.would(): count, "cannot": stay, "letters": entries,
        }))?,
        Output::Text => {
            for entry in &entries {
                let (component, event) = (&entry.component, screen::plain(&entry.event_name));
                screen::say(&format!("{} {component} {event}", entry.id));
            }
            let more = count.saturating_sub(entries.len() as u64);
            if more > 0 {
                screen::say(&format!("and {more} more"));
            }
            screen::say(&format!("{count} {}", change.would_be()));
            if stay > 0 {
                screen::say(&format!("{stay} cannot be: they name no component"));
            }
        }
    }
    Ok(Exit::Done)
}

/// How many of them no component can be called with.
async fn without_component(
    letters: &dyn DeadLetters,
    filter: &LetterFilter,
) -> Result<u64, Failure> {
    if filter.component.is_some() {
        return Ok(0);
    }
    let component = ComponentName::parse(NO_COMPONENT).ok();
    let theirs = LetterFilter {
        component,
        ..filter.clone()
    };
    count(letters, &theirs).await
}

async fn count(letters: &dyn DeadLetters, filter: &LetterFilter) -> Result<u64, Failure> {
    let counted = letters.count(filter).await;
    counted.map_err(|fault| Failure::failed("count the dead letters", fault))
}

pub(super) async fn edit(letters: &dyn DeadLetters, args: &DlqEditArgs) -> Result<Exit, Failure> {
    let letter = which::one(letters, &args.id).await?;
    let edited = match (&args.payload, &args.envelope) {
        (Some(payload), _) => letter.with_payload(&trigger::text(payload)?),
        (None, Some(envelope)) => letter.with_envelope(&trigger::text(envelope)?),
        (None, None) => return Err(Failure::usage("give --payload or --envelope")),
    };
    let (event_id, body) = edited.map_err(|invalid| {
        Failure::usage(format!(
            "{} is not edited: {}",
            letter.id,
            super::super::exit::chain(&invalid)
        ))
    })?;
    let then = if args.retry {
        AfterEdit::Retry
    } else {
        AfterEdit::Keep
    };
    let answer = letters.edit(letter.id, event_id, &body, then).await;
    match answer.map_err(|fault| Failure::failed("edit the dead letter", fault))? {
        EditAnswer::Done => {}
        EditAnswer::BeingRetried => {
            return Err(Failure::failed(
                "edit the dead letter",
                "a host is calling the component with it now; look again when that has ended, after ten minutes at the most",
            ));
        }
        EditAnswer::Gone => {
            return Err(Failure::failed(
                "edit the dead letter",
                "it is gone: handled or dropped meanwhile",
            ));
        }
    }
    let id = letter.id;
    match args.output {
        Output::Json => {
            let requested = u8::from(args.retry);
            screen::json(&serde_json::json!({ "edited": 1, "requested": requested, "id": id }))?;
        }
        Output::Text if args.retry => screen::say(&format!(
            "{id} is edited, and a running host calls the component with it"
        )),
        Output::Text => screen::say(&format!(
            "{id} is edited; `qx-host dlq retry {id}` gives it to the component"
        )),
    }
    Ok(Exit::Done)
}
