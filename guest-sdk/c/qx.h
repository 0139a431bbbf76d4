/* Event handlers for Qx Host in C: one header, its sources, no other library.
 *
 *     #include "qx.h"
 *
 *     QX_HANDLER(count_star, "github.star.created") {
 *       const char *repository = qx_need_text(event->payload, "repository.full_name");
 *       int64_t stars = qx_state_get_int(repository, 0) + 1;
 *       qx_state_set_int(repository, stars);
 *       qx_emit("repo.starred", "{\"repository\": %j, \"stars\": %lld}", repository, stars);
 *       return qx_done();
 *     }
 *
 * A call runs in an instance of its own and the instance is dropped afterwards:
 * nothing that comes from here has to be freed, and nothing outlives the call but
 * state and emitted events, which the host commits together when the handler is
 * done, and throws away when it declines.
 */
#ifndef QX_H
#define QX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A value of a JSON document. Never NULL: what is not there is missing, and what
 * is looked up below a missing value is missing too. */
typedef struct qx_json qx_json;

/* The event as its producer recorded it. What is optional may be NULL. */
typedef struct {
  const char *id;   /* a UUID, the same on every attempt: the idempotency key */
  const char *name; /* github.star.created */
  uint32_t version; /* of the payload's shape, from 1 */
  const char *occurred_at; /* ISO 8601 */
  const char *correlation_id, *causation_id, *tenant_id, *actor_id;
  const char *traceparent, *tracestate; /* W3C trace context */
  uint32_t attempt;          /* from 1 */
  const qx_json *payload;    /* parsed; a payload that is no JSON is rejected */
  const char *payload_text;  /* byte for byte as it arrived */
} qx_event;

/* --- What a handler answers ---------------------------------------------- */

typedef enum { QX_DONE, QX_RETRY, QX_REJECT } qx_disposition;

typedef struct {
  qx_disposition disposition;
  const char *reason;
  uint64_t after_ms;
  bool has_after;
} qx_outcome;

/* Commits state and emitted events: once, or not at all. */
qx_outcome qx_done(void);
/* It may work later. The host's backoff decides when. */
qx_outcome qx_retry(const char *format, ...);
/* The same, and not sooner than this many milliseconds. */
qx_outcome qx_retry_after(uint64_t ms, const char *format, ...);
/* It will never work: a dead letter at once. */
qx_outcome qx_reject(const char *format, ...);

/* --- Which events a handler takes ---------------------------------------- */

/* QX_HANDLER(name, "an.event") { … }, with `event` in scope. The event may be a
 * pattern, `order.*` or `order.>`. Of several handlers that fit, the one with the
 * event's own name is called, then the one that stands first. */
#define QX_HANDLER(function, event_name) QX_HANDLER_VERSIONS(function, event_name, "1")
/* The same for other versions: "2", "1,2" or "*". */
#define QX_HANDLER_VERSIONS(function, event_name, versions)                               \
  static qx_outcome function(const qx_event *event);                                      \
  QX_ROUTE_(function, function, event_name, versions)                                     \
  static qx_outcome function(const qx_event *event)
/* One more event for a handler that stands above: QX_ALSO(name, also, "an.other"). */
#define QX_ALSO(function, label, event_name) QX_ROUTE_(function, function##_##label, event_name, "1")

/* --- Reading JSON --------------------------------------------------------- */

/* A path is the names with dots between them, and positions in brackets:
 * "repository.owner.login", "pages[0].title". "" is the value itself. */
const qx_json *qx_get(const qx_json *json, const char *path);
bool qx_is_missing(const qx_json *json); /* not there, or null */
const char *qx_text_or(const qx_json *json, const char *path, const char *otherwise);
int64_t qx_int_or(const qx_json *json, const char *path, int64_t otherwise);
double qx_number_or(const qx_json *json, const char *path, double otherwise);
bool qx_bool_or(const qx_json *json, const char *path, bool otherwise);
/* Elements of a list, members of an object; 0 of everything else. */
size_t qx_len(const qx_json *json, const char *path);
const qx_json *qx_at(const qx_json *json, size_t index);
const char *qx_name_at(const qx_json *json, size_t index);

/* What the handler cannot do without. If it is not there or of another type, the
 * event is rejected with the path, whatever the handler answers. */
