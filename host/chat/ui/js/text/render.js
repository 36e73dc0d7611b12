/**
 * Tokens to elements.
 *
 * Responsible for what a message looks like in the document. Every element is made by name from a fixed list here; the
 * message decides about text, never about names, attributes or handlers.
 */

import { h } from '../dom.js';
import { isInlineImage, link, split } from './links.js';

/** How many characters are shown of an address that is not a link, such as that of a picture inside a link. Arbitrary. */
const MOST_SHOWN = 300;

/** @typedef {string | [string, ...any[]]} Token */

/**
 * What the view adds to plain elements.
 * @typedef {object} Context
 * @property {(language: string, text: string, closed: boolean, info: string) => HTMLElement} code makes a code block; info is
 *   what the message says of it beside the language
 */

/**
 * Makes the element of one top-level block.
 * @param {Token} token
 * @param {Context} context
 * @returns {HTMLElement}
 */
export function block(token, context) {
  const node = render(token, context);
  return node instanceof HTMLElement ? node : h('p', null, node);
}

/** @param {Token} token @param {Context} context @returns {Node | Node[]} */
function render(token, context) {
  if (typeof token === 'string') return textNodes(token);
  const [name, ...rest] = token;
  const make = MAKERS[name];
  return make ? make(rest, context) : textNodes(String(rest.at(-1) ?? ''));
}

/** @param {Token[]} tokens @param {Context} context @returns {Node[]} */
function all(tokens, context) {
  return tokens.flatMap((token) => render(token, context));
}

/** @type {Record<string, (rest: any[], context: Context) => Node>} */
const MAKERS = {
  p: (rest, context) => h('p', null, all(rest, context)),
  q: (rest, context) => h('blockquote', null, all(rest, context)),
  ul: (rest, context) => h('ul', null, all(rest, context)),
  ol: ([start, ...rest], context) => h('ol', { start: start === 1 ? null : start }, all(rest, context)),
  li: item,
  h: heading,
  hr: () => h('hr'),
  br: () => h('br'),
  pre: ([language, text, closed, info = ''], context) => context.code(language, text, closed === 1, info),
  table,
  em: (rest, context) => h('em', null, all(rest, context)),
  b: (rest, context) => h('strong', null, all(rest, context)),
  s: (rest, context) => h('del', null, all(rest, context)),
  c: ([text]) => h('code', null, text),
  a: anchor,
  img: image,
};

/** @param {any[]} rest @param {Context} context */
function heading([level, ...rest], context) {
  // A stream passes through `## ` before its text comes: to a screen reader an empty heading is a mistake.
  if (rest.length === 0) return h('p');
  // A message stands below the headings of the page: `# Title` in it is a heading of the third level.
  return h(`h${Math.min(6, level + 2)}.md-h${level}`, null, all(rest, context));
}

/** @param {any[]} rest @param {Context} context */
function item([task, ...rest], context) {
  if (task < 0) return h('li', null, all(rest, context));
  const box = h('input', { type: 'checkbox', disabled: true, checked: task === 1, 'aria-hidden': 'true' });
  const mark = h('span.sr-only', null, task === 1 ? '☑ ' : '☐ ');
  return h('li.task', null, box, mark, all(rest, context));
}

/** @param {any[]} rest @param {Context} context */
function table([aligns, head, ...rows], context) {
  const cells = (/** @type {any} */ row, /** @type {string} */ tag) =>
    h(
      'tr',
      null,
      row
        .slice(1)
        .map((/** @type {any} */ cell, /** @type {number} */ i) =>
          h(tag, { class: aligns[i] && `align-${aligns[i]}`, scope: tag === 'th' ? 'col' : null }, all(cell.slice(1), context)),
        ),
    );
  // The wrapper scrolls sideways on a narrow screen, and can be focused to do so by keyboard.
  return h(
    'div.table',
    { tabIndex: 0 },
    h(
      'table',
      null,
      h('thead', null, head && cells(head, 'th')),
      h(
        'tbody',
        null,
        rows.map((row) => cells(row, 'td')),
      ),
    ),
  );
}

/** @param {any[]} rest @param {Context} context */
function anchor([target, title, ...rest], context) {
  const found = link(target);
  const inner = all(rest, context);
  const label = inner.map((node) => node.textContent).join('');
  if (!found) return dead(inner, label, target);
  return label ? a(found, inner, title, label) : a(found, found.href, title, found.href);
}

/** An address that may not be opened is still something that was said. @param {Node[] | string} inner @param {string} label @param {string} target */
function dead(inner, label, target) {
  const shown = target.length > MOST_SHOWN ? `${target.slice(0, MOST_SHOWN)}…` : target;
  const said = !label ? shown : !target || label.includes(target) ? null : h('span.host', null, ` (${shown})`);
  return h('span.dead-link', { title: target }, inner, said);
}

/**
 * @param {{href: string, host: string}} found
 * @param {Node[] | string} inner
 * @param {string} title
 * @param {string} label what the reader sees; the host is added where it does not show it
 */
function a({ href, host }, inner, title, label) {
  const shown = !host || label.includes(host);
  return h(
    'a',
    { href, title: title || href, target: '_blank', rel: 'noopener noreferrer nofollow' },
    inner,
    shown ? null : h('span.host', null, ` ${host}`),
  );
}

/** @param {any[]} rest */
function image([target, title, ...rest]) {
  const label = rest.map(plainText).join('');
  if (isInlineImage(target)) return h('img', { src: target, alt: label, title: title || null, loading: 'lazy' });
  // Never fetched: a picture's address can carry what was said in the conversation to someone else.
  const found = link(target);
  return found ? a(found, label || found.href, title, label) : dead(label, label, target);
}

/** @param {Token} token @returns {string} */
function plainText(token) {
  return typeof token === 'string'
    ? token
    : token
        .slice(1)
        .filter((part) => typeof part !== 'number')
        .map(plainText)
        .join('');
}

/** @param {string} value @returns {Node[]} */
function textNodes(value) {
  return split(value).map((part) => (typeof part === 'string' ? document.createTextNode(part) : a(part, part.text, '', part.text)));
}
