// JSON by spans: finds values in a text without making a tree of them. It reads each byte once, and recurses nowhere: nesting
// costs no stack.
#include "sluicegate.h"

#include <string.h>

typedef struct reader {
  const char *at, *end;
} reader;

static void skip_blanks(reader *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r')) in->at++;
}

static bool take(reader *in, char wanted) {
  skip_blanks(in);
  if (in->at == in->end || *in->at != wanted) return false;
  in->at++;
  return true;
}

// Skips a string, from its opening quote.
static bool skip_string(reader *in) {
  for (in->at++; in->at < in->end; in->at++) {
    if (*in->at == '\\') in->at++;
    else if (*in->at == '"') {
      in->at++;
      return true;
    }
  }
  in->at = in->end;
  return false;
}

// Skips a value of any kind.
static bool skip_value(reader *in) {
  size_t depth = 0;
  skip_blanks(in);
  const char *begin = in->at;
  while (in->at < in->end) {
    switch (*in->at) {
      case '"':
        if (!skip_string(in)) return false;
        break;
      case '{': case '[':
        depth++;
        in->at++;
        break;
      case '}': case ']':
        if (!depth) return in->at > begin;
        depth--;
        in->at++;
        break;
      case ',': case ':': case ' ': case '\t': case '\n': case '\r':
        if (!depth) return in->at > begin;
        in->at++;
        continue;
      default:
        in->at++;
        // A number or a word goes on until something else comes.
        if (!depth && in->at < in->end && !strchr(",:]}\" \t\n\r[{", *in->at)) continue;
    }
    if (!depth) return true;
  }
  return !depth && in->at > begin;
}

static int hex(const char *at, const char *end) {
  int value = 0;
  if (end - at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = at[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

// The character of an escape as UTF-8, from behind its backslash; 0 bytes if it is none.
static size_t unescape(reader *in, char *out) {
  if (in->at == in->end) return 0;
  char kind = *in->at++;
  switch (kind) {
    case '"': case '\\': case '/': out[0] = kind; return 1;
    case 'b': out[0] = '\b'; return 1;
    case 'f': out[0] = '\f'; return 1;
    case 'n': out[0] = '\n'; return 1;
    case 'r': out[0] = '\r'; return 1;
    case 't': out[0] = '\t'; return 1;
    case 'u': break;
    default: return 0;
  }
  int code = hex(in->at, in->end);
  if (code < 0) return 0;
  in->at += 4;
  if (code >= 0xd800 && code < 0xdc00 && in->end - in->at >= 6 && in->at[0] == '\\' && in->at[1] == 'u') {
    int low = hex(in->at + 2, in->end);
    if (low >= 0xdc00 && low < 0xe000) {
      in->at += 6;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
  }
  // Half of a pair alone is no character.
  if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
  for (size_t i = more; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)(first[more] | code);
  return more + 1;
}

// Whether a key, without its quotes, is this part of a JSON Pointer, in which `~1` is `/` and `~0` is `~`.
static bool is_key(sg_text key, sg_text part) {
  reader in = {key.ptr, key.ptr + key.len};
  const char *want = part.ptr, *end = part.ptr + part.len;
  while (in.at < in.end) {
    char character[4];
    size_t len = 1;
    if (*in.at == '\\') {
      in.at++;
      len = unescape(&in, character);
      if (!len) return false;
    } else {
      character[0] = *in.at++;
    }
    for (size_t i = 0; i < len; i++) {
      if (want == end) return false;
      char next = *want++;
      if (next == '~' && want < end) next = *want++ == '1' ? '/' : '~';
      if (next != character[i]) return false;
    }
  }
  return want == end;
}

// The member of an object, from behind its brace. The last one of this name counts.
static bool find_member(reader *in, sg_text part, sg_text *value) {
  bool is_found = false;
  if (take(in, '}')) return false;
  do {
    skip_blanks(in);
    if (in->at == in->end || *in->at != '"') return false;
    const char *begin = in->at + 1;
    if (!skip_string(in)) return false;
    sg_text key = {begin, (size_t)(in->at - 1 - begin)};
    if (!take(in, ':')) return false;
    skip_blanks(in);
    begin = in->at;
    if (!skip_value(in)) return false;
    if (is_key(key, part)) {
      *value = (sg_text){begin, (size_t)(in->at - begin)};
      is_found = true;
    }
  } while (take(in, ','));
  return is_found && take(in, '}');
}

// The element of an array, from behind its bracket.
static bool find_element(reader *in, sg_text part, sg_text *value) {
  size_t index = 0;
  if (!part.len || (part.len > 1 && part.ptr[0] == '0') || part.len > 9) return false;
  for (size_t i = 0; i < part.len; i++) {
    if (part.ptr[i] < '0' || part.ptr[i] > '9') return false;
    index = index * 10 + (size_t)(part.ptr[i] - '0');
  }
  if (take(in, ']')) return false;
  for (;; index--) {
    skip_blanks(in);
    const char *begin = in->at;
    if (!skip_value(in)) return false;
    if (!index) {
      *value = (sg_text){begin, (size_t)(in->at - begin)};
      return true;
    }
    if (!take(in, ',')) return false;
  }
}

bool sg_json_find(sg_text json, const char *pointer, sg_text *value) {
  reader in = {json.ptr, json.ptr + json.len};
  skip_blanks(&in);
  const char *begin = in.at;
  if (!skip_value(&in)) return false;
  sg_text found = {begin, (size_t)(in.at - begin)};
  while (*pointer == '/') {
    const char *end = strchr(++pointer, '/');
    sg_text part = {pointer, end ? (size_t)(end - pointer) : strlen(pointer)};
    pointer += part.len;
    in = (reader){found.ptr, found.ptr + found.len};
    if (take(&in, '{')) {
      if (!find_member(&in, part, &found)) return false;
    } else if (!take(&in, '[') || !find_element(&in, part, &found)) {
      return false;
    }
  }
  if (*pointer) return false;
  *value = found;
  return true;
}

bool sg_json_text(sg_text value, sg_text *text) {
  if (value.len < 2 || value.ptr[0] != '"' || value.ptr[value.len - 1] != '"') return false;
  sg_text inner = {value.ptr + 1, value.len - 2};
  if (!inner.len || !memchr(inner.ptr, '\\', inner.len)) {
    *text = inner;
    return true;
  }
  sg_buffer out = {0};
  reader in = {inner.ptr, inner.ptr + inner.len};
  while (in.at < in.end) {
    const char *next = memchr(in.at, '\\', (size_t)(in.end - in.at));
    if (!next) next = in.end;
    sg_add(&out, (sg_text){in.at, (size_t)(next - in.at)});
    in.at = next;
    if (next == in.end) break;
    char character[4];
    in.at++;
    size_t len = unescape(&in, character);
    if (!len) return false;
    sg_add(&out, (sg_text){character, len});
  }
  *text = sg_of_buffer(&out);
  return true;
}

bool sg_json_get(sg_text json, const char *pointer, sg_text *text) {
  sg_text value;
  return sg_json_find(json, pointer, &value) && sg_json_text(value, text);
}

sg_text sg_json_put(sg_text json, sg_text value, sg_text text) {
  sg_buffer out = {0};
  sg_add(&out, (sg_text){json.ptr, (size_t)(value.ptr - json.ptr)});
  sg_add_json(&out, text);
  const char *rest = value.ptr + value.len;
  sg_add(&out, (sg_text){rest, (size_t)(json.ptr + json.len - rest)});
  return sg_of_buffer(&out);
}
