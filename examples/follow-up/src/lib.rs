//! Asks after issues that nobody closed: `issue.stale`, a while after one was opened.
//!
//! It writes to itself: `issue.follow_up` leaves when its time has come, whatever was
//! restarted meanwhile, and its key keeps what belongs to one issue in order. No
//! timer, no table of things to do.

use std::time::Duration;

use qx_guest::prelude::*;

/// Between an issue's opening and the first question, unless the setting `after_ms`
/// says otherwise: a week. Each further pause is twice the one before.
const PAUSE: Duration = Duration::from_hours(7 * 24);

/// Questions that are asked of one issue.
const QUESTIONS_MAX: u32 = 3;

#[derive(Deserialize)]
struct IssueChange {
    issue: Issue,
    repository: Repository,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// What `issue.follow_up` tells, and `issue.stale`.
#[derive(Serialize, Deserialize)]
struct Question {
    repository: String,
    issue: u64,
    nth: u32,
}

#[handler("github.issues.opened", "github.issues.reopened")]
fn remember(event: Event<IssueChange>) -> Result<(), Failure> {
    let question = Question {
        repository: event.payload.repository.full_name,
        issue: event.payload.issue.number,
        nth: 1,
    };
    // An issue that was deleted and is opened again is open.
    state::delete(&question.key());
    question.ask_later()
}

#[handler("github.issues.closed", "github.issues.deleted")]
fn forget(event: Event<IssueChange>) -> Result<(), Failure> {
    let IssueChange { issue, repository } = event.payload;
    state::set(&key(&repository.full_name, issue.number), "gone")?;
    Ok(())
}

#[handler("issue.follow_up")]
fn ask(event: Event<Question>) -> Result<(), Failure> {
    let question = event.payload;
    let key = question.key();
    if state::get::<String>(&key)?.is_some() {
        log::info!("{key} is gone: nothing to ask");
        return Ok(());
    }
    log::info!("{key} is open: asking, {} of {QUESTIONS_MAX}", question.nth);
    emit("issue.stale", &question)?;
    if question.nth < QUESTIONS_MAX {
        Question {
            nth: question.nth + 1,
            ..question
        }
        .ask_later()?;
    }
    Ok(())
}

impl Question {
    fn key(&self) -> String {
        key(&self.repository, self.issue)
    }

    fn ask_later(&self) -> Result<(), Failure> {
        let pause = config::parse("after_ms")?.map_or(PAUSE, Duration::from_millis);
        NewEvent::named("issue.follow_up")
            .key(&self.key())
            .after(pause * 2_u32.pow(self.nth.saturating_sub(1)))
            .emit(self)?;
        Ok(())
    }
}

fn key(repository: &str, issue: u64) -> String {
    format!("{repository}#{issue}")
}

#[cfg(test)]
mod tests;
