//! Which dead letters a command line means.

use chrono::{DateTime, TimeDelta, Utc};
use qx_events::ports::DeadLetters;
use qx_events::{ComponentName, DeadLetter, DeadReasonKind, LetterFilter, NameFilter};
use uuid::Uuid;

use super::super::args::DlqWhich;
use super::super::exit::Failure;
use super::super::screen;
use super::read;

/// Letters looked through for one whose id begins as given.
const SEARCH_MAX: u32 = 10_000;

/// The conditions; ages count back from `now`.
pub(super) fn filter(which: DlqWhich, now: DateTime<Utc>) -> Result<LetterFilter, Failure> {
    let component = which
        .component
        .map(|name| ComponentName::parse(&name))
        .transpose()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let time = |text: Option<String>| text.map(|text| time(&text, now)).transpose();
    Ok(LetterFilter {
        ids: Vec::new(),
        component,
        event_name: which.event.as_deref().map(NameFilter::parse),
        kind: which.kind.as_deref().map(kind).transpose()?,
        tenant_id: which.tenant,
        failed_before: time(which.older_than)?,
        failed_since: time(which.newer_than)?,
        reason_text: which.reason,
    })
}

fn kind(word: &str) -> Result<DeadReasonKind, Failure> {
    DeadReasonKind::parse(word).ok_or_else(|| {
        let words = DeadReasonKind::ALL.map(DeadReasonKind::as_str);
        Failure::usage(format!(
            "{} is no class of reasons: use one of {}",
            screen::plain(word),
            words.join(", ")
        ))
    })
}

/// A time, or an age before now.
fn time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    let age = || {
        let unit = text.chars().next_back()?;
        let seconds: i64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _other => return None,
        };
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        now.checked_sub_signed(TimeDelta::try_seconds(seconds * i64::from(number))?)
    };
    let moment = || DateTime::parse_from_rfc3339(text).ok();
    age()
        .or_else(|| moment().map(|time| time.with_timezone(&Utc)))
        .ok_or_else(|| {
            Failure::usage(format!(
                "{} is neither an age nor a time: write 90s, 15m, 12h or 7d, or 2026-01-31T12:00:00Z",
                screen::plain(text)
            ))
        })
}

/// The letter with this id, or with the only id that begins like it.
pub(super) async fn one(letters: &dyn DeadLetters, text: &str) -> Result<DeadLetter, Failure> {
    let ids = ids(letters, &[text.to_owned()]).await?;
    let filter = LetterFilter {
        ids,
        ..LetterFilter::default()
    };
    read(letters, &filter, 1)
        .await?
        .pop()
        .ok_or_else(|| Failure::usage(format!("no dead letter has the id {}", screen::plain(text))))
}

/// Whole ids of ids, or of beginnings of ids as a listing shows them.
pub(super) async fn ids(letters: &dyn DeadLetters, texts: &[String]) -> Result<Vec<Uuid>, Failure> {
    let mut ids = Vec::with_capacity(texts.len());
    let mut all: Option<Vec<DeadLetter>> = None;
    for text in texts {
        if let Ok(id) = Uuid::try_parse(text) {
            ids.push(id);
            continue;
        }
        if all.is_none() {
            all = Some(read(letters, &LetterFilter::default(), SEARCH_MAX).await?);
        }
        let known = all.as_deref().unwrap_or_default();
        let fits = |letter: &&DeadLetter| letter.id.to_string().starts_with(&text.to_lowercase());
        let found: Vec<&DeadLetter> = known.iter().filter(fits).collect();
        match found.as_slice() {
            [one] => ids.push(one.id),
            [] => {
                return Err(Failure::usage(format!(
                    "no dead letter's id begins with {}",
                    screen::plain(text)
                )));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "several ids begin with {}: give more of it",
                    screen::plain(text)
                )));
            }
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_counts_back_from_now_and_a_time_is_taken_as_it_is() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        for (text, seconds) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800)] {
            let expected = now - TimeDelta::seconds(seconds);
            assert_eq!(time(text, now).unwrap(), expected, "{text}");
        }
        let at = now.to_rfc3339();
        assert_eq!(time(&at, now).unwrap(), now);
        for text in [
            "",
            "d",
            "-1d",
            "1.5h",
            "1y",
            "7 d",
            "yesterday",
            "99999999999d",
            "ü",
        ] {
            assert!(time(text, now).is_err(), "{text}");
        }
        assert!(time("4294967295d", now).is_err(), "before there were years");
    }
}
