/**
 * One message: its text, its state, and its actions.
 */

import { fill, h, icon, set, text } from '../dom.js';
import { dateTime, duration, number, t, time } from '../i18n.js';
import { BodyView } from './body.js';
import { copyButton } from './copy.js';
import { errorNote } from './errors.js';
import { ReasoningView } from './reasoning.js';

/** @typedef {import('../net/wire.js').Message} Message */
/** @typedef {import('../net/wire.js').RunState} RunState */

/** Ends after which there may be more to say. */
const CUT = new Set(['stopped', 'interrupted', 'error']);

export class MessageView {
  /** @param {Message} message */
  constructor(message) {
    this.id = message.id;
    this.heading = h('h2.sr-only', { id: `h-${message.id}` });
    this.note = h('div.note-slot');
    this.foot = h('footer.meta');
    this.node = h(
      'article.message',
      { class: message.role, id: `m-${message.id}`, tabIndex: -1, 'aria-labelledby': `h-${message.id}`, 'data-id': message.id },
      this.heading,
    );
    this.node.__view = this;
    /** Only a user's message has a bubble, only an assistant's a body. @type {any} */
    this.body = undefined;
    if (message.role === 'user') {
      this.bubble = h('div.bubble', { dir: 'auto' });
      this.node.append(this.bubble, this.foot);
    } else {
      this.body = new BodyView();
      this.wait = h('div.wait', { hidden: true }, h('span.dots', { 'aria-hidden': 'true' }, h('i'), h('i'), h('i')), h('span.wait-text'));
      this.node.append(this.body.node, this.wait, this.note, this.foot);
    }
    this.state = '';
  }

  /**
   * Shows the message as it is now.
   * @param {Message} message
   * @param {{run?: RunState, last: boolean, lost: boolean}} context `lost`: there is no connection
   */
  update(message, { run, last, lost }) {
    if (this.parked) return;
    this.message = message;
    this.run = run;
    if (message.role === 'user') this.#user(message);
    else this.#assistant(message, run, lost);
    // All that the rest depends on, but the text: while that grows, nothing else is touched.
    const state = JSON.stringify([message.status, message.run, message.siblings, run?.state, run?.position, last, Boolean(message.text)]);
    if (state === this.state) return;
    this.state = state;
    this.node.classList.toggle('last', last);
    text(this.heading, t(`message.${message.role}`, { time: time(message.created_at) }));
    this.#foot(message, last);
  }

  /** Empties the element and keeps its height. @param {number} height pixels */
  park(height) {
    if (this.parked || this.node.contains(document.activeElement) || !this.message) return;
    this.parked = [...this.node.childNodes];
    this.node.style.height = `${height}px`;
    this.node.replaceChildren();
  }

  /** Puts back what was there. */
  unpark() {
    this.node.replaceChildren(...(this.parked ?? []));
    this.node.style.height = '';
    this.parked = undefined;
  }

