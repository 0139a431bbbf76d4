"""Parameters of every kind, a row, a statement that is refused, and one that nobody expects."""

from datetime import datetime, timedelta, timezone

from qx_guest import Event, emit, handler, sql

INSERT = "INSERT INTO scores (player, points) VALUES ($1, $2)"
MOMENT = datetime(2026, 3, 1, 11, tzinfo=timezone(timedelta(hours=1)))


@handler("sql.examined")
def examine(event: Event):
    sql.query(event.payload.get("statement", "SELECT 1"))

    changed = sql.execute(INSERT, ["python", 1])
    try:
        sql.execute(INSERT, ["python", 2])
    except sql.SqlError as error:
        if not error.is_duplicate:
            raise
        sqlstate = error.sqlstate
    rows = sql.query(
        "SELECT $1::boolean AS yes, $2::bigint AS many, $3::float8 AS part, $4::text AS said,"
        " encode($5::bytea, 'hex') AS raw, $6::text IS NULL AS absent, $7::timestamptz = $8::timestamptz AS same,"
        " points FROM scores WHERE player = $9",
        [True, 4_200_000_000, 0.5, "it's", b"\0\xab", None, MOMENT, "2026-03-01T10:00:00Z", "python"],
    )
    emit("sql.seen", {"by": "python", "changed": changed, "sqlstate": sqlstate, "rows": len(rows), "row": rows[0]})


@handler("game.scored")
def score(event: Event):
    standing = sql.query_one(
        """INSERT INTO scores (player, points) VALUES ($1, $2)
           ON CONFLICT (player) DO UPDATE SET points = scores.points + excluded.points
           RETURNING player, points""",
        [event.payload["player"], event.payload["points"]],
    )
    emit("game.standing", standing)
