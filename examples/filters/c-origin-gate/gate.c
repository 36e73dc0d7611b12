// origin-gate: lets only requests through that come by way of the proxy in front of the gateway.
//
// That proxy sends a header field with a secret. A request without it, or with another value, is refused; otherwise the field is
// removed, so that no model server sees it. The comparison takes the same time whatever a client sends, and the rule allocates
// nothing.
#include "sluicegate.h"

static const char *header = "x-origin-secret";
static sg_text secret;

const char *sg_describe(void) {
  // It refuses every request without the secret: its routes are not open to everybody.
  return "{\"name\":\"origin-gate\",\"version\":\"0.1.0\",\"summary\":\"Lets only requests through that come by way of a proxy\","
         "\"authenticates\":true,\"config\":" SG_CONFIG_SCHEMA "}";
}

bool sg_configure(sg_text config, sg_text *message) {
  sg_text text;
  // What is kept ends with NUL.
  if (sg_json_get(config, "/header", &text)) header = sg_keep(text).ptr;
  if (!sg_json_get(config, "/secret", &text)) {
    *message = sg_of_cstr("`secret` is missing");
    return false;
  }
  secret = sg_keep(text);
  return true;
}

// Compares without telling by its time how much of a guess is right: as many steps for every value.
static bool is_secret(sg_text value) {
  size_t different = value.len ^ secret.len;
  for (size_t i = 0; i < secret.len; i++) {
    unsigned char guess = value.len ? (unsigned char)value.ptr[i % value.len] : 0;
    different |= (size_t)(guess ^ (unsigned char)secret.ptr[i]);
  }
  return different == 0;
}

bool sg_check(sg_stop *stop) {
  sg_text value;
  sg_get(header, &value);
  if (!is_secret(value)) return sg_refuse(stop, 403, "not_through_the_proxy", "requests come by way of the proxy only");
  return sg_remove(header) || sg_pass(stop);
}
