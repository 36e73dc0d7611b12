import assert from "node:assert/strict";
import { test } from "node:test";
// Made of src/links.ts by `npm test`.
import { hosts, Links } from "../build/links.js";

const RULES = { allows: hosts(["example.com", "*.example.org"]), replacement: "[-]" };

/** What becomes of a text, which has to be the same however the text is split. */
function changed(text, rules = RULES) {
  const run = (...parts) => {
    const links = new Links(rules);
    return parts.map((part) => links.push(part)).join("") + links.end();
  };
  const whole = run(text);
  for (let at = 1; at < text.length; at++) assert.equal(run(text.slice(0, at), text.slice(at)), whole, `split at ${at}: ${text}`);
  // By UTF-16 units: a text of JSON may be cut inside of a pair.
  assert.equal(run(...text.split("")), whole, text);
  return whole;
}

test("links to listed hosts stay as they are", () => {
  for (const text of [
    "See https://example.com.",
    "[a](https://example.com/b?c=d#e), and http://EXAMPLE.com:80/x",
    "https://user@example.com/",
    "deep: https://a.b.example.org/模拟 and 见https://example.com。好",
    "https://example.com",
    "<a href='//example.com/x'>",
  ]) {
    assert.equal(changed(text), text);
  }
});

test("other links are replaced, and the sentence stays", () => {
  assert.equal(changed("See https://evil.com/a?b=c."), "See [-].");
  assert.equal(changed("![x](https://evil.com/?q=secret) (http://evil.com)"), "![x]([-]) ([-])");
  assert.equal(changed("**https://evil.com**, www.evil.com!"), "**[-]**, [-]!");
  assert.equal(changed('<img src="https://evil.com/x"> <img src=//evil.com/x>'), '<img src="[-]"> <img src=[-]>');
  assert.equal(changed("https://example.org"), "[-]");
  assert.equal(changed("见https://evil.com/，好"), "见[-]，好");
  assert.equal(changed("https://evil.com/😀 😀"), "[-] 😀");
});

test("what only looks like a listed host is another one", () => {
  for (const link of [
    "https://example.com.evil.com/",
    "https://example.com@evil.com/",
    "https://example.com:80@evil.com/",
    "https://evil.com\\@example.com",
    "https://example.com\\.evil.com/",
    "https://example.com。evil.com/",
    "https://example.com&period;evil.com/",
    "https://example.com&#46;evil.com/",
    "https://notexample.com/",
    "https://.example.org/",
    `https://example.com${"a".repeat(400)}`,
  ]) {
    assert.equal(changed(link), "[-]", link);
  }
});

test("what a browser takes for a link is one", () => {
  for (const link of [
    "HTTPS://evil.com",
    "https:/evil.com",
    "https:\\\\evil.com",
    "https\\://evil.com",
    "https&#58;//evil.com",
    "https&colon;&sol;&sol;evil.com",
    "https:///evil.com",
  ]) {
    assert.equal(changed(`![](${link})`), "![]([-])", link);
  }
});

test("words that only begin like a link are words", () => {
  for (const text of ["with http", "the https protocol", "h", "ww", "a // b", "x = 1 / 2 // comment", "ahttp: w www", "http:", "e.g. (/ a)"]) {
    assert.equal(changed(text), text);
  }
});

test("only what may become a link waits", () => {
  const links = new Links(RULES);
  assert.equal(links.push("go to ht"), "go to ");
  assert.equal(links.push("tps://example.com/a"), "https://example.com/a");
  assert.equal(links.push("/b c "), "/b c ");
  assert.equal(links.push("https://evil.com/" + "x".repeat(100_000)), "[-]");
  assert.equal(links.push("yyy"), "");
  assert.equal(links.push(" end"), " end");
  assert.equal(links.refused, 1);
});

test("a redirection has the link percent-encoded", () => {
  const rules = { ...RULES, redirect: "https://example.com/to?" };
  assert.equal(changed("(https://evil.com/a?b=ü😀)", rules), "(https://example.com/to?https%3A%2F%2Fevil.com%2Fa%3Fb%3D%C3%BC%F0%9F%98%80)");
});

test("hosts that cannot be are named", () => {
  assert.throws(() => hosts(["https://a.com", "b.com", "*"]), (error) => {
    assert.deepEqual(error.message.split("\n").map((line) => line.split("`")[1]), ["https://a.com", "*"]);
    return true;
  });
});