const char *qx_need_text(const qx_json *json, const char *path);
int64_t qx_need_int(const qx_json *json, const char *path);
bool qx_need_bool(const qx_json *json, const char *path);

/* Parses a text; missing when it is no JSON. */
const qx_json *qx_parse(const char *text);

/* --- State, events, settings, log ------------------------------------------ */

/* Values of this component and this tenant. A limit that is hit rejects the event,
 * whatever the handler answers: it would be hit again. */
const char *qx_state_get(const char *key); /* NULL when there is none */
void qx_state_set(const char *key, const char *value);
void qx_state_delete(const char *key);
int64_t qx_state_get_int(const char *key, int64_t otherwise);
void qx_state_set_int(const char *key, int64_t value);

/* An event that leaves with the commit; the text is JSON, see `qx_format`. A
 * name or a text that is not legal rejects the event being handled. Returns the new event's id. */
const char *qx_emit(const char *event_name, const char *json_format, ...);
const char *qx_emit_version(const char *event_name, uint32_t version, const char *json_format, ...);

/* What else can be said of an event; what is left out is as usual. */
typedef struct {
  uint32_t version; /* 0 is 1 */
  const char *key;  /* events of one key are handled one after the other where a component asks
                       for it; not inherited */
  uint64_t after_ms; /* leaves not before this long after the commit, at most 366 days */
  const char *at;    /* or not before this time: ISO 8601 with an offset */
} qx_emit_options;
/* The same with a key, or due later: that holds over restarts.
 *     qx_emit_with("issue.follow_up", (qx_emit_options){.after_ms = 60000}, "{\"issue\": %d}", 7); */
const char *qx_emit_with(const char *event_name, qx_emit_options options, const char *json_format, ...);

/* A setting from the component's <name>.toml, or NULL. */
const char *qx_config(const char *key);

/* Lines of the component's log; so is what the handler prints. */
void qx_trace(const char *format, ...);
void qx_debug(const char *format, ...);
void qx_info(const char *format, ...);
void qx_warn(const char *format, ...);
void qx_error(const char *format, ...);

/* A secret that the component is granted. One that is not granted puts the event off,
 * whatever the handler answers: an operator can grant it meanwhile. Never NULL. */
const char *qx_secret(const char *name);

/* --- Requests over HTTP ------------------------------------------------------ */

typedef struct {
  const char *name, *value;
} qx_http_header;

/* A request to where the component is granted to send it. What is not set is NULL or 0. */
typedef struct {
  const char *method; /* "GET", or "POST" where there is a body */
  const char *url;
  const qx_http_header *headers;
  size_t headers_len;
  const char *body;
  size_t body_len;      /* 0: the body is text and ends with its NUL */
  uint64_t timeout_ms;  /* at most what the call has left, which also counts without it */
  const char *idempotency_key; /* event->id, for effects that must not happen twice */
} qx_http_request;

typedef enum {
  QX_HTTP_ANSWERED,
  QX_HTTP_DENIED,   /* not granted; the reason says what to grant */
  QX_HTTP_INVALID,  /* no request: the URL, the method or a header is not legal */
  QX_HTTP_LIMIT,
  QX_HTTP_TIMEOUT,
  QX_HTTP_CONNECT,
  QX_HTTP_TLS,
  QX_HTTP_PROTOCOL
} qx_http_result;

typedef struct {
  qx_http_result result;
  const char *reason; /* why there is no answer, or "" */
  uint16_t status;    /* of an answer; a redirect is one like any other */
  const qx_http_header *headers; /* names in lower case */
  size_t headers_len;
  const char *body; /* ends with a NUL; never NULL */
  size_t body_len;
} qx_http_response;

/* Sends a request and waits for the answer. What it changes elsewhere is no part of
 * the commit, and can happen more than once. */
qx_http_response qx_http_send(qx_http_request request);
/* The first value of a header, or NULL. The name in lower case. */
const char *qx_http_header_of(const qx_http_response *response, const char *name);
/* Whether there is an answer from 200 to 299. */
bool qx_http_ok(const qx_http_response *response);
/* What a handler answers when there is none: 5xx, 408, 425, 429, and what did not come
 * through is tried again, everything else is rejected. */
qx_outcome qx_http_failed(const qx_http_response *response);

/* --- SQL ---------------------------------------------------------------------- */

