// The exports of the component, which call what the author has written, and the functions of sluicegate.h.
#include "sluicegate.h"

#include <stdlib.h>
#include <string.h>

// ---------------------------------------------------------------------------------------------- memory

// What lives until the call returns.
static void **lent;
static size_t lent_count, lent_room;

static void *out_of_memory(void) {
  // A trap: the gateway says that memory was exhausted.
  __builtin_trap();
}

static void *owned(size_t size) {
  void *block = malloc(size ? size : 1);
  return block ? block : out_of_memory();
}

static void lend(void *block) {
  if (!block) return;
  if (lent_count == lent_room) {
    lent_room = lent_room ? 2 * lent_room : 16;
    lent = realloc(lent, lent_room * sizeof *lent);
    if (!lent) out_of_memory();
  }
  lent[lent_count++] = block;
}

static void release(void) {
  while (lent_count) free(lent[--lent_count]);
}

static sg_text lend_text(uint8_t *ptr, size_t len) {
  if (len) lend(ptr);
  return (sg_text){len ? (const char *)ptr : "", len};
}

// A copy that the gateway frees.
static void *copy(const void *from, size_t len) {
  void *to = owned(len);
  if (len) memcpy(to, from, len);
  return to;
}

static plugin_string_t give(sg_text text) { return (plugin_string_t){copy(text.ptr, text.len), text.len}; }
static plugin_string_t give_cstr(const char *text) { return give(sg_of_cstr(text)); }
static plugin_list_u8_t give_bytes(sg_text text) { return (plugin_list_u8_t){copy(text.ptr, text.len), text.len}; }
static plugin_string_t show(const char *text) { return (plugin_string_t){(uint8_t *)text, strlen(text)}; }
static plugin_string_t show_text(sg_text text) { return (plugin_string_t){(uint8_t *)text.ptr, text.len}; }
static plugin_list_u8_t show_bytes(sg_text text) { return (plugin_list_u8_t){(uint8_t *)text.ptr, text.len}; }

// ---------------------------------------------------------------------------------------------- exports

__attribute__((weak)) bool sg_configure(sg_text config, sg_text *message) {
  (void)config, (void)message;
  return true;
}

void exports_plugin_describe(plugin_string_t *ret) {
  *ret = give_cstr(sg_describe());
  release();
}

bool exports_plugin_configure(plugin_string_t *config, plugin_string_t *ret, plugin_string_t *err) {
  sg_text message = {"", 0};
  bool ok = sg_configure(lend_text(config->ptr, config->len), &message);
  *(ok ? ret : err) = give(message);
  release();
  return ok;
}

// <gate>
bool exports_sluicegate_plugin_gate_check(sg_stop *err) {
  *err = (sg_stop){0};
  bool ok = sg_check(err);
  release();
  return ok;
}

// </gate>
// <request|response|chunks>
// What replaces a body, unless it was left as it is.
static void give_option(sg_text out, plugin_option_list_u8_t *ret) {
  ret->is_some = out.ptr != NULL;
  if (ret->is_some) ret->val = give_bytes(out);
}

// </request|response|chunks>
// <request>
__attribute__((weak)) bool sg_request_body(sg_text body, sg_text *out, sg_stop *stop) {
  (void)body, (void)out, (void)stop;
  return true;
}

bool exports_sluicegate_plugin_request_head(uint8_t *ret, sg_stop *err) {
  *err = (sg_stop){0};
  *ret = SG_REQUEST_SKIP;
  bool ok = sg_request_head(ret, err);
  release();
  return ok;
}

bool exports_sluicegate_plugin_request_body(plugin_list_u8_t *body, plugin_option_list_u8_t *ret, sg_stop *err) {
  sg_text out = {NULL, 0};
  *err = (sg_stop){0};
  bool ok = sg_request_body(lend_text(body->ptr, body->len), &out, err);
  if (ok) give_option(out, ret);
  release();
  return ok;
}

