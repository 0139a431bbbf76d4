//! Whether a component that is about to come into service takes what its events look
//! like now: the newest rows of the outbox, held against the types of its handlers.
//!
//! Never a reason not to load it. What is published already is looked at too: it may
//! still wait in the stream.

use std::collections::HashMap;
use std::sync::Arc;

use qx_events::ports::Outbox;
use qx_events::{Component, Envelope, EventName, Resolution, Row};

/// Rows that are read: one look at the end of a table.
const ROWS_MAX: u32 = 500;

/// Largest row that is looked at, in bytes. Times `ROWS_MAX`, 32 MiB are held for a
/// moment.
const BODY_BYTES_MAX: u32 = 64 << 10;

/// Rows of one event that are checked: enough to see that something is wrong.
const ROWS_PER_EVENT_MAX: u32 = 100;

/// What does not fit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    checked: usize,
    misfits: usize,
    /// Event, its id, and where it does not fit.
    first: Option<(String, String, String)>,
}

/// A sentence about events that do not fit the component's types; `None` when all do, or
/// nothing is known of them.
pub(super) async fn misfits(component: &Arc<Component>, outbox: &dyn Outbox) -> Option<String> {
    let is_typed = |export| component.handler.is_typed(export);
    if !component
        .bindings()
        .iter()
        .any(|binding| is_typed(binding.export))
    {
        return None;
    }
    let rows = match outbox.newest(ROWS_MAX, BODY_BYTES_MAX).await {
        Ok(rows) => rows,
        Err(fault) => {
            tracing::debug!(component = %component.name, error = fault.chain(), "events are not held against its types");
            return None;
        }
    };
    // Megabytes of JSON take a while.
    let component = Arc::clone(component);
    let tally = tokio::task::spawn_blocking(move || tally(&component, &rows)).await;
    tally.ok()?.sentence()
}

fn tally(component: &Component, rows: &[Row]) -> Tally {
    let mut tally = Tally::default();
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for row in rows {
        let (Ok(name), Ok(version)) = (
            EventName::parse(&row.event_name),
            u32::try_from(row.event_version),
        ) else {
            continue;
        };
        let Resolution::Bound(export) = component.export_for(&name, version) else {
            continue;
        };
        let seen = seen.entry(&row.event_name).or_default();
        if !component.handler.is_typed(export) || *seen >= ROWS_PER_EVENT_MAX {
            continue;
        }
        let Ok(envelope) = Envelope::decode(&row.body, None) else {
            continue;
        };
        *seen += 1;
        tally.checked += 1;
        if let Err(why) = component.handler.fits(export, envelope.payload.get()) {
            tally.misfits += 1;
            let id = envelope.event_id.to_string();
            tally.first.get_or_insert((name.to_string(), id, why));
        }
    }
    tally
}

impl Tally {
    fn sentence(&self) -> Option<String> {
        let (event, id, why) = self.first.as_ref()?;
        Some(format!(
            "{} of the newest {} events that it takes do not fit its types and would be rejected, such as {event} {id}: {why}",
            self.misfits, self.checked
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_has_counts_and_one_example_and_is_left_out_where_all_fit() {
        let fits = Tally {
            checked: 7,
            ..Tally::default()
        };
        assert_eq!(fits.sentence(), None);
        let some = Tally {
            checked: 7,
            misfits: 2,
            first: Some((
                "a.b".to_owned(),
                "6f1f".to_owned(),
                "n: is missing".to_owned(),
            )),
        };
        let said = some.sentence().unwrap();
        assert_eq!(
            said,
            "2 of the newest 7 events that it takes do not fit its types and would be rejected, such as a.b 6f1f: n: is missing"
        );
    }
}
