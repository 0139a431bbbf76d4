/* SQL. A module of its own: what a handler does not call is left out by the linker, and
 * so is the right that it would need.
 */
#include <string.h>

#include "qx_private.h"

qx_sql_value qx_sql_null(void) {
  return (qx_sql_value){.kind = QX_SQL_NULL};
}

qx_sql_value qx_sql_bool(bool value) {
  return (qx_sql_value){.kind = QX_SQL_BOOL, .boolean = value};
}

qx_sql_value qx_sql_int(int64_t value) {
  return (qx_sql_value){.kind = QX_SQL_INT, .integer = value};
}

qx_sql_value qx_sql_number(double value) {
  return (qx_sql_value){.kind = QX_SQL_NUMBER, .number = value};
}

qx_sql_value qx_sql_text(const char *value) {
  if (value == NULL) return qx_sql_null();
  return (qx_sql_value){.kind = QX_SQL_TEXT, .bytes = value, .bytes_len = strlen(value)};
}

qx_sql_value qx_sql_bytes(const void *value, size_t len) {
  return (qx_sql_value){.kind = QX_SQL_BYTES, .bytes = value, .bytes_len = len};
}

static qx_events_sql_value_t given(const qx_sql_value *value) {
  qx_events_sql_value_t out = {.tag = QX_EVENTS_SQL_VALUE_NULL};
  switch (value->kind) {
    case QX_SQL_NULL:
      break;
    case QX_SQL_BOOL:
      out.tag = QX_EVENTS_SQL_VALUE_BOOLEAN;
      out.val.boolean = value->boolean;
      break;
    case QX_SQL_INT:
      out.tag = QX_EVENTS_SQL_VALUE_INTEGER;
      out.val.integer = value->integer;
      break;
    case QX_SQL_NUMBER:
      out.tag = QX_EVENTS_SQL_VALUE_NUMBER;
      out.val.number = value->number;
      break;
    case QX_SQL_TEXT:
      out.tag = QX_EVENTS_SQL_VALUE_TEXT;
      out.val.text.ptr = (uint8_t *)value->bytes;
      out.val.text.len = value->bytes_len;
      break;
    case QX_SQL_BYTES:
      out.tag = QX_EVENTS_SQL_VALUE_BYTES;
      out.val.bytes.ptr = (uint8_t *)value->bytes;
      out.val.bytes.len = value->bytes_len;
      break;
  }
  return out;
}

static qx_events_sql_list_value_t all(const qx_sql_value *values, size_t len) {
  qx_events_sql_list_value_t list = {qx_alloc((len + 1) * sizeof *list.ptr), len};
  for (size_t i = 0; i < len; i++) list.ptr[i] = given(&values[i]);
  return list;
}

static qx_sql_answer done(void) {
  return (qx_sql_answer){.result = QX_SQL_DONE, .sqlstate = "", .reason = "", .rows = qx_parse("[]")};
}

static qx_sql_answer not_done(qx_events_sql_error_t *error) {
  qx_sql_answer answer = done();
  if (error->tag == QX_EVENTS_SQL_ERROR_REFUSED) {
    answer.result = QX_SQL_REFUSED;
    answer.sqlstate = qx_owned(error->val.refused.sqlstate);
    answer.reason = qx_owned(error->val.refused.message);
  } else {
    answer.result = QX_SQL_LIMIT;
    answer.reason = qx_owned(error->val.limit);
  }
  return answer;
}

qx_sql_answer qx_sql_execute(const char *statement, const qx_sql_value *parameters, size_t len) {
  component_string_t text = qx_lent(statement);
  qx_events_sql_list_value_t list = all(parameters, len);
  qx_events_sql_error_t error;
  uint64_t changed;
  if (!qx_events_sql_execute(&text, &list, &changed, &error)) return not_done(&error);
  qx_sql_answer answer = done();
  answer.changed = changed;
  return answer;
}

/* One list of all rows, which are JSON already. */
static const qx_json *rows_of(const component_list_string_t *rows) {
  size_t len = sizeof "[]";
  for (size_t i = 0; i < rows->len; i++) len += rows->ptr[i].len + 1;
  char *text = qx_alloc(len), *at = text;
  *at++ = '[';
  for (size_t i = 0; i < rows->len; i++) {
    if (i > 0) *at++ = ',';
    memcpy(at, rows->ptr[i].ptr, rows->ptr[i].len);
    at += rows->ptr[i].len;
  }
  *at++ = ']';
  *at = '\0';
  return qx_parse(text);
}

qx_sql_answer qx_sql_query(const char *statement, const qx_sql_value *parameters, size_t len) {
  component_string_t text = qx_lent(statement);
  qx_events_sql_list_value_t list = all(parameters, len);
  qx_events_sql_error_t error;
  component_list_string_t rows;
  if (!qx_events_sql_query(&text, &list, &rows, &error)) return not_done(&error);
  qx_sql_answer answer = done();
  answer.rows = rows_of(&rows);
  answer.changed = rows.len;
  return answer;
}

bool qx_sql_ok(const qx_sql_answer *answer) {
  return answer->result == QX_SQL_DONE;
}

bool qx_sql_is_duplicate(const qx_sql_answer *answer) {
  return strcmp(answer->sqlstate, "23505") == 0;
}

qx_outcome qx_sql_failed(const qx_sql_answer *answer) {
  if (answer->result == QX_SQL_LIMIT) return qx_reject("sql: %s", answer->reason);
  return qx_retry("sql: %s (%s)", answer->reason, answer->sqlstate);
}
