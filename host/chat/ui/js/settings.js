/**
 * What this browser remembers, of each person apart: the look, the language, drafts, and the secret that binds the login to
 * this origin.
 *
 * A page belongs to one person from its start to its end. What that person leaves is stored under their user id, so that
 * the next person who logs in in the same browser finds nothing of it, but their own settings.
 *
 * It is in `localStorage`, which, unlike a cookie, is separate for each port; drafts are in `sessionStorage` too, which is separate
 * for each tab. Where storage is refused (private
 * windows of some browsers) values last as long as the page.
 */

const PREFIX = 'sluice.';
/** The keys that belong to no person: who has logged in last, the secret of that login, and who has logged out since. */
const USER = 'user';
const BIND = 'bind';
const OUT = 'out.';

/** @type {Record<string, string>} */
const DEFAULTS = { theme: 'auto', language: '', enter: 'send', announce: 'end', wrap: 'off', model: '', sidebar: 'open' };

/** What could not be stored. @type {Map<string, string>} */
const memory = new Map();

/** What this tab has read or written last, of each session. @type {Map<string, string>} */
const drafts = new Map();

/** Whose page this is: a user id, or "" while nobody has logged in. */
let owner = '';

/** @param {'localStorage' | 'sessionStorage'} [name] @returns {Storage | null} */
function storage(name = 'localStorage') {
  try {
    return globalThis[name] ?? null;
  } catch {
    return null;
  }
}

/** @param {string} key */
function read(key) {
  return memory.get(key) ?? storage()?.getItem(PREFIX + key) ?? '';
}

/** Stores a value; "" removes it. @param {string} key @param {string} value */
function write(key, value) {
  memory.delete(key);
  const place = storage();
  try {
    if (!place) memory.set(key, value);
    else if (value) place.setItem(PREFIX + key, value);
    else place.removeItem(PREFIX + key);
  } catch {
    // Full or refused: the value stays in memory, and comes before what is stored.
    memory.set(key, value);
  }
}

/** Makes this the page of the person who logged in last in this browser. @returns {string} their user id, "" for nobody */
export function begin() {
  owner = read(BIND) && read(USER);
  return owner;
}

/** Whose page this is; "" while nobody has logged in. */
export function ownerId() {
  return owner;
}

/** Whether the login of this browser is still the one that the page belongs to. */
export function isOurs() {
  return read(USER) === owner;
}

/** Somebody has logged in. A page that belongs to another person stays theirs. @param {string} user @param {string} [bind] */
export function loggedIn(user, bind) {
  // Another tab may have written something after this person logged out.
  if (isOut(user)) forgetDrafts(user);
  write(OUT + user, '');
  write(USER, user);
  if (bind) write(BIND, bind);
}

/** The owner logs out: their texts go, in this browser for good. Nothing more of theirs is stored from now on, by any tab. */
export function logOut() {
  write(OUT + owner, '1');
  forgetDrafts(owner);
  write(USER, '');
  write(BIND, '');
}

/** Whether the owner has logged out, in whichever tab. */
export function hasLeft() {
  return isOut(owner);
}

/** The page goes. What only this tab has goes with it, if its person has logged out. */
export function leave() {
  if (hasLeft()) forgetDrafts(owner);
}

/** @param {string} user */
function isOut(user) {
  return read(OUT + user) !== '';
}

/** The second half of the owner's login, beside the cookie; "" once somebody else has logged in. */
export function bind() {
  return isOurs() ? read(BIND) : '';
}

/** The name under which a value of the owner is stored. @param {string} key */
function own(key) {
  return `${owner}.${key}`;
}

/** @param {string} key */
export function get(key) {
  return read(own(key)) || (DEFAULTS[key] ?? '');
}

/** Stores a value of the owner; "" removes it. @param {string} key @param {string} value */
export function put(key, value) {
  if (owner && !hasLeft()) write(own(key), value);
}

/** Whether a storage event is about this value of the owner. @param {StorageEvent} event @param {string} key */
export function concerns(event, key) {
  return event.key === PREFIX + own(key);
}

/**
 * The draft of a session: what this tab has written there, else what another one has.
 * @param {string} session "" for the session that does not exist yet
 */
export function draft(session) {
  const key = own(`draft.${session}`);
  const text = storage('sessionStorage')?.getItem(PREFIX + key) || read(key);
  drafts.set(session, text);
  return text;
}

/** @param {string} session @param {string} text */
export function putDraft(session, text) {
  const before = drafts.get(session) ?? '';
  if (text === before || !owner || hasLeft()) return;
  drafts.set(session, text);
  const key = own(`draft.${session}`);
  try {
    storage('sessionStorage')?.setItem(PREFIX + key, text);
  } catch {
    // Full: it is stored for all tabs.
  }
  // An empty field in this tab must not erase the draft of another tab.
  if (text || read(key) === before) write(key, text);
}

/** @param {string} user */
function forgetDrafts(user) {
  const begins = `${user}.draft.`;
  for (const key of [...memory.keys(), ...keys('localStorage')]) if (key.startsWith(begins)) write(key, '');
  for (const key of keys('sessionStorage')) if (key.startsWith(begins)) storage('sessionStorage')?.removeItem(PREFIX + key);
}

/** Our keys in a storage. @param {'localStorage' | 'sessionStorage'} name */
function keys(name) {
  const all = Object.keys(storage(name) ?? {});
  return all.filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
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