// </request>
// <response>
__attribute__((weak)) bool sg_response_body(sg_text body, sg_text *out, sg_stop *stop) {
  (void)body, (void)out, (void)stop;
  return true;
}

bool exports_sluicegate_plugin_response_head(uint8_t *ret, sg_stop *err) {
  *err = (sg_stop){0};
  *ret = SG_SKIP;
  bool ok = sg_response_head(ret, err);
  release();
  return ok;
}

bool exports_sluicegate_plugin_response_body(plugin_list_u8_t *body, plugin_option_list_u8_t *ret, sg_stop *err) {
  sg_text out = {NULL, 0};
  *err = (sg_stop){0};
  bool ok = sg_response_body(lend_text(body->ptr, body->len), &out, err);
  if (ok) give_option(out, ret);
  release();
  return ok;
}

// </response>
// <chunks>
bool exports_sluicegate_plugin_chunks_chunk(plugin_list_u8_t *bytes, bool last, plugin_option_list_u8_t *ret, sg_fault *err) {
  sg_text out = {NULL, 0};
  *err = (sg_fault){0};
  bool ok = sg_chunk(lend_text(bytes->ptr, bytes->len), last, &out, err);
  if (ok) give_option(out, ret);
  release();
  return ok;
}

// </chunks>
// <events>
typedef sluicegate_plugin_types_event_t event_t;

// The events that are sent in place of a batch.
typedef struct batch {
  event_t *ptr;
  size_t len, room;
  // The event that the author sees: replaced, or not sent.
  bool is_replaced, is_dropped, is_changed;
  sg_text data;
} batch;

static event_t *push(batch *out) {
  if (out->len == out->room) {
    out->room = out->room ? 2 * out->room : 8;
    out->ptr = realloc(out->ptr, out->room * sizeof *out->ptr);
    if (!out->ptr) out_of_memory();
  }
  return &out->ptr[out->len++];
}

static void push_new(batch *out, const char *name, sg_text data) {
  *push(out) = (event_t){.name = give_cstr(name), .data = give(data), .id = {.is_some = false}};
}

__attribute__((weak)) bool sg_end(void *last, sg_fault *fault) {
  (void)last, (void)fault;
  return true;
}

void sg_append(void *last, const char *name, sg_text data) { push_new(last, name, data); }

void sg_insert(sg_event *event, const char *name, sg_text data) {
  batch *out = event->batch;
  out->is_changed = true;
  push_new(out, name, data);
}

void sg_replace(sg_event *event, sg_text data) {
  batch *out = event->batch;
  out->is_changed = out->is_replaced = true;
  out->data = data;
}

void sg_drop(sg_event *event) {
  batch *out = event->batch;
  out->is_changed = out->is_dropped = true;
}

// Gives an event that has arrived on, or frees it.
static void settle(batch *out, event_t *from) {
  if (out->is_dropped) {
    sluicegate_plugin_types_event_free(from);
    return;
  }
  if (out->is_replaced) {
    plugin_string_t data = give(out->data);
    plugin_string_free(&from->data);
    from->data = data;
  }
  *push(out) = *from;
}

bool exports_sluicegate_plugin_events_batch(exports_sluicegate_plugin_events_list_event_t *events,
                                            exports_sluicegate_plugin_events_option_list_event_t *ret, sg_fault *err) {
  batch out = {0};
  bool ok = true;
  *err = (sg_fault){0};
  for (size_t i = 0; i < events->len; i++) {
    event_t *from = &events->ptr[i];
    out.is_replaced = out.is_dropped = false;
    if (ok) {
      sg_event event = {sg_of(from->name), sg_of(from->data), from->id.is_some ? sg_of(from->id.val) : (sg_text){NULL, 0}, &out};
      ok = sg_each(&event, err);
    }
    settle(&out, from);
  }
  free(events->ptr);
  ret->is_some = out.is_changed;
  ret->val.ptr = out.ptr;
  ret->val.len = out.len;
  if (!ok || !out.is_changed) {
    for (size_t i = 0; i < out.len; i++) sluicegate_plugin_types_event_free(&out.ptr[i]);
    free(out.ptr);
  }
  release();
  return ok;
}

