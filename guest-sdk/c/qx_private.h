/* What the sources of the SDK tell each other. Not for handlers. */
#ifndef QX_PRIVATE_H
#define QX_PRIVATE_H

#include <stdarg.h>

#include "qx_typed.h"

/* Never NULL: a call that is out of memory ends as a fault. Not freed. */
void *qx_alloc(size_t bytes);

const char *qx_vformat(const char *format, va_list args);

/* Parses a whole text; `*wrong` says why it is no JSON. */
const qx_json *qx_parse_or_say(const char *text, const char **wrong);

/* Reads a whole text as an integer. */
bool qx_read_int(const char *text, int64_t *value);

/* The event is rejected with this reason, whatever the handler answers. */
void qx_reject_anyway(const char *reason);

/* It is tried again with this reason, whatever the handler answers. */
void qx_retry_anyway(const char *reason);

/* Text on its way to the host, and from it. */
component_string_t qx_lent(const char *text);
char *qx_owned(component_string_t string);

#endif
