import assert from "node:assert/strict";
import { test } from "node:test";
import { apply, candidates, compile, NotANumber } from "../src/rules.js";

const CONTEXT = { route: "/v1/chat/completions", tenant: "blue", date: "2026-11-27" };
const user = { role: "user", content: "Hi" };

function applied(rule, chat, variables) {
  const full = { model: "qwen3:32b", messages: [user], ...chat };
  const name = apply(compile({ rules: [{ name: "r", ...rule }], variables }), full, CONTEXT);
  return name === undefined ? undefined : full;
}

test("the first rule that fits is applied", () => {
  const compiled = compile({
    rules: [
      { name: "other", route: "/other" },
      { name: "tenant", tenant: "red*" },
      { name: "model", model: "llama*" },
      { name: "qwen", model: "q*3:*b" },
      { name: "rest" },
    ],
  });
  const chat = (model) => ({ model, messages: [] });
  assert.equal(apply(compiled, chat("qwen3:32b"), CONTEXT), "qwen");
  assert.equal(apply(compiled, chat("qwen3:32b."), CONTEXT), "rest");
  assert.equal(apply(compiled, chat("llama3"), CONTEXT), "model");
  assert.equal(apply(compiled, chat("llama3"), { ...CONTEXT, tenant: "red-1" }), "tenant");
  assert.deepEqual(candidates(compiled.rules.slice(0, 2), CONTEXT), []);
});

test("variables get their values, and those of a client are never read", () => {
  const { messages } = applied(
    { system: "{{company}}: {{ model }}, {{tenant}}, {{route}}, {{date}}" },
    { messages: [{ role: "user", content: "{{company}}" }] },
    { company: "Acme {{date}}" },
  );
  assert.deepEqual(messages, [
    { role: "system", content: "Acme {{date}}: qwen3:32b, blue, /v1/chat/completions, 2026-11-27" },
    { role: "user", content: "{{company}}" },
  ]);
});

test("a system message of the client is joined, replaced or left", () => {
  const own = { role: "system", content: "own", name: "n" };
  const placed = (place, message = own) => applied({ system: "ours", place }, { messages: [structuredClone(message), user] }).messages;
  assert.deepEqual(placed("before"), [{ ...own, content: "ours\n\nown" }, user]);
  assert.deepEqual(placed("after"), [{ ...own, content: "own\n\nours" }, user]);
  assert.deepEqual(placed("replace"), [{ role: "system", content: "ours" }, user]);
  assert.deepEqual(placed("if-missing"), [own, user]);
  const parts = { role: "developer", content: [{ type: "text", text: "own" }] };
  const texts = (place) => placed(place, parts)[0].content.map((part) => part.text);
  assert.deepEqual(texts("before"), ["ours", "own"]);
  assert.deepEqual(texts("after"), ["own", "ours"]);
});

test("defaults are for what is missing, caps for what is too much", () => {
  const rule = { defaults: { temperature: 0.2, seed: 7 }, caps: { max_tokens: 100, temperature: 1 }, remove: ["logit_bias"] };
  const { messages, model, ...parameters } = applied(rule, { temperature: 2, seed: null, logit_bias: {}, other: [1] });
  assert.deepEqual(parameters, { temperature: 1, seed: 7, max_tokens: 100, other: [1] });
  assert.equal(applied(rule, { max_tokens: 50 }).max_tokens, 50);
  const both = applied(rule, { max_completion_tokens: 500 });
  assert.equal(both.max_completion_tokens, 100);
  assert.equal(both.max_tokens, undefined);
  assert.throws(() => applied(rule, { max_tokens: "9000" }), NotANumber);
});

test("what is no chat is left alone", () => {
  const compiled = compile({ rules: [{ name: "r", caps: { max_tokens: 1 } }] });
  for (const body of [{ model: "a", input: "b" }, { messages: [] }, { model: 1, messages: [] }]) {
    assert.equal(apply(compiled, body, CONTEXT), undefined);
    assert.equal(body.max_tokens, undefined);
  }
});

test("all problems of a configuration are named", () => {
  const config = {
    variables: { date: "x", a: "y" },
    rules: [{ name: "r", system: "{{a}} {{b}}", defaults: { model: "x" }, remove: ["messages"] }],
  };
  assert.throws(() => compile(config), (error) => {
    const lines = error.message.split("\n");
    assert.equal(lines.length, 4);
    assert.match(lines[0], /variables\.date/);
    assert.match(lines[1], /rules\[0\]\.system: there is no variable \{\{b\}\}; there are model, tenant, route, date, a/);
    assert.match(lines[2], /rules\[0\]\.defaults: `model`/);
    assert.match(lines[3], /rules\[0\]\.remove: `messages`/);
    return true;
  });
});
