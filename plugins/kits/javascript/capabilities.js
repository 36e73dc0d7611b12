// What the operator may grant, in JavaScript's terms. A function that fails throws a `CapabilityError`.

import { responseBody } from "./body.js";
import { bytes, rawFields } from "./stop.js";
import { decode } from "./text.js";

/** Why a capability did not do what was asked: `code` is "denied", "unavailable", "over-limit" or "invalid". */
export class CapabilityError extends Error {
  constructor(call, code) {
    super(`${call}: ${code}`);
    this.name = "CapabilityError";
    this.code = code;
  }
}

/** 64-bit integers are numbers in QuickJS, and BigInts in StarlingMonkey, which has `TextEncoder`. */
const integer = typeof TextEncoder === "undefined" ? Number : BigInt;
const optional = (value) => (value === undefined || value === null ? undefined : integer(value));
const number = (value) => (value === undefined || value === null ? undefined : Number(value));

function attempt(call, run) {
  try {
    return run();
  } catch (error) {
    const code = error?.payload ?? error;
    if (typeof code !== "string") throw error;
    throw new CapabilityError(call, code);
  }
}

/** Values by key, over the contract's `kv`. */
export function kvOver(host) {
  const get = (key) => attempt("kv.get", () => host.get(key)) ?? undefined;
  const text = (key) => {
    const value = get(key);
    return value === undefined ? undefined : decode(value);
  };
  return {
    get,
    getText: text,
    getJson: (key) => {
      const value = text(key);
      return value === undefined ? undefined : JSON.parse(value);
    },
    set: (key, value, { ttlMs } = {}) => attempt("kv.set", () => void host.set(key, bytes(value), optional(ttlMs))),
    insert: (key, value, { ttlMs } = {}) => attempt("kv.insert", () => host.insert(key, bytes(value), optional(ttlMs))),
    add: (key, by = 1, { ttlMs } = {}) => Number(attempt("kv.add", () => host.add(key, integer(by), optional(ttlMs)))),
    delete: (key) => attempt("kv.delete", () => void host.delete(key)),
  };
}

/** Limits that all exchanges share, over the contract's `rate`. */
export function rateOver(host) {
  const raw = (limits) =>
    limits.map(({ name, subject, amount = 1, capacity, perMs = 0, per }) => ({
      name,
      subject,
      amount: integer(amount),
      capacity: integer(capacity),
      period: period(perMs, per),
    }));
  const period = (perMs, per) => {
    if (per === undefined) {
      return perMs ? { tag: "rolling", val: integer(perMs) } : { tag: "held" };
    }
    if (perMs || (per !== "day" && per !== "month")) {
      throw new TypeError('a limit has perMs, or per: "day" or "month"');
    }
    return { tag: per };
  };
  const verdict = ({ granted, ticket, standings }) => ({
    granted,
    ticket: Number(ticket),
    standings: standings.map((it) => ({
      granted: it.granted,
      remaining: Number(it.remaining),
      retryMs: number(it.retryMs),
      resetMs: number(it.resetMs),
    })),
  });
  return {
    take: (...limits) => verdict(attempt("rate.take", () => host.take(raw(limits)))),
    reserve: (...limits) => verdict(attempt("rate.reserve", () => host.reserve(raw(limits)))),
    settle: (ticket, name, used) => attempt("rate.settle", () => void host.settle(integer(ticket), name, integer(used))),
  };
}

/** Requests to other servers, over the contract's `http`. */
export function httpOver(host) {
  return {
    send({ url, method = "GET", fields = {}, body, timeoutMs = 0 }) {
      const request = { method, url, fields: rawFields(fields), body: bytes(body) ?? new Uint8Array(0), timeoutMs };
      const response = attempt("http.send", () => host.send(request));
      const values = response.fields.map(({ name, value }) => ({ name, value: decode(value) }));
      return {
        status: response.status,
        fields: values,
        get: (name) => values.find((it) => it.name === name.toLowerCase())?.value,
        body: responseBody(response.body),
      };
    },
  };
}

/** The plugin's own metrics, over the contract's `metrics`. */
export function metricsOver(host) {
  const pairs = (labels) => Object.entries(labels).map(([name, value]) => [name, String(value)]);
  return {
    count: (name, by = 1, labels = {}) => attempt("metrics.count", () => void host.count(name, integer(by), pairs(labels))),
    observe: (name, value, labels = {}) => attempt("metrics.observe", () => void host.observe(name, value, pairs(labels))),
  };
}
