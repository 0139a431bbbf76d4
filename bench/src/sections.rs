//! The sections of the bench: each measures one thing beside what it is compared
//! with, and can be run alone.

mod backlog;
mod consumer;
mod dispatch;
mod embedded;
mod end_to_end;
mod fleet;
mod latency;
mod payload;
pub(crate) mod progress;
pub(crate) mod raw;
mod relay;
mod swap;

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use crate::lab::Lab;
use crate::report::Report;

/// One section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub(crate) enum Section {
    /// Outbox to stream.
    Relay,
    /// Stream to ledger.
    Consumer,
    /// Outbox to ledger.
    EndToEnd,
    /// The same without any server.
    Embedded,
    /// Commit to committed effect.
    Latency,
    /// A call beside the bare one, in process.
    Dispatch,
    /// Many components: start, memory, idling.
    Fleet,
    /// Replacing a component under load.
    Swap,
    /// Many published rows.
    Backlog,
    /// Small and large envelopes.
    Payload,
}

impl Section {
    /// In the order in which they run.
    pub(crate) const ALL: [Self; 10] = [
        Self::Relay,
        Self::Consumer,
        Self::EndToEnd,
        Self::Embedded,
        Self::Latency,
        Self::Dispatch,
        Self::Fleet,
        Self::Swap,
        Self::Backlog,
        Self::Payload,
    ];

    /// What it is about, in a few words.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Relay => "Relay: outbox → stream",
            Self::Consumer => "Consumer: stream → handler → ledger",
            Self::EndToEnd => "End to end: outbox → committed effect",
            Self::Embedded => "Embedded: SQLite, no server",
            Self::Latency => "Latency: commit → effect committed",
            Self::Dispatch => "Dispatch: a call beside the bare one",
            Self::Fleet => "Many components: start, memory, idling",
            Self::Swap => "Hot swap under load",
            Self::Backlog => "A growing backlog",
            Self::Payload => "A growing payload",
        }
    }

    /// Measures.
    pub(crate) async fn run(
        self,
        lab: &Lab,
        report: &mut Report,
        huge: bool,
    ) -> anyhow::Result<()> {
        match self {
            Self::Relay => relay::run(lab, report).await,
            Self::Consumer => consumer::run(lab, report).await,
            Self::EndToEnd => end_to_end::run(lab, report).await,
            Self::Embedded => embedded::run(lab, report).await,
            Self::Latency => latency::run(lab, report).await,
            Self::Dispatch => dispatch::run(lab, report).await,
            Self::Fleet => fleet::run(lab, report).await,
            Self::Swap => swap::run(lab, report).await,
            Self::Backlog => backlog::run(lab, report, huge).await,
            Self::Payload => payload::run(lab, report).await,
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("?", |value| value.get_name()))
    }
}
