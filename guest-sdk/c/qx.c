/* Between the handlers and the host: every import under the name that qx.h gives it,
 * and what becomes of a handler's answer.
 *
 * The first thing that must reject the event is remembered, and wins over what the
 * handler answers. Nothing is freed: the instance is dropped after the call.
 */
#include "qx.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "qx_private.h"

static const char *rejection; /* NULL as long as nothing speaks against the event */
static const char *delay;     /* NULL as long as nothing speaks for another time */

void qx_reject_anyway(const char *reason) {
  if (rejection == NULL) rejection = reason;
}

void qx_retry_anyway(const char *reason) {
  if (delay == NULL) delay = reason;
}

/* --- Text over the border --------------------------------------------------- */

component_string_t qx_lent(const char *text) {
  component_string_t string = {(uint8_t *)text, strlen(text)};
  return string;
}

/* With an end, as C wants it. A NUL inside would end it early: none is legal in JSON,
 * in a name or in an id. */
char *qx_owned(component_string_t string) {
  char *text = qx_alloc(string.len + 1);
  if (string.len > 0) memcpy(text, string.ptr, string.len);
  text[string.len] = '\0';
  return text;
}

const char *qx_text_of(component_string_t text) {
  return qx_owned(text);
}

#define FORMATTED(text, format)         \
  const char *text;                     \
  do {                                  \
    va_list args;                       \
    va_start(args, format);             \
    text = qx_vformat(format, args);    \
    va_end(args);                       \
  } while (0)

/* What becomes of the call: true when it is done, else `failure` says why not. */
bool qx_answer(qx_outcome outcome, qx_events_types_failure_t *failure) {
  if (rejection != NULL) outcome = qx_reject("%s", rejection);
  else if (delay != NULL) outcome = qx_retry("%s", delay);
  rejection = delay = NULL; /* An instance may serve more than one event. */
  switch (outcome.disposition) {
    case QX_DONE:
      return true;
    case QX_RETRY:
      failure->tag = QX_EVENTS_TYPES_FAILURE_RETRY;
      component_string_dup(&failure->val.retry.reason, outcome.reason);
      failure->val.retry.after.is_some = outcome.has_after;
      failure->val.retry.after.val = outcome.after_ms;
      return false;
    case QX_REJECT:
      break;
  }
  failure->tag = QX_EVENTS_TYPES_FAILURE_REJECT;
  component_string_dup(&failure->val.reject, outcome.reason);
  return false;
}

/* --- Outcomes ------------------------------------------------------------------- */

qx_outcome qx_done(void) {
  qx_outcome outcome = {QX_DONE, "", 0, false};
  return outcome;
}

qx_outcome qx_retry(const char *format, ...) {
  FORMATTED(reason, format);
  qx_outcome outcome = {QX_RETRY, reason, 0, false};
  return outcome;
}

qx_outcome qx_retry_after(uint64_t ms, const char *format, ...) {
  FORMATTED(reason, format);
  qx_outcome outcome = {QX_RETRY, reason, ms, true};
  return outcome;
}

qx_outcome qx_reject(const char *format, ...) {
  FORMATTED(reason, format);
  qx_outcome outcome = {QX_REJECT, reason, 0, false};
  return outcome;
}

/* --- State, events, settings, log -------------------------------------------------- */

const char *qx_state_get(const char *key) {
  component_string_t name = qx_lent(key), value;
  return qx_events_state_get(&name, &value) ? qx_owned(value) : NULL;
}

void qx_state_set(const char *key, const char *value) {
  component_string_t name = qx_lent(key), text = qx_lent(value);
  qx_events_state_error_t error;
  if (!qx_events_state_set(&name, &text, &error))
    qx_reject_anyway(qx_format("state: %s", qx_owned(error.val.limit)));
}

void qx_state_delete(const char *key) {
  component_string_t name = qx_lent(key);
  qx_events_state_delete(&name);
}

int64_t qx_state_get_int(const char *key, int64_t otherwise) {
  const char *text = qx_state_get(key);
  if (text == NULL) return otherwise;
  int64_t value;
  if (!qx_read_int(text, &value))
    qx_reject_anyway(qx_format("the state at `%s` is not of the type it is read as", key));
  return value;
}

void qx_state_set_int(const char *key, int64_t value) {
  qx_state_set(key, qx_format("%lld", (long long)value));
}

static const char *emit(const char *event_name, qx_emit_options options, const char *payload) {
  qx_events_emit_new_event_t event = {.name = qx_lent(event_name),
                                      .version = options.version,
                                      .payload = qx_lent(payload)};
  if (options.key != NULL) {
    event.ordering_key.is_some = true;
    event.ordering_key.val = qx_lent(options.key);
  }
  if (options.at != NULL) {
    event.due.is_some = true;
    event.due.val.tag = QX_EVENTS_EMIT_DUE_AT;
    event.due.val.val.at = qx_lent(options.at);
  } else if (options.after_ms > 0) {
    event.due.is_some = true;
    event.due.val.tag = QX_EVENTS_EMIT_DUE_AFTER;
    event.due.val.val.after = options.after_ms;
  }
  component_string_t id;
  qx_events_emit_error_t error;
  if (qx_events_emit_emit(&event, &id, &error)) return qx_owned(id);
  /* Every case carries the host's words, in the same place. */
  qx_reject_anyway(qx_format("emit: %s", qx_owned(error.val.invalid)));
  return "";
}

const char *qx_emit(const char *event_name, const char *json_format, ...) {
  FORMATTED(payload, json_format);
  return emit(event_name, (qx_emit_options){.version = 1}, payload);
}

const char *qx_emit_version(const char *event_name, uint32_t version, const char *json_format, ...) {
  FORMATTED(payload, json_format);
  return emit(event_name, (qx_emit_options){.version = version}, payload);
}

const char *qx_emit_with(const char *event_name, qx_emit_options options, const char *json_format, ...) {
  FORMATTED(payload, json_format);
  if (options.version == 0) options.version = 1;
  return emit(event_name, options, payload);
}

const char *qx_config(const char *key) {
  component_string_t name = qx_lent(key), value;
  return qx_events_config_get(&name, &value) ? qx_owned(value) : NULL;
}

static void log_line(qx_events_log_level_t level, const char *text) {
  component_string_t line = qx_lent(text);
  qx_events_log_log(level, &line);
}

#define LOG_FUNCTION(name, level)        \
  void name(const char *format, ...) {   \
    FORMATTED(text, format);             \
    log_line(level, text);               \
  }

LOG_FUNCTION(qx_trace, QX_EVENTS_LOG_LEVEL_TRACE)
LOG_FUNCTION(qx_debug, QX_EVENTS_LOG_LEVEL_DEBUG)
LOG_FUNCTION(qx_info, QX_EVENTS_LOG_LEVEL_INFO)
LOG_FUNCTION(qx_warn, QX_EVENTS_LOG_LEVEL_WARN)
LOG_FUNCTION(qx_error, QX_EVENTS_LOG_LEVEL_ERROR)

__attribute__((noreturn)) void qx_panic(const char *format, ...) {
  FORMATTED(text, format);
  log_line(QX_EVENTS_LOG_LEVEL_ERROR, text);
  __builtin_trap();
}

/* The generator's bindings ask for an object that says which world they are of;
 * `qx-host build` writes that into the module instead. */
void __component_type_object_force_link_component(void) {}
