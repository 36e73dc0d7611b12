/**
 * Messages that the server has not confirmed yet.
 *
 * A message is in here from the moment the person sends it until the server names it. It survives a reload, a lost
 * connection and an expired login, and is sent again under the same id, so that it arrives once.
 */

import { OFFLINE, uuid } from './wire.js';

/**
 * @typedef {object} Entry
 * @property {string} cid
 * @property {string | null} session null: it starts a new one
 * @property {string} chat which new one; messages of one new chat go to the session that the first of them makes
 * @property {string} text
 * @property {object} params further parameters of `chat.send`
 * @property {number} created_at
 * @property {'waiting' | 'sending' | 'failed'} state
 * @property {{code: string, layer?: string, requestId?: string}} [error] why it failed
 * @property {number} [retryAt] not before this time: the server has said so
 */

/** @typedef {{all(): Promise<Entry[]>, put(entry: Entry): Promise<void>, remove(cid: string): Promise<void>, clear(): Promise<void>}} Shelf */

/** Codes after which the message waits and is then sent again. */
const WAIT = new Set([OFFLINE, 'RATE_LIMITED', 'OVERLOADED', 'SHUTTING_DOWN', 'STORE_UNAVAILABLE', 'QUEUE_FULL', 'UNAUTHENTICATED']);
/** How long to wait if the server did not say. */
const WAIT_MS = 5_000;
/** Of the shelf in IndexedDB. */
const VERSION = 2;

export class Outbox {
  /**
   * @param {object} options
   * @param {Shelf} options.shelf where entries survive a reload
   * @param {(entry: Entry) => Promise<any>} options.send resolves with the payload of `chat.send`
   * @param {(entry: Entry, payload: any) => void} options.onsent
   * @param {() => void} options.onchange
   * @param {() => number} [options.now]
   */
  constructor({ shelf, send, onsent, onchange, now = Date.now }) {
    this.shelf = shelf;
    this.send = send;
    this.onsent = onsent;
    this.onchange = onchange;
    this.now = now;
    /** In the order of sending. @type {Entry[]} */
    this.entries = [];
    this.busy = false;
    /** @type {any} */
    this.timer = undefined;
  }

  /** Takes over the messages of an earlier page. */
  async load() {
    const kept = await this.shelf.all();
    const known = new Set(this.entries.map((entry) => entry.cid));
    const fresh = kept
      .filter((entry) => !known.has(entry.cid))
      .map((entry) => ({ ...entry, state: entry.state === 'failed' ? 'failed' : 'waiting' }));
    this.entries = [.../** @type {Entry[]} */ (fresh), ...this.entries].sort((a, b) => a.created_at - b.created_at);
    this.onchange();
  }

  /** The messages of a session, or of a chat that has no session yet. @param {string | null} session @param {string} chat */
  of(session, chat) {
    return this.entries.filter((entry) => entry.session === session && (session !== null || entry.chat === chat));
  }

  /**
   * Adds a message and tries to send it.
   * @param {string | null} session
   * @param {string} chat
   * @param {string} text
   * @param {object} [params]
   * @returns {Entry}
   */
  add(session, chat, text, params = {}) {
    /** @type {Entry} */
    const entry = { cid: uuid(), session, chat, text, params, created_at: this.now(), state: 'waiting' };
    this.entries.push(entry);
    this.shelf.put(entry).catch(() => {});
    this.onchange();
    this.flush();
    return entry;
  }

  /** Removes a message: the server has it, or the person has given it up. @param {string} cid */
  remove(cid) {
    const before = this.entries.length;
    this.entries = this.entries.filter((entry) => entry.cid !== cid);
    this.shelf.remove(cid).catch(() => {});
    if (this.entries.length !== before) this.onchange();
  }

  /** Forgets all messages, for good. */
  async clear() {
    this.entries = [];
    await this.shelf.clear().catch(() => {});
    this.onchange();
  }

  /** Tries a failed message again. @param {string} cid @param {object} [params] replaces the parameters */
  retry(cid, params) {
    const entry = this.entries.find((candidate) => candidate.cid === cid);
    if (!entry) return;
    entry.state = 'waiting';
    entry.error = undefined;
    entry.retryAt = undefined;
    if (params) entry.params = params;
    this.onchange();
    this.flush();
  }

