//! What becomes of a build that can be loaded: a total function of values.

use qx_events::Digest;
use qx_events::ports::Action;

/// What is found in a component's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The build that lies in the folder.
    pub(super) new: Digest,
    /// The build in service.
    pub(super) stable: Option<Digest>,
    /// The build that is tried beside it.
    pub(super) canary: Option<Digest>,
    /// Whether the one of the two with its digest has the same settings.
    pub(super) same: bool,
    /// Whether a trial has found it unfit.
    pub(super) refused: bool,
    /// How it is to come into service.
    pub(super) way: Way,
    /// What was asked for, if somebody has announced it.
    pub(super) asked: Option<Action>,
}

/// How a new build comes into service in the place of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In one step.
    AtOnce,
    /// After it was tried.
    Tried,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Nothing: all is as the folder says.
    Stay,
    /// Put it in service.
    Serve(Action),
    /// Try it beside the build in service.
    Try,
    /// End the trial: the folder has the build in service again. With the word for it:
    /// a person who goes back finds the tried one unfit.
    EndTrial(Action),
    /// Leave it where it is.
    Refuse,
}

/// The rule.
pub(super) fn decide(found: &Found) -> Move {
    let is = |build: Option<Digest>| build == Some(found.new);
    if is(found.stable) {
        return match found.canary {
            Some(_) if found.asked == Some(Action::Rollback) => {
                Move::EndTrial(Action::CanaryRollback)
            }
            Some(_) => Move::EndTrial(Action::CanaryEnd),
            None if found.same => Move::Stay,
            None => Move::Serve(Action::Swap),
        };
    }
    if found.refused {
        return Move::Refuse;
    }
    let Some(_) = found.stable else {
        return Move::Serve(found.asked.unwrap_or(Action::Load));
    };
    if found.asked == Some(Action::Rollback) {
        return Move::Serve(Action::Rollback);
    }
    match found.way {
        Way::Tried if is(found.canary) && found.same => Move::Stay,
        Way::Tried => Move::Try,
        Way::AtOnce if is(found.canary) => Move::Serve(Action::CanaryPromote),
        Way::AtOnce => Move::Serve(Action::Swap),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_folder_and_what_is_in_service_decide() {
        use Action::{CanaryEnd, CanaryPromote, CanaryRollback, Load, Rollback, Swap};
        let (a, b, c) = (
            Digest::new([1; 32]),
            Digest::new([2; 32]),
            Digest::new([3; 32]),
        );
        let found = |new, stable, canary| Found {
            new,
            stable,
            canary,
            same: true,
            refused: false,
            way: Way::Tried,
            asked: None,
        };
        let first = found(a, None, None);
        let again = found(a, Some(a), None);
        let next = found(b, Some(a), None);
        let back = found(a, Some(a), Some(b));
        let goes_on = found(b, Some(a), Some(b));
        let third = found(c, Some(a), Some(b));
        let at_once = |found| Found {
            way: Way::AtOnce,
            ..found
        };
        let other_settings = |found| Found {
            same: false,
            ..found
        };
        let refused = |found| Found {
            refused: true,
            ..found
        };
        let asked = |asked, found| Found {
            asked: Some(asked),
            ..found
        };
        for (found, expected) in [
            (first, Move::Serve(Load)),
            (asked(Rollback, first), Move::Serve(Rollback)),
            (refused(first), Move::Refuse),
            (again, Move::Stay),
            (refused(again), Move::Stay),
            (other_settings(again), Move::Serve(Swap)),
            (next, Move::Try),
            (at_once(next), Move::Serve(Swap)),
            (asked(Swap, next), Move::Try),
            (asked(Rollback, next), Move::Serve(Rollback)),
            (refused(next), Move::Refuse),
            (refused(asked(Rollback, next)), Move::Refuse),
            (back, Move::EndTrial(CanaryEnd)),
            (asked(Rollback, back), Move::EndTrial(CanaryRollback)),
            (goes_on, Move::Stay),
            (other_settings(goes_on), Move::Try),
            (at_once(goes_on), Move::Serve(CanaryPromote)),
            (refused(goes_on), Move::Refuse),
            (third, Move::Try),
            (at_once(third), Move::Serve(Swap)),
        ] {
            assert_eq!(decide(&found), expected, "{found:?}");
        }
    }
}
