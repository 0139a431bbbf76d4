//! Keeps a score for each player in a table of its own, and notes every event there: a
//! row that stands twice is an effect that happened twice. Beside that, what the guests
//! `scores-*` do in their languages: parameters of every kind, a row, a statement that is
//! refused, and one that nobody expects.

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

#[derive(Deserialize)]
struct Examined {
    statement: Option<String>,
}

#[handler("sql.examined")]
fn examine(event: Event<Examined>) -> Result<(), Failure> {
    let statement = event.payload.statement;
    sql::query::<Json>(statement.as_deref().unwrap_or("SELECT 1"), &[])?;

    let insert = "INSERT INTO scores (player, points) VALUES ($1, $2)";
    let changed = sql::execute(insert, &["rust".into(), 1.into()])?;
    let sqlstate = match sql::execute(insert, &["rust".into(), 2.into()]) {
        Err(sql::Error::Refused {
            sqlstate,
            message: _,
        }) => sqlstate,
        other => return Err(Failure::reject(format!("twice the same key: {other:?}"))),
    };
    let rows: Vec<Json> = sql::query(
        "SELECT $1::boolean AS yes, $2::bigint AS many, $3::float8 AS part, $4::text AS said,
           encode($5::bytea, 'hex') AS raw, $6::text IS NULL AS absent, $7::timestamptz = $8::timestamptz AS same,
           points FROM scores WHERE player = $9",
        &[
            true.into(),
            4_200_000_000_i64.into(),
            0.5.into(),
            "it's".into(),
            [0_u8, 0xab].as_slice().into(),
            sql::Value::Null,
            "2026-03-01T11:00:00+01:00".into(),
            "2026-03-01T10:00:00Z".into(),
            "rust".into(),
        ],
    )?;
    let seen = json!({
        "by": "rust", "changed": changed, "sqlstate": sqlstate, "rows": rows.len(), "row": rows.first(),
    });
    emit("sql.seen", &seen)?;
    Ok(())
}
