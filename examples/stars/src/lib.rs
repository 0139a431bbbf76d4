//! Counts the stars of each repository, and says so: `repo.starred` and
//! `repo.unstarred`, with the count.
//!
//! Two handlers in one component, each an export of its own, over one state.

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Star {
    repository: Repository,
    sender: Sender,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct Sender {
    login: String,
}

/// What `repo.starred` and `repo.unstarred` tell.
#[derive(Serialize)]
struct Count<'a> {
    repository: &'a str,
    stars: u64,
    by: &'a str,
}

#[handler("github.star.created")]
fn count_star(event: Event<Star>) -> Result<(), Failure> {
    change(&event.payload, "repo.starred", |stars| stars + 1)
}

#[handler("github.star.deleted")]
fn uncount_star(event: Event<Star>) -> Result<(), Failure> {
    // Stars from before this handler was in service can be taken back as well.
    change(&event.payload, "repo.unstarred", |stars| {
        stars.saturating_sub(1)
    })
}

fn change(star: &Star, tell: &str, count: impl Fn(u64) -> u64) -> Result<(), Failure> {
    let repository = &star.repository.full_name;
    let key = format!("stars/{repository}");
    let stars = count(state::get(&key)?.unwrap_or(0));
    state::set(&key, &stars)?;
    emit(
        tell,
        &Count {
            repository,
            stars,
            by: &star.sender.login,
        },
    )?;
    log::info!("{repository} has {stars} stars");
    Ok(())
}

#[cfg(test)]
mod tests;
