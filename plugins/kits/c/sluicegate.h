// What an author in C includes. Written by `sluicegate plugin build`; the functions that you implement come first, and only those
// for what `exports` in plugin.toml names.
//
// Ownership is one rule: what a function here gives you lives until the function that the gateway called returns, and there is
// nothing to free. What you give back is copied. What is to live longer, such as the configuration, is kept with `sg_keep`.
//
// Errors are one rule, too: a function that can fail returns false. Then `return sg_refuse(…)` refuses with words of your own,
// `return sg_pass(…)` with the gateway's.
#ifndef SLUICEGATE_H
#define SLUICEGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config_schema.h"
#include "plugin.h"

// Bytes that belong to somebody else: UTF-8 where the contract says text. Not ended by NUL.
typedef struct sg_text {
  const char *ptr;
  size_t len;
} sg_text;

// A text that grows, see `sg_add`. Begin with `sg_buffer out = {0};`. It lives as long as other texts.
typedef struct sg_buffer {
  char *ptr;
  size_t len;
  size_t room;
} sg_buffer;

// Why an exchange does not go on: a refusal, a failure, or a response of your own.
typedef sluicegate_plugin_types_stop_t sg_stop;
// Why a stream ends: a failure.
typedef sluicegate_plugin_types_fault_t sg_fault;

// ---------------------------------------------------------------------------------------------- what you implement

// The manifest, as JSON text that stays: see SG_MANIFEST.
const char *sg_describe(void);

// The text of a manifest. The schema is that of config.schema.json.
#define SG_MANIFEST(name, version, summary) \
  "{\"name\":\"" name "\",\"version\":\"" version "\",\"summary\":\"" summary "\",\"config\":" SG_CONFIG_SCHEMA "}"

// Takes the operator's configuration, which fits the schema. Called once, when the plugin is loaded; every exchange starts from
// the memory as it is then, so parse here. If it returns false, the plugin is not loaded and `*message` says why; else it is a
// line for the log, or empty. Optional.
bool sg_configure(sg_text config, sg_text *message);

// <gate>
// Decides on a request when its head is complete, before its body is read.
bool sg_check(sg_stop *stop);

// </gate>
// <request>
// How a stage wants to see a request body: not at all, without its bytes (for `sg_request_json`), as a whole.
enum { SG_REQUEST_SKIP, SG_REQUEST_LOOK, SG_REQUEST_WHOLE };
// The request head.
bool sg_request_head(uint8_t *plan, sg_stop *stop);
// The request body. `*out` replaces it; left as it is, the body stays. Optional.
bool sg_request_body(sg_text body, sg_text *out, sg_stop *stop);

// </request>
// <response>
// How a stage wants to see a response body: not at all, as a whole, as bytes when they arrive (export `chunks`), as events that
// are sent as events or lines, or as events of which `sg_end` makes one body (export `events`).
enum { SG_SKIP, SG_WHOLE, SG_CHUNKS, SG_SSE, SG_NDJSON, SG_DOCUMENT };
// The response head, of any status; `*plan` is SG_SKIP.
bool sg_response_head(uint8_t *plan, sg_stop *stop);
// The response body, if the plan was SG_WHOLE. `*out` replaces it; left as it is, the body stays. Optional.
bool sg_response_body(sg_text body, sg_text *out, sg_stop *stop);

// </response>
// <chunks>
// Bytes that have arrived. `*out` replaces them (empty: nothing is sent); left as it is, they stay.
bool sg_chunk(sg_text bytes, bool last, sg_text *out, sg_fault *fault);

// </chunks>
// <events>
// An event of a stream, and what becomes of it.
typedef struct sg_event {
  // "" if there is none.
  sg_text name;
  sg_text data;
  // NULL if there is none.
  sg_text id;
  // Private to the kit.
  void *batch;
} sg_event;
// An event that has arrived. It stays as it is unless one of the functions below is called. Batches of which all events stay cost
// no copy.
bool sg_each(sg_event *event, sg_fault *fault);
// Replaces its data.
void sg_replace(sg_event *event, sg_text data);
// Sends it without this event.
void sg_drop(sg_event *event);
// Sends an event before this one; `name` may be "".
void sg_insert(sg_event *event, const char *name, sg_text data);
// The end of a stream that has not failed. Optional.
bool sg_end(void *last, sg_fault *fault);
// Adds an event at the end of the stream; after SG_DOCUMENT exactly one, whose data is the body.
void sg_append(void *last, const char *name, sg_text data);

// </events>
// <closing>
// The exchange is over; `error` is empty or a code such as `client_closed`. Only notes can still be set.
void sg_closed(sg_text error);

