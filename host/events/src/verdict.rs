//! What becomes of a message once its handler has answered: a total function.

use std::time::Duration;

use crate::dead_letter::{DeadReason, DeadReasonKind};
use crate::outcome::Outcome;
use crate::retry::RetryPolicy;

/// What happens to the message.
#[must_use = "a message without a verdict is redelivered only after the acknowledgement wait"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Commit the effects, then acknowledge.
    Settle,
    /// Give it back, to come again after this pause.
    Redeliver {
        /// The pause.
        after: Duration,
    },
    /// Write a dead letter, then terminate the message.
    DeadLetter(DeadReason),
}

/// The rule. `attempt` counts from 1; `dice` is uniform in `0.0..1.0`.
///
/// A fault of the host never leads to a dead letter, however often it happens.
pub fn decide(outcome: &Outcome, attempt: u32, policy: &RetryPolicy, dice: f64) -> Verdict {
    let pause = || policy.pause(attempt, dice);
    let again_or = |kind: DeadReasonKind, text: String, after: Duration| {
        if attempt < policy.attempts_max {
            Verdict::Redeliver { after }
        } else {
            Verdict::DeadLetter(DeadReason { kind, text })
        }
    };
    match outcome {
        Outcome::Done(_) => Verdict::Settle,
        Outcome::Retry { reason, after } => again_or(
            DeadReasonKind::Exhausted,
            format!("gave up after {attempt} attempts: {reason}"),
            after.unwrap_or_else(pause).min(RETRY_AFTER_MAX),
        ),
        Outcome::Rejected { reason } => Verdict::DeadLetter(DeadReason {
            kind: DeadReasonKind::Rejected,
            text: reason.clone(),
        }),
        Outcome::Failed { breach, detail } => again_or(
            DeadReasonKind::Exhausted,
            format!("gave up after {attempt} attempts: {breach}: {detail}"),
            pause(),
        ),
        Outcome::HostFault(_) => Verdict::Redeliver { after: pause() },
    }
}

/// Longest pause a handler may ask for: a day. Longer waits belong into a due
/// time of an event, not into a message that is held back.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Effects;
    use crate::fault::Fault;
    use crate::outcome::Breach;

    fn retry(after: Option<u64>) -> Outcome {
        Outcome::Retry {
            reason: "busy".to_owned(),
            after: after.map(Duration::from_millis),
        }
    }

    fn trap() -> Outcome {
        Outcome::Failed {
            breach: Breach::Trap,
            detail: "unreachable".to_owned(),
        }
    }

    fn kind(verdict: &Verdict) -> Option<DeadReasonKind> {
        match verdict {
            Verdict::DeadLetter(reason) => Some(reason.kind),
            Verdict::Settle | Verdict::Redeliver { .. } => None,
        }
    }

    #[test]
    fn each_outcome_has_its_verdict() {
        let policy = RetryPolicy {
            attempts_max: 3,
            ..RetryPolicy::default()
        };
        let at = |outcome: &Outcome, attempt| decide(outcome, attempt, &policy, 1.0);
        let again = |millis| Verdict::Redeliver {
            after: Duration::from_millis(millis),
        };

        assert_eq!(at(&Outcome::Done(Effects::default()), 9), Verdict::Settle);
        assert_eq!(at(&retry(None), 1), again(1_000));
        assert_eq!(at(&retry(None), 2), again(2_000));
        assert_eq!(at(&retry(Some(20)), 2), again(20));
        assert_eq!(
            kind(&at(&retry(Some(20)), 3)),
            Some(DeadReasonKind::Exhausted)
        );
        assert_eq!(at(&trap(), 2), again(2_000));
        assert_eq!(kind(&at(&trap(), 3)), Some(DeadReasonKind::Exhausted));
        let rejected = Outcome::Rejected {
            reason: "no".to_owned(),
        };
        assert_eq!(kind(&at(&rejected, 1)), Some(DeadReasonKind::Rejected));
    }

    #[test]
    fn a_fault_of_the_host_never_makes_a_dead_letter() {
        let fault = Outcome::HostFault(Fault::refusal("database is gone"));
        let verdict = decide(&fault, u32::MAX, &RetryPolicy::default(), 1.0);
        assert!(matches!(verdict, Verdict::Redeliver { .. }));
    }
}
