/* Secrets and requests. A module of its own: what a handler does not call is left out
 * by the linker, and so is the right that it would need.
 */
#include <string.h>
#include <strings.h>

#include "qx_private.h"

const char *qx_secret(const char *name) {
  component_string_t asked = qx_lent(name), value;
  qx_events_secrets_error_t error;
  if (qx_events_secrets_get(&asked, &value, &error)) return qx_owned(value);
  qx_retry_anyway(qx_owned(error.val.denied));
  return "";
}

static bool has_header(const qx_http_request *request, const char *name) {
  for (size_t i = 0; i < request->headers_len; i++)
    if (strcasecmp(request->headers[i].name, name) == 0) return true;
  return false;
}

static void set_headers(const qx_http_request *request, qx_events_http_list_header_t *headers) {
  headers->ptr = qx_alloc((request->headers_len + 1) * sizeof *headers->ptr);
  headers->len = 0;
  for (size_t i = 0; i < request->headers_len; i++) {
    qx_events_http_header_t header = {qx_lent(request->headers[i].name),
                                      qx_lent(request->headers[i].value)};
    headers->ptr[headers->len++] = header;
  }
  if (request->idempotency_key != NULL && !has_header(request, "idempotency-key")) {
    qx_events_http_header_t key = {qx_lent("idempotency-key"), qx_lent(request->idempotency_key)};
    headers->ptr[headers->len++] = key;
  }
}

static void set_body(const qx_http_request *request, qx_events_http_option_body_t *body) {
  body->is_some = request->body != NULL;
  if (request->body == NULL) return;
  if (request->body_len == 0) {
    body->val.tag = QX_EVENTS_HTTP_BODY_TEXT;
    body->val.val.text = qx_lent(request->body);
    return;
  }
  body->val.tag = QX_EVENTS_HTTP_BODY_BYTES;
  body->val.val.bytes.ptr = (uint8_t *)request->body;
  body->val.val.bytes.len = request->body_len;
}

/* Text and bytes are laid out alike. */
static void take_body(qx_events_http_body_t *body, qx_http_response *response) {
  response->body = qx_owned(body->val.text);
  response->body_len = body->val.text.len;
}

static void take_headers(qx_events_http_list_header_t *headers, qx_http_response *response) {
  qx_http_header *own = qx_alloc((headers->len + 1) * sizeof *own);
  for (size_t i = 0; i < headers->len; i++) {
    own[i].name = qx_owned(headers->ptr[i].name);
    own[i].value = qx_owned(headers->ptr[i].value);
  }
  response->headers = own;
  response->headers_len = headers->len;
}

qx_http_response qx_http_send(qx_http_request request) {
  const char *usual = request.body == NULL ? "GET" : "POST";
  qx_events_http_request_t sent;
  memset(&sent, 0, sizeof sent);
  sent.method = qx_lent(request.method == NULL ? usual : request.method);
  sent.url = qx_lent(request.url);
  set_headers(&request, &sent.headers);
  set_body(&request, &sent.body);
  sent.timeout.is_some = request.timeout_ms > 0;
  sent.timeout.val = request.timeout_ms;

  qx_http_response response = {QX_HTTP_ANSWERED, "", 0, NULL, 0, "", 0};
  qx_events_http_response_t answer;
  qx_events_http_error_t error;
  if (!qx_events_http_send(&sent, &answer, &error)) {
    /* The tags stand in the same order, and every one carries the host's words. */
    response.result = (qx_http_result)(error.tag + 1);
    response.reason = qx_owned(error.val.denied);
    return response;
  }
  response.status = answer.status;
  take_headers(&answer.headers, &response);
  take_body(&answer.body, &response);
  return response;
}

const char *qx_http_header_of(const qx_http_response *response, const char *name) {
  for (size_t i = 0; i < response->headers_len; i++)
    if (strcasecmp(response->headers[i].name, name) == 0) return response->headers[i].value;
  return NULL;
}

bool qx_http_ok(const qx_http_response *response) {
  return response->result == QX_HTTP_ANSWERED && response->status >= 200 && response->status < 300;
}

qx_outcome qx_http_failed(const qx_http_response *response) {
  if (response->result == QX_HTTP_INVALID || response->result == QX_HTTP_LIMIT)
    return qx_reject("http: %s", response->reason);
  if (response->result != QX_HTTP_ANSWERED) return qx_retry("http: %s", response->reason);
  uint16_t status = response->status;
  if (status < 500 && status != 408 && status != 425 && status != 429)
    return qx_reject("http: answered %u", status);
  const char *after = qx_http_header_of(response, "retry-after");
  int64_t seconds;
  if (after != NULL && qx_read_int(after, &seconds) && seconds >= 0)
    return qx_retry_after((uint64_t)seconds * 1000, "http: answered %u", status);
  return qx_retry("http: answered %u", status);
}
