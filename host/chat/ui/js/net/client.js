/**
 * Everything the page knows and can ask for, without a single element.
 *
 * Joins the connection, the sessions' models, the list and the outbox; views listen to its topics and call its methods.
 * What a frame does is decided in the models; here is only where it goes.
 */

import { Connection } from './connection.js';
import { SessionList } from './list.js';
import { Outbox } from './outbox.js';
import { SessionModel } from './session.js';
import { uuid } from './wire.js';

/** How many models of other sessions are kept, to resume from them. Arbitrary; each is as large as its loaded messages. */
const KEEP_MODELS = 8;
const PAGE = 50;

/**
 * @typedef {'connection' | 'list' | 'open' | 'session' | 'outbox' | 'system' | 'cards' | 'build' | 'limits' | 'stranger' | 'back'} Topic
 * @typedef {{id: string, session: string, after: string, card: any}} CardEntry a debug card, and the message it stands after
 */

export class Client {
  /**
   * @param {object} options
   * @param {() => any} options.open makes a transport
   * @param {() => object} options.hello
   * @param {import('./outbox.js').Shelf} options.shelf
   * @param {string} options.owner the user id of the person whose page this is
   * @param {string} options.build the build of this page
   * @param {() => boolean} [options.visible]
   */
  constructor({ open, hello, shelf, owner, build, visible = () => true }) {
    this.owner = owner;
    this.build = build;
    this.visible = visible;
    /** @type {Map<string, Set<(detail?: any) => void>>} */
    this.listeners = new Map();
    this.list = new SessionList();
    /** @type {Map<string, SessionModel>} */
    this.models = new Map();
    /** The session on screen; "" for one that does not exist yet. */
    this.current = '';
    /** The name of the chat that has no session yet, among others that wait to be sent. */
    this.chat = uuid();
    /** @type {any} */
    this.user = null;
    /** @type {any} */
    this.limits = { message_chars: 100_000 };
    /** @type {Array<{id: string, default?: boolean}>} */
    this.available = [];
    /** @type {{proxy: string, model: string}} */
    this.health = { proxy: 'unknown', model: 'unknown' };
    /** @type {any} */
    this.server = null;
    /** @type {CardEntry[]} */
    this.cards = [];
    /** Since when there is no connection; 0 while there is one. */
    this.offlineSince = Date.now();
    /** Sessions that this page is deleting. @type {Set<string>} */
    this.removing = new Set();
    /** Runs that are to be stopped once there is a connection. @type {Set<string>} */
    this.stops = new Set();
    this.outbox = new Outbox({
      shelf,
      send: (entry) => this.request('chat.send', { session: entry.session, cid: entry.cid, text: entry.text, ...entry.params }),
      onsent: (entry, payload) => this.#sent(entry, payload),
      onchange: () => this.emit('outbox'),
    });
    this.connection = new Connection({
      open,
      hello,
      visible,
      onhello: (payload) => this.#hello(payload),
      onframe: (frame) => this.#frame(frame),
      onstate: (state) => this.#state(state),
    });
  }

  /** Listens to a topic. @param {Topic} topic @param {(detail?: any) => void} listener */
  on(topic, listener) {
    const set = this.listeners.get(topic) ?? new Set();
    this.listeners.set(topic, set.add(listener));
  }

  /** @param {Topic} topic @param {any} [detail] */
  emit(topic, detail) {
    for (const listener of this.listeners.get(topic) ?? []) listener(detail);
  }

  /** Loads what an earlier page left behind, and connects. */
  async start() {
    await this.outbox.load();
    this.chat = this.outbox.entries.findLast((entry) => entry.session === null)?.chat ?? this.chat;
    this.connection.connect();
  }

  /** @param {string} method @param {object} [params] */
  request(method, params) {
    return this.connection.request(method, params);
  }

  get online() {
    return this.connection.state === 'online';
  }

  /** The model of the session on screen. @returns {SessionModel | undefined} */
  get model() {
    return this.models.get(this.current);
  }

  /** The unsent messages of what is on screen. */
  get pending() {
    return this.outbox.of(this.current || null, this.chat);
  }

