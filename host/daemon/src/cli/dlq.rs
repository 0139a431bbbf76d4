//! `qx-host dlq`: dead letters as an operator works with them.

use std::path::Path;

use qx_events::ports::DeadLetters;
use qx_events::{ComponentName, DeadLetter, DeadReasonKind, LetterFilter};
use serde::Serialize;
use uuid::Uuid;

use super::args::{DlqListArgs, DlqManyArgs, DlqShowArgs, DlqWhich, Output};
use super::exit::{Exit, Failure};
use super::screen;
use crate::open;

/// Letters looked through for one whose id begins as given.
const SEARCH_MAX: u32 = 10_000;

/// The fixed shape of an entry of `dlq list --output json`.
#[derive(Serialize)]
struct Entry {
    id: Uuid,
    component: String,
    event_name: String,
    event_id: Option<Uuid>,
    attempts: u32,
    reason: String,
    failed_at: String,
    kind: &'static str,
}

/// One letter, whole.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    entry: Entry,
    event_version: u32,
    digest: Option<String>,
    tenant_id: Option<Uuid>,
    correlation_id: Option<Uuid>,
    subject: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Entry {
    fn of(letter: &DeadLetter) -> Self {
        Self {
            id: letter.id,
            component: letter.component.to_string(),
            event_name: letter.event_name.clone(),
            event_id: letter.event_id,
            attempts: letter.attempts,
            reason: letter.reason.to_string(),
            failed_at: letter.failed_at.to_rfc3339(),
            kind: letter.reason.kind.as_str(),
        }
    }
}

pub(super) async fn list(config: Option<&Path>, args: DlqListArgs) -> Result<Exit, Failure> {
    let letters = open::existing_store(&open::config(config)?)
        .await?
        .dead_letters();
    let filter = filter(args.which)?;
    let found = read(&*letters, &filter, args.limit).await?;
    let entries: Vec<Entry> = found.iter().map(Entry::of).collect();
    match args.output {
        Output::Json => screen::json(&entries)?,
        Output::Text if entries.is_empty() => screen::say("no dead letters"),
        Output::Text => screen::table(
            &[
                "ID",
                "COMPONENT",
                "EVENT",
                "ATTEMPTS",
                "FAILED AT",
                "REASON",
            ],
            &entries.into_iter().map(Entry::into_row).collect::<Vec<_>>(),
        ),
    }
    Ok(Exit::Done)
}

impl Entry {
    fn into_row(self) -> Vec<String> {
        let id = self.id.to_string().chars().take(8).collect();
        let attempts = self.attempts.to_string();
        let failed_at = self.failed_at.chars().take(19).collect();
        vec![
            id,
            self.component,
            self.event_name,
            attempts,
            failed_at,
            self.reason,
        ]
    }
}

pub(super) async fn show(config: Option<&Path>, args: &DlqShowArgs) -> Result<Exit, Failure> {
    let letters = open::existing_store(&open::config(config)?)
        .await?
        .dead_letters();
    let ids = resolve(&*letters, std::slice::from_ref(&args.id)).await?;
    let filter = LetterFilter {
        ids,
        ..LetterFilter::default()
    };
    let found = read(&*letters, &filter, 1).await?;
    let Some(letter) = found.first() else {
        return Err(Failure::usage(format!(
            "no dead letter has the id {}",
            screen::plain(&args.id)
        )));
    };
    let whole = Whole {
        entry: Entry::of(letter),
        event_version: letter.event_version,
        digest: letter.digest.map(|digest| digest.to_string()),
        tenant_id: letter.tenant_id,
        correlation_id: letter.correlation_id,
        subject: letter.subject.clone(),
        headers: letter.headers.0.clone(),
        body: String::from_utf8_lossy(&letter.body).into_owned(),
    };
    match args.output {
        Output::Json => screen::json(&whole)?,
        Output::Text => whole.show(),
    }
    Ok(Exit::Done)
}

impl Whole {
    fn show(self) {
        let or_none = |id: Option<Uuid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let not_called = || "-  (the handler was not called)".to_owned();
        let facts = [
            ("id", self.entry.id.to_string()),
            ("component", self.entry.component),
            ("digest", self.digest.unwrap_or_else(not_called)),
            (
                "event",
                format!("{} version {}", self.entry.event_name, self.event_version),
            ),
            ("event id", or_none(self.entry.event_id)),
            ("tenant", or_none(self.tenant_id)),
            ("correlation", or_none(self.correlation_id)),
            ("subject", self.subject),
            ("attempts", self.entry.attempts.to_string()),
            ("failed at", self.entry.failed_at),
            ("reason", self.entry.reason),
        ];
        for (name, value) in facts {
            screen::say(&format!("{name:<12} {}", screen::plain(&value)));
        }
        for (name, value) in &self.headers {
            let (name, value) = (screen::plain(name), screen::plain(value));
            screen::say(&format!("header       {name}: {value}"));
        }
        screen::say(&format!("\n{}", screen::plain(&self.body)));
    }
}

