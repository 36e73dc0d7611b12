import assert from "node:assert/strict";
import { test } from "node:test";
import { beginning, Window } from "../window.js";

const WORDS = ["simulation", "simple"];

function whole(parts, most) {
  const change = (text) => text.replaceAll("simulation", "[1]").replaceAll("simple", "[2]");
  const window = new Window({ waits: (text) => beginning(text, WORDS), change, most });
  return [...parts.map((part) => window.push(part)), window.end()];
}

test("a word is found however it is split", () => {
  const text = "no simulation, sim, simple";
  for (let first = 0; first <= text.length; first++) {
    for (let second = first; second <= text.length; second++) {
      const parts = [text.slice(0, first), text.slice(first, second), text.slice(second)];
      assert.equal(whole(parts).join(""), "no [1], sim, [2]", JSON.stringify(parts));
    }
  }
});

test("only what may be the beginning of a word waits", () => {
  assert.deepEqual(whole(["a sim", "ilar"]), ["a ", "similar", ""]);
});

test("no more than the bound waits", () => {
  assert.deepEqual(whole(["simulat", "ion"], 3), ["simulat", "ion", ""]);
});
