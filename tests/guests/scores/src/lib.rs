//! Keeps a score for each player in a table of its own, and notes every event there: a
//! row that stands twice is an effect that happened twice.

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Point {
    player: String,
    points: i64,
}

#[derive(Serialize, Deserialize)]
struct Score {
    player: String,
    points: i64,
}

#[handler("game.scored")]
fn score(event: Event<Point>) -> Result<(), Failure> {
    let Point { player, points } = event.payload;
    sql::execute(
        "INSERT INTO seen (event_id, attempt) VALUES ($1, $2)",
        &[(&event.id).into(), event.attempt.into()],
    )?;
    let score: Option<Score> = sql::query_one(
        "INSERT INTO scores (player, points) VALUES ($1, $2)
         ON CONFLICT (player) DO UPDATE SET points = scores.points + excluded.points
         RETURNING player, points",
        &[(&player).into(), points.into()],
    )?;
    emit("game.standing", &score)?;
    Ok(())
}