bool exports_sluicegate_plugin_events_end(exports_sluicegate_plugin_events_list_event_t *ret, sg_fault *err) {
  batch out = {0};
  *err = (sg_fault){0};
  bool ok = sg_end(&out, err);
  ret->ptr = out.ptr;
  ret->len = out.len;
  release();
  return ok;
}

// </events>
// <closing>
void exports_sluicegate_plugin_closing_closed(plugin_string_t *error) {
  sg_closed(lend_text(error->ptr, error->len));
  release();
}

// </closing>
// <observer>
void exports_sluicegate_plugin_observer_observe(exports_sluicegate_plugin_observer_list_summary_t *batch) {
  for (size_t i = 0; i < batch->len; i++) {
    sg_observe(&batch->ptr[i]);
    release();
  }
  exports_sluicegate_plugin_observer_list_summary_free(batch);
}

// </observer>
// ---------------------------------------------------------------------------------------------- refusing and failing

// The error of the last setter that failed.
static sg_fault failed;

static void make_fault(sg_fault *fault, uint16_t status, const char *code, const char *message) {
  *fault = (sg_fault){.status = status, .code = give_cstr(code), .message = give_cstr(message)};
}

bool sg_fail(sg_fault *fault, uint16_t status, const char *code, const char *message) {
  make_fault(fault, status, code, message);
  return false;
}

bool sg_refuse(sg_stop *stop, uint16_t status, const char *code, const char *message) {
  stop->tag = SLUICEGATE_PLUGIN_TYPES_STOP_FAULT;
  return sg_fail(&stop->val.fault, status, code, message);
}

bool sg_pass(sg_stop *stop) {
  stop->tag = SLUICEGATE_PLUGIN_TYPES_STOP_FAULT;
  stop->val.fault = failed;
  failed = (sg_fault){0};
  return false;
}

bool sg_reply(sg_stop *stop, uint16_t status, const char *content_type, sg_text body, const char *reason) {
  stop->tag = SLUICEGATE_PLUGIN_TYPES_STOP_REPLY;
  stop->val.reply = (sluicegate_plugin_types_reply_t){.status = status, .body = give_bytes(body), .reason = give_cstr(reason)};
  sg_stop_field(stop, "content-type", sg_of_cstr(content_type));
  return false;
}

void sg_stop_field(sg_stop *stop, const char *name, sg_text value) {
  sluicegate_plugin_types_list_field_t *fields = &stop->val.reply.fields;
  if (stop->tag == SLUICEGATE_PLUGIN_TYPES_STOP_FAULT) {
    if (!stop->val.fault.fields.is_some) {
      stop->val.fault.fields.is_some = true;
      stop->val.fault.fields.val = (sluicegate_plugin_types_list_field_t){NULL, 0};
    }
    fields = &stop->val.fault.fields.val;
  }
  fields->ptr = realloc(fields->ptr, (fields->len + 1) * sizeof *fields->ptr);
  if (!fields->ptr) out_of_memory();
  fields->ptr[fields->len++] = (sluicegate_plugin_types_field_t){give_cstr(name), give_bytes(value)};
}

void sg_stop_param(sg_stop *stop, const char *param) {
  if (stop->tag != SLUICEGATE_PLUGIN_TYPES_STOP_FAULT) return;
  stop->val.fault.param.is_some = true;
  stop->val.fault.param.val = give_cstr(param);
}

// ---------------------------------------------------------------------------------------------- the exchange

#define GETTER(name)                              \
  sg_text sg_##name(void) {                       \
    plugin_string_t text;                         \
    sluicegate_plugin_exchange_##name(&text);     \
    return lend_text(text.ptr, text.len);         \
  }
GETTER(id)
GETTER(route)
GETTER(client)
GETTER(method)
GETTER(path)
GETTER(query)

uint16_t sg_status(void) { return sluicegate_plugin_exchange_status(); }

