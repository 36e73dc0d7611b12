/**
 * Where the chain is broken, in plain words.
 */

import { h, icon, text } from '../dom.js';
import { t } from '../i18n.js';
import { errorText } from './toast.js';

const LAYERS = ['gateway', 'proxy', 'model'];

/**
 * The layers as a line, with the broken one marked.
 * @param {string} [broken]
 */
export function chain(broken) {
  const at = LAYERS.indexOf(broken ?? '');
  return h(
    'ol.chain',
    { 'aria-label': t('chain.label') },
    LAYERS.map((layer, index) => {
      const state = at < 0 ? '' : index < at ? 'ok' : index === at ? 'bad' : 'unknown';
      return h('li', { class: state }, h('span', null, t(`layer.${layer}`)), state && h('span.sr-only', null, ` (${t(`chain.${state}`)})`));
    }),
  );
}

/**
 * A note on a run that failed: the cause in words, and, to unfold, what the layer that failed says itself. The request id is
 * below it, with the figures of the message.
 * @param {import('../net/wire.js').WireError} error
 * @param {number} at when it failed
 * @param {boolean} last whether it is the last message: only that one is tried again from here
 */
export function errorNote(error, at, last) {
  const until = Math.min(at, Date.now()) + (error.retry_after_ms ?? 0);
  const retry =
    error.retryable &&
    last &&
    h('button.small-button', { type: 'button', 'data-action': 'regenerate', disabled: until > Date.now() }, icon('retry'), t('error.retry'));
  const words = h('p', null, errorText(error), ' ', countdown(until, () => retry && (retry.disabled = false)));
  const codes = [error.code, error.details?.code].filter(Boolean).map((code) => [' ', h('code', null, code)]);
  const details = h(
    'details.error-details',
    null,
    h('summary', null, icon('chevron'), t('error.details')),
    error.message && h('p.said', { dir: 'auto' }, error.message),
    h('p.fine', null, codes.flat()),
  );
  return h('div.error-note', null, icon('alert'), h('div', null, words, chain(error.layer), details, retry));
}

/** Counts down to `until`, then is gone. @param {number} until @param {() => void} then */
function countdown(until, then) {
  const node = h('span');
  const tick = () => {
    const n = Math.ceil((until - Date.now()) / 1000);
    text(node, n > 0 ? t('error.again', { n }) : '');
    if (n > 0) return;
    clearInterval(timer);
    then();
  };
  const timer = setInterval(tick, 500);
  tick();
  return node;
}
