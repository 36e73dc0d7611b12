/**
 * Code blocks: the text at once, its colours later.
 *
 * Colours are ranges that the server computes. They are asked for when the block is complete and near the screen, one
 * block at a time, so that opening a long conversation does not flood the socket.
 */

import { fill, h, icon, text } from '../dom.js';
import { t } from '../i18n.js';
import * as settings from '../settings.js';
import { copyButton } from './copy.js';

/** Longer blocks are folded to about a screen. */
const FOLD_LINES = 40;
/** A stream that pauses this long may as well be coloured. */
const IDLE_MS = 300;
const MOST_CACHED = 500;
/** Between two questions: the gateway allows 20 frames a second on a socket, and there are other things to say. */
const PAUSE_MS = 100;

/** @typedef {[number, number, string]} Range */

/** Asks the server for colours; set once at start. @type {(language: string, text: string) => Promise<Range[]>} */
let highlight = async () => [];
/** @type {Map<string, Range[]>} */
const cache = new Map();
/** @type {Promise<unknown>} */
let turn = Promise.resolve();

/** @param {typeof highlight} ask @param {() => number} limit bytes */
export function configure(ask, limit) {
  highlight = async (language, source) => {
    const key = `${language}\n${source}`;
    const known = cache.get(key);
    if (known) return known;
    if (source.length > limit()) return [];
    const ranges = await ask(language, source);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (cache.size >= MOST_CACHED) cache.delete(/** @type {string} */ (cache.keys().next().value));
    cache.set(key, ranges);
    return ranges;
  };
}

const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      const view = /** @type {any} */ (entry.target).__code;
      turn = turn.then(() => view.colour()).catch(() => {});
    }
  },
  { rootMargin: '600px 0px' },
);

/** One code block. */
export class CodeView {
  /** @param {string} language @param {string} source @param {boolean} closed @param {string} info shown in place of the language */
  constructor(language, source, closed, info) {
    this.language = language;
    this.info = info;
    this.source = '';
    this.closed = false;
    this.coloured = '';
    this.code = h('code');
    this.pre = h('pre', { tabIndex: 0 }, this.code);
    this.wrap = h(
      'button.icon-button',
      {
        type: 'button',
        'aria-label': t('code.wrap'),
        title: t('code.wrap'),
        'aria-pressed': 'false',
        onclick: () => this.#wrap(!this.pre.classList.contains('wrap')),
      },
      icon('wrap'),
    );
    this.fold = h('button.fold', { type: 'button', hidden: true, onclick: () => this.#fold(!this.node.classList.contains('folded')) });
    const head = h(
      'div.code-head',
      null,
      h('span.language', null, info || language || t('code.plain')),
      this.wrap,
      copyButton(() => this.source.replace(/\n$/, ''), { label: t('code.copy') }),
    );
    this.node = h('div.code', null, head, this.pre, this.fold);
    this.node.__code = this;
    this.#wrap(settings.get('wrap') === 'on');
    this.update(source, closed);
  }

  /** @param {string} language @param {string} info */
  is(language, info) {
    return language === this.language && info === this.info;
  }

  /** Shows what another view shows, if it is of the same language. @param {CodeView} other @returns {boolean} whether it is */
  takes(other) {
    const same = this.is(other.language, other.info);
    if (same) this.update(other.source, other.closed);
    return same;
  }

  /** @param {string} source @param {boolean} closed */
  update(source, closed) {
    this.closed = closed;
    if (source !== this.source) this.#text(source);
    clearTimeout(this.idle);
    if (closed) near.observe(this.node);
    else if (this.language) this.idle = setTimeout(() => near.observe(this.node), IDLE_MS);
    const lines = closed ? source.split('\n').length - 1 : 0;
    if (lines > FOLD_LINES && this.fold.hidden) {
      this.lines = lines;
      this.fold.hidden = false;
      this.#fold(true);
    }
  }

  /** Asks for colours and applies them, unless the text has changed meanwhile. */
  async colour() {
    const { source } = this;
    if (!this.language || this.coloured === source) return;
    const ranges = await highlight(this.language, source);
    if (this.source === source) {
      this.coloured = source;
      this.#paint(ranges);
    }
  }

  /** Text that grows keeps what is there: a selection in it survives. @param {string} source */
  #text(source) {
    if (this.source && source.startsWith(this.source)) this.code.append(source.slice(this.source.length));
    else text(this.code, source);
    this.source = source;
  }

  /** @param {Range[]} ranges */
  #paint(ranges) {
    if (!ranges.length || selectionIn(this.code)) return;
    const parts = [];
    let at = 0;
    for (const [start, end, name] of ranges) {
      if (start > at) parts.push(this.source.slice(at, start));
      parts.push(h('span', { class: `hl-${name}` }, this.source.slice(start, end)));
      at = end;
    }
    parts.push(this.source.slice(at));
    fill(this.code, parts);
  }

  /** @param {boolean} on */
  #wrap(on) {
    this.pre.classList.toggle('wrap', on);
    this.wrap.setAttribute('aria-pressed', String(on));
  }

  /** @param {boolean} folded */
  #fold(folded) {
    this.node.classList.toggle('folded', folded);
    this.fold.setAttribute('aria-expanded', String(!folded));
    text(this.fold, folded ? t('code.unfold', { n: this.lines ?? 0 }) : t('code.fold'));
  }
}

/** @param {Node} node */
function selectionIn(node) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(node);
}
