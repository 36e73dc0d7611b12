/**
 * One session as this tab knows it: its messages, its live runs, and the position up to which that is true.
 *
 * Pure: frames go in, the state changes, `onchange` reports the change. Positions decide whether a frame is new, known
 * already, or has a gap before it; the caller then asks the server again. Nothing here knows sockets or elements.
 */

/** @typedef {import('./wire.js').Message} Message */
/** @typedef {import('./wire.js').Session} Session */
/** @typedef {import('./wire.js').Position} Position */
/** @typedef {import('./wire.js').RunState} RunState */

/**
 * What changed. `order`: messages were added, removed or moved; `message`: one is different; `text`: one has grown.
 * @typedef {{kind: 'order' | 'session' | 'queue' | 'deleted'} | {kind: 'message' | 'text', id: string}} Change
 */

/**
 * What the caller must do. `gap`: `sub` again with {@link SessionModel.position}; `branch`: `sub` without one;
 * `fetch`: get that message, ours is not complete.
 * @typedef {'applied' | 'ignored' | 'gap' | 'branch' | {fetch: string}} Outcome
 */

/** Finishes of a run that leave its message in a state of its own; all others are `done`. @type {Record<string, Message['status']>} */
const STATUS_OF = { stopped: 'stopped', abandoned: 'stopped', error: 'error', interrupted: 'interrupted' };

export class SessionModel {
  /**
   * @param {string} id
   * @param {(change: Change) => void} [onchange]
   */
  constructor(id, onchange = () => {}) {
    this.id = id;
    this.onchange = onchange;
    /** Whether a snapshot has arrived. */
    this.ready = false;
    this.epoch = '';
    this.seq = 0;
    /** @type {Session | null} */
    this.session = null;
    /** @type {Map<string, Message>} */
    this.messages = new Map();
    /** The ids of the branch that is shown, oldest first. @type {string[]} */
    this.order = [];
    /** Whether there are older messages than the first one here. */
    this.more = false;
    /** Live runs by their id. @type {Map<string, RunState>} */
    this.runs = new Map();
    /** @type {import('./wire.js').QueueItem[]} */
    this.queue = [];
  }

  /** @returns {Message | undefined} */
  get leaf() {
    return this.messages.get(this.order.at(-1) ?? '');
  }

  /** The run that is waiting or under way. @returns {RunState | undefined} */
  get active() {
    return this.runs.values().next().value;
  }

  /** @param {string} message @returns {RunState | undefined} */
  runOf(message) {
    for (const run of this.runs.values()) if (run.message === message) return run;
    return undefined;
  }

  /** The parameters of a `sub` that goes on from here. */
  position() {
    if (!this.ready) return { session: this.id };
    const runs = Object.fromEntries([...this.runs.values()].map((run) => [run.run, run.to]));
    return { session: this.id, epoch: this.epoch, after: this.seq, runs };
  }

  /**
   * Takes the response to a `sub`.
   * @param {import('./wire.js').Subscribed} answer
   * @returns {Outcome} `branch` where one of the missed events leads to another branch, or text was sent that did not reach us
   */
  subscribed(answer) {
    if (answer.mode === 'snapshot') return this.#snapshot(answer);
    return this.#resume(answer);
  }

