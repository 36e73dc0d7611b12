import assert from "node:assert/strict";
import { test } from "node:test";
import { choices, chunkOf, event, mapChunks, mapTexts, messages, texts } from "../chat.js";

const delta = (content) => ({ name: "", data: JSON.stringify({ choices: [{ delta: { content } }], unknown: [1] }), id: undefined });
const DONE = { name: "", data: "[DONE]", id: undefined };

test("a batch in which nothing changes is given back as nothing", () => {
  assert.equal(mapChunks([delta("a"), DONE], () => undefined), undefined);
});

test("chunks are changed, dropped and multiplied, and keep what is not known", () => {
  const changed = mapChunks([delta("a"), delta("b"), delta("c"), DONE], (chunk) => {
    const { content } = chunk.choices[0].delta;
    if (content === "a") return null;
    if (content === "b") return [chunk, { more: true }];
    return undefined;
  });
  assert.deepEqual(changed, [delta("b"), event({ more: true }), delta("c"), DONE]);
});

test("a changed event keeps its name and its id", () => {
  const given = { name: "delta", data: "{}", id: "7" };
  assert.deepEqual(mapChunks([given], () => ({ a: 1 })), [{ name: "delta", data: '{"a":1}', id: "7" }]);
});

test("only objects in JSON are chunks", () => {
  for (const data of ["[DONE]", "", "1", "null", "[1]", "{broken", '"{}"']) assert.equal(chunkOf({ data }), undefined, data);
  assert.deepEqual(chunkOf({ data: ' {"a":1}' }), { a: 1 });
});

test("lists of choices and messages may be missing or wrong", () => {
  assert.deepEqual(choices({}), []);
  assert.deepEqual(choices({ choices: [null, { index: 0 }, 3] }), [{ index: 0 }]);
  assert.deepEqual(messages({ messages: "none" }), []);
});

test("the texts of a message are those of its content or of its parts", () => {
  const parts = { content: [{ type: "text", text: "a" }, { type: "image_url", image_url: {} }, null, { type: "text", text: "b" }] };
  assert.deepEqual(texts({ content: "a" }), ["a"]);
  assert.deepEqual(texts(parts), ["a", "b"]);
  assert.deepEqual(texts({ content: null }), []);
  assert.equal(mapTexts(parts, (text) => text.toUpperCase()), true);
  assert.deepEqual(texts(parts), ["A", "B"]);
  assert.equal(mapTexts(parts, (text) => text), false);
});
