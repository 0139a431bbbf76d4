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
    let before: Option<Before> = sql::query_one(
        "SELECT state FROM environments WHERE repository = $1 AND environment = $2 FOR UPDATE",
        &[(&full_name).into(), (&environment).into()],
    )?;
    let changed = sql::execute(
        "INSERT INTO environments (repository, environment, state, sha, changed_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (repository, environment) DO UPDATE
         SET state = excluded.state, sha = excluded.sha, changed_at = excluded.changed_at
         WHERE environments.changed_at <= excluded.changed_at",
        &[
            (&full_name).into(),
            (&environment).into(),
            (&state).into(),
            (&deployment.sha).into(),
            (&updated_at).into(),
        ],
    );
    let changed = match changed {
        Err(sql::Error::Refused { sqlstate, message }) if sqlstate == NOT_ALLOWED => {
            return Err(Failure::reject(format_args!(
                "the state {state}: {message}"
            )));
        }
        changed => changed?,
    };
    if changed == 0 {
        log::info!("{environment} of {full_name}: {state} is older than what is known");
        return Ok(());
    }
    let before = before.as_ref().map(|before| before.state.as_str());
    if before == Some(state.as_str()) {
        return Ok(());
    }
    emit(
        "environment.changed",
        &Changed {
            repository: &full_name,
            environment: &environment,
            before,
            now: &state,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
