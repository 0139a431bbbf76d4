//! Decisions as log lines: what an operator should know at `info` and above, every
//! delivery at `debug`.
//!
//! Calm: an outage is one line when it begins and one when it ends, however many
//! retries lie between them.

use qx_events::{ComponentName, Fault};
use qx_pipeline::witness::Attempt;
use qx_pipeline::{PausedBy, Sight, Witness};

use super::calm::Calm;
use super::visible::visible;

/// Characters of a reason in one line of log: room for a chain of causes or the
/// top of a guest's backtrace.
const REASON_CHARS_MAX: usize = 2_000;

/// Writes decisions to the log.
#[derive(Debug, Default)]
pub struct Logged {
    calm: Calm,
}

impl Witness for Logged {
    fn saw(&self, sight: &Sight<'_>) {
        match sight {
            Sight::Published {
                rows,
                duplicates,
                took,
            } => self.published(*rows, *duplicates, *took),
            Sight::SetAside {
                event_name,
                seq,
                reason,
            } => {
                let (event_name, reason) = (cut(event_name), cut(reason));
                tracing::warn!(%event_name, seq, %reason, "row can never be published; it is set aside");
            }
            Sight::RelayBlocked { reason } => self.relay_blocked(reason),
            Sight::HeldBack { pid, waited } => self.held_back(*pid, *waited),
            Sight::LetGo => self.let_go(),
            Sight::StreamRegressed { stream, rows } => {
                let (name, ends_at) = (cut(&stream.name), stream.last_seq);
                let made_ns = stream.created_ns;
                tracing::warn!(stream = %name, ends_at, made_ns, rows, "the stream lost messages that it had confirmed, or was made anew; their rows are published again");
            }
            Sight::RelayLeads(true) => tracing::info!("this relay is in charge of the outbox"),
            Sight::RelayLeads(false) => tracing::info!("another relay is in charge of the outbox"),
            Sight::InCharge { component, here } => {
                tracing::debug!(%component, here, "consumed in order, by one host");
            }
            Sight::Done { attempt, emitted } => done(attempt, *emitted),
            Sight::Duplicate {
                component,
                envelope,
            } => {
                let (event_name, event_id) = (&envelope.event_name, envelope.event_id);
                tracing::debug!(%component, %event_name, %event_id, "handled before");
            }
            Sight::Redelivered {
                attempt,
                after,
                outcome,
                reason,
            } => {
                redelivered(attempt, *after, outcome, &cut(reason));
            }
            Sight::Buried {
                component,
                event_name,
                attempts,
                reason,
            } => {
                let (event_name, kind) = (cut(event_name), reason.kind.as_str());
                let reason = cut(&reason.text);
                tracing::info!(%component, %event_name, attempts, kind, %reason, "dead letter");
            }
            Sight::Overfull { component, limit } => {
                tracing::debug!(%component, %limit, "not committed: it would have more state than it may");
            }
            Sight::Paused {
                component,
                by,
                reason,
            } => self.paused(component, *by, reason),
            Sight::Unpaused { component, by } => self.unpaused(component, *by),
            Sight::Held { component, fault } => self.held(component, fault),
            Sight::Resumed { component } => {
                if self.calm.resumed(component) {
                    tracing::info!(%component, "goes on");
                }
            }
        }
    }
}

impl Logged {
    fn published(&self, rows: usize, duplicates: usize, took: std::time::Duration) {
        if self.calm.relay_moved() {
            tracing::info!("the relay goes on");
        }
        tracing::debug!(rows, duplicates, ?took, "rows published");
    }

    fn held_back(&self, pid: Option<i32>, waited: std::time::Duration) {
        if self.calm.held_back(pid) {
            tracing::warn!(
                pid,
                ?waited,
                "rows wait for a transaction that is open and may bring earlier ones; `qx-host outbox status` says whose it is"
            );
        } else {
            tracing::trace!(pid, ?waited, "rows wait for an open transaction");
        }
    }

    fn let_go(&self) {
        if self.calm.let_go() {
            tracing::info!("rows wait no longer for an open transaction");
        }
    }

    fn paused(&self, component: &ComponentName, by: PausedBy, reason: &str) {
        let (by, reason) = (by.as_str(), cut(reason));
        if self.calm.paused(component, by) {
            tracing::warn!(%component, by, %reason, "paused; its messages wait");
        } else {
            tracing::debug!(%component, by, %reason, "still paused");
        }
    }