bool sg_get(const char *name, sg_text *value) {
  plugin_string_t shown = show(name);
  plugin_list_u8_t got = {NULL, 0};
  bool is_there = sluicegate_plugin_exchange_get(&shown, &got);
  *value = is_there ? lend_text(got.ptr, got.len) : (sg_text){"", 0};
  return is_there;
}

bool sg_request_field(const char *name, sg_text *value) {
  plugin_string_t shown = show(name);
  plugin_list_u8_t got = {NULL, 0};
  bool is_there = sluicegate_plugin_exchange_request_field(&shown, &got);
  *value = is_there ? lend_text(got.ptr, got.len) : (sg_text){"", 0};
  return is_there;
}

bool sg_request_json(const char *pointer, sg_text *json) {
  plugin_string_t shown = show(pointer), got = {NULL, 0};
  bool is_there = sluicegate_plugin_exchange_request_json(&shown, &got);
  *json = is_there ? lend_text(got.ptr, got.len) : (sg_text){"", 0};
  return is_there;
}

bool sg_note(const char *name, sg_text *json) {
  plugin_string_t shown = show(name), got = {NULL, 0};
  bool is_there = sluicegate_plugin_exchange_note(&shown, &got);
  *json = is_there ? lend_text(got.ptr, got.len) : (sg_text){"", 0};
  return is_there;
}

// Keeps the error of a setter for `sg_pass`.
static bool noted(bool ok, sg_fault *fault) {
  if (ok) return true;
  sluicegate_plugin_types_fault_free(&failed);
  failed = *fault;
  return false;
}

bool sg_set_method(const char *method) {
  sg_fault fault;
  plugin_string_t shown = show(method);
  return noted(sluicegate_plugin_exchange_set_method(&shown, &fault), &fault);
}

bool sg_set_path(sg_text path) {
  sg_fault fault;
  plugin_string_t shown = show_text(path);
  return noted(sluicegate_plugin_exchange_set_path(&shown, &fault), &fault);
}

bool sg_set_query(sg_text query) {
  sg_fault fault;
  plugin_string_t shown = show_text(query);
  return noted(sluicegate_plugin_exchange_set_query(&shown, &fault), &fault);
}

bool sg_set_upstream(const char *name) {
  sg_fault fault;
  plugin_string_t shown = show(name);
  return noted(sluicegate_plugin_exchange_set_upstream(&shown, &fault), &fault);
}

bool sg_set_status(uint16_t status) {
  sg_fault fault;
  return noted(sluicegate_plugin_exchange_set_status(status, &fault), &fault);
}

bool sg_set(const char *name, sg_text value) {
  sg_fault fault;
  plugin_string_t shown = show(name);
  plugin_list_u8_t bytes = show_bytes(value);
  return noted(sluicegate_plugin_exchange_set(&shown, &bytes, &fault), &fault);
}

bool sg_add_field(const char *name, sg_text value) {
  sg_fault fault;
  plugin_string_t shown = show(name);
  plugin_list_u8_t bytes = show_bytes(value);
  return noted(sluicegate_plugin_exchange_append(&shown, &bytes, &fault), &fault);
}

bool sg_remove(const char *name) {
  sg_fault fault;
  plugin_string_t shown = show(name);
  return noted(sluicegate_plugin_exchange_remove(&shown, &fault), &fault);
}

bool sg_set_response_field(const char *name, sg_text value) {
  sg_fault fault;
  plugin_string_t shown = show(name);
  plugin_list_u8_t bytes = show_bytes(value);
  return noted(sluicegate_plugin_exchange_set_response_field(&shown, &bytes, &fault), &fault);
}

bool sg_set_note(const char *name, sg_text json) {
  sg_fault fault;
  plugin_string_t shown = show(name), text = show_text(json);
  return noted(sluicegate_plugin_exchange_set_note(&shown, &text, &fault), &fault);
}

bool sg_set_note_text(const char *name, sg_text text) {
  sg_buffer json = {0};
  sg_add_json(&json, text);
  return sg_set_note(name, sg_of_buffer(&json));
}

