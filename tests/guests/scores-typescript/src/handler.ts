// Parameters of every kind, a row, a statement that is refused, and one that nobody expects.
import { SqlError, emit, handler, sql } from "qx-guest";

const INSERT = "INSERT INTO scores (player, points) VALUES ($1, $2)";

handler<{ statement?: string }>("sql.examined", ({ payload }) => {
  sql.query(payload.statement ?? "SELECT 1");

  const changed = sql.execute(INSERT, ["typescript", 1]);
  let sqlstate: string | undefined;
  try {
    sql.execute(INSERT, ["typescript", 2]);
  } catch (error) {
    if (!(error instanceof SqlError && error.isDuplicate)) throw error;
    sqlstate = error.sqlstate;
  }
  const rows = sql.query(
    `SELECT $1::boolean AS yes, $2::bigint AS many, $3::float8 AS part, $4::text AS said,
       encode($5::bytea, 'hex') AS raw, $6::text IS NULL AS absent, $7::timestamptz = $8::timestamptz AS same,
       points FROM scores WHERE player = $9`,
    [true, 4_200_000_000n, 0.5, "it's", Uint8Array.of(0, 0xab), null, new Date("2026-03-01T11:00:00+01:00"),
      "2026-03-01T10:00:00Z", "typescript"],
  );
  emit("sql.seen", { by: "typescript", changed, sqlstate, rows: rows.length, row: rows[0] });
});

handler<{ player: string; points: number }>("game.scored", ({ payload: { player, points } }) => {
  const score = sql.queryOne(
    `INSERT INTO scores (player, points) VALUES ($1, $2)
     ON CONFLICT (player) DO UPDATE SET points = scores.points + excluded.points
     RETURNING player, points`,
    [player, points],
  );
  emit("game.standing", score);
});
