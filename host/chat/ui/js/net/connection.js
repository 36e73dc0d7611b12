/**
 * The connection to the web gateway: opens it, keeps it alive, reopens it.
 *
 * Responsible for frames in and out, the watchdog, and when to retry. Not responsible for the meaning of the frames. The
 * transport is given: anything with the shape of a WebSocket.
 */

import { Backoff, STABLE_MS } from './backoff.js';
import { CLOSE_AUTH, FATAL_CLOSE, OFFLINE, RequestError } from './wire.js';

/** How long a response may take. Longer than the gateway's own timeouts for everything but the run itself. */
const ANSWER_MS = 20_000;
/** How long a probe may take before the connection counts as dead. */
const PROBE_MS = 5_000;
/** Silence is suspicious after two missed ticks and a little. */
const SILENCE_TICKS = 2.5;
/** How long opening and `hello` may take. */
const OPEN_MS = 10_000;

/**
 * - `connecting`: an attempt is under way
 * - `online`: frames go both ways
 * - `waiting`: the next attempt is at `retryAt`
 * - `login`: the server wants to know who we are; nothing is tried
 * - `stopped`: the server refuses us in a way that trying again would not change
 * @typedef {'connecting' | 'online' | 'waiting' | 'login' | 'stopped'} State
 */

/** @typedef {{readyState?: number, onopen: any, onmessage: any, onclose: any, send(text: string): void, close(code?: number, reason?: string): void}} Socket */

export class Connection {
  /**
   * @param {object} options
   * @param {() => Socket} options.open makes a transport; its events follow
   * @param {() => object} options.hello the parameters of `hello`
   * @param {(payload: any) => boolean | void} options.onhello the server knows us; called before `onstate('online')`, or, where
   *   it gives false, before the connection is given up
   * @param {(frame: any) => void} options.onframe everything that is not an answer
   * @param {(state: State) => void} options.onstate
   * @param {() => boolean} [options.visible] whether the watchdog may act: timers of hidden pages are not to be trusted
   * @param {Backoff} [options.backoff]
   */
  constructor({ open, hello, onhello, onframe, onstate, visible = () => true, backoff = new Backoff() }) {
    this.open = open;
    this.hello = hello;
    this.onhello = onhello;
    this.onframe = onframe;
    this.onstate = onstate;
    this.visible = visible;
    this.backoff = backoff;
    /** @type {State} */
    this.state = 'connecting';
    this.retryAt = 0;
    /** Failed attempts since the last successful one. */
    this.failures = 0;
    this.resumes = 0;
    /** @type {Socket | null} */
    this.socket = null;
    /** @type {Map<string, {resolve: (value: any) => void, reject: (error: any) => void, timer: any}>} */
    this.pending = new Map();
    this.counter = 0;
    this.tickMs = 15_000;
    this.heardAt = 0;
    /** @type {Record<string, any>} */
    this.timers = {};
  }

  /** Connects now, regardless of the schedule. */
  connect() {
    this.#clear('retry');
    if (this.socket) return;
    this.#state('connecting');
    let opened = false;
    const socket = this.open();
    this.socket = socket;
    this.#timer('open', OPEN_MS, () => this.#drop(socket, 4408, opened));
    socket.onopen = () => {
      opened = true;
      this.failures = 0;
      this.#hello(socket);
    };
    socket.onmessage = (/** @type {{data: string}} */ event) => this.#message(socket, event.data);
    socket.onclose = (/** @type {{code?: number}} */ event) => this.#lost(socket, event?.code ?? 1006, opened);
  }

  /**
   * Asks the server.
   * @param {string} method
   * @param {object} [params]
   * @param {number} [timeout] milliseconds
   * @returns {Promise<any>} the payload
   * @throws {RequestError} the server's error, or {@link OFFLINE}
   */
  request(method, params = {}, timeout = ANSWER_MS) {
    if (this.state !== 'online') return Promise.reject(new RequestError({ code: OFFLINE, retryable: true }));
    return this.#ask(method, params, timeout);
  }

  /** Replaces the connection if it is dead. Called when the page is shown again, or the network returns. */
  probe() {
    if (this.state === 'waiting') return this.connect();
    const socket = this.socket;
    if (this.state !== 'online' || !socket) return undefined;
    return this.#ask('ping', { ts: Date.now() }, PROBE_MS).catch(() => this.#drop(socket, 4000));
  }

