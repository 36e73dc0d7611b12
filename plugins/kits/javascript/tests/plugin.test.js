import assert from "node:assert/strict";
import { test } from "node:test";
import { consoleOver, over as logOver, trace } from "../log.js";
import { over as exchangeOver } from "../exchange.js";
import { wrap } from "../plugin.js";
import { bytes, Fault, fault, reply } from "../stop.js";

const text = (value) => new TextDecoder().decode(value);
const utf8 = (value) => new TextEncoder().encode(value);

const random = { bytes: (count) => new Uint8Array(count).fill(0x80) };

/** A wrapped module, and the lines that it has written. */
function wrapped(author) {
  const lines = [];
  const log = logOver({ write: (level, message, fields) => lines.push([level, message, fields]) });
  const exports = Object.keys(author).filter((name) => !["manifest", "configure"].includes(name));
  return { plugin: wrap(author, { name: "mine", exports }, { log, random }), lines };
}

function thrown(call) {
  try {
    call();
  } catch (error) {
    return error;
  }
  assert.fail("nothing was thrown");
}

test("the manifest is JSON with the project's name", () => {
  const { plugin } = wrapped({ gate: { check() {} }, manifest: { summary: "s", limits: { cpu: "1s" } } });
  assert.deepEqual(JSON.parse(plugin.describe()), { name: "mine", version: "0.1.0", summary: "s", limits: { cpu: "1s" } });
});

test("a configuration is given as a value, and an error is its message", () => {
  const configure = (run) => wrapped({ gate: { check() {} }, configure: run }).plugin.configure;
  assert.equal(configure((config) => `got ${config.a}`)('{"a":1}'), "got 1");
  assert.equal(configure(undefined)("{}"), "");
  assert.equal(thrown(() => configure(() => { throw new Error("`a` is wrong"); })("{}")), "`a` is wrong");
  // A mistake in the code comes with its place.
  assert.match(thrown(() => configure((config) => config.a.b)("{}")), /^TypeError: .*\n.*plugin\.test\.js/s);
});

test("random numbers are the gateway's from the configuration on", () => {
  const own = Math.random;
  try {
    wrapped({ gate: { check() {} } }).plugin.configure("{}");
    assert.equal(Math.floor(Math.random() * 1000), 501);
  } finally {
    Math.random = own;
  }
});

test("a thrown fault has all members that the contract has", () => {
  const { plugin, lines } = wrapped({ gate: { check() { throw fault(403, "no", "not you", { fields: { "Retry-After": 3 } }); } } });
  const stop = thrown(() => plugin.gate.check());
  assert.equal(stop.tag, "fault");
  assert.deepEqual(Object.keys(stop.val), ["status", "code", "message", "param", "fields"]);
  assert.deepEqual({ ...stop.val, fields: stop.val.fields.map(({ name, value }) => [name, text(value)]) }, {
    status: 403, code: "no", message: "not you", param: undefined, fields: [["retry-after", "3"]],
  });
  assert.deepEqual(lines, []);
});

test("a thrown reply may have a text, bytes or a value as its body", () => {
  const stop = (body) => thrown(() => wrapped({ gate: { check() { throw reply(200, body, { reason: "cache.hit" }); } } }).plugin.gate.check());
  assert.equal(text(stop({ a: 1 }).val.body), '{"a":1}');
  assert.equal(text(stop("a").val.body), "a");
  assert.deepEqual(stop(undefined).val, { status: 200, fields: [], body: new Uint8Array(0), reason: "cache.hit" });
});

test("impossible faults and replies are refused where they are made", () => {
  assert.throws(() => fault(200, "a", "b"), /400 to 599, not 200/);
  assert.throws(() => fault(400, "", "b"), /code of a fault/);
  assert.throws(() => reply(100), /200 to 599/);
});

test("an exception that is not meant is logged with its stack, and ends the call", () => {
  const { plugin, lines } = wrapped({ request: { body() { return null.model; } } });
  assert.ok(thrown(() => plugin.request.body(new Uint8Array(0))) instanceof TypeError);
  assert.equal(lines.length, 1);
  assert.equal(lines[0][0], "error");
  assert.match(lines[0][1], /^uncaught in request\.body: TypeError: .*\n.*plugin\.test\.js:\d+/s);
});

test("a reply in mid-stream and a fault at the end are explained", () => {
  const { plugin, lines } = wrapped({
    events: { batch() { throw reply(200); } },
    closing: { closed() { throw fault(500, "a", "b"); } },
  });
  thrown(() => plugin.events.batch([]));
  thrown(() => plugin.closing.closed(""));
  assert.match(lines[0][1], /only a fault can be thrown here/);
  assert.match(lines[1][1], /closing\.closed cannot throw/);
});

test("plans follow from what there is", () => {
  const body = () => undefined;
  const batch = () => undefined;
  const chunk = () => undefined;
  const request = (it) => wrapped({ request: it }).plugin.request.head();
  const response = (it, more) => wrapped({ response: it, ...more }).plugin.response.head();
  assert.equal(request({}), "skip");
  assert.equal(request({ body }), "whole");
  assert.equal(request({ body, head: () => "look" }), "look");
  assert.equal(response({}, { events: { batch } }), "sse");
  assert.equal(response({}, { chunks: { chunk } }), "chunks");
  assert.equal(response({ body }, { events: { batch } }), "whole");
  assert.equal(response({}, {}), "skip");
});