/* A parameter, for $1, $2 and so on. A text can be a time, a UUID, an exact number or
 * JSON; one that is NULL is null. */
typedef struct {
  enum { QX_SQL_NULL, QX_SQL_BOOL, QX_SQL_INT, QX_SQL_NUMBER, QX_SQL_TEXT, QX_SQL_BYTES } kind;
  bool boolean;
  int64_t integer;
  double number;
  const void *bytes;
  size_t bytes_len;
} qx_sql_value;

qx_sql_value qx_sql_null(void);
qx_sql_value qx_sql_bool(bool value);
qx_sql_value qx_sql_int(int64_t value);
qx_sql_value qx_sql_number(double value);
qx_sql_value qx_sql_text(const char *value);
qx_sql_value qx_sql_bytes(const void *value, size_t len);

/* The parameters of a statement: QX_SQL(qx_sql_text(name), qx_sql_int(7)), or QX_SQL_NONE. */
#define QX_SQL(...)                         \
  (const qx_sql_value[]){__VA_ARGS__},      \
      sizeof((const qx_sql_value[]){__VA_ARGS__}) / sizeof(qx_sql_value)
#define QX_SQL_NONE NULL, 0

typedef enum {
  QX_SQL_DONE,
  QX_SQL_REFUSED, /* by the database: `sqlstate` and its words in `reason` */
  QX_SQL_LIMIT    /* of the host; `reason` says which */
} qx_sql_result;

typedef struct {
  qx_sql_result result;
  const char *sqlstate, *reason; /* "" when it is done */
  uint64_t changed;    /* rows that it changed, or gave */
  const qx_json *rows; /* of a query: a list of objects, with a member for each column */
} qx_sql_answer;

/* SQL in the host's PostgreSQL, as a role that the component is granted. All statements of
 * a call are one transaction, which commits with state and emitted events, or not at all.
 * Nothing is kept of a statement that is not done; what was done before is, so look at it:
 *     qx_sql_answer stars = qx_sql_query("SELECT stars FROM stars WHERE repository = $1", QX_SQL(qx_sql_text(name)));
 *     if (!qx_sql_ok(&stars)) return qx_sql_failed(&stars);
 *     int64_t n = qx_int_or(stars.rows, "[0].stars", 0); */
__attribute__((warn_unused_result)) qx_sql_answer qx_sql_execute(const char *statement,
                                                                 const qx_sql_value *parameters, size_t len);
__attribute__((warn_unused_result)) qx_sql_answer qx_sql_query(const char *statement,
                                                               const qx_sql_value *parameters, size_t len);
bool qx_sql_ok(const qx_sql_answer *answer);
/* Whether a key that must be unique is there already: SQLSTATE 23505. */
bool qx_sql_is_duplicate(const qx_sql_answer *answer);
/* What a handler answers that does not know better: what the database refused is tried
 * again, a limit is a rejection. */
qx_outcome qx_sql_failed(const qx_sql_answer *answer);

/* Ends the call as a fault, with this message: it is tried again, as after a trap. */
__attribute__((noreturn)) void qx_panic(const char *format, ...);

/* Text by a format as printf's: %s %c %d %i %u %x %ld %lld %lu %llu %zu %f %.2f %%,
 * and %j, a text as a JSON string with its quotes (NULL becomes null). */
const char *qx_format(const char *format, ...);

/* --- How the macros do it ---------------------------------------------------- */

typedef struct qx_registration {
  qx_outcome (*function)(const qx_event *event);
  const char *event_name;
  const char *versions;
  struct qx_registration *next;
} qx_registration;

void qx_register(qx_registration *registration);

/* The text goes into the component's section `qx:routes`, where the host reads which
 * events it takes; the record tells the same to the dispatcher in qx.c. */
#define QX_ROUTE_(function_, label, event_name_, versions_)                               \
  __asm__(".section \".custom_section.qx:routes\",\"\",@\n"                               \
          ".ascii \"handler\\t" event_name_ "\\t" versions_ "\\n\"\n"                       \
          ".text\n");                                                                     \
  static qx_registration qx_registration_##label = {function_, event_name_, versions_, 0}; \
  __attribute__((constructor)) static void qx_register_##label(void) {                    \
    qx_register(&qx_registration_##label);                                                \
  }

#ifdef __cplusplus
}
#endif
#endif
