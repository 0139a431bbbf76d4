/* Tells a server of a release, with a secret. */

#include "qx.h"

QX_HANDLER(tell, "release.published") {
  qx_http_header token = {"authorization", qx_format("Bearer %s", qx_secret("hook_token"))};
  qx_http_response told = qx_http_send((qx_http_request){
      .url = qx_config("hook"),
      .headers = &token,
      .headers_len = 1,
      .body = qx_format("{\"version\": %j}", qx_need_text(event->payload, "version")),
      .idempotency_key = event->id,
  });
  if (!qx_http_ok(&told)) return qx_http_failed(&told);
  return qx_done();
}
