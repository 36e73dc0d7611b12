/**
 * Short notices in a corner, with at most one thing to do about them.
 */

import { h, icon } from '../dom.js';
import { has, t } from '../i18n.js';
import { copyButton } from './copy.js';
import { say } from './status.js';

/** Long enough to read a line and reach the button. */
const SHOWN_MS = 8_000;
const MOST = 3;

const box = h('div.toasts');

/** The place of the notices, to be put into the document once. */
export function place() {
  box.setAttribute('role', 'region');
  box.setAttribute('aria-label', t('toast.label'));
  return box;
}

/** Takes all notices away. */
export function clear() {
  box.replaceChildren();
}

/**
 * Shows a notice.
 * @param {string} text
 * @param {object} [options]
 * @param {'plain' | 'error'} [options.kind]
 * @param {{label: string, act: () => void}} [options.action]
 * @param {string} [options.requestId] shown with a button that copies it
 * @param {number} [options.ms] 0: until it is closed
 * @returns {() => void} takes it away
 */
export function toast(text, { kind = 'plain', action, requestId, ms = SHOWN_MS } = {}) {
  const close = () => node.remove();
  const node = h(
    'div.toast',
    { class: kind },
    h('p', null, text, requestId && [' ', copyButton(requestId, { text: requestId, label: t('copy.request') })]),
    action && h('button.link', { type: 'button', onclick: () => (close(), action.act()) }, action.label),
    h('button.icon-button', { type: 'button', 'aria-label': t('close'), onclick: close }, icon('close')),
  );
  box.append(node);
  if (box.children.length > MOST) box.firstElementChild?.remove();
  say(text, kind === 'error');
  if (ms) {
    // A pointer or the focus on it stops the clock: nobody should have to hurry.
    let timer = setTimeout(close, ms);
    const hold = () => clearTimeout(timer);
    const go = () => (timer = setTimeout(close, ms));
    node.addEventListener('pointerenter', hold);
    node.addEventListener('focusin', hold);
    node.addEventListener('pointerleave', go);
    node.addEventListener('focusout', go);
  }
  return close;
}

/**
 * Shows what went wrong with a request.
 * @param {any} error a `RequestError`
 */
export function failure(error) {
  toast(errorText(error), { kind: 'error', requestId: error?.requestId });
}

/**
 * The words for an error: what is wrong, in the layer where it is.
 * @param {{code?: string, layer?: string}} error
 */
export function errorText(error) {
  const key = `error.${error?.code ?? 'INTERNAL'}`;
  const keys = [`${key}.${error?.layer}`, key, 'error.INTERNAL'];
  return t(keys.find(has) ?? 'error.INTERNAL');
}
