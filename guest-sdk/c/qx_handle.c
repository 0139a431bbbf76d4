/* The export `handle`: finds the handler that QX_HANDLER has registered for an event.
 * Left out where a component exports functions of its own instead.
 */
#include <stdlib.h>
#include <string.h>

#include "qx_private.h"

static qx_registration *first_handler, **last_handler = &first_handler;

void qx_register(qx_registration *registration) {
  registration->next = NULL;
  *last_handler = registration;
  last_handler = &registration->next;
}

static const char *optional(component_option_string_t string) {
  return string.is_some ? qx_owned(string.val) : NULL;
}

static bool takes_version(const char *versions, uint32_t version) {
  if (strcmp(versions, "*") == 0) return true;
  for (const char *at = versions; *at != '\0';) {
    char *end;
    unsigned long one = strtoul(at, &end, 10);
    if (end == at) return false;
    if (one == version) return true;
    at = *end == ',' ? end + 1 : end;
  }
  return false;
}

/* `*` stands for one word, `>` at the end for one or more. */
static bool takes_name(const char *pattern, const char *name) {
  while (*pattern != '\0') {
    if (strcmp(pattern, ">") == 0) return *name != '\0';
    size_t want = strcspn(pattern, "."), have = strcspn(name, ".");
    bool any = want == 1 && *pattern == '*';
    if (have == 0 || !(any || (want == have && memcmp(pattern, name, want) == 0))) return false;
    pattern += want;
    name += have;
    if ((*pattern == '.') != (*name == '.')) return false;
    if (*pattern == '.') pattern++, name++;
  }
  return *name == '\0';
}

static const qx_registration *handler_for(const qx_event *event) {
  const qx_registration *found = NULL;
  for (const qx_registration *one = first_handler; one != NULL; one = one->next) {
    if (!takes_version(one->versions, event->version)) continue;
    if (strcmp(one->event_name, event->name) == 0) return one;
    if (found == NULL && takes_name(one->event_name, event->name)) found = one;
  }
  return found;
}

static qx_outcome call(const qx_event *event) {
  const qx_registration *handler = handler_for(event);
  if (handler == NULL)
    return qx_reject("no handler of this component takes %s version %u", event->name, event->version);
  return handler->function(event);
}

bool exports_qx_events_handler_handle(exports_qx_events_handler_event_t *given,
                                      exports_qx_events_handler_failure_t *failure) {
  qx_event event = {
      .id = qx_owned(given->id),
      .name = qx_owned(given->name),
      .version = given->version,
      .occurred_at = qx_owned(given->occurred_at),
      .correlation_id = optional(given->correlation_id),
      .causation_id = optional(given->causation_id),
      .tenant_id = optional(given->tenant_id),
      .actor_id = optional(given->actor_id),
      .traceparent = optional(given->traceparent),
      .tracestate = optional(given->tracestate),
      .attempt = given->attempt,
      .payload_text = qx_owned(given->payload),
  };
  const char *wrong = NULL;
  event.payload = qx_parse_or_say(event.payload_text, &wrong);
  qx_outcome outcome =
      wrong != NULL ? qx_reject("the payload is no JSON: %s", wrong) : call(&event);
  return qx_answer(outcome, failure);
}