  /** Closes, and stays closed until {@link connect}. @param {State} state */
  stop(state) {
    this.#clear('retry');
    const socket = this.socket;
    if (socket) this.#forget(socket);
    socket?.close(1000);
    this.#state(state);
  }

  /** @param {Socket} socket */
  #hello(socket) {
    this.#ask('hello', this.hello(), OPEN_MS).then(
      (payload) => {
        if (socket !== this.socket) return;
        this.#clear('open');
        this.tickMs = payload.heartbeat?.tick_ms ?? this.tickMs;
        this.heardAt = Date.now();
        this.#timer('stable', STABLE_MS, () => this.backoff.reset());
        this.#watch();
        if (this.onhello(payload) === false) return this.stop('stopped');
        this.resumes++;
        this.#state('online');
      },
      // The close that follows says how to go on.
      (error) => error.code === 'UNAUTHENTICATED' || this.#drop(socket, 4408),
    );
  }

  /** @param {string} method @param {object} params @param {number} timeout */
  #ask(method, params, timeout) {
    const id = String(++this.counter);
    return new Promise((resolve, reject) => {
      const late = () => {
        this.pending.delete(id);
        reject(new RequestError({ code: OFFLINE, retryable: true, message: `${method}: no answer` }));
      };
      this.pending.set(id, { resolve, reject, timer: setTimeout(late, timeout) });
      // A socket that is closing says so in a moment, and with it every pending request fails.
      const { socket } = this;
      if (socket && (socket.readyState ?? 1) === 1) socket.send(JSON.stringify({ type: 'req', id, method, params }));
    });
  }

  /** @param {Socket} socket @param {string} data */
  #message(socket, data) {
    if (socket !== this.socket) return;
    this.heardAt = Date.now();
    const frame = JSON.parse(data);
    if (frame.type !== 'res') {
      if (frame.type === 'bye') this.byeMs = frame.reconnect_after_ms;
      this.onframe(frame);
      return;
    }
    const waiting = this.pending.get(frame.id);
    if (!waiting) return;
    this.pending.delete(frame.id);
    clearTimeout(waiting.timer);
    if (frame.ok) waiting.resolve(frame.payload);
    else waiting.reject(new RequestError(frame.error));
  }

  /** Gives up a socket that may not know that it is dead. @param {Socket} socket @param {number} code @param {boolean} [opened] */
  #drop(socket, code, opened = true) {
    if (socket !== this.socket) return;
    socket.close(4000, 'watchdog');
    this.#lost(socket, code, opened);
  }

  /** @param {Socket} socket @param {number} code @param {boolean} opened */
  #lost(socket, code, opened) {
    if (socket !== this.socket) return;
    this.#forget(socket);
    if (!opened) this.failures++;
    if (code === CLOSE_AUTH) return this.#state('login');
    if (FATAL_CLOSE.has(code)) return this.#state('stopped');
    const wait = this.byeMs ?? this.backoff.next();
    this.byeMs = undefined;
    this.retryAt = Date.now() + wait;
    this.#timer('retry', wait, () => this.connect());
    return this.#state('waiting');
  }

  /** @param {Socket} socket */
  #forget(socket) {
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    for (const name of ['open', 'stable', 'watch']) this.#clear(name);
    const pending = [...this.pending.values()];
    this.pending.clear();
    for (const { reject, timer } of pending) {
      clearTimeout(timer);
      reject(new RequestError({ code: OFFLINE, retryable: true, message: 'connection lost' }));
    }
  }

  /** Checks, once per tick, whether the server has been silent for too long. */
  #watch() {
    this.#timer('watch', this.tickMs, () => {
      const silent = Date.now() - this.heardAt;
      if (this.visible() && silent > this.tickMs * SILENCE_TICKS) this.probe();
      this.#watch();
    });
  }

  /** @param {State} state */
  #state(state) {
    this.state = state;
    this.onstate(state);
  }

  /** @param {string} name @param {number} ms @param {() => void} act */
  #timer(name, ms, act) {
    this.#clear(name);
    this.timers[name] = setTimeout(act, ms);
  }

  /** @param {string} name */
  #clear(name) {
    clearTimeout(this.timers[name]);
    delete this.timers[name];
  }
}
