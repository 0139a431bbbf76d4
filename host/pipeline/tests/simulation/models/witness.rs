//! A witness that writes down what it is told.

use qx_pipeline::{Sight, Witness};

use crate::history::{Effect, History};

/// Writes every sight into the history, in a few words.
pub(crate) struct Scribe(pub(crate) History);

impl Witness for Scribe {
    fn saw(&self, sight: &Sight<'_>) {
        let words = match sight {
            Sight::Published {
                rows, duplicates, ..
            } => {
                format!("published {rows}, of them {duplicates} duplicates")
            }
            Sight::SetAside { seq, .. } => format!("set aside {seq}"),
            Sight::RelayBlocked { reason } => format!("relay blocked: {reason}"),
            Sight::HeldBack { pid, waited } => format!("held back by {pid:?} for {waited:?}"),
            Sight::LetGo => "held back no more".to_owned(),
            Sight::StreamRegressed { stream, rows } => {
                format!(
                    "stream fell back to {}, {rows} rows wait again",
                    stream.last_seq
                )
            }
            Sight::RelayLeads(leads) => format!("relay leads: {leads}"),
            Sight::Done { attempt, emitted } => {
                format!("{} done, emitted {emitted}", attempt.component)
            }
            Sight::Duplicate { component, .. } => format!("{component} duplicate"),
            Sight::Redelivered {
                attempt, outcome, ..
            } => {
                format!("{} redelivered: {outcome}", attempt.component)
            }
            Sight::Buried {
                component, reason, ..
            } => {
                format!("{component} buried: {}", reason.kind.as_str())
            }
            Sight::InCharge { component, here } => format!("{component} in charge: {here}"),
            Sight::Paused { component, by, .. } => format!("{component} paused by {}", by.as_str()),
            Sight::Unpaused { component, by } => format!("{component} unpaused by {}", by.as_str()),
            Sight::Overfull { component, limit } => format!("{component} overfull: {limit}"),
            Sight::Held { component, .. } => format!("{component} held"),
            Sight::Resumed { component } => format!("{component} resumed"),
        };
        self.0.push(Effect::Saw(words));
    }
}
