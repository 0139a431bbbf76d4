//! The events that are measured: orders, in envelopes of a chosen size.

use chrono::{DateTime, Utc};
use qx_events::{EventName, NewEvent};
use serde_json::json;
use serde_json::value::to_raw_value;

/// What the two handlers of the bench take.
pub(crate) const NAME: &str = "bench.order.placed";

/// Customers that the orders spread over: the keys of the state.
const CUSTOMERS: u64 = 10_000;

/// Size of an envelope unless a section says otherwise, in bytes.
pub(crate) const ENVELOPE_BYTES: usize = 500;

/// One order in an envelope of about this size.
pub(crate) fn order(number: u64, bytes: usize) -> anyhow::Result<NewEvent> {
    let mut event = bare(number, "")?;
    let missing = bytes.saturating_sub(event.0.encode().len());
    if missing > 0 {
        event = bare(number, &"n".repeat(missing))?;
    }
    Ok(event)
}

fn bare(number: u64, note: &str) -> anyhow::Result<NewEvent> {
    // A stride that meets every customer before any twice.
    let customer = number.wrapping_mul(7919) % CUSTOMERS;
    let payload = to_raw_value(&json!({
        "order": number,
        "customer": format!("customer-{customer}"),
        "lines": [{"article": format!("article-{}", number % 97), "cents": 1 + number % 5_000}],
        "note": note,
    }))?;
    let event = NewEvent::new(EventName::parse(NAME)?, payload, now());
    Ok(event)
}

/// So many orders, from a number on.
pub(crate) fn orders(from: u64, count: u64, bytes: usize) -> anyhow::Result<Vec<NewEvent>> {
    (from..from + count)
        .map(|number| order(number, bytes))
        .collect()
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "the bench is about time")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