    fn unpaused(&self, component: &ComponentName, by: PausedBy) {
        let by = by.as_str();
        if self.calm.unpaused(component, by) {
            tracing::info!(%component, by, "no longer paused");
        }
    }

    fn held(&self, component: &ComponentName, fault: &Fault) {
        let error = fault.chain();
        let error = cut(&error);
        if self.calm.held(component) {
            tracing::warn!(%component, %error, "messages wait until this works again");
        } else {
            tracing::trace!(%component, %error, "still waiting");
        }
    }

    fn relay_blocked(&self, reason: &str) {
        let reason = cut(reason);
        if self.calm.relay_blocked() {
            tracing::warn!(%reason, "rows wait until this works again");
        } else {
            tracing::trace!(%reason, "rows still wait");
        }
    }
}

fn done(attempt: &Attempt<'_>, emitted: usize) {
    tracing::debug!(
        component = %attempt.component,
        event_name = %attempt.envelope.event_name,
        event_id = %attempt.envelope.event_id,
        attempt = attempt.number,
        took = ?attempt.took,
        emitted,
        "done"
    );
}

fn redelivered(attempt: &Attempt<'_>, after: std::time::Duration, outcome: &str, reason: &str) {
    tracing::debug!(
        component = %attempt.component,
        event_name = %attempt.envelope.event_name,
        event_id = %attempt.envelope.event_id,
        attempt = attempt.number,
        outcome,
        reason,
        ?after,
        "comes again"
    );
}

fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    visible(text, REASON_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixtures::{Captured, Scene};

    fn lines(sights: impl FnOnce(&Logged, &Scene)) -> Vec<String> {
        let (captured, scene) = (Captured::default(), Scene::new());
        captured.during("debug", || sights(&Logged::default(), &scene));
        captured.lines()
    }

    #[test]
    fn an_outage_is_one_line_at_its_beginning_and_one_at_its_end() {
        let lines = lines(|logged, scene| {
            for _ in 0..100 {
                logged.saw(&scene.held());
                logged.saw(&Sight::RelayBlocked {
                    reason: "no answer",
                });
            }
            logged.saw(&scene.resumed());
            logged.saw(&scene.resumed());
            logged.saw(&Scene::published());
        });
        let of = |level: &str| lines.iter().filter(|line| line.contains(level)).count();
        assert_eq!((of("WARN"), of("INFO")), (2, 2), "{lines:#?}");
        assert!(lines[0].contains("connect: refused"), "{lines:#?}");
    }

    #[test]
    fn a_pause_is_said_once_with_its_reason_and_once_when_it_ends() {
        let lines = lines(|logged, scene| {
            for _ in 0..10 {
                logged.saw(&scene.paused(PausedBy::Breaker));
            }
            logged.saw(&scene.unpaused(PausedBy::Breaker));
            logged.saw(&scene.unpaused(PausedBy::Operator));
        });
        let of = |level: &str| lines.iter().filter(|line| line.contains(level)).count();
        assert_eq!((of("WARN"), of("INFO")), (1, 1), "{lines:#?}");
        assert!(lines[0].contains("unreachable"), "{lines:#?}");
    }

    #[test]
    fn a_dead_letter_is_said_aloud_and_a_delivery_is_not() {
        let lines = lines(|logged, scene| {
            logged.saw(&scene.done(1));
            logged.saw(&scene.redelivered("busy"));
            logged.saw(&scene.buried("bad\npayload"));
        });
        assert!(
            lines[0].starts_with("DEBUG") && lines[1].starts_with("DEBUG"),
            "{lines:#?}"
        );
        assert!(lines[2].starts_with(" INFO"), "{lines:#?}");
        assert!(lines[2].contains("kind=\"rejected\"") && lines[2].contains("bad\\npayload"));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn no_tenant_and_no_payload_reaches_the_log() {
        let lines = lines(|logged, scene| {
            logged.saw(&scene.done(0));
            logged.saw(&scene.duplicate());
            logged.saw(&scene.redelivered("busy"));
        });
        let all = lines.concat();
        assert!(
            !all.contains(&scene_secret()) && !all.contains("tenant"),
            "{all}"
        );
    }

    fn scene_secret() -> String {
        crate::telemetry::fixtures::PAYLOAD.to_owned()
    }
}
