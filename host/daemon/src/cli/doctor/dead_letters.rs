//! What waits for a person, what of it expires soon, and whether the marks that
//! keep effects single are ever forgotten.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qx_events::ports::{Clock, DeadLetters};
use qx_events::{Fault, LetterFilter};

use super::Finding;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::open;
use crate::retention::Retention;

/// Letters that expire within this are told of: time enough to look at them.
const SOON: Duration = Duration::from_hours(72);

/// Nothing is found when the database cannot be read: that is said elsewhere.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let retention = Retention::of(config);
    let mut findings = Vec::new();
    if retention.marks.is_none() {
        findings.push(Finding::warning(
            "inbox",
            "marks of handled events are kept for ever, as the stream keeps its messages (nats.max_age_h = 0): the table only grows",
        ));
    }
    let Ok(store) = open::existing_store(config).await else {
        return findings;
    };
    let letters = store.dead_letters();
    let looked = figures(&*letters, retention.letters, SystemClock.now()).await;
    findings.extend(
        looked
            .map(|figures| figures.finding(retention.letters))
            .ok(),
    );
    findings
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    kept: u64,
    soon: u64,
}

async fn figures(
    letters: &dyn DeadLetters,
    retention: Option<Duration>,
    now: DateTime<Utc>,
) -> Result<Figures, Fault> {
    let kept = letters.count(&LetterFilter::default()).await?;
    let soon = match retention.and_then(|retention| expiring(retention, now)) {
        Some(before) => {
            let filter = LetterFilter {
                failed_before: Some(before),
                ..LetterFilter::default()
            };
            letters.count(&filter).await?
        }
        None => 0,
    };
    Ok(Figures { kept, soon })
}

/// What was given up before this time expires soon.
fn expiring(retention: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let age = TimeDelta::from_std(retention.saturating_sub(SOON)).ok()?;
    now.checked_sub_signed(age)
}

impl Figures {
    fn finding(self, retention: Option<Duration>) -> Finding {
        let what = "dead letters";
        let Self { kept, soon } = self;
        match retention {
            _ if kept == 0 => Finding::ok(what, "none"),
            Some(retention) if soon > 0 => Finding::warning(
                what,
                format!(
                    "{soon} of {kept} are deleted within {} hours, being nearly {} days old: `qx-host dlq list`, then retry or drop them, or set a longer dead_letters.retention_days",
                    SOON.as_secs() / 3_600,
                    retention.as_secs() / 86_400
                ),
            ),
            Some(_) | None => Finding::warning(
                what,
                format!("{kept} wait for a person: `qx-host dlq list`"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn letters_that_expire_soon_are_told_of_before() {
        let told = |kept, soon, retention| Figures { kept, soon }.finding(retention);
        assert_eq!(told(0, 0, None).state, State::Ok);
        let waits = told(3, 0, None);
        assert_eq!(waits.state, State::Warning);
        assert!(waits.detail.contains("3 wait"), "{}", waits.detail);
        let soon = told(3, 2, Some(30 * DAY));
        let words = "2 of 3 are deleted within 72 hours, being nearly 30 days old";
        assert!(soon.detail.contains(words), "{}", soon.detail);
    }

    #[test]
    fn soon_is_counted_back_from_the_end_of_the_retention() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        assert_eq!(expiring(30 * DAY, now), Some(now - TimeDelta::days(27)));
        assert_eq!(expiring(DAY, now), Some(now), "all of them");
    }
}
