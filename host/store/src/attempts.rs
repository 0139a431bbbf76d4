//! What a row of `qx_attempts` can hold, and the last note of each event: the same
//! for both databases.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use qx_events::attempts::WAIT_MAX;
use qx_events::ports::Note;
use qx_events::{Known, Record};
use uuid::Uuid;

use crate::settlement::Mark;

/// The events that were handled, of those that are known.
pub(crate) fn handled(known: &HashMap<Uuid, Known>) -> impl Iterator<Item = Uuid> {
    let handled = known.iter().filter(|(_, known)| **known == Known::Handled);
    handled.map(|(event, _)| *event)
}

/// The last note of each event, in the order in which rows are locked.
pub(crate) fn last_of_each(notes: &[Note]) -> BTreeMap<Mark<'_>, &Note> {
    let keyed = |note| (Mark::of_note(note), note);
    notes.iter().map(keyed).collect()
}

/// A count as its column holds it.
pub(crate) fn count(of: u32) -> i32 {
    of.try_into().unwrap_or(i32::MAX)
}

/// A wait as milliseconds; none when there is nothing to wait for. Rounded up: not
/// sooner than was asked for.
pub(crate) fn wait_ms(wait: Duration) -> Option<i64> {
    let wait = wait.min(WAIT_MAX);
    let ms = i64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX);
    (ms > 0).then_some(ms)
}

/// A record, from its columns and what is left of its wait in milliseconds.
pub(crate) fn record(attempts: i32, begun: i32, left_ms: Option<i64>, dead: bool) -> Record {
    Record {
        attempts: attempts.try_into().unwrap_or_default(),
        begun: begun.try_into().unwrap_or_default(),
        wait: Duration::from_millis(left_ms.unwrap_or_default().try_into().unwrap_or_default()),
        dead,
    }
}

impl<'a> Mark<'a> {
    fn of_note(note: &'a Note) -> Self {
        Self {
            component: note.component.as_str(),
            event_id: note.event_id,
        }
    }
}

/// The events of these marks, beside their components.
pub(crate) fn columns<'a>(
    marks: impl IntoIterator<Item = &'a Mark<'a>>,
) -> (Vec<&'a str>, Vec<Uuid>) {
    let pairs = marks.into_iter();
    pairs.map(|mark| (mark.component, mark.event_id)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_shortened_and_never_longer_than_a_day() {
        for (wait, ms) in [
            (Duration::ZERO, None),
            (Duration::from_micros(1), Some(1)),
            (Duration::from_millis(20), Some(20)),
            (Duration::from_micros(20_001), Some(21)),
            (Duration::MAX, Some(86_400_000)),
        ] {
            assert_eq!(wait_ms(wait), ms, "{wait:?}");
        }
    }

    #[test]
    fn what_no_column_should_hold_reads_as_nothing() {
        assert_eq!(record(-1, -1, Some(-5), false), Record::default());
    }
}
