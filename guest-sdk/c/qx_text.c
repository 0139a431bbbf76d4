/* Text in, text out: a reader of JSON that makes a tree of it, paths through that
 * tree, and the formats of qx.h. Uses no stdio, so that a component that prints
 * nothing brings no WASI along.
 */
#include <stdlib.h>
#include <string.h>

#include "qx_private.h"

/* Deepest nesting of a document: the host's own limit, and shallow for the stack. */
#define DEPTH_MAX 128

void *qx_alloc(size_t bytes) {
  void *memory = malloc(bytes == 0 ? 1 : bytes);
  if (memory == NULL) __builtin_trap();
  return memory;
}

/* --- A text that grows ------------------------------------------------------- */

typedef struct {
  char *bytes;
  size_t len, room;
} text;

static void put(text *out, const char *bytes, size_t len) {
  if (out->room - out->len < len + 1) {
    size_t room = (out->len + len + 1) * 2;
    char *more = qx_alloc(room);
    if (out->len > 0) memcpy(more, out->bytes, out->len);
    free(out->bytes);
    out->bytes = more;
    out->room = room;
  }
  memcpy(out->bytes + out->len, bytes, len);
  out->len += len;
}

static void put_char(text *out, char c) { put(out, &c, 1); }

static const char *finish(text *out) {
  put_char(out, '\0');
  return out->bytes;
}

/* --- JSON, parsed --------------------------------------------------------------- */

typedef enum { MISSING, NULL_VALUE, BOOLEAN, NUMBER, TEXT, LIST, OBJECT } kind;

struct qx_json {
  kind kind;
  bool truth;
  const char *text; /* of a number as it is written */
  const char *name; /* of a member */
  size_t len;
  struct qx_json *first, *next;
};

static const qx_json missing = {MISSING, false, "", "", 0, NULL, NULL};

typedef struct {
  const char *begin, *at, *wrong;
} reader;

static void blanks(reader *r) { r->at += strspn(r->at, " \t\r\n"); }

static bool fails(reader *r, const char *what) {
  if (r->wrong == NULL) r->wrong = qx_format("%s at byte %zu", what, (size_t)(r->at - r->begin));
  return false;
}

static bool word(reader *r, const char *expected) {
  size_t len = strlen(expected);
  if (strncmp(r->at, expected, len) != 0) return fails(r, "an unknown word");
  r->at += len;
  return true;
}

static bool hex4(reader *r, unsigned *code) {
  *code = 0;
  for (int i = 0; i < 4; i++, r->at++) {
    char c = *r->at;
    unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16;
    if (digit == 16) return fails(r, "four hexadecimal digits are missing");
    *code = *code * 16 + digit;
  }
  return true;
}

