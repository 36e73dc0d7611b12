import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeBytes, encodeText } from "../text.js";

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

/** Runs a test with the engine's own functions for Base64, which QuickJS has, and without them. */
function both(name, run) {
  const own = { from: Uint8Array.fromBase64, to: Uint8Array.prototype.toBase64 };
  const set = (from, to) => {
    Uint8Array.fromBase64 = from;
    Uint8Array.prototype.toBase64 = to;
  };
  for (const native of [true, false]) {
    test(`${name}${native ? "" : ", slowly"}`, () => {
      if (native) set((text) => Uint8Array.from(Buffer.from(text, "base64")), function () { return Buffer.from(this).toString("base64"); });
      else set(undefined, undefined);
      try {
        run();
      } finally {
        set(own.from, own.to);
      }
    });
  }
}

/** Small, and the same in every run. */
function* numbers(seed) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

both("text is encoded as the platform does it", () => {
  const texts = ["", "plain", "ü", "模拟", "😀", "a\0b", "\u07ff\u0800\uffff", "\ud83d", "\ude00", "x\ud83dy", "\ud83d\ud83d\ude00"];
  for (const text of texts) assert.deepEqual(encodeText(text), utf8.encode(text), JSON.stringify(text));
});

both("bytes are decoded as the platform does it, broken ones too", () => {
  const cases = [
    [],
    [0x61],
    [0xc3, 0xbc],
    [0xf0, 0x9f, 0x98, 0x80],
    [0x80],
    [0xc0, 0x80],
    [0xe0, 0x80, 0x80],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf0, 0x9f, 0x98],
    [0xf0, 0x9f, 0x61],
    [0xe6, 0xa8],
    [0xff, 0xfe, 0x61],
    [0xf5, 0x80, 0x80, 0x80],
  ];
  for (const bytes of cases) {
    const given = Uint8Array.from(bytes);
    assert.equal(decodeBytes(given), fromUtf8.decode(given), bytes.map((byte) => byte.toString(16)).join(" "));
  }
});

both("any bytes are decoded as the platform does it", () => {
  const next = numbers(1);
  // Bytes that begin and continue characters are more likely to be wrong in an interesting way.
  const likely = [0x61, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xdf, 0xe0, 0xe6, 0xed, 0xef, 0xf0, 0xf3, 0xf4];
  for (let round = 0; round < 20_000; round++) {
    const length = Math.floor(next.next().value * 7);
    const given = Uint8Array.from({ length }, () => likely[Math.floor(next.next().value * likely.length)]);
    assert.equal(decodeBytes(given), new TextDecoder("utf-8", { ignoreBOM: true }).decode(given), given.join(" "));
  }
});

both("what is longer than one call's arguments comes back", () => {
  const text = "模拟 and plain ".repeat(20_000);
  assert.equal(decodeBytes(encodeText(text)), text);
});
