//! What a decision reads like on one line.

use std::borrow::Cow;
use std::time::Duration;

use qx_pipeline::Sight;

use crate::telemetry::visible::visible;

/// Characters of a reason on a line: two or three rows of a terminal.
const REASON_CHARS_MAX: usize = 240;

/// How a line is meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tone {
    Good,
    Quiet,
    Careful,
    Bad,
}

impl Tone {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[32m",
            Self::Quiet => "\u{1b}[2m",
            Self::Careful => "\u{1b}[33m",
            Self::Bad => "\u{1b}[31m",
        }
    }
}

/// What a line says, before it is laid out.
pub(super) struct Line<'a> {
    pub(super) what: &'a str,
    pub(super) whose: &'a str,
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl<'a> Line<'a> {
    /// The line for a sight.
    pub(super) fn of(sight: &Sight<'a>) -> Self {
        let (what, whose) = ends(sight);
        Self {
            what,
            whose,
            tone: tone(sight),
            text: text(sight),
        }
    }
}

/// From what to whom.
fn ends<'a>(sight: &Sight<'a>) -> (&'a str, &'a str) {
    match sight {
        Sight::Published { .. }
        | Sight::RelayBlocked { .. }
        | Sight::HeldBack { .. }
        | Sight::LetGo
        | Sight::RelayLeads(_) => ("outbox", "stream"),
        Sight::StreamRegressed { .. } => ("stream", "outbox"),
        Sight::SetAside { event_name, .. } => (event_name, "outbox"),
        Sight::Done { attempt, .. } | Sight::Redelivered { attempt, .. } => (
            attempt.envelope.event_name.as_str(),
            attempt.component.as_str(),
        ),
        Sight::Duplicate {
            component,
            envelope,
        } => (envelope.event_name.as_str(), component.as_str()),
        Sight::Buried {
            component,
            event_name,
            ..
        } => (event_name, component.as_str()),
        Sight::Held { component, .. }
        | Sight::Resumed { component }
        | Sight::InCharge { component, .. }
        | Sight::Overfull { component, .. }
        | Sight::Paused { component, .. }
        | Sight::Unpaused { component, .. } => ("stream", component.as_str()),
    }
}

fn tone(sight: &Sight<'_>) -> Tone {
    match sight {
        Sight::Done { .. } | Sight::Resumed { .. } | Sight::Unpaused { .. } | Sight::LetGo => {
            Tone::Good
        }
        Sight::Published { .. }
        | Sight::RelayLeads(_)
        | Sight::InCharge { .. }
        | Sight::Duplicate { .. } => Tone::Quiet,
        Sight::RelayBlocked { .. }
        | Sight::HeldBack { .. }
        | Sight::Redelivered { .. }
        | Sight::Held { .. }
        | Sight::Overfull { .. }
        | Sight::Paused { .. } => Tone::Careful,
        Sight::SetAside { .. } | Sight::Buried { .. } | Sight::StreamRegressed { .. } => Tone::Bad,
    }
}

fn held_back(pid: Option<i32>, waited: Duration) -> String {
    let whose = pid.map_or("that was prepared".to_owned(), |pid| {
        format!("of session {pid}")
    });
    format!("waits {} s for a transaction {whose}", waited.as_secs())
}

fn text(sight: &Sight<'_>) -> String {
    match sight {
        Sight::Published {
            rows,
            duplicates,
            took,
        } => published(*rows, *duplicates, *took),
        Sight::SetAside { seq, reason, .. } => format!("row {seq} set aside: {}", cut(reason)),
        Sight::RelayBlocked { reason } => format!("waits: {}", cut(reason)),
        Sight::HeldBack { pid, waited } => held_back(*pid, *waited),
        Sight::LetGo => "no transaction holds rows back any more".to_owned(),
        Sight::StreamRegressed { rows, .. } => {
            format!("lost what it had confirmed, or is new: {rows} rows go out again")
        }
        Sight::RelayLeads(true) => "this relay is in charge".to_owned(),
        Sight::RelayLeads(false) => "another relay is in charge".to_owned(),
        Sight::InCharge { here: true, .. } => "consumed here, in order".to_owned(),
        Sight::InCharge { here: false, .. } => "no longer consumed here".to_owned(),
        Sight::Done { attempt, emitted } => done(attempt.took, attempt.number, *emitted),
        Sight::Duplicate { .. } => "handled before".to_owned(),
        Sight::Redelivered {
            attempt,
            after,
            outcome,
            reason,
        } => redelivered(*after, attempt.number, outcome, reason),
        Sight::Buried { reason, .. } => {
            format!(
                "dead letter ({}): {}",
                reason.kind.as_str(),
                cut(&reason.text)
            )
        }
        Sight::Overfull { limit, .. } => format!("has all the state it may have ({limit})"),
        Sight::Held { fault, .. } => format!("waits: {}", cut(&fault.chain())),
        Sight::Resumed { .. } => "goes on".to_owned(),
        Sight::Paused { by, reason, .. } => {
            format!("paused by {}: {}", by.as_str(), cut(reason))
        }
        Sight::Unpaused { by, .. } => format!("no longer paused by {}", by.as_str()),
    }
}

fn published(rows: usize, duplicates: usize, took: Duration) -> String {
    let noun = if rows == 1 { "event" } else { "events" };
    let known = match duplicates {
        0 => String::new(),
        n => format!(" ({n} known already)"),
    };
    format!("published {rows} {noun}{known} in {}", span(took))
}

fn done(took: Duration, attempt: u32, emitted: usize) -> String {
    let again = if attempt > 1 {
        format!(" (attempt {attempt})")
    } else {
        String::new()
    };
    let emitted = if emitted > 0 {
        format!(", emitted {emitted}")
    } else {
        String::new()
    };
    format!("done {}{again}{emitted}", span(took))
}

fn redelivered(after: Duration, attempt: u32, outcome: &str, reason: &str) -> String {
    let how = if outcome == "retry" {
        String::new()
    } else {
        format!(" after {outcome}")
    };
    format!(
        "retry in {}{how} (attempt {attempt}): {}",
        span(after),
        cut(reason)
    )
}

/// A duration as a person reads it: `0.4 ms`, `40 ms`, `2.5 s`.
fn span(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else if millis < 1_000.0 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", millis / 1e3)
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    visible(text, REASON_CHARS_MAX)
}
