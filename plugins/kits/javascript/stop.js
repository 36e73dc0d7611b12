// Faults and replies: what ends an exchange before its time. Both are thrown.

import { encode } from "./text.js";

/** Why a stage refuses or fails an exchange. Made by `fault`. */
export class Fault extends Error {
  constructor(status, code, message, param, fields) {
    super(message);
    this.name = "Fault";
    this.status = status;
    this.code = code;
    this.param = param;
    this.fields = fields;
  }
}

/** A stage's own response. Made by `reply`. */
export class Reply {
  constructor(status, body, fields, reason) {
    this.status = status;
    this.body = body;
    this.fields = fields;
    this.reason = reason;
  }
}

/** A fault, to be thrown. */
export function fault(status, code, message, { param, fields } = {}) {
  if (!Number.isInteger(status) || status < 400 || status > 599) {
    throw new TypeError(`the status of a fault is 400 to 599, not ${status}`);
  }
  if (typeof code !== "string" || code === "") {
    throw new TypeError(`the code of a fault is a word such as "invalid_request", not ${JSON.stringify(code)}`);
  }
  return new Fault(status, code, String(message), param, fields);
}

/** A reply, to be thrown in `gate`, `request` and `response`. */
export function reply(status, body, { fields, reason = "reply" } = {}) {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new TypeError(`the status of a reply is 200 to 599, not ${status}`);
  }
  return new Reply(status, body, fields, reason);
}

/** What the engine of the component takes for a thrown fault. All members are there: one that is missing would be a trap. */
export function rawFault(fault) {
  const { status, code, message, param, fields } = fault;
  return { status, code, message, param: param ?? undefined, fields: fields ? rawFields(fields) : undefined };
}

/** What the engine of the component takes for a thrown fault or reply, where both may be thrown. */
export function rawStop(stop) {
  if (stop instanceof Fault) return { tag: "fault", val: rawFault(stop) };
  const { status, body, fields, reason } = stop;
  return { tag: "reply", val: { status, fields: rawFields(fields ?? {}), body: bytes(body) ?? new Uint8Array(0), reason } };
}

/** Header fields as the contract has them, from an object or from pairs. */
export function rawFields(fields) {
  const pairs = Array.isArray(fields) ? fields : Object.entries(fields);
  return pairs.map(([name, value]) => ({ name: String(name).toLowerCase(), value: fieldValue(value) }));
}

/** The bytes of the value of a header field. */
export function fieldValue(value) {
  return value instanceof Uint8Array ? value : encode(String(value));
}

/** The bytes of what a phase returns as a body: bytes, a text, or a value that is sent as JSON. */
export function bytes(body) {
  if (body === undefined || body === null) return undefined;
  if (body instanceof Uint8Array) return body;
  if (typeof body === "string") return encode(body);
  if (typeof body === "object") return encode(JSON.stringify(body));
  throw new TypeError(`a body is bytes, a text, or an object that is sent as JSON, not ${typeof body}`);
}
