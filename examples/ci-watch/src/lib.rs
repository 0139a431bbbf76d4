//! Tells how builds went, `ci.finished`, and which of them hang, `ci.pending`.
//!
//! A build is announced before it is finished. Most are done in a moment, so the
//! announcement is retried a few times: if the end has come meanwhile there is
//! nothing to say, and if it has not, the build counts as hanging.

use std::time::Duration;

use qx_guest::prelude::*;

/// Attempts that an announcement is given until the build counts as hanging.
const ATTEMPTS_OF_GRACE: u32 = 3;

/// Between two looks. Short, for an example: builds take minutes.
const PAUSE: Duration = Duration::from_millis(30);

#[derive(Deserialize)]
struct CheckRunChange {
    check_run: Build,
    repository: Repository,
}

#[derive(Deserialize)]
struct WorkflowJobChange {
    workflow_job: Build,
    repository: Repository,
}

/// What check runs and jobs of workflows have in common.
#[derive(Deserialize)]
struct Build {
    id: u64,
    name: String,
    status: String,
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// What `ci.finished` tells.
#[derive(Serialize)]
struct Finished<'a> {
    repository: &'a str,
    build: &'a str,
    conclusion: &'a str,
}

/// What `ci.pending` tells.
#[derive(Serialize)]
struct Pending<'a> {
    repository: &'a str,
    build: &'a str,
    status: &'a str,
}

#[handler("github.check_run.*")]
fn watch_check_run(event: Event<CheckRunChange>) -> Result<(), Failure> {
    let CheckRunChange {
        check_run,
        repository,
    } = event.payload;
    watch(
        "check_run",
        &check_run,
        &repository.full_name,
        event.attempt,
    )
}

#[handler("github.workflow_job.*")]
fn watch_workflow_job(event: Event<WorkflowJobChange>) -> Result<(), Failure> {
    let WorkflowJobChange {
        workflow_job,
        repository,
    } = event.payload;
    watch(
        "workflow_job",
        &workflow_job,
        &repository.full_name,
        event.attempt,
    )
}

fn watch(kind: &str, build: &Build, repository: &str, attempt: u32) -> Result<(), Failure> {
    let Build {
        id,
        name,
        status,
        conclusion,
    } = build;
    let key = format!("{kind}/{id}");
    if let Some(conclusion) = conclusion {
        state::set(&key, conclusion)?;
        emit(
            "ci.finished",
            &Finished {
                repository,
                build: name,
                conclusion,
            },
        )?;
        log::info!("{name} of {repository} finished: {conclusion}");
        return Ok(());
    }
    if let Some(conclusion) = state::get::<String>(&key)? {
        log::debug!("{name} of {repository} has finished meanwhile: {conclusion}");
        return Ok(());
    }
    if attempt < ATTEMPTS_OF_GRACE {
        return Err(
            Failure::retry(format_args!("{name} of {repository} is {status}")).after(PAUSE),
        );
    }
    emit(
        "ci.pending",
        &Pending {
            repository,
            build: name,
            status,
        },
    )?;
    log::warn!("{name} of {repository} is still {status}");
    Ok(())
}

#[cfg(test)]
mod tests;
