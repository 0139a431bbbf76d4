/* Counts the edits of each wiki page and says which pages changed, `wiki.page_changed`.
 *
 * A list in the payload, one event out for each of its elements, and a setting.
 */

#include <string.h>

#include "qx.h"

/* Pages whose edits are nobody's business, by the setting `ignored`, one name. */
static bool is_ignored(const char *page) {
  const char *ignored = qx_config("ignored");
  return ignored != NULL && strcmp(ignored, page) == 0;
}

static void count_edit(const char *repository, const qx_json *page) {
  const char *name = qx_need_text(page, "page_name");
  const char *action = qx_need_text(page, "action");
  if (is_ignored(name)) {
    qx_debug("%s of %s is ignored", name, repository);
    return;
  }
  const char *key = qx_format("%s/%s", repository, name);
  int64_t edits = qx_state_get_int(key, 0) + 1;
  qx_state_set_int(key, edits);
  qx_emit_with("wiki.page_changed", (qx_emit_options){.key = key, .after_ms = 20},
               "{\"repository\": %j, \"page\": %j, \"action\": %j, \"edits\": %lld}", repository, name,
               action, edits);
  qx_info("%s of %s was %s, %lld times by now", name, repository, action, edits);
}

QX_HANDLER(count_edits, "github.gollum") {
  const char *repository = qx_need_text(event->payload, "repository.full_name");
  const qx_json *pages = qx_get(event->payload, "pages");
  if (qx_len(pages, "") == 0) return qx_reject("%s: a change of no page", repository);
  for (size_t i = 0; i < qx_len(pages, ""); i++) count_edit(repository, qx_at(pages, i));
  return qx_done();
}

/* The news that a page is gone may come before the news of its last edit. */
QX_HANDLER_VERSIONS(forget_page, "wiki.page_deleted", "1,2") {
  const char *repository = qx_need_text(event->payload, "repository");
  const char *key = qx_format("%s/%s", repository, qx_need_text(event->payload, "page"));
  if (qx_state_get(key) == NULL && event->attempt == 1)
    return qx_retry_after(50, "nothing is known of %s yet", key);
  qx_state_delete(key);
  return qx_done();
}
