/**
 * The gateway's REST interface: login, downloads, and what the socket cannot do.
 *
 * Each call carries the secret that binds the login to this origin, beside the cookie that the browser adds.
 */

import * as settings from '../settings.js';
import { OFFLINE, RequestError } from './wire.js';

/** A gateway that does not respond must not keep anybody from logging out. */
const LOGOUT_MS = 5_000;

/**
 * Calls the gateway.
 * @param {string} method
 * @param {string} path from `/api/v1/` on
 * @param {object} [body]
 * @param {{headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @returns {Promise<Response>} a successful one
 * @throws {RequestError}
 */
export async function call(method, path, body, { headers = {}, signal } = {}) {
  const bind = settings.bind();
  const init = {
    method,
    signal,
    credentials: /** @type {const} */ ('same-origin'),
    headers: { ...(bind && { 'x-sluice-bind': bind }), ...(method !== 'GET' && { 'content-type': 'application/json' }), ...headers },
    body: method === 'GET' ? undefined : JSON.stringify(body ?? {}),
  };
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, init);
  } catch (cause) {
    throw new RequestError({ code: OFFLINE, retryable: true, message: String(cause) });
  }
  if (response.ok) return response;
  const failed = await response.json().catch(() => ({}));
  throw new RequestError(
    failed.error ?? { code: response.status === 401 ? 'UNAUTHENTICATED' : 'INTERNAL', message: `status ${response.status}` },
  );
}

/**
 * Logs in, and keeps the user with the secret from the gateway's response.
 * @param {{code: string} | {token: string}} proof
 */
export async function login(proof) {
  const answer = await (await call('POST', 'login', proof)).json();
  settings.loggedIn(answer.user.id, answer.bind);
  return answer;
}

/**
 * Ends this login; the gateway closes its sockets. No text of this person stays in the browser, even if the gateway does not
 * respond.
 * @param {import('./outbox.js').Outbox} outbox
 */
export async function logout(outbox) {
  // Sent before the secret is removed, awaited after everything is removed.
  const told = call('POST', 'logout', {}, { signal: AbortSignal.timeout(LOGOUT_MS) }).catch(() => {});
  settings.logOut();
  await outbox.clear();
  await told;
}

/**
 * Downloads a file through `fetch`, because a plain link would lack the secret.
 * @param {string} path
 * @param {string} name the file's name, where the gateway gives none
 */
export async function download(path, name) {
  const response = await call('GET', path);
  const given = /filename\*=UTF-8''([^;]+)/i.exec(response.headers.get('content-disposition') ?? '')?.[1];
  const url = URL.createObjectURL(await response.blob());
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = given ? decodeURIComponent(given) : name;
  anchor.click();
  // By then the browser has opened the blob; arbitrary.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
