//! Leaves a trace of each event, twice over and independent of the inbox: a count
//! for each key in its state, and an event that says what it counted after what.
//!
//! An effect that is missing, repeated or out of order shows in the numbers. Never
//! an example: it exists for the checker of the acceptance tests.

use std::hint::black_box;

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Mark {
    key: String,
    n: u64,
    #[serde(default)]
    act: Act,
    /// Rounds of doing nothing before anything else: a handler at work.
    #[serde(default)]
    spin: u64,
}

/// What the event asks for.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Act {
    /// To be counted.
    #[default]
    Count,
    /// To be counted at the second attempt.
    Retry,
    /// To be counted at the second attempt, after a fault in the first.
    Trap,
    /// To become a dead letter.
    Reject,
}

/// What was counted last for a key.
#[derive(Serialize, Deserialize)]
struct Last {
    n: u64,
    nth: u64,
}

/// What `tally.counted` tells.
#[derive(Serialize)]
struct Counted<'a> {
    by: &'a str,
    key: &'a str,
    n: u64,
    nth: u64,
    after: Option<u64>,
}

#[handler("tally.marked")]
fn count(event: Event<Mark>) -> Result<(), Failure> {
    let mark = &event.payload;
    for round in 0..mark.spin {
        black_box(round);
    }
    match mark.act {
        Act::Retry if event.attempt == 1 => return Err(Failure::retry("at the second attempt")),
        Act::Trap if event.attempt == 1 => trap(),
        Act::Reject => return Err(Failure::reject("asked for")),
        Act::Count | Act::Retry | Act::Trap => {}
    }
    let key = format!("last/{}", mark.key);
    let last: Option<Last> = state::get(&key)?;
    let nth = last.as_ref().map_or(0, |last| last.nth) + 1;
    state::set(&key, &Last { n: mark.n, nth })?;
    let by = config::get("name").unwrap_or_else(|| "tally".to_owned());
    let counted = Counted {
        by: &by,
        key: &mark.key,
        n: mark.n,
        nth,
        after: last.map(|last| last.n),
    };
    emit("tally.counted", &counted)?;
    Ok(())
}

#[expect(clippy::panic, reason = "what the event asks for")]
fn trap() -> ! {
    panic!("asked for")
}
