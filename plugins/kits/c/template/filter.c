// {{name}}: an example rule for each phase in which the plugin takes part. Change it to your own.
//
// Every exchange gets its own instance, made from the memory as `sg_configure` left it: nothing of one exchange is seen by
// another, and static variables belong to one exchange. kit/sluicegate.h says what there is.
#include "sluicegate.h"

// <gate>
static sg_text header;
// </gate>
// <request>
static sg_text model;
// </request>
// <response|events>
static sg_text word, by;
// </response|events>
// <chunks>
static uint64_t seen;
// </chunks>

const char *sg_describe(void) { return SG_MANIFEST("{{name}}", "0.1.0", "An example"); }

// <gate|request|response|events>
// A member of the configuration that is kept; the schema says that it is there.
static bool keep(sg_text config, const char *pointer, sg_text *to) {
  if (!sg_json_get(config, pointer, to)) return false;
  *to = sg_keep(*to);
  return true;
}

bool sg_configure(sg_text config, sg_text *message) {
  bool ok = true;
  // <gate>
  ok = ok && keep(config, "/header", &header);
  // </gate>
  // <request>
  ok = ok && keep(config, "/model", &model);
  // </request>
  // <response|events>
  ok = ok && keep(config, "/word", &word) && keep(config, "/by", &by);
  // </response|events>
  if (!ok) *message = sg_of_cstr("a member of the configuration is missing");
  return ok;
}

// </gate|request|response|events>
// <gate>
// Refuses requests without the header field, before anything of their body is read.
bool sg_check(sg_stop *stop) {
  sg_text value;
  if (sg_get(header.ptr, &value)) return true;
  sg_buffer message = {0};
  sg_add_cstr(&message, "send the header field ");
  sg_add(&message, header);
  sg_add(&message, (sg_text){"", 1});
  return sg_refuse(stop, 401, "missing_header", message.ptr);
}

// </gate>
// <request>
// Asks for the whole body.
bool sg_request_head(uint8_t *plan, sg_stop *stop) {
  (void)stop;
  *plan = SG_REQUEST_WHOLE;
  return true;
}

// Sets the model.
bool sg_request_body(sg_text body, sg_text *out, sg_stop *stop) {
  (void)stop;
  sg_text value;
  if (sg_json_find(body, "/model", &value)) *out = sg_json_put(body, value, model);
  return true;
}

// </request>
// <response|events>
// The document with the word replaced in the text at this place; an empty pointer if there is nothing to replace.
static sg_text without_word(sg_text document, const char *place) {
  sg_text value, text;
  if (!sg_json_find(document, place, &value) || !sg_json_text(value, &text) || sg_find(text, word) < 0) return (sg_text){NULL, 0};
  return sg_json_put(document, value, sg_replace_all(text, word, by));
}

// </response|events>
// <response>
// Says how the body is to be seen, by its form. Errors come here, too: `sg_status` tells them apart.
bool sg_response_head(uint8_t *plan, sg_stop *stop) {
  if (!sg_set("x-plugin", sg_of_cstr("{{name}}"))) return sg_pass(stop);
  sg_text form;
  sg_get("content-type", &form);
  if (sg_starts_with(form, "application/json")) *plan = SG_WHOLE;
  // <events>
  else if (sg_starts_with(form, "text/event-stream")) *plan = SG_SSE;
  // </events>
  // <chunks>
  else *plan = SG_CHUNKS;
  // </chunks>
  return true;
}

// Replaces the word in a whole response.
bool sg_response_body(sg_text body, sg_text *out, sg_stop *stop) {
  (void)stop;
  *out = without_word(body, "/choices/0/message/content");
  return true;
}

// </response>
// <chunks>
// Counts the bytes of other responses as they arrive, and says how many there were.
bool sg_chunk(sg_text bytes, bool last, sg_text *out, sg_fault *fault) {
  (void)out, (void)fault;
  seen += bytes.len;
  if (last) {
    sg_buffer json = {0};
    sg_add_number(&json, seen);
    sg_set_note("bytes", sg_of_buffer(&json));
  }
  return true;
}

// </chunks>
// <events>
// Replaces the word in the events of a stream. A model may send a word in two events: hold the end of a text back if that
// matters.
bool sg_each(sg_event *event, sg_fault *fault) {
  (void)fault;
  sg_text data = without_word(event->data, "/choices/0/delta/content");
  if (data.ptr) sg_replace(event, data);
  return true;
}

// </events>
// <closing>
// The exchange is over, however it ended.
void sg_closed(sg_text error) {
  sg_buffer fields = {0};
  sg_add_cstr(&fields, "{\"status\":");
  sg_add_number(&fields, sg_status());
  sg_add_cstr(&fields, ",\"failure\":");
  sg_add_json(&fields, error);
  sg_add_cstr(&fields, "}");
  sg_log(SG_INFO, "an exchange is over", sg_of_buffer(&fields));
}

// </closing>
// <observer>
// An exchange that is over, off the path of traffic.
void sg_observe(const sg_summary *summary) {
  sg_buffer fields = {0};
  sg_add_cstr(&fields, "{\"id\":");
  sg_add_json(&fields, sg_of(summary->id));
  sg_add_cstr(&fields, ",\"status\":");
  sg_add_number(&fields, summary->status);
  sg_add_cstr(&fields, ",\"milliseconds\":");
  sg_add_number(&fields, summary->duration_us / 1000);
  sg_add_cstr(&fields, "}");
  sg_log(SG_INFO, "an exchange was observed", sg_of_buffer(&fields));
}

// </observer>