  /** @param {Message} message */
  #user(message) {
    if (this.node.classList.contains('editing')) return;
    if (this.bubble.textContent !== message.text) text(this.bubble, message.text);
  }

  /** @param {Message} message @param {RunState | undefined} run @param {boolean} lost */
  #assistant(message, run, lost) {
    const live = message.status === 'streaming' || message.status === 'queued';
    this.body.update(message.text ?? '', live);
    set(this.body.node, 'aria-busy', live ? 'true' : null);
    if (message.reasoning) {
      if (!this.reasoning) {
        this.reasoning = new ReasoningView();
        this.body.node.before(this.reasoning.node);
      }
      this.reasoning.update({
        text: message.reasoning,
        thinking: live && !message.text,
        since: run?.started_at ?? message.created_at,
        ms: message.reasoning_ms,
      });
    }
    const waiting = live && (lost || (!message.text && !(message.reasoning && message.status === 'streaming')));
    this.wait.hidden = !waiting;
    if (waiting) text(this.wait.lastChild, lost ? t('wait.lost') : waitText(message, run));
    this.node.classList.toggle('live', live);
  }

  /** @param {Message} message @param {boolean} last */
  #foot(message, last) {
    if (message.role === 'assistant')
      fill(
        this.note,
        message.run?.error ? errorNote(message.run.error, message.created_at + (message.run.duration_ms ?? 0), last) : endNote(message),
      );
    const live = message.status === 'streaming' || message.status === 'queued';
    const actions = live ? null : this.#actions(message);
    // What is always shown stands at the edge: the left one of an answer, the right one of a question.
    if (message.role === 'assistant') fill(this.foot, this.#branches(message), actions, figures(message));
    else fill(this.foot, actions, this.#branches(message));
  }

  /** @param {Message} message */
  #actions(message) {
    const button = (/** @type {any} */ drawing, /** @type {string} */ action) =>
      h(
        'button.icon-button',
        { type: 'button', 'data-action': action, 'aria-label': t(`message.${action}`), title: t(`message.${action}`) },
        icon(drawing),
      );
    const user = message.role === 'user';
    const cut = CUT.has(message.status) || message.run?.finish === 'length';
    return h(
      'div.actions',
      null,
      message.text && copyButton(() => this.message?.text ?? '', { label: t('message.copy') }),
      user && button('edit', 'edit'),
      !user && button('retry', 'regenerate'),
      // Without text there is nothing to continue. If other messages follow, the continuation becomes a branch.
      !user &&
        cut &&
        message.text &&
        h('button.small-button', { type: 'button', 'data-action': 'continue' }, icon('play'), t('message.continue')),
    );
  }

  /** @param {Message} message */
  #branches(message) {
    const all = message.siblings ?? [];
    if (all.length < 2) return null;
    const at = all.indexOf(message.id);
    const step = (/** @type {'left' | 'right'} */ side, /** @type {number} */ to) =>
      h(
        'button.icon-button',
        {
          type: 'button',
          'data-action': 'branch',
          'data-to': all[to],
          disabled: !all[to],
          'aria-label': t(`branch.${side}`),
          title: t(`branch.${side}`),
        },
        icon(side),
      );
    return h(
      'div.branches',
      { role: 'group', 'aria-label': t('branch.label') },
      step('left', at - 1),
      h('span', null, `${number(at + 1)}/${number(all.length)}`),
      step('right', at + 1),
    );
  }
}

/** @param {Message} message @param {RunState} [run] */
function waitText(message, run) {
  if (run?.state === 'stopping') return t('wait.stopping');
  if (message.status === 'queued') return run?.position ? t('wait.queued', { n: run.position }) : t('wait.queue');
  return t('wait.model');
}

/** A note below an answer that did not end normally. @param {Message} message */
function endNote(message) {
  const finish = message.run?.finish;
  const key = message.status === 'interrupted' ? 'interrupted' : finish;
  if (!key || !['stopped', 'interrupted', 'abandoned', 'length', 'content_filter'].includes(key)) {
    return finish && !message.text && !message.reasoning ? h('p.end-note', null, t('end.empty')) : null;
  }
  return h('p.end-note', null, t(`end.${key}`));
}

/** Model, time, tokens and the request id. @param {Message} message */
function figures({ model, run, created_at }) {
  if (!run) return null;
  const { usage, duration_ms, ttft_ms, request_id } = run;
  const parts = [model && h('span.model', null, model)];
  if (duration_ms !== undefined) {
    const hint =
      ttft_ms === undefined ? dateTime(created_at) : `${t('figures.first', { time: duration(ttft_ms) })} · ${dateTime(created_at)}`;
    parts.push(h('span', { title: hint }, duration(duration_ms)));
  }
  if (usage?.out) {
    const writing = (duration_ms ?? 0) - (ttft_ms ?? 0);
    const rate = writing > 200 ? ` · ${t('figures.rate', { n: Math.round((usage.out * 1000) / writing) })}` : '';
    parts.push(h('span', { title: t('figures.tokens', { in: usage.in ?? 0, out: usage.out }) + rate }, t('figures.out', { n: usage.out })));
  }
  if (request_id) parts.push(copyButton(request_id, { text: request_id, label: t('copy.request') }));
  return h('div.figures', null, parts);
}
