/* Parameters of every kind, a row, a statement that is refused, and one that nobody expects. */

#include "qx.h"

QX_HANDLER(examine, "sql.examined") {
  qx_sql_answer wrong = qx_sql_query(qx_text_or(event->payload, "statement", "SELECT 1"), QX_SQL_NONE);
  if (!qx_sql_ok(&wrong)) return qx_sql_failed(&wrong);

  const char *insert = "INSERT INTO scores (player, points) VALUES ($1, $2)";
  qx_sql_answer first = qx_sql_execute(insert, QX_SQL(qx_sql_text("c"), qx_sql_int(1)));
  if (!qx_sql_ok(&first)) return qx_sql_failed(&first);
  qx_sql_answer second = qx_sql_execute(insert, QX_SQL(qx_sql_text("c"), qx_sql_int(2)));
  if (!qx_sql_is_duplicate(&second)) return qx_reject("twice the same key");

  qx_sql_answer row = qx_sql_query(
      "SELECT $1::boolean AS yes, $2::bigint AS many, $3::float8 AS part, $4::text AS said,"
      " encode($5::bytea, 'hex') AS raw, $6::text IS NULL AS absent, $7::timestamptz = $8::timestamptz AS same,"
      " points FROM scores WHERE player = $9",
      QX_SQL(qx_sql_bool(true), qx_sql_int(4200000000), qx_sql_number(0.5), qx_sql_text("it's"),
             qx_sql_bytes("\0\xab", 2), qx_sql_null(), qx_sql_text("2026-03-01T11:00:00+01:00"),
             qx_sql_text("2026-03-01T10:00:00Z"), qx_sql_text("c")));
  if (!qx_sql_ok(&row)) return qx_sql_failed(&row);
  const qx_json *one = qx_at(row.rows, 0);
  qx_emit("sql.seen",
          "{\"by\": \"c\", \"changed\": %llu, \"sqlstate\": %j, \"rows\": %zu, \"row\": {\"yes\": %s, \"many\": %lld,"
          " \"part\": %f, \"said\": %j, \"raw\": %j, \"absent\": %s, \"same\": %s, \"points\": %lld}}",
          (unsigned long long)first.changed, second.sqlstate, qx_len(row.rows, ""),
          qx_need_bool(one, "yes") ? "true" : "false", (long long)qx_need_int(one, "many"),
          qx_number_or(one, "part", 0), qx_need_text(one, "said"), qx_need_text(one, "raw"),
          qx_need_bool(one, "absent") ? "true" : "false", qx_need_bool(one, "same") ? "true" : "false",
          (long long)qx_need_int(one, "points"));
  return qx_done();
}

QX_HANDLER(score, "game.scored") {
  const char *player = qx_need_text(event->payload, "player");
  qx_sql_answer score = qx_sql_query(
      "INSERT INTO scores (player, points) VALUES ($1, $2)"
      " ON CONFLICT (player) DO UPDATE SET points = scores.points + excluded.points RETURNING points",
      QX_SQL(qx_sql_text(player), qx_sql_int(qx_need_int(event->payload, "points"))));
  if (!qx_sql_ok(&score)) return qx_sql_failed(&score);
  int64_t points = qx_need_int(score.rows, "[0].points");
  qx_emit("game.standing", "{\"player\": %j, \"points\": %lld}", player, (long long)points);
  return qx_done();
}
