/**
 * The shapes of `sluice.v1` that the page uses. Types only, and the few constants of the protocol.
 */

export const SUBPROTOCOL = 'sluice.v1';

/** Close codes after which an automatic retry would only repeat the mistake. */
export const FATAL_CLOSE = new Set([4400, 4403, 4413]);
/** Login needed, or taken back. */
export const CLOSE_AUTH = 4401;

/**
 * @typedef {object} Session
 * @property {string} id
 * @property {string} title may be ""
 * @property {boolean} titled a person chose the title
 * @property {string} [model]
 * @property {string} [system]
 * @property {boolean} pinned
 * @property {boolean} archived
 * @property {number} [deleted_at]
 * @property {boolean} running
 * @property {boolean} unread
 * @property {string} preview
 * @property {string} [leaf]
 * @property {number} seq
 * @property {number} created_at
 * @property {number} updated_at
 * @property {Array<{message?: string, snippet: Array<{t: string, hit?: boolean}>}>} [hits] only in a search
 */

/**
 * @typedef {object} RunSummary
 * @property {string} id
 * @property {string} request_id
 * @property {string} [finish] absent while under way
 * @property {WireError} [error]
 * @property {{in?: number, out?: number}} [usage]
 * @property {number} [ttft_ms]
 * @property {number} [duration_ms]
 */

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string | null} [parent]
 * @property {'user' | 'assistant'} role
 * @property {'done' | 'queued' | 'streaming' | 'stopped' | 'error' | 'interrupted'} status
 * @property {string} text
 * @property {string} [reasoning]
 * @property {number} [reasoning_ms]
 * @property {string} [model]
 * @property {RunSummary} [run]
 * @property {string} [cid]
 * @property {string} [edit_of]
 * @property {string[]} [siblings] oldest first, this one included; absent where it is the only one
 * @property {number} created_at
 */

/** @typedef {{text?: number, reasoning?: number}} Position opaque: stored and compared, never computed */

/**
 * @typedef {object} RunState
 * @property {string} run
 * @property {string} message
 * @property {'queued' | 'running' | 'stopping'} state
 * @property {number} [position] place in the queue, while queued
 * @property {Position} to
 * @property {string} [request_id]
 * @property {number} [started_at]
 */

/** @typedef {{cid: string, text: string, created_at: number}} QueueItem */

/** @typedef {{mode: 'snapshot' | 'events', epoch: string, seq: number, [key: string]: any}} Subscribed */

/**
 * @typedef {object} WireError
 * @property {string} code
 * @property {'gateway' | 'proxy' | 'model'} layer
 * @property {string} message what the layer that failed says itself
 * @property {boolean} retryable
 * @property {number} [retry_after_ms]
 * @property {string} [request_id]
 * @property {any} [details]
 */

/** A response with `ok: false`, or a request that did not reach a server. */
export class RequestError extends Error {
  /** @param {Partial<WireError> & {code: string}} error */
  constructor(error) {
    super(error.message ?? error.code);
    this.code = error.code;
    this.layer = error.layer ?? 'gateway';
    this.retryable = error.retryable ?? false;
    this.retryAfter = error.retry_after_ms;
    this.requestId = error.request_id;
    this.details = error.details;
  }
}

/** The request did not reach the server, or its response did not reach us. Not one of the server's codes. */
export const OFFLINE = 'OFFLINE';

/** A random id for a message, so that sending it twice creates only one. */
export function uuid() {
  const make = /** @type {(() => string) | undefined} */ (crypto.randomUUID);
  if (make) return make.call(crypto);
  // Without TLS and off loopback there is no randomUUID.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