  /** Shows a session. @param {string} id "" for a new one */
  show(id) {
    // A new chat while the one before still waits to be sent is another one.
    if (!id && this.pending.length) this.chat = uuid();
    else if (id === this.current) return;
    const before = this.current;
    this.current = id;
    if (before && this.online) this.request('unsub', { session: before }).catch(() => {});
    if (id) {
      const model = this.models.get(id) ?? this.#model(id);
      // The most recently shown is last: the first is the one to forget.
      this.models.delete(id);
      this.models.set(id, model);
      for (const old of this.models.keys()) if (this.models.size > KEEP_MODELS && old !== id) this.models.delete(old);
      this.#sub(model);
    }
    this.emit('open');
  }

  /**
   * Sends a message, or keeps it until it can be sent.
   * @param {string} text
   * @param {object} [params] further parameters of `chat.send`
   */
  send(text, params = {}) {
    const leaf = this.model?.leaf?.id;
    const alone = !this.pending.length && !this.model?.queue.length;
    // The reader has seen up to this message; with others waiting before this one, the end will be another.
    const expected = leaf && alone && !('edit_of' in params) ? { expected_leaf: leaf } : {};
    return this.outbox.add(this.current || null, this.chat, text, { ...expected, ...params });
  }

  /** Stops what runs in the session on screen; without a connection, as soon as there is one. */
  async stop() {
    const run = this.model?.active;
    if (run) this.model?.place({ run: run.run, state: 'stopping' });
    if (run && !this.online) return void this.stops.add(run.run);
    return this.request('chat.stop', run ? { run: run.run } : { session: this.current });
  }

  /**
   * Shows the branch of the session on screen on which a message is.
   * @param {string} message
   */
  async select(message) {
    const { model } = this;
    if (!model) return;
    const { seq } = await this.request('branch.select', { session: model.id, leaf: message });
    await this.when('session', () => model.seq >= seq && !(/** @type {any} */ (model).subscribing));
  }

