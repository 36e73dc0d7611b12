import assert from "node:assert/strict";
import { test } from "node:test";
import { CapabilityError, httpOver, kvOver, metricsOver, rateOver } from "../capabilities.js";

const utf8 = (value) => new TextEncoder().encode(value);
const text = (value) => new TextDecoder().decode(value);

function thrown(call) {
  try {
    call();
  } catch (error) {
    return error;
  }
  assert.fail("nothing was thrown");
}

test("an error is a value with a code, in both engines", () => {
  for (const raw of [{ payload: "denied" }, "denied"]) {
    const error = thrown(() => kvOver({ get() { throw raw; } }).get("k"));
    assert.ok(error instanceof CapabilityError);
    assert.deepEqual([error.code, error.message], ["denied", "kv.get: denied"]);
  }
  const mistake = thrown(() => kvOver({ get() { return undefined.x; } }).get("k"));
  assert.ok(mistake instanceof TypeError);
});

test("values are bytes, texts and JSON", () => {
  const calls = [];
  const kv = kvOver({
    get: (key) => ({ a: utf8('{"b":"ü"}'), none: null })[key],
    set: (key, value, ttl) => calls.push([key, text(value), ttl]),
    insert: () => true,
    add: (key, by, ttl) => (calls.push([key, by, ttl]), 7n),
    delete: (key) => calls.push([key]),
  });
  assert.deepEqual(kv.getJson("a"), { b: "ü" });
  assert.equal(kv.getText("a"), '{"b":"ü"}');
  assert.equal(kv.get("none"), undefined);
  assert.equal(kv.getJson("missing"), undefined);
  kv.set("k", { c: 1 }, { ttlMs: 5 });
  assert.equal(kv.insert("k", "v"), true);
  assert.equal(kv.add("n"), 7);
  kv.delete("k");
  assert.deepEqual(calls, [["k", '{"c":1}', 5n], ["n", 1n, undefined], ["k"]]);
});

test("limits have defaults, and verdicts have numbers", () => {
  let asked;
  const standings = [{ granted: true, remaining: -1n, retryMs: null, resetMs: 9n }];
  const rate = rateOver({ take: (limits) => ((asked = limits), { granted: true, ticket: 0n, standings }), settle: (...given) => (asked = given) });
  const verdict = rate.take({ name: "requests", subject: "blue", capacity: 10, perMs: 1000 });
  assert.deepEqual(asked, [{ name: "requests", subject: "blue", amount: 1n, capacity: 10n, period: { tag: "rolling", val: 1000n } }]);
  const period = (given) => (rate.take({ name: "requests", subject: "blue", capacity: 10, ...given }), asked[0].period);
  assert.deepEqual([period({}), period({ per: "day" }), period({ per: "month" })], [{ tag: "held" }, { tag: "day" }, { tag: "month" }]);
  assert.throws(() => period({ per: "week" }), TypeError);
  assert.throws(() => period({ per: "day", perMs: 5 }), TypeError);
  assert.deepEqual(verdict, { granted: true, ticket: 0, standings: [{ granted: true, remaining: -1, retryMs: undefined, resetMs: 9 }] });
  rate.settle(3, "requests", 2);
  assert.deepEqual(asked, [3n, "requests", 2n]);
});

test("a request has defaults, and a response has texts", () => {
  let sent;
  const http = httpOver({
    send: (request) => ((sent = request), { status: 404, fields: [{ name: "x-a", value: utf8("ü") }], body: utf8('{"a":1}') }),
  });
  const response = http.send({ url: "https://idp.example/", method: "POST", fields: { Accept: "a" }, body: { q: 1 } });
  assert.deepEqual({ ...sent, fields: sent.fields.map((it) => [it.name, text(it.value)]), body: text(sent.body) }, {
    method: "POST", url: "https://idp.example/", fields: [["accept", "a"]], body: '{"q":1}', timeoutMs: 0,
  });
  assert.deepEqual([response.status, response.get("X-A"), response.body.json()], [404, "ü", { a: 1 }]);
});

test("metrics have labels as pairs", () => {
  const calls = [];
  const metrics = metricsOver({ count: (...given) => calls.push(given), observe: (...given) => calls.push(given) });
  metrics.count("hits");
  metrics.observe("seconds", 0.5, { route: "/v1", status: 200 });
  assert.deepEqual(calls, [["hits", 1n, []], ["seconds", 0.5, [["route", "/v1"], ["status", "200"]]]]);
});
