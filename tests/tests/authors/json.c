// Checks the kit's JSON functions where they run. The first thing that is wrong is why the plugin is not loaded.
#include "sluicegate.h"

#define MUST(condition) \
  if (!(condition)) return wrong(message, #condition)

static bool wrong(sg_text *message, const char *what) {
  *message = sg_of_cstr(what);
  return false;
}

static bool finds(const char *json, const char *pointer, const char *wanted) {
  sg_text value;
  return sg_json_find(sg_of_cstr(json), pointer, &value) && sg_is(value, wanted);
}

static bool lacks(const char *json, const char *pointer) {
  sg_text value;
  return !sg_json_find(sg_of_cstr(json), pointer, &value);
}

static bool decodes(const char *json, const char *wanted) {
  sg_text text;
  return sg_json_text(sg_of_cstr(json), &text) && sg_is(text, wanted);
}

const char *sg_describe(void) { return SG_MANIFEST("json", "1", "Checks"); }

bool sg_configure(sg_text config, sg_text *message) {
  (void)config;
  MUST(finds(" {\"a\" : [1, {\"b\":\"x\"}, -2.5e3]} ", "/a/1/b", "\"x\""));
  MUST(finds("{\"a\":[1,2,-2.5e3]}", "/a/2", "-2.5e3"));
  MUST(finds("{\"a\":{}}", "/a", "{}"));
  MUST(finds("[[],[[]],3]", "/1/0", "[]"));
  MUST(finds("{\"\":1}", "/", "1"));
  MUST(finds("true", "", "true"));
  // Brackets and quotes in strings, and keys that are values elsewhere.
  MUST(finds("{\"x\":\"}]\\\"{\",\"a\":null}", "/a", "null"));
  MUST(finds("{\"x\":\"a\",\"a\":7}", "/a", "7"));
  MUST(finds("{\"b\":{\"a\":1},\"a\":2}", "/a", "2"));
  // The last of equal members counts; a key with escapes is the same key.
  MUST(finds("{\"a\":1,\"a\":2}", "/a", "2"));
  MUST(finds("{\"\\u0061\":3}", "/a", "3"));
  MUST(finds("{\"a/b\":{\"c~d\":4}}", "/a~1b/c~0d", "4"));
  MUST(lacks("{\"ab\":1}", "/a"));
  MUST(lacks("{\"a\":1}", "/ab"));
  MUST(lacks("{\"a\":1}", "a"));
  MUST(lacks("[1]", "/1"));
  MUST(lacks("[1]", "/-"));
  MUST(lacks("[1]", "/01"));
  MUST(lacks("[]", "/0"));
  MUST(lacks("{}", "/a"));
  MUST(lacks("\"a\"", "/a"));
  // What is no JSON, as far as it is read.
  MUST(lacks("", ""));
  MUST(lacks("{\"a\":", "/a"));
  MUST(lacks("{\"a\":1", "/a"));
  MUST(lacks("{\"a\" 1}", "/a"));
  MUST(lacks("{a:1}", "/a"));
  MUST(lacks("{\"a\":\"x", "/a"));
  MUST(lacks("{\"a\":\"x\\", "/a"));
  MUST(decodes("\"a\\n\\\"\\\\\\/\\u00e9\\ud83d\\ude00\"", "a\n\"\\/\xc3\xa9\xf0\x9f\x98\x80"));
  MUST(decodes("\"\\ud83d\"", "\xef\xbf\xbd"));
  MUST(decodes("\"\"", ""));
  MUST(!decodes("\"\\x\"", ""));
  MUST(!decodes("\"\\u12\"", ""));
  MUST(!decodes("12", "12"));

  sg_text json = sg_of_cstr("{\"a\": \"x\", \"b\":2}"), value;
  MUST(sg_json_find(json, "/a", &value));
  MUST(sg_is(sg_json_put(json, value, sg_of_cstr("q\"\t\x01")), "{\"a\": \"q\\\"\\t\\u0001\", \"b\":2}"));
  sg_text text = sg_of_cstr("abab");
  MUST(sg_is(sg_replace_all(text, sg_of_cstr("ab"), sg_of_cstr("c")), "cc"));
  MUST(sg_replace_all(text, sg_of_cstr("x"), sg_of_cstr("c")).ptr == text.ptr);
  MUST(sg_find(text, sg_of_cstr("ba")) == 1 && sg_find(text, sg_of_cstr("bb")) == -1 && sg_find(text, sg_of_cstr("")) == -1);

  // Nesting costs no stack.
  sg_buffer deep = {0};
  for (int i = 0; i < 1000000; i++) sg_add_cstr(&deep, "[");
  for (int i = 0; i < 1000000; i++) sg_add_cstr(&deep, "]");
  MUST(sg_json_find(sg_of_buffer(&deep), "/0/0", &value) && value.len == 2000000 - 4);
  return true;
}

bool sg_check(sg_stop *stop) {
  (void)stop;
  return true;
}