// </closing>
// <observer>
// An exchange that is over; `sg_of` makes texts of its members.
typedef exports_sluicegate_plugin_observer_summary_t sg_summary;
// Takes one that is over, in the order in which they ended.
void sg_observe(const sg_summary *summary);

// </observer>
// ---------------------------------------------------------------------------------------------- refusing and failing

// Refuses the exchange: `return sg_refuse(stop, 401, "missing_key", "send a key");`. Always false.
bool sg_refuse(sg_stop *stop, uint16_t status, const char *code, const char *message);
// Refuses with the error of the setter that has just failed. Always false.
bool sg_pass(sg_stop *stop);
// Sends a response of your own; `reason` is a dotted label for logs, such as `cache.hit`. Always false.
bool sg_reply(sg_stop *stop, uint16_t status, const char *content_type, sg_text body, const char *reason);
// Ends the stream with an error. Always false.
bool sg_fail(sg_fault *fault, uint16_t status, const char *code, const char *message);
// Adds a header field to a refusal or a response.
void sg_stop_field(sg_stop *stop, const char *name, sg_text value);
// Says which parameter of the request is to blame, such as `messages[0].role`.
void sg_stop_param(sg_stop *stop, const char *param);

// ---------------------------------------------------------------------------------------------- the exchange

// Getters give an empty text where there is nothing; `sg_get` and the like also say so.
sg_text sg_id(void);
sg_text sg_route(void);
sg_text sg_client(void);
sg_text sg_method(void);
sg_text sg_path(void);
sg_text sg_query(void);
uint16_t sg_status(void);
// The first field of this name, in any letter case: of the request in request phases, later of the response.
bool sg_get(const char *name, sg_text *value);
// The first request field of this name, in every phase.
bool sg_request_field(const char *name, sg_text *value);
// The JSON text at a JSON Pointer in the request body.
bool sg_request_json(const char *pointer, sg_text *json);
// A note as JSON text.
bool sg_note(const char *name, sg_text *json);

// Setters return false if the contract does not allow it; see the comments in plugin.h and kit/wit.
bool sg_set_method(const char *method);
bool sg_set_path(sg_text path);
bool sg_set_query(sg_text query);
bool sg_set_upstream(const char *name);
bool sg_set_status(uint16_t status);
bool sg_set(const char *name, sg_text value);
bool sg_add_field(const char *name, sg_text value);
bool sg_remove(const char *name);
bool sg_set_response_field(const char *name, sg_text value);
// Sets a note to JSON text, or to a text.
bool sg_set_note(const char *name, sg_text json);
bool sg_set_note_text(const char *name, sg_text text);
// Ends the body with the events of this batch. Only in `sg_each`.
bool sg_end_body(void);

enum { SG_TRACE, SG_DEBUG, SG_INFO, SG_WARN, SG_ERROR };
// Writes a line to the gateway's log; `fields` is a JSON object, or empty.
void sg_log(uint8_t level, const char *message, sg_text fields);

// ---------------------------------------------------------------------------------------------- texts

// A literal or any text that ends with NUL.
sg_text sg_of_cstr(const char *text);
// A text of the generated bindings.
sg_text sg_of(plugin_string_t text);
bool sg_is(sg_text text, const char *other);
bool sg_starts_with(sg_text text, const char *start);
// Where `part` is in `text`, or -1.
ptrdiff_t sg_find(sg_text text, sg_text part);
// A copy that lives for ever, for the configuration. It ends with NUL.
sg_text sg_keep(sg_text text);

void sg_add(sg_buffer *out, sg_text text);
void sg_add_cstr(sg_buffer *out, const char *text);
void sg_add_number(sg_buffer *out, uint64_t number);
// Adds a text as a JSON string, with its quotes.
void sg_add_json(sg_buffer *out, sg_text text);
// A text with all occurrences of a part replaced; the same text if there are none.
sg_text sg_replace_all(sg_text text, sg_text part, sg_text by);
sg_text sg_of_buffer(const sg_buffer *buffer);

// ---------------------------------------------------------------------------------------------- JSON, by spans

// The kit has no tree of values. It finds where a value is in a text, and the rest of the text stays as it is.

// The span of the value at a JSON Pointer such as `/choices/0/delta/content`. False if there is none, or the text is not JSON as
// far as it was read. Of members with the same name the last one counts, as for model servers.
bool sg_json_find(sg_text json, const char *pointer, sg_text *value);
// The text of a string value. False if it is no string.
bool sg_json_text(sg_text value, sg_text *text);
// The text at a JSON Pointer.
bool sg_json_get(sg_text json, const char *pointer, sg_text *text);
// The JSON text with a span of it, which `sg_json_find` gave, replaced by a string.
sg_text sg_json_put(sg_text json, sg_text value, sg_text text);

#endif