bool sg_end_body(void) {
  sg_fault fault;
  return noted(sluicegate_plugin_exchange_end_body(&fault), &fault);
}

void sg_log(uint8_t level, const char *message, sg_text fields) {
  plugin_string_t shown = show(message), json = show_text(fields);
  sluicegate_plugin_log_write(level, &shown, &json);
}

// ---------------------------------------------------------------------------------------------- texts

sg_text sg_of_cstr(const char *text) { return (sg_text){text, strlen(text)}; }
sg_text sg_of(plugin_string_t text) { return (sg_text){text.len ? (const char *)text.ptr : "", text.len}; }
sg_text sg_of_buffer(const sg_buffer *buffer) { return (sg_text){buffer->len ? buffer->ptr : "", buffer->len}; }

bool sg_is(sg_text text, const char *other) { return text.len == strlen(other) && !memcmp(text.ptr, other, text.len); }

bool sg_starts_with(sg_text text, const char *start) {
  size_t len = strlen(start);
  return text.len >= len && !memcmp(text.ptr, start, len);
}

ptrdiff_t sg_find(sg_text text, sg_text part) {
  for (size_t at = 0; part.len && at + part.len <= text.len; at++) {
    const char *next = memchr(text.ptr + at, part.ptr[0], text.len - part.len + 1 - at);
    if (!next) break;
    at = (size_t)(next - text.ptr);
    if (!memcmp(next, part.ptr, part.len)) return (ptrdiff_t)at;
  }
  return -1;
}

sg_text sg_keep(sg_text text) {
  char *kept = owned(text.len + 1);
  if (text.len) memcpy(kept, text.ptr, text.len);
  kept[text.len] = 0;
  return (sg_text){kept, text.len};
}

void sg_add(sg_buffer *out, sg_text text) {
  if (!text.len) return;
  if (out->room - out->len < text.len) {
    // The old block stays until the call returns: texts may point into it.
    size_t room = 2 * out->room + text.len + 64;
    char *grown = owned(room);
    if (out->len) memcpy(grown, out->ptr, out->len);
    lend(grown);
    out->ptr = grown;
    out->room = room;
  }
  memcpy(out->ptr + out->len, text.ptr, text.len);
  out->len += text.len;
}

void sg_add_cstr(sg_buffer *out, const char *text) { sg_add(out, sg_of_cstr(text)); }

void sg_add_number(sg_buffer *out, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  sg_add(out, (sg_text){digits + at, sizeof digits - at});
}

void sg_add_json(sg_buffer *out, sg_text text) {
  sg_add_cstr(out, "\"");
  size_t begin = 0;
  for (size_t at = 0; at < text.len; at++) {
    unsigned char byte = (unsigned char)text.ptr[at];
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    sg_add(out, (sg_text){text.ptr + begin, at - begin});
    begin = at + 1;
    const char *hex = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    switch (byte) {
      case '"': sg_add_cstr(out, "\\\""); break;
      case '\\': sg_add_cstr(out, "\\\\"); break;
      case '\n': sg_add_cstr(out, "\\n"); break;
      case '\r': sg_add_cstr(out, "\\r"); break;
      case '\t': sg_add_cstr(out, "\\t"); break;
      default: sg_add(out, (sg_text){escape, sizeof escape});
    }
  }
  sg_add(out, (sg_text){text.ptr + begin, text.len - begin});
  sg_add_cstr(out, "\"");
}

sg_text sg_replace_all(sg_text text, sg_text part, sg_text by) {
  sg_buffer out = {0};
  sg_text rest = text;
  ptrdiff_t at = sg_find(rest, part);
  if (at < 0) return text;
  for (; at >= 0; at = sg_find(rest, part)) {
    sg_add(&out, (sg_text){rest.ptr, (size_t)at});
    sg_add(&out, by);
    rest.ptr += (size_t)at + part.len;
    rest.len -= (size_t)at + part.len;
  }
  sg_add(&out, rest);
  return sg_of_buffer(&out);
}