pub(super) async fn retry(config: Option<&Path>, args: DlqManyArgs) -> Result<Exit, Failure> {
    let letters = open::existing_store(&open::config(config)?)
        .await?
        .dead_letters();
    let (filter, dry_run, output) = many(&*letters, args).await?;
    if dry_run {
        return preview(&*letters, &filter, output, "would be retried").await;
    }
    let count = letters
        .request_retry(&filter)
        .await
        .map_err(|fault| Failure::failed("request the retry", fault))?;
    let told = "a running host calls the component again, each with its own";
    answer(count, output, "requested", told)
}

pub(super) async fn drop_letters(
    config: Option<&Path>,
    args: DlqManyArgs,
) -> Result<Exit, Failure> {
    let letters = open::existing_store(&open::config(config)?)
        .await?
        .dead_letters();
    let (filter, dry_run, output) = many(&*letters, args).await?;
    if dry_run {
        return preview(&*letters, &filter, output, "would be dropped").await;
    }
    let count = letters
        .drop_letters(&filter)
        .await
        .map_err(|fault| Failure::failed("drop the dead letters", fault))?;
    answer(count, output, "dropped", "they are gone for good")
}

fn answer(count: u64, output: Output, word: &str, told: &str) -> Result<Exit, Failure> {
    match output {
        Output::Json => screen::json(&serde_json::json!({ word: count }))?,
        Output::Text if count == 0 => screen::say("no dead letter matches"),
        Output::Text => screen::say(&format!("{count} {word}: {told}")),
    }
    Ok(Exit::Done)
}

async fn preview(
    letters: &dyn DeadLetters,
    filter: &LetterFilter,
    output: Output,
    word: &str,
) -> Result<Exit, Failure> {
    let found = read(letters, filter, SEARCH_MAX).await?;
    let entries: Vec<Entry> = found.iter().map(Entry::of).collect();
    match output {
        Output::Json => screen::json(&entries)?,
        Output::Text => {
            for entry in &entries {
                let (component, event) = (&entry.component, screen::plain(&entry.event_name));
                screen::say(&format!("{} {component} {event}", entry.id));
            }
            screen::say(&format!("{} {word}", entries.len()));
        }
    }
    Ok(Exit::Done)
}

/// The filter of a command that changes something: ids, or `--all`, or a class;
/// never everything by accident.
async fn many(
    letters: &dyn DeadLetters,
    args: DlqManyArgs,
) -> Result<(LetterFilter, bool, Output), Failure> {
    let ids = resolve(letters, &args.ids).await?;
    let which = filter(args.which)?;
    let filter = LetterFilter { ids, ..which };
    if filter == LetterFilter::default() && !args.all {
        return Err(Failure::usage(
            "which dead letters? give their ids, or --component, --event or --kind, or --all",
        ));
    }
    Ok((filter, args.dry_run, args.output))
}

fn filter(which: DlqWhich) -> Result<LetterFilter, Failure> {
    let component = which
        .component
        .map(|name| ComponentName::parse(&name))
        .transpose()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let kind = match which.kind {
        Some(word) => Some(DeadReasonKind::parse(&word).ok_or_else(|| {
            let words: Vec<&str> = DeadReasonKind::ALL
                .iter()
                .map(|kind| kind.as_str())
                .collect();
            Failure::usage(format!(
                "{} is no class of reasons: use one of {}",
                screen::plain(&word),
                words.join(", ")
            ))
        })?),
        None => None,
    };
    Ok(LetterFilter {
        ids: Vec::new(),
        component,
        event_name: which.event,
        kind,
    })
}

/// Whole ids of ids, or of beginnings of ids as a listing shows them.
async fn resolve(letters: &dyn DeadLetters, texts: &[String]) -> Result<Vec<Uuid>, Failure> {
    let mut ids = Vec::with_capacity(texts.len());
    let mut all: Option<Vec<DeadLetter>> = None;
    for text in texts {
        if let Ok(id) = Uuid::try_parse(text) {
            ids.push(id);
            continue;
        }
        if all.is_none() {
            all = Some(read(letters, &LetterFilter::default(), SEARCH_MAX).await?);
        }
        let known = all.as_deref().unwrap_or_default();
        let fits = |letter: &&DeadLetter| letter.id.to_string().starts_with(&text.to_lowercase());
        let found: Vec<&DeadLetter> = known.iter().filter(fits).collect();
        match found.as_slice() {
            [one] => ids.push(one.id),
            [] => {
                return Err(Failure::usage(format!(
                    "no dead letter's id begins with {}",
                    screen::plain(text)
                )));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "several ids begin with {}: give more of it",
                    screen::plain(text)
                )));
            }
        }
    }
    Ok(ids)
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