  /**
   * Waits until a condition holds; it is checked at each event of a topic.
   * @param {Topic} topic @param {() => boolean} holds
   * @returns {Promise<void>}
   */
  when(topic, holds) {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        this.listeners.get(topic)?.delete(look);
        resolve();
      };
      this.on(topic, look);
    });
  }

  /** Loads a page of older messages of the session on screen. */
  async earlier() {
    const model = this.model;
    if (!model?.more) return;
    const first = model.order[0];
    const page = await this.request('messages.page', {
      session: model.id,
      before: first,
      limit: PAGE,
      ...(model.leaf && { leaf: model.leaf.id }),
    });
    if (model.order[0] === first) model.earlier(page.messages, page.more);
  }

  /** Loads the first or the next page of the list. @param {boolean} [next] */
  async loadList(next = false) {
    const asked = this.list.changes;
    const page = await this.request('sessions.list', { limit: PAGE, ...(next && { cursor: this.list.cursor }) });
    this.list.page(page, asked, !next);
    this.emit('list');
  }

  /** Changes a session. @param {string} session @param {object} changes */
  async patch(session, changes) {
    const answer = await this.request('sessions.patch', { session, ...changes });
    this.#session(answer.session);
  }

  /** Adds a debug card below what is on screen. @param {any} card @param {string} [id] replaces that card */
  addCard(card, id) {
    const known = this.cards.find((entry) => entry.id === id);
    if (known) known.card = card;
    else
      this.cards.push({
        id: `card_${Date.now()}_${this.cards.length}`,
        session: this.current,
        after: this.model?.order.at(-1) ?? '',
        card,
      });
    this.emit('cards');
  }

  /** @param {string} id */
  removeCard(id) {
    this.cards = this.cards.filter((entry) => entry.id !== id);
    this.emit('cards');
  }

  /** Tells the server that the session on screen has been seen. */
  markRead() {
    const session = this.list.get(this.current);
    if (!session?.unread || !this.visible() || !this.online) return;
    this.list.upsert({ ...session, unread: false });
    this.request('sessions.read', { session: session.id, seq: Math.max(session.seq, this.model?.seq ?? 0) }).catch(() => {});
    this.emit('list');
  }

  /** The page was shown or hidden. */
  visibility() {
    if (this.visible()) {
      this.connection.probe();
      this.markRead();
    }
    if (this.online) this.request('visible', { visible: this.visible() }).catch(() => {});
  }

  /** @param {string} id */
  #model(id) {
    const model = new SessionModel(id, (change) => this.emit('session', { id, change }));
    this.models.set(id, model);
    return model;
  }

  /** @param {SessionModel} model @param {boolean} [fresh] throw away what we have */
  async #sub(model, fresh = false) {
    // One at a time: frames that come before the answer belong to the state before, and may look like gaps.
    if (!this.online || /** @type {any} */ (model).subscribing) return;
    /** @type {any} */ (model).subscribing = true;
    let again = false;
    try {
      const position = fresh ? { session: model.id } : model.position();
      again = model.subscribed(await this.request('sub', position)) === 'branch';
      this.markRead();
    } catch (error) {
      if (/** @type {any} */ (error).code === 'NOT_FOUND') {
        this.models.delete(model.id);
        model.onchange({ kind: 'deleted' });
      }
    } finally {
      /** @type {any} */ (model).subscribing = false;
    }
    if (again) await this.#sub(model, true);
  }

  /** @param {any} payload @returns {boolean} whether to go on with this connection */
  #hello(payload) {
    // Somebody else has logged in meanwhile: nothing of this page may be sent in their name.
    if (payload.user.id !== this.owner) {
      this.emit('stranger', payload.user.id);
      return false;
    }
    this.user = payload.user;
    this.limits = payload.limits;
    this.server = payload.server;
    this.#system(payload);
    this.emit('limits');
    if (this.build && payload.server.build && payload.server.build !== this.build) this.emit('build');
    return true;
  }

  /** @param {any} state */
  #state(state) {
    if (state !== 'online') this.offlineSince ||= Date.now();
    if (state === 'online') {
      this.offlineSince = 0;
      this.loadList().catch(() => {});
      if (this.model) this.#sub(this.model);
      for (const run of this.stops) this.request('chat.stop', { run }).catch(() => {});
      this.stops.clear();
      this.outbox.flush();
    }
    this.emit('connection', state);
  }

  /** @param {any} frame */
  #frame(frame) {
    if (frame.type === 'event') {
      const model = this.models.get(frame.session);
      if (model && frame.session === this.current) this.#outcome(model, model.event(frame));
      if (frame.ev === 'message.added' && frame.data.message.cid) this.outbox.remove(frame.data.message.cid);
    } else if (frame.type === 'delta') {
      const model = this.#running(frame.run);
      if (model) this.#outcome(model, model.delta(frame));
    } else if (frame.type === 'position') this.#running(frame.run)?.place(frame);
    else if (frame.type === 'sessions.changed') this.#session(frame.session);
    else if (frame.type === 'system') this.#system(frame);
  }

  /** @param {string} run */
  #running(run) {
    return [...this.models.values()].find((model) => model.runs.has(run));
  }

  /** @param {SessionModel} model @param {import('./session.js').Outcome} outcome */
  #outcome(model, outcome) {
    if (outcome === 'gap') this.#sub(model);
    else if (outcome === 'branch') this.#sub(model, true);
    else if (typeof outcome === 'object') {
      const get = this.request('messages.get', { session: model.id, message: outcome.fetch });
      get.then((answer) => model.replace(answer.message)).catch(() => {});
    }
  }

  /** @param {any} session */
  #session(session) {
    this.list.upsert(session);
    const model = this.models.get(session.id);
    if (model?.session && session.seq >= model.session.seq) {
      model.session = session;
      model.onchange({ kind: 'session' });
    }
    this.emit('list');
    if (session.id === this.current) this.markRead();
  }

  /** @param {any} frame */
  #system({ health, models }) {
    if (health) this.health = health;
    if (models) this.available = models;
    this.emit('system');
  }

  /** @param {import('./outbox.js').Entry} entry @param {any} payload */
  #sent(entry, payload) {
    if (payload.card) this.addCard(payload.card);
    else if (entry.session === null && payload.session) {
      // Further messages that were typed meanwhile belong to the session that the first one made.
      for (const other of this.outbox.of(null, entry.chat)) other.session = payload.session;
      this.emit('open', { made: payload.session, chat: entry.chat });
    }
  }
}