  /** @param {any} answer @returns {Outcome} */
  #snapshot({ epoch, seq, session, messages, more, runs, queue }) {
    this.ready = true;
    this.epoch = epoch;
    this.seq = seq;
    this.session = session;
    this.messages = new Map(messages.map((/** @type {Message} */ message) => [message.id, message]));
    this.order = [...this.messages.keys()];
    this.more = more;
    this.queue = queue ?? [];
    this.runs = new Map((runs ?? []).map((/** @type {RunState} */ run) => [run.run, { ...run }]));
    this.onchange({ kind: 'order' });
    this.onchange({ kind: 'session' });
    this.onchange({ kind: 'queue' });
    return 'applied';
  }

  /** @param {any} answer @returns {Outcome} */
  #resume({ epoch, seq, events, messages, runs }) {
    this.epoch = epoch;
    for (const event of events) if (this.event(event) === 'branch') return 'branch';
    this.seq = seq;
    for (const message of messages ?? []) this.replace(message);
    for (const state of runs ?? []) {
      // The stream continues after what was sent before; a chunk that we could not take then is only in a snapshot.
      if (!state.reset && !this.#has(state)) return 'branch';
      const message = this.messages.get(state.message);
      if (state.reset && message) {
        message.text = '';
        message.reasoning = '';
        this.onchange({ kind: 'message', id: message.id });
      }
      this.runs.set(state.run, { ...state });
    }
    // Runs that the server no longer names are over; their rows came with `messages`.
    const live = new Set((runs ?? []).map((/** @type {RunState} */ run) => run.run));
    for (const id of [...this.runs.keys()]) if (!live.has(id)) this.runs.delete(id);
    this.onchange({ kind: 'session' });
    return 'applied';
  }

  /** Whether our text of a run ends where the server assumes. @param {RunState} state */
  #has({ run, to }) {
    const have = this.runs.get(run)?.to;
    return (have?.text ?? 0) === (to.text ?? 0) && (have?.reasoning ?? 0) === (to.reasoning ?? 0);
  }

  /**
   * Takes an event.
   * @param {{seq: number, ev: string, data: any}} frame
   * @returns {Outcome}
   */
  event({ seq, ev, data }) {
    if (seq <= this.seq) return 'ignored';
    if (!this.ready || seq > this.seq + 1) return 'gap';
    this.seq = seq;
    const apply = EVENTS[ev];
    return apply ? apply(this, data) : 'ignored';
  }

  /**
   * Takes a chunk of text.
   * @param {{run: string, ch: 'text' | 'reasoning', from: number, to: number, text: string}} frame
   * @returns {Outcome}
   */
  delta({ run, ch, from, to, text }) {
    const state = this.runs.get(run);
    const message = state && this.messages.get(state.message);
    if (!state || !message) return 'gap';
    const have = state.to[ch] ?? 0;
    if (to <= have) return 'ignored';
    if (from !== have) return 'gap';
    state.to = { ...state.to, [ch]: to };
    message[ch] = (message[ch] ?? '') + text;
    this.onchange({ kind: 'text', id: message.id });
    return 'applied';
  }

  /** A run waits at another place, or is being stopped. @param {{run: string, state: RunState['state'], position?: number}} frame */
  place({ run, state, position }) {
    const known = this.runs.get(run);
    if (!known) return;
    known.state = state;
    known.position = position;
    this.onchange({ kind: 'message', id: known.message });
  }

  /** Adds a page of older messages. @param {Message[]} messages oldest first @param {boolean} more */
  earlier(messages, more) {
    const fresh = messages.filter((message) => !this.messages.has(message.id));
    for (const message of fresh) this.messages.set(message.id, message);
    this.order = [...fresh.map((message) => message.id), ...this.order];
    this.more = more;
    this.onchange({ kind: 'order' });
  }

  /** Replaces our message. @param {Message} message */
  replace(message) {
    if (!this.messages.has(message.id)) return;
    this.messages.set(message.id, message);
    this.onchange({ kind: 'message', id: message.id });
  }

  /**
   * Appends a message under its parent; what was shown below the parent is another branch now.
   * @param {Message} message
   */
  append(message) {
    const at = message.parent ? this.order.indexOf(message.parent) : -1;
    // A parent that is further up than what is loaded: everything here is another branch.
    const kept = this.order.slice(0, at + 1);
    for (const id of this.order.slice(at + 1)) this.messages.delete(id);
    if (at < 0) this.more = this.more && Boolean(message.parent);
    this.order = [...kept, message.id];
    this.messages.set(message.id, message);
    this.onchange({ kind: 'order' });
  }
}

/** @type {Record<string, (model: SessionModel, data: any) => Outcome>} */
const EVENTS = {
  'message.added'(model, { message }) {
    if (message.parent && !model.messages.has(message.parent)) return 'branch';
    model.append({ ...message });
    return 'applied';
  },

  'message.updated'(model, { message }) {
    model.replace(message);
    return 'applied';
  },

  'run.queued': (model, data) => startRun(model, data, 'queued'),
  'run.started': (model, data) => startRun(model, data, 'running'),

  'run.ended'(model, data) {
    const message = model.messages.get(data.message);
    const state = model.runs.get(data.run);
    model.runs.delete(data.run);
    if (!message) return 'applied';
    message.status = STATUS_OF[data.finish] ?? 'done';
    if (data.reasoning_ms !== undefined) message.reasoning_ms = data.reasoning_ms;
    const { finish, error, usage, ttft_ms, duration_ms, request_id } = data;
    message.run = { id: data.run, request_id, finish, error, usage, ttft_ms, duration_ms };
    model.onchange({ kind: 'message', id: message.id });
    const complete = state && (state.to.text ?? 0) === data.to.text && (state.to.reasoning ?? 0) === data.to.reasoning;
    return complete ? 'applied' : { fetch: message.id };
  },

  'session.updated'(model, { session }) {
    model.session = session;
    model.onchange({ kind: 'session' });
    return 'applied';
  },

  'session.deleted'(model) {
    model.onchange({ kind: 'deleted' });
    return 'applied';
  },

  'branch.selected': () => 'branch',

  'queue.changed'(model, { queue }) {
    model.queue = queue;
    model.onchange({ kind: 'queue' });
    return 'applied';
  },
};

/** @param {SessionModel} model @param {any} data @param {RunState['state']} state @returns {Outcome} */
function startRun(model, data, state) {
  const { run, message: id, parent, siblings, model: name, base, request_id, created_at, position } = data;
  if (parent && !model.messages.has(parent)) return 'branch';
  const known = model.runs.get(run);
  if (known) {
    known.state = state;
    known.position = position;
  } else {
    model.runs.set(run, { run, message: id, state, position, to: { ...base }, request_id, started_at: created_at });
  }
  const status = state === 'queued' ? 'queued' : 'streaming';
  const message = model.messages.get(id);
  // It begins with words that we do not have.
  if (!message && base?.text) return 'branch';
  if (message) {
    // Goes on from where it was cut, or, where that was before its first word, from the beginning.
    if (data.kind === 'continue' && !base.text) message.text = '';
    if (data.kind === 'continue' && !base.reasoning) message.reasoning = '';
    message.status = status;
    message.run = { id: run, request_id };
    model.onchange({ kind: 'message', id });
  } else {
    const fresh = {
      id,
      parent,
      role: 'assistant',
      status,
      text: '',
      reasoning: '',
      model: name,
      siblings,
      created_at,
      run: { id: run, request_id },
    };
    model.append(/** @type {Message} */ (fresh));
  }
  return 'applied';
}