  /** When the next waiting message may go, or 0. */
  get waitingUntil() {
    const times = this.entries.filter((entry) => entry.state === 'waiting' && (entry.retryAt ?? 0) > this.now());
    return Math.max(0, ...times.map((entry) => entry.retryAt ?? 0));
  }

  /** Sends what may be sent, one message after another: their order is the order of the conversation. */
  async flush() {
    if (this.busy) return;
    this.busy = true;
    try {
      for (;;) {
        const entry = this.entries.find((candidate) => candidate.state === 'waiting');
        if (!entry || (entry.retryAt ?? 0) > this.now()) break;
        if (!(await this.#try(entry))) break;
      }
    } finally {
      this.busy = false;
    }
    this.#schedule();
  }

  /** @param {Entry} entry @returns {Promise<boolean>} whether the next one may be tried at once */
  async #try(entry) {
    entry.state = 'sending';
    this.onchange();
    try {
      const payload = await this.send(entry);
      this.remove(entry.cid);
      this.onsent(entry, payload);
      return true;
    } catch (error) {
      const { code, layer, requestId, retryAfter } = /** @type {any} */ (error);
      if (WAIT.has(code)) {
        entry.state = 'waiting';
        entry.error = code === OFFLINE ? undefined : { code, layer, requestId };
        entry.retryAt = code === OFFLINE ? undefined : this.now() + (retryAfter ?? WAIT_MS);
      } else {
        entry.state = 'failed';
        entry.error = { code: code ?? 'INTERNAL', layer, requestId };
      }
      this.shelf.put(entry).catch(() => {});
      this.onchange();
      return entry.state === 'failed';
    }
  }

  #schedule() {
    clearTimeout(this.timer);
    const until = this.waitingUntil;
    if (until) this.timer = setTimeout(() => this.flush(), Math.max(0, until - this.now()));
  }
}

/** A shelf in memory: for tests, and where IndexedDB is refused. @returns {Shelf} */
export function memoryShelf() {
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  return {
    all: async () => [...entries.values()],
    put: async (entry) => void entries.set(entry.cid, { ...entry }),
    remove: async (cid) => void entries.delete(cid),
    clear: async () => entries.clear(),
  };
}

/**
 * A person's shelf in IndexedDB, or in memory where that fails.
 * @param {string} user whose messages are on it; those of other people in the same browser are not seen
 * @param {() => boolean} [closed] whether the person has logged out, in whichever tab: nothing is put on the shelf then
 * @returns {Promise<Shelf>}
 */
export async function openShelf(user, closed = () => false) {
  const ask = (/** @type {IDBRequest} */ request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  try {
    const opening = indexedDB.open('sluice', VERSION);
    opening.onupgradeneeded = () => {
      const { result } = opening;
      // Messages without a user cannot be sent in anybody's name.
      if (result.objectStoreNames.contains('outbox')) result.deleteObjectStore('outbox');
      result.createObjectStore('outbox', { keyPath: 'cid' }).createIndex('user', 'user');
    };
    const blocked = new Promise((_, reject) => (opening.onblocked = () => reject(new Error('a page of an older version is open'))));
    const database = /** @type {IDBDatabase} */ (await Promise.race([ask(opening), blocked]));
    database.onversionchange = () => database.close();
    const store = (/** @type {IDBTransactionMode} */ mode) => database.transaction('outbox', mode).objectStore('outbox');
    return {
      all: async () => /** @type {any} */ (await ask(store('readonly').index('user').getAll(user))),
      put: async (entry) => void (closed() || (await ask(store('readwrite').put({ ...entry, user })))),
      remove: async (cid) => void (await ask(store('readwrite').delete(cid))),
      clear: async () => {
        const kept = store('readwrite');
        const cids = /** @type {IDBValidKey[]} */ (await ask(kept.index('user').getAllKeys(user)));
        await Promise.all(cids.map((cid) => ask(kept.delete(cid))));
      },
    };
  } catch {
    return memoryShelf();
  }
}
