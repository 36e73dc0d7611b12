/**
 * What this browser remembers: the look, the language, drafts, and the secret that binds the login to this origin.
 *
 * All of it is in `localStorage`, which, unlike a cookie, is separate for each port. Where storage is refused (private
 * windows of some browsers) values last as long as the page.
 */

const PREFIX = 'sluice.';

/** @type {Record<string, string>} */
const DEFAULTS = { theme: 'auto', language: '', enter: 'send', announce: 'end', wrap: 'off', model: '', sidebar: 'open' };

/** @type {Map<string, string>} */
const memory = new Map();

/** @returns {Storage | null} */
function storage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

/** @param {string} key */
export function get(key) {
  const stored = storage()?.getItem(PREFIX + key) ?? memory.get(key);
  return stored ?? DEFAULTS[key] ?? '';
}

/** Stores a value; "" removes it. @param {string} key @param {string} value */
export function put(key, value) {
  memory.set(key, value);
  try {
    if (value) storage()?.setItem(PREFIX + key, value);
    else storage()?.removeItem(PREFIX + key);
  } catch {
    // Full or refused: the value stays in memory.
  }
}

/** The draft of a session; "" for the session that does not exist yet. @param {string} session */
export function draft(session) {
  return get(`draft.${session}`);
}

/** @param {string} session @param {string} text */
export function putDraft(session, text) {
  put(`draft.${session}`, text);
}

/** Forgets what belongs to a person rather than to the browser: drafts and the login. */
export function forget() {
  const all = [...memory.keys()].map((key) => PREFIX + key);
  for (const key of [...Object.keys(storage() ?? {}), ...all]) {
    if (key.startsWith(`${PREFIX}draft.`) || key === `${PREFIX}bind`) put(key.slice(PREFIX.length), '');
  }
}

/**
 * Takes a theme into use.
 * @param {string} theme `auto`, `light` or `dark`
 */
export function applyTheme(theme) {
  const root = document.documentElement;
  if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
  else delete root.dataset.theme;
}
