//! The judge: says of a history what was lost, invented, done twice, done out of
//! order, left lying, or counted wrongly.
//!
//! A pure function over values: it asks nobody, and knows nothing of how the host
//! works. Never: an excuse. What it cannot explain is a finding.

mod counts;
mod index;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

use crate::history::{Entry, Outcome, RowState};
use index::Index;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// I1: committed, and nowhere any more.
    Lost,
    /// I2: an effect of something that was never committed.
    Phantom,
    /// I3: an effect that is there twice.
    Repeated,
    /// I4: effects of a key in another order than the outbox's.
    OutOfOrder,
    /// I5: not lost, but it did not get on by itself.
    Stuck,
    /// I6: a number that does not agree with the tables.
    Disagreement,
}

impl Kind {
    /// The promise that it breaks, as in `host/README.md`.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::Lost => "I1",
            Self::Phantom => "I2",
            Self::Repeated => "I3",
            Self::OutOfOrder => "I4",
            Self::Stuck => "I5",
            Self::Disagreement => "I6",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Lost => "lost",
            Self::Phantom => "phantom",
            Self::Repeated => "repeated",
            Self::OutOfOrder => "out of order",
            Self::Stuck => "stuck",
            Self::Disagreement => "disagreement",
        };
        write!(f, "{} {word}", self.promise())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which promise it breaks.
    pub kind: Kind,
    /// What it is about.
    pub text: String,
}

/// What the judge says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Judgement {
    /// Everything that is wrong; empty is good.
    pub findings: Vec<Finding>,
    /// How much there was to judge: an empty history is good as well.
    pub seen: Seen,
}

/// How much was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Events of producers whose commit was confirmed.
    pub committed: usize,
    /// Whose commit was not.
    pub failed: usize,
    /// Of whose commit nobody knows.
    pub unknown: usize,
    /// Rows.
    pub rows: usize,
    /// Inbox marks.
    pub handled: usize,
    /// Effects that count.
    pub counted: usize,
    /// Dead letters.
    pub dead: usize,
    /// Numbers that were shown.
    pub shown: usize,
}

/// Findings of one kind that are shown; the rest is counted.
const SHOWN_MAX: usize = 20;

impl Judgement {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    fn found(&mut self, kind: Kind, text: String) {
        self.findings.push(Finding { kind, text });
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.seen;
        writeln!(
            f,
            "{} committed, {} rolled back, {} unknown; {} rows, {} handled, {} effects, {} dead, {} numbers",
            seen.committed,
            seen.failed,
            seen.unknown,
            seen.rows,
            seen.handled,
            seen.counted,
            seen.dead,
            seen.shown
        )?;
        let kinds: BTreeSet<Kind> = self.findings.iter().map(|finding| finding.kind).collect();
        for kind in kinds {
            let own = || self.findings.iter().filter(|finding| finding.kind == kind);
            for finding in own().take(SHOWN_MAX) {
                writeln!(f, "{kind}: {}", finding.text)?;
            }
            if let Some(more) = own().count().checked_sub(SHOWN_MAX + 1) {
                writeln!(f, "{kind}: and {} more", more + 1)?;
            }
        }
        if self.is_good() {
            write!(f, "nothing is wrong")
        } else {
            write!(f, "{} findings", self.findings.len())
        }
    }
}

/// Judges a history whose end is a moment at which everything was to be done.
pub fn judge(entries: &[Entry]) -> Judgement {
    let index = Index::of(entries);
    let mut judgement = Judgement {
        findings: Vec::new(),
        seen: index.seen(),
    };
    producers(&index, &mut judgement);
    rows(&index, &mut judgement);
    ends(&index, &mut judgement);
    counts::effects(&index, &mut judgement);
    counts::numbers(&index, &mut judgement);
    judgement.findings.sort();
    judgement
}

/// What producers were told, against the rows.
fn producers(index: &Index<'_>, judgement: &mut Judgement) {
    for produced in &index.produced {
        let rows = index.rows.get(&produced.event).map_or(0, Vec::len);
        let what = || format!("{} {} of key {}", produced.name, produced.n, produced.key);
        match (produced.outcome, rows) {
            (Outcome::Ok, 0) => {
                let text = format!("{}: it was committed and has no row", what());
                judgement.found(Kind::Lost, text);
            }
            (Outcome::Failed, 1..) => {
                let text = format!("{}: it was rolled back and has a row", what());
                judgement.found(Kind::Phantom, text);
            }
            (Outcome::Ok | Outcome::Unknown, _) | (Outcome::Failed, 0) => {}
        }
    }
}

/// Rows: each once, of somebody, and on their way.
fn rows(index: &Index<'_>, judgement: &mut Judgement) {
    for (event, rows) in &index.rows {
        let Some(row) = rows.first() else { continue };
        if rows.len() > 1 {
            let text = format!("{} {event} has {} rows", row.name, rows.len());
            judgement.found(Kind::Repeated, text);
        }
        for row in rows.iter().filter(|row| row.state == RowState::Pending) {
            judgement.found(Kind::Stuck, format!("{} {event} still waits", row.name));
        }
        if let Some(cause) = row.cause {
            if !index.handled_by_any(cause) {
                let text = format!("{} {event}: its cause {cause} was never handled", row.name);
                judgement.found(Kind::Phantom, text);
            }
        } else if index.is_followed(row.name) && !index.is_produced(*event) {
            let text = format!("{} {event}: nobody recorded it", row.name);
            judgement.found(Kind::Phantom, text);
        }
    }
}

/// Each published row: handled or dead, by each component that takes it, and by no
/// other.
fn ends(index: &Index<'_>, judgement: &mut Judgement) {
    for (event, rows) in &index.rows {
        let published = rows.iter().find(|row| row.state == RowState::Published);
        let Some(row) = published else { continue };
        for component in index.takers(row.name) {
            match index.ends_of(component, *event) {
                (0, 0) => {
                    let text = format!("{component} has nothing of {} {event}", row.name);
                    judgement.found(Kind::Lost, text);
                }
                (1, 0) | (0, 1) => {}
                (handled, dead) => {
                    let text = format!(
                        "{component} has {handled} marks and {dead} letters of {} {event}",
                        row.name
                    );
                    judgement.found(Kind::Repeated, text);
                }
            }
        }
    }
    for (component, event) in index.ended() {
        phantom_end(index, component, event, judgement);
    }
}

fn phantom_end(index: &Index<'_>, component: &str, event: Uuid, judgement: &mut Judgement) {
    let Some(rows) = index.rows.get(&event) else {
        let text = format!("{component} has handled {event}, which has no row");
        return judgement.found(Kind::Phantom, text);
    };
    let is_taken = |name: &str| index.takers(name).any(|taker| taker == component);
    if index.is_known(component) && !rows.iter().any(|row| is_taken(row.name)) {
        let text = format!("{component} has handled {event}, which it does not take");
        judgement.found(Kind::Phantom, text);
    }
}