static void put_utf8(text *out, unsigned code) {
  if (code < 0x80) {
    put_char(out, (char)code);
  } else if (code < 0x800) {
    put_char(out, (char)(0xc0 | code >> 6));
    put_char(out, (char)(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    put_char(out, (char)(0xe0 | code >> 12));
    put_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
    put_char(out, (char)(0x80 | (code & 0x3f)));
  } else {
    put_char(out, (char)(0xf0 | code >> 18));
    put_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
    put_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
    put_char(out, (char)(0x80 | (code & 0x3f)));
  }
}

/* What has no form in UTF-8, and the NUL that would end a C text, become U+FFFD. */
static bool unicode(reader *r, text *out) {
  unsigned code, low;
  if (!hex4(r, &code)) return false;
  if (code >= 0xd800 && code < 0xdc00 && r->at[0] == '\\' && r->at[1] == 'u') {
    const char *before = r->at;
    r->at += 2;
    if (!hex4(r, &low)) return false;
    if (low >= 0xdc00 && low < 0xe000) {
      put_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
      return true;
    }
    r->at = before;
  }
  put_utf8(out, code == 0 || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code);
  return true;
}

static bool string(reader *r, const char **value) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  text out = {0};
  if (*r->at != '"') return fails(r, "a text is missing");
  for (r->at++; *r->at != '"';) {
    if ((unsigned char)*r->at < 0x20) return fails(r, "a text without its end");
    if (*r->at != '\\') {
      size_t len = 0;
      while ((unsigned char)r->at[len] >= 0x20 && r->at[len] != '"' && r->at[len] != '\\') len++;
      put(&out, r->at, len);
      r->at += len;
      continue;
    }
    char escape = *++r->at;
    const char *known = escape == '\0' ? NULL : strchr(from, escape);
    if (escape == 'u') {
      r->at++;
      if (!unicode(r, &out)) return false;
    } else if (known != NULL) {
      put_char(&out, to[known - from]);
      r->at++;
    } else {
      return fails(r, "an unknown escape");
    }
  }
  r->at++;
  *value = finish(&out);
  return true;
}

static bool digits(reader *r) {
  size_t len = strspn(r->at, "0123456789");
  r->at += len;
  return len > 0 || fails(r, "a digit is missing");
}

static bool number(reader *r, qx_json *json) {
  const char *begin = r->at;
  if (*r->at == '-') r->at++;
  if (*r->at == '0' && r->at[1] >= '0' && r->at[1] <= '9') return fails(r, "a number begins with 0");
  if (!digits(r)) return false;
  if (*r->at == '.' && (r->at++, !digits(r))) return false;
  if (*r->at == 'e' || *r->at == 'E') {
    r->at++;
    if (*r->at == '+' || *r->at == '-') r->at++;
    if (!digits(r)) return false;
  }
  text out = {0};
  put(&out, begin, (size_t)(r->at - begin));
  json->kind = NUMBER;
  json->text = finish(&out);
  return true;
}

static bool value(reader *r, qx_json *json, int depth);

static bool several(reader *r, qx_json *json, char end, int depth) {
  qx_json **last = &json->first;
  json->kind = end == ']' ? LIST : OBJECT;
  r->at++;
  blanks(r);
  if (*r->at == end) return r->at++, true;
  for (;;) {
    qx_json *one = qx_alloc(sizeof *one);
    *one = missing;
    if (end == '}') {
      blanks(r);
      if (!string(r, &one->name)) return false;
      blanks(r);
      if (*r->at != ':') return fails(r, "a colon is missing");
      r->at++;
    }
    if (!value(r, one, depth + 1)) return false;
    *last = one;
    last = &one->next;
    json->len++;
    blanks(r);
    if (*r->at == end) return r->at++, true;
    if (*r->at != ',') return fails(r, "a comma is missing");
    r->at++;
  }
}

static bool value(reader *r, qx_json *json, int depth) {
  if (depth > DEPTH_MAX) return fails(r, "nested too deep");
  blanks(r);
  switch (*r->at) {
    case '{':
      return several(r, json, '}', depth);
    case '[':
      return several(r, json, ']', depth);
    case '"':
      json->kind = TEXT;
      return string(r, &json->text);
    case 't':
    case 'f':
      json->kind = BOOLEAN;
      json->truth = *r->at == 't';
      return word(r, json->truth ? "true" : "false");
    case 'n':
      json->kind = NULL_VALUE;
      return word(r, "null");
    default:
      return number(r, json);
  }
}

const qx_json *qx_parse_or_say(const char *text, const char **wrong) {
  reader r = {text, text, NULL};
  qx_json *json = qx_alloc(sizeof *json);
  *json = missing;
  if (value(&r, json, 0)) {
    blanks(&r);
    if (*r.at == '\0') return json;
    fails(&r, "something follows the end");
  }
  *wrong = r.wrong;
  return &missing;
}

const qx_json *qx_parse(const char *text) {
  const char *wrong;
  return qx_parse_or_say(text, &wrong);
}

/* --- Ways through it --------------------------------------------------------------- */

static const qx_json *member(const qx_json *json, const char *name, size_t len) {
  const qx_json *found = &missing; /* Of a name that stands there twice, the last counts. */
  if (json->kind != OBJECT) return found;
  for (const qx_json *one = json->first; one != NULL; one = one->next)
    if (strlen(one->name) == len && memcmp(one->name, name, len) == 0) found = one;
  return found;
}

const qx_json *qx_at(const qx_json *json, size_t index) {
  const qx_json *one = json->first;
  while (one != NULL && index-- > 0) one = one->next;
  return one == NULL ? &missing : one;
}

const char *qx_name_at(const qx_json *json, size_t index) { return qx_at(json, index)->name; }

const qx_json *qx_get(const qx_json *json, const char *path) {
  while (*path != '\0') {
    if (*path == '[') {
      char *end;
      unsigned long index = strtoul(path + 1, &end, 10);
      json = json->kind == LIST && *end == ']' ? qx_at(json, index) : &missing;
      path = *end == ']' ? end + 1 : "";
    } else {
      if (*path == '.') path++;
      size_t len = strcspn(path, ".[");
      json = member(json, path, len);
      path += len;
    }
  }
  return json;
}

bool qx_is_missing(const qx_json *json) { return json->kind == MISSING || json->kind == NULL_VALUE; }

size_t qx_len(const qx_json *json, const char *path) { return qx_get(json, path)->len; }

bool qx_read_int(const char *text, int64_t *value) {
  const char *digit = *text == '-' ? text + 1 : text;
  bool negative = digit != text;
  uint64_t sum = 0, most = (uint64_t)INT64_MAX + (negative ? 1 : 0);
  *value = 0;
  if (*digit == '\0') return false;
  for (; *digit != '\0'; digit++) {
    if (*digit < '0' || *digit > '9') return false;
    uint64_t one = (uint64_t)(*digit - '0');
    if (sum > (most - one) / 10) return false;
    sum = sum * 10 + one;
  }
  *value = (int64_t)(negative ? 0 - sum : sum);
  return true;
}

const char *qx_text_or(const qx_json *json, const char *path, const char *otherwise) {
  const qx_json *found = qx_get(json, path);
  return found->kind == TEXT ? found->text : otherwise;
}

int64_t qx_int_or(const qx_json *json, const char *path, int64_t otherwise) {
  const qx_json *found = qx_get(json, path);
  int64_t value;
  return found->kind == NUMBER && qx_read_int(found->text, &value) ? value : otherwise;
}

double qx_number_or(const qx_json *json, const char *path, double otherwise) {
  const qx_json *found = qx_get(json, path);
  return found->kind == NUMBER ? strtod(found->text, NULL) : otherwise;
}

bool qx_bool_or(const qx_json *json, const char *path, bool otherwise) {
  const qx_json *found = qx_get(json, path);
  return found->kind == BOOLEAN ? found->truth : otherwise;
}

static void misfit(const qx_json *found, const char *path, const char *expected) {
  static const char *const words[] = {"nothing", "null", "a boolean", "a number", "a text", "a list", "an object"};
  qx_reject_anyway(
      qx_format("the payload does not fit: %s: expected %s, found %s", path, expected, words[found->kind]));
}

const char *qx_need_text(const qx_json *json, const char *path) {
  const qx_json *found = qx_get(json, path);
  if (found->kind == TEXT) return found->text;
  misfit(found, path, "a text");
  return "";
}

int64_t qx_need_int(const qx_json *json, const char *path) {
  const qx_json *found = qx_get(json, path);
  int64_t value = 0;
  if (found->kind == NUMBER && qx_read_int(found->text, &value)) return value;
  misfit(found, path, "a whole number of 64 bits");
  return 0;
}

bool qx_need_bool(const qx_json *json, const char *path) {
  const qx_json *found = qx_get(json, path);
  if (found->kind != BOOLEAN) misfit(found, path, "a boolean");
  return found->kind == BOOLEAN && found->truth;
}

/* --- Formats -------------------------------------------------------------------------- */

static void put_unsigned(text *out, uint64_t number, unsigned base) {
  char digits[20];
  size_t at = sizeof digits;
  do {
    digits[--at] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number > 0);
  put(out, digits + at, sizeof digits - at);
}

static void put_signed(text *out, int64_t number) {
  if (number < 0) put_char(out, '-');
  put_unsigned(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
}

/* Up to 9 digits after the point. What JSON has no form for becomes null. */
static void put_double(text *out, double number, unsigned places) {
  uint64_t scale = 1;
  if (places > 9) places = 9;
  for (unsigned i = 0; i < places; i++) scale *= 10;
  double size = number < 0 ? -number : number;
  if (!(size < 9e18 / (double)scale)) {
    put(out, "null", 4);
    return;
  }
  uint64_t whole = (uint64_t)(size * (double)scale + 0.5);
  if (number < 0 && whole > 0) put_char(out, '-');
  put_unsigned(out, whole / scale, 10);
  if (places == 0) return;
  put_char(out, '.');
  for (uint64_t rest = whole % scale; scale > 1; rest %= scale) {
    scale /= 10;
    put_char(out, (char)('0' + rest / scale));
  }
}

static void put_quoted(text *out, const char *value) {
  if (value == NULL) {
    put(out, "null", 4);
    return;
  }
  put_char(out, '"');
  for (; *value != '\0'; value++) {
    unsigned char c = (unsigned char)*value;
    if (c == '"' || c == '\\') {
      put_char(out, '\\');
      put_char(out, (char)c);
    } else if (c < 0x20) {
      put(out, "\\u00", 4);
      put_char(out, c < 0x10 ? '0' : '1');
      put_char(out, "0123456789abcdef"[c & 15]);
    } else {
      put_char(out, (char)c);
    }
  }
  put_char(out, '"');
}

const char *qx_vformat(const char *format, va_list args) {
  text out = {0};
  for (;;) {
    size_t plain = strcspn(format, "%");
    put(&out, format, plain);
    format += plain;
    if (*format == '\0') return finish(&out);
    unsigned places = 6, longs = 0;
    if (*++format == '.') {
      char *end;
      places = (unsigned)strtoul(format + 1, &end, 10);
      format = end;
    }
    for (; *format == 'l' || *format == 'z'; format++) longs += *format == 'l';
    if (*format == '\0') return finish(&out);
    switch (*format++) {
      case 's': {
        const char *value = va_arg(args, const char *);
        if (value == NULL) value = "(null)";
        put(&out, value, strlen(value));
        break;
      }
      case 'j':
        put_quoted(&out, va_arg(args, const char *));
        break;
      case 'c':
        put_char(&out, (char)va_arg(args, int));
        break;
      case 'd':
      case 'i': /* int and long have 32 bits here */
        put_signed(&out, longs > 1 ? va_arg(args, int64_t) : va_arg(args, int32_t));
        break;
      case 'u':
        put_unsigned(&out, longs > 1 ? va_arg(args, uint64_t) : va_arg(args, uint32_t), 10);
        break;
      case 'x':
        put_unsigned(&out, longs > 1 ? va_arg(args, uint64_t) : va_arg(args, uint32_t), 16);
        break;
      case 'f':
        put_double(&out, va_arg(args, double), places);
        break;
      default: /* %% and what is unknown */
        put_char(&out, format[-1]);
    }
  }
}

const char *qx_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *result = qx_vformat(format, args);
  va_end(args);
  return result;
}
