// A body as a phase is given it.

import { fault } from "./stop.js";
import { decode } from "./text.js";

/** The body of a request or of a response. Nothing is decoded before it is asked for. */
export class Body {
  #refuse;

  /** `refuse` makes the fault of a body that is not JSON, from the engine's message. */
  constructor(bytes, refuse) {
    this.bytes = bytes;
    this.#refuse = refuse;
  }

  /** The body as a text. */
  text() {
    return decode(this.bytes);
  }

  /** The value of a body in JSON. Throws a fault if it is none. */
  json() {
    try {
      return JSON.parse(this.text());
    } catch (error) {
      throw this.#refuse(error.message);
    }
  }

  /** The object in the body; `undefined` if the body is not a JSON object. */
  object() {
    let value;
    try {
      value = JSON.parse(this.text());
    } catch {
      return undefined;
    }
    return isObject(value) ? value : undefined;
  }
}

/** A body of a client: if it is not JSON, that is the client's mistake. */
export function requestBody(bytes) {
  return new Body(bytes, (why) => fault(400, "invalid_request", `the request body is not JSON: ${why}`));
}

/** A body of the model server, or of an inner stage. */
export function responseBody(bytes) {
  return new Body(bytes, (why) => fault(502, "upstream_invalid", `the response is not JSON: ${why}`));
}

/** Whether a value is an object, and neither a list nor null. */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
