//! Celebrates a repository that reaches a round number of stars, once:
//! `repo.milestone`.
//!
//! Handles what the example `stars` emits. Which numbers are round, the operator
//! says in the setting `at`; without it, the powers of ten.

use std::num::ParseIntError;

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Starred {
    repository: String,
    stars: u64,
}

/// What `repo.milestone` tells.
#[derive(Serialize)]
struct Milestone<'a> {
    repository: &'a str,
    stars: u64,
}

#[handler("repo.starred")]
fn celebrate(event: Event<Starred>) -> Result<(), Failure> {
    let Starred { repository, stars } = event.payload;
    if !is_round(stars)? {
        log::debug!("{repository}: {stars} stars are no milestone");
        return Ok(());
    }
    // A star that was taken back and given again is no second milestone.
    let key = format!("reached/{repository}");
    let reached: Option<u64> = state::get(&key)?;
    if reached.is_some_and(|before| before >= stars) {
        log::info!("{repository} has had {stars} stars before");
        return Ok(());
    }
    state::set(&key, &stars)?;
    emit(
        "repo.milestone",
        &Milestone {
            repository: &repository,
            stars,
        },
    )?;
    log::info!("{repository} reached {stars} stars");
    Ok(())
}

fn is_round(stars: u64) -> Result<bool, Failure> {
    let Some(list) = config::get("at") else {
        return Ok(stars
            .checked_ilog10()
            .is_some_and(|power| stars == 10_u64.pow(power)));
    };
    let round: Result<Vec<u64>, ParseIntError> =
        list.split(',').map(|n| n.trim().parse()).collect();
    match round {
        Ok(round) => Ok(round.contains(&stars)),
        // The event waits while the operator puts it right.
        Err(error) => Err(Failure::retry(format_args!(
            "the setting `at` is no list of numbers: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests;
