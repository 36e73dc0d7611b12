// Between the author's module and the contract: an author exports only what a filter needs, returns texts or objects where the
// contract has bytes, and throws.

import { requestBody, responseBody } from "./body.js";
import { trace } from "./log.js";
import { bytes, Fault, rawFault, rawStop, Reply } from "./stop.js";

/** The interfaces of the contract and their functions. */
const INTERFACES = {
  gate: ["check"],
  request: ["head", "body"],
  response: ["head", "body"],
  chunks: ["chunk"],
  events: ["batch", "end"],
  closing: ["closed"],
  observer: ["observe"],
};

/** What an author reads whose function awaits something in an engine that does not. */
const UNAWAITED =
  'the function returned a promise: only StarlingMonkey waits for one (engine = "starlingmonkey" and imports = ["http"] in plugin.toml)';

/** Functions that an author may leave out. */
const OPTIONAL = ["request.head", "request.body", "response.head", "response.body", "events.end"];

/**
 * The exports of the component.
 *
 * `author` is the author's module, `project` has the plugin's `name` and its `exports` as plugin.toml lists them, `log` and `random`
 * are the kit's. Throws if the module and plugin.toml do not fit together: that fails the build.
 */
export function wrap(author, project, { log, random }) {
  check(author, project.exports);
  const guard = (phase, call, raw) => {
    const caught = (error) => {
      if (raw === rawStop && (error instanceof Fault || error instanceof Reply)) throw raw(error);
      if (raw === rawFault && error instanceof Fault) throw raw(error);
      log.error(explained(phase, error, raw), undefined);
      throw error;
    };
    return (...values) => {
      try {
        const result = call(...values);
        if (!(result instanceof Promise)) return result;
        // QuickJS calls functions and does not wait for what they promise.
        if (typeof fetch === "undefined") throw new TypeError(UNAWAITED);
        return result.catch(caught);
      } catch (error) {
        return caught(error);
      }
    };
  };
  const made = { describe: () => describe(author, project), configure: (text) => configure(author, text, random) };
  const phases = {
    gate: () => ({ check: guard("gate.check", () => then(author.gate.check(), nothing), rawStop) }),
    request: () => request(author.request, guard),
    response: () => response(author, guard),
    chunks: () => ({
      chunk: guard("chunks.chunk", (chunk, last) => then(author.chunks.chunk(chunk, last), bytes), rawFault),
    }),
    events: () => events(author.events, guard),
    closing: () => ({ closed: guard("closing.closed", (error) => then(author.closing.closed(error), nothing)) }),
    observer: () => ({
      observe: guard("observer.observe", (batch) => then(author.observer.observe(batch.map(summary)), nothing)),
    }),
  };
  for (const name of project.exports) made[name] = phases[name]();
  return made;
}

/** Goes on with a value, or with what is promised. */
function then(value, next) {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** For functions without a result. */
function nothing() {}

/** Compares what the author exports with what plugin.toml lists. */
function check(author, exports) {
  for (const [name, functions] of Object.entries(INTERFACES)) {
    const listed = exports.includes(name);
    const there = author[name] !== undefined;
    if (there && !listed) {
      throw new Error(`the module exports \`${name}\`, but plugin.toml does not list it in \`exports\``);
    }
    if (!listed) continue;
    if (typeof author[name] !== "object" || author[name] === null) {
      throw new Error(`plugin.toml lists the export \`${name}\`: write \`export const ${name} = { ${functions[0]}() { … } }\``);
    }
    for (const member of functions) {
      const value = author[name][member];
      const missing = value === undefined && !OPTIONAL.includes(`${name}.${member}`);
      if (missing || (value !== undefined && typeof value !== "function")) {
        throw new Error(`\`${name}.${member}\` has to be a function`);
      }
    }
    for (const member of Object.keys(author[name])) {
      if (!functions.includes(member)) {
        throw new Error(`\`${name}.${member}\` is not in the contract: \`${name}\` has ${functions.join(" and ")}`);
      }
    }
  }
}

function describe(author, project) {
  return JSON.stringify({ name: project.name, version: "0.1.0", summary: "", ...author.manifest });
}

/** A thrown error is for the operator: its message. The stack helps only where the author did not mean it. */
function configure(author, text, random) {
  // The engine's own generator repeats itself in each exchange. Not before this call: while a component is built, there is no gateway.
  Math.random = () => random.bytes(6).reduce((sum, byte) => sum * 256 + byte, 0) / 2 ** 48;
  if (author.configure === undefined) return "";
  try {
    return String(author.configure(JSON.parse(text)) ?? "");
  } catch (error) {
    const meant = error instanceof Error ? error.constructor === Error || error instanceof Fault : typeof error === "string";
    throw meant ? (error.message ?? error) : trace(error);
  }
}

function request(author, guard) {
  const planned = author.body ? "whole" : "skip";
  return {
    head: guard("request.head", () => then(author.head?.(), (plan) => plan ?? planned), rawStop),
    body: guard("request.body", (body) => then(author.body?.(requestBody(body)), bytes), rawStop),
  };
}

function response(author, guard) {
  const { head, body } = author.response;
  const planned = body ? "whole" : author.events ? "sse" : author.chunks ? "chunks" : "skip";
  return {
    head: guard("response.head", () => then(head?.call(author.response), (plan) => plan ?? planned), rawStop),
    body: guard("response.body", (whole) => then(body?.call(author.response, responseBody(whole)), bytes), rawStop),
  };
}

function events(author, guard) {
  return {
    batch: guard("events.batch", (list) => then(author.batch(list), (made) => made?.map(rawEvent)), rawFault),
    end: guard("events.end", () => then(author.end?.(), (made) => (made ?? []).map(rawEvent)), rawFault),
  };
}

/** All members are there: one that is missing would be a trap. */
function rawEvent(event) {
  if (typeof event?.data !== "string") {
    throw new TypeError(`an event has a text as \`data\`, not ${JSON.stringify(event)}; \`event(value)\` makes one of any value`);
  }
  return { name: event.name ?? "", data: event.data, id: event.id ?? undefined };
}

/** A summary with numbers for 64-bit integers, and with the facts as an object of values. */
function summary(raw) {
  const facts = {};
  for (const [name, json] of raw.facts) facts[name] = JSON.parse(json);
  return {
    ...raw,
    requestBytes: Number(raw.requestBytes),
    responseBytes: Number(raw.responseBytes),
    events: Number(raw.events),
    durationUs: Number(raw.durationUs),
    firstByteUs: Number(raw.firstByteUs),
    overheadUs: Number(raw.overheadUs),
    facts,
  };
}

/** What the log says about an exception that the author did not mean. The exchange then ends as after any trap. */
function explained(phase, error, raw) {
  if (raw === rawFault && error instanceof Reply) {
    return `${phase} threw a reply, but the response has begun: only a fault can be thrown here`;
  }
  if (error instanceof Fault || error instanceof Reply) return `${phase} cannot throw a fault or a reply: ${error.message ?? ""}`;
  return `uncaught in ${phase}: ${trace(error)}`;
}
