//! Keeps a table of what is deployed where, for a page that the application shows, and
//! emits `environment.changed` where that is news.
//!
//! The row, the event and the mark that this one is handled are one commit. Events can
//! come out of order: what is older than the row changes nothing.

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct StatusChange {
    deployment_status: Status,
    deployment: Deployment,
    repository: Repository,
}

#[derive(Deserialize)]
struct Status {
    state: String,
    environment: String,
    updated_at: String,
}

#[derive(Deserialize)]
struct Deployment {
    sha: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// A row, as far as it matters here.
#[derive(Deserialize)]
struct Before {
    state: String,
}

/// What `environment.changed` tells.
#[derive(Serialize)]
struct Changed<'a> {
    repository: &'a str,
    environment: &'a str,
    before: Option<&'a str>,
    now: &'a str,
}

/// SQLSTATE of a value that a CHECK of the table does not allow.
const NOT_ALLOWED: &str = "23514";

#[handler("github.deployment_status.created")]
fn keep(event: Event<StatusChange>) -> Result<(), Failure> {
    let StatusChange {
        deployment_status: status,
        deployment,
        repository: Repository { full_name },
    } = event.payload;
    let Status {
        state,
        environment,
        updated_at,
    } = status;
    let row = [
        (&full_name).into(),
        (&environment).into(),
        (&state).into(),
        (&deployment.sha).into(),
        (&updated_at).into(),
    ];
    let before = if insert(&row)? {
        None
    } else if let Some(before) = update(&row)? {
        Some(before)
    } else {
        log::info!("{environment} of {full_name}: {state} is older than what is known");
        return Ok(());
    };
    if before.as_ref() == Some(&state) {
        return Ok(());
    }
    emit(
        "environment.changed",
        &Changed {
            repository: &full_name,
            environment: &environment,
            before: before.as_deref(),
            now: &state,
        },
    )?;
    Ok(())
}

/// Makes the row, unless it is there. Comes first: it waits for another event that makes
/// the same one, where a SELECT of a row that is not there locks nothing.
fn insert(row: &[sql::Value; 5]) -> Result<bool, Failure> {
    let made = sql::execute(
        "INSERT INTO environments (repository, environment, state, sha, changed_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        row,
    );
    match made {
        Err(sql::Error::Refused { sqlstate, message }) if sqlstate == NOT_ALLOWED => {
            Err(Failure::reject(format_args!("no such state: {message}")))
        }
        made => Ok(made? == 1),
    }
}

/// Changes the row, unless it is newer; returns the state before.
fn update(row: &[sql::Value; 5]) -> Result<Option<String>, Failure> {
    let [repository, environment, ..] = row;
    let before: Option<Before> = sql::query_one(
        "SELECT state FROM environments WHERE repository = $1 AND environment = $2 FOR UPDATE",
        &[repository.clone(), environment.clone()],
    )?;
    let changed = sql::execute(
        "UPDATE environments SET state = $3, sha = $4, changed_at = $5
         WHERE repository = $1 AND environment = $2 AND changed_at <= $5",
        row,
    )?;
    Ok(before.filter(|_| changed == 1).map(|before| before.state))
}

#[cfg(test)]
mod tests;
