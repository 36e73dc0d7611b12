/**
 * Words, numbers and dates in the reader's language.
 *
 * Two flat catalogs of the same keys. A key whose text depends on a number has the variants `key.one` and `key.other`,
 * chosen by the language's plural rules.
 */

/** @typedef {'en' | 'zh-CN'} Language */

/** @type {Language[]} */
export const LANGUAGES = ['zh-CN', 'en'];

/** The catalog in use, empty until {@link load}. @type {Record<string, string>} */
let catalog = {};
/** @type {Language} */
let language = 'en';

/**
 * The language of ours that fits a list of preferences best.
 * @param {readonly string[]} preferred such as `navigator.languages`
 * @returns {Language}
 */
export function choose(preferred) {
  for (const tag of preferred) {
    if (/^zh\b/i.test(tag)) return 'zh-CN';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

/** @returns {Language} */
export function current() {
  return language;
}

/** Whether a catalog is in use. */
export function loaded() {
  return Object.keys(catalog).length > 0;
}

/**
 * Takes a catalog into use.
 * @param {Language} name
 * @param {Record<string, string>} words
 */
export function use(name, words) {
  language = name;
  catalog = words;
}

/**
 * Loads a catalog and makes it the current one.
 * @param {Language} name
 */
export async function load(name) {
  const response = await fetch(new URL(`../i18n/${name}.json`, import.meta.url));
  if (!response.ok) throw new Error(`catalog ${name}: ${response.status}`);
  use(name, await response.json());
}

/**
 * The text of a key, with `{name}` replaced. A missing key is shown as it is: tests notice it, and users are not harmed.
 * @param {string} key
 * @param {Record<string, string | number>} [vars] numbers are written in the language's way; `n` chooses the plural
 */
export function t(key, vars) {
  let text = catalog[key];
  if (text === undefined && typeof vars?.n === 'number') {
    const form = new Intl.PluralRules(language).select(vars.n);
    text = catalog[`${key}.${form}`] ?? catalog[`${key}.other`];
  }
  if (text === undefined) return key;
  if (!vars) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = vars[name];
    return typeof value === 'number' ? number(value) : (value ?? whole);
  });
}

/** @param {string} key */
export function has(key) {
  return key in catalog;
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function number(value, options) {
  return new Intl.NumberFormat(language, options).format(value);
}

/** A length of time: `180 ms`, `5.2 s`, `3 min 4 s`. @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${number(ms, { maximumFractionDigits: ms < 10 ? 1 : 0 })} ms`;
  if (ms < 60_000) return `${number(ms / 1000, { maximumFractionDigits: 1 })} s`;
  const seconds = Math.round(ms / 1000);
  return `${number(Math.floor(seconds / 60))} min ${number(seconds % 60)} s`;
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log2(bytes) / 10) : 0);
  return `${number(bytes / 1024 ** power, { maximumFractionDigits: power > 1 ? 1 : 0 })} ${units[power]}`;
}

/** The time of day. @param {number} at milliseconds since 1970 */
export function time(at) {
  return new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit' }).format(at);
}

/** Date and time in full, for a tooltip. @param {number} at */
export function dateTime(at) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'medium' }).format(at);
}

/**
 * The heading of the list under which a day belongs.
 * @param {number} at
 * @param {number} now
 * @returns {'today' | 'yesterday' | 'week' | 'month' | 'older'}
 */
export function period(at, now) {
  const day = (/** @type {number} */ ms) => {
    const date = new Date(ms);
    return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000;
  };
  const days = day(now) - day(at);
  if (days <= 0) return 'today';
  if (days === 1) return 'yesterday';
  if (days < 7) return 'week';
  return days < 30 ? 'month' : 'older';
}