test("bodies are read when they are asked for, and written from what is returned", () => {
  const body = (run, given = '{"a":1}') => wrapped({ request: { body: run } }).plugin.request.body(utf8(given));
  assert.equal(body(() => undefined), undefined);
  assert.equal(text(body((it) => ({ ...it.json(), b: 2 }))), '{"a":1,"b":2}');
  assert.equal(text(body((it) => it.text() + "!")), '{"a":1}!');
  assert.equal(body((it) => it.object(), "[1]"), undefined);
  const stop = thrown(() => body((it) => it.json(), "{"));
  assert.equal(stop.val.status, 400);
  assert.equal(stop.val.code, "invalid_request");
  assert.throws(() => bytes(3), /a body is bytes, a text, or an object/);
});

test("a response that is not JSON is the model server's mistake", () => {
  const { plugin } = wrapped({ response: { body: (it) => it.json() } });
  assert.equal(thrown(() => plugin.response.body(utf8("x"))).val.code, "upstream_invalid");
});

test("events have all members, and one without a text is a mistake", () => {
  const { plugin, lines } = wrapped({ events: { batch: (events) => events, end: () => [{ data: "last" }] } });
  assert.deepEqual(plugin.events.end(), [{ name: "", data: "last", id: undefined }]);
  assert.deepEqual(plugin.events.batch([{ name: "n", data: "d", id: null }]), [{ name: "n", data: "d", id: undefined }]);
  thrown(() => plugin.events.batch([{ data: { a: 1 } }]));
  assert.match(lines[0][1], /an event has a text as `data`/);
});

test("summaries have numbers and values", () => {
  let seen;
  const { plugin } = wrapped({ observer: { observe: (batch) => { seen = batch; } } });
  const sizes = { requestBytes: 1n, responseBytes: 2n, events: 3n, durationUs: 4n, firstByteUs: 5n, overheadUs: 6n };
  plugin.observer.observe([{ id: "a", ...sizes, facts: [["tenant", '"blue"'], ["usage", '{"total":1}']] }]);
  assert.equal(seen[0].durationUs, 4);
  assert.deepEqual(seen[0].facts, { tenant: "blue", usage: { total: 1 } });
});

test("a module that does not fit plugin.toml fails with what to write", () => {
  const log = logOver({ write() {} });
  const fit = (author, exports) => () => wrap(author, { name: "mine", exports }, { log, random });
  assert.throws(fit({}, ["gate"]), /write `export const gate = \{ check\(\) \{ … \} \}`/);
  assert.throws(fit({ gate: {}, events: {} }, ["gate"]), /`gate\.check` has to be a function/);
  assert.throws(fit({ events: { batch() {} } }, []), /plugin\.toml does not list it/);
  assert.throws(fit({ events: { batch() {}, event() {} } }, ["events"]), /`events\.event` is not in the contract/);
  assert.throws(fit({ request: { head: "whole" } }, ["request"]), /`request\.head` has to be a function/);
});

test("the exchange has texts, values and numbers, and its errors are faults", () => {
  const set = [];
  const refused = { payload: { status: 500, code: "illegal_change", message: "no", param: null, fields: null } };
  const exchange = exchangeOver({
    get: (name) => (name === "a" ? utf8("ü") : null),
    note: (name) => (name === "usage" ? '{"total":1}' : undefined),
    setNote: (...given) => set.push(given),
    set: (name, value) => set.push([name, text(value)]),
    setPath() { throw refused; },
    receivedMs: () => 5n,
    fields: () => [{ name: "a", value: utf8("b") }],
  });
  assert.equal(exchange.get("a"), "ü");
  assert.equal(exchange.get("b"), undefined);
  assert.deepEqual(exchange.note("usage"), { total: 1 });
  assert.equal(exchange.note("none"), undefined);
  assert.equal(exchange.receivedMs(), 5);
  assert.deepEqual(exchange.fields(), [{ name: "a", value: "b" }]);
  exchange.setNote("n", { a: [1] });
  exchange.set("x", 3);
  assert.deepEqual(set, [["n", '{"a":[1]}'], ["x", "3"]]);
  const error = thrown(() => exchange.setPath("x"));
  assert.ok(error instanceof Fault);
  assert.equal(error.code, "illegal_change");
});

test("the console shows values, and errors with their stacks", () => {
  const lines = [];
  const console = consoleOver(logOver({ write: (level, message) => lines.push([level, message]) }));
  console.log("a", { b: 1 }, 2n, undefined);
  console.warn(new RangeError("far"));
  assert.deepEqual(lines[0], ["info", 'a {"b":1} 2 undefined']);
  assert.match(lines[1][1], /^RangeError: far\n/);
  assert.equal(trace("text"), "thrown: text");
});

test("a promise is awaited where the engine has fetch, and explained where it has not", async () => {
  const own = globalThis.fetch;
  const author = {
    gate: { async check() { throw fault(403, "no", "not you"); } },
    request: { async head() {}, async body() { return "other"; } },
    closing: { async closed() { null.a; } },
  };
  try {
    globalThis.fetch = () => {};
    const { plugin, lines } = wrapped(author);
    await assert.rejects(plugin.gate.check(), (stop) => stop.tag === "fault" && stop.val.code === "no");
    assert.equal(await plugin.request.head(), "whole");
    assert.equal(text(await plugin.request.body(utf8("one"))), "other");
    await assert.rejects(plugin.closing.closed("none"), TypeError);
    assert.match(lines[0][1], /^uncaught in closing.closed: TypeError/);
    delete globalThis.fetch;
    const sync = wrapped({ closing: { closed: () => Promise.resolve() } });
    assert.match(thrown(() => sync.plugin.closing.closed("none")).message, /only StarlingMonkey waits/);
    assert.match(sync.lines[0][1], /promise/);
  } finally {
    globalThis.fetch = own;
  }
});
