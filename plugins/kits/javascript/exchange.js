// The exchange of this instance, in JavaScript's terms: texts for header fields, values for notes, numbers for 64-bit integers,
// and thrown faults of this kit.

import { Fault, fieldValue } from "./stop.js";
import { decode } from "./text.js";

/** The functions for authors over those of the contract's interface `exchange`. */
export function over(host) {
  return {
    id: () => host.id(),
    receivedMs: () => Number(host.receivedMs()),
    route: () => host.route(),
    client: () => host.client(),
    attempt: () => host.attempt(),

    method: () => host.method(),
    setMethod: (method) => attempt(() => host.setMethod(method)),
    path: () => host.path(),
    setPath: (path) => attempt(() => host.setPath(path)),
    query: () => host.query(),
    setQuery: (query) => attempt(() => host.setQuery(query)),
    setUpstream: (name) => attempt(() => host.setUpstream(name)),
    status: () => host.status(),
    setStatus: (status) => attempt(() => host.setStatus(status)),

    fields: () => host.fields().map(({ name, value }) => ({ name, value: decode(value) })),
    get: (name) => optional(host.get(name), decode),
    getBytes: (name) => optional(host.get(name), (value) => value),
    set: (name, value) => attempt(() => host.set(name, fieldValue(value))),
    append: (name, value) => attempt(() => host.append(name, fieldValue(value))),
    remove: (name) => attempt(() => host.remove(name)),
    setResponseField: (name, value) => attempt(() => host.setResponseField(name, fieldValue(value))),
    requestField: (name) => optional(host.requestField(name), decode),
    requestJson: (pointer) => optional(host.requestJson(pointer), JSON.parse),
    requestBytes: () => Number(host.requestBytes()),

    note: (name) => optional(host.note(name), JSON.parse),
    setNote: (name, value) => attempt(() => host.setNote(name, JSON.stringify(value ?? null))),
    endBody: () => attempt(() => host.endBody()),
  };
}

/** `none` is null in one engine and undefined in the other. */
function optional(value, read) {
  return value === undefined || value === null ? undefined : read(value);
}

/** Calls a function of the host. Its error becomes a fault of this kit. */
function attempt(call) {
  try {
    call();
  } catch (error) {
    const raw = error?.payload ?? error;
    if (typeof raw?.code !== "string") throw error;
    throw new Fault(raw.status, raw.code, raw.message, raw.param ?? undefined, undefined);
  }
}
