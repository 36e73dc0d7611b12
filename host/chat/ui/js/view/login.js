/**
 * The login form.
 */

import { h, text } from '../dom.js';
import { t } from '../i18n.js';
import { login } from '../net/rest.js';
import * as settings from '../settings.js';
import { errorText } from './toast.js';

/**
 * @param {object} options
 * @param {() => void} options.onlogin
 * @param {any} [options.error] why an attempt before this one failed
 */
export function loginView({ onlogin, error }) {
  const field = h('input', { type: 'password', autocomplete: 'current-password', required: true, 'aria-describedby': 'login-error' });
  const problem = h('p.failure', { id: 'login-error', role: 'alert' }, error ? loginText(error) : '');
  const button = h('button.button.primary', { type: 'submit' }, t('login.go'));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const proof = proofOf(field.value.trim());
      await login(proof);
      onlogin();
    } catch (failed) {
      text(problem, loginText(failed));
      field.select();
    } finally {
      button.disabled = false;
    }
  };
  return h(
    'main.login',
    null,
    h(
      'form',
      { onsubmit: submit },
      h('span.brand-mark.large', { 'aria-hidden': 'true' }),
      h('h1', null, t('login.title')),
      h('p', null, t('login.about')),
      h('label.field', null, h('span', null, t('login.token')), field),
      problem,
      button,
    ),
  );
}

/** Reloads the page and discards everything that was on it: memory, undo history and address. */
export function startOver() {
  settings.leave();
  history.replaceState(null, '', location.pathname);
  location.reload();
}

/** People paste the whole link as readily as what is in it. @param {string} value */
function proofOf(value) {
  const code = /#login=(.+)$/.exec(value)?.[1];
  return code ? { code } : { token: value };
}

/** @param {any} error */
function loginText(error) {
  if (error.code === 'UNAUTHENTICATED') return t('login.wrong');
  if (error.code === 'RATE_LIMITED') return t('login.slow', { n: Math.ceil((error.retryAfter ?? 60_000) / 1000) });
  return errorText(error);
}
