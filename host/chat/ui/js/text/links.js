/**
 * Which addresses a message may link to, and addresses in plain text.
 *
 * Messages are written by a model, and by the authors of what it has read. Only addresses that open a page or a letter are
 * links; nothing is ever fetched because a message names it.
 */

const SCHEMES = new Set(['http:', 'https:', 'mailto:']);

/**
 * The address to link to, or null where it may not be one.
 * @param {string} target as written
 * @returns {{href: string, host: string} | null} `host` is what to show the reader, "" for a letter
 */
export function link(target) {
  // No base: a relative address in a message means nothing, and must not reach our own paths.
  let url;
  try {
    url = new URL(target.trim());
  } catch {
    return null;
  }
  if (!SCHEMES.has(url.protocol)) return null;
  if (url.protocol === 'mailto:') return { href: url.href, host: '' };
  // `https://bank.example@evil.example`: the part before the at sign is only there to deceive.
  if (url.username || url.password) return null;
  return { href: url.href, host: url.host };
}

/**
 * Whether an image may be shown: only what is in the message itself, as pixels. SVG can hold links and is left out.
 * @param {string} target
 */
export function isInlineImage(target) {
  return /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+$/.test(target);
}

const BARE = /\bhttps?:\/\/[^\s<>"'`\u3000-\u303f\uff00-\uffef\u2018-\u201d]+/g;

/**
 * Splits text at the addresses in it.
 * @param {string} text
 * @returns {Array<string | {text: string, href: string, host: string}>}
 */
export function split(text) {
  if (!text.includes('://')) return [text];
  const parts = [];
  let last = 0;
  for (const match of text.matchAll(BARE)) {
    const address = trimEnd(match[0]);
    const found = link(address);
    if (!found) continue;
    if (match.index > last) parts.push(text.slice(last, match.index));
    parts.push({ text: address, ...found });
    last = match.index + address.length;
  }
  if (last < text.length || !parts.length) parts.push(text.slice(last));
  return parts;
}

/**
 * Without the punctuation that belongs to the sentence: a closing bracket stays only where it was opened.
 * @param {string} address
 */
function trimEnd(address) {
  let end = address.length;
  for (; end > 0; end--) {
    const c = address[end - 1];
    if ('.,;:!?*_~'.includes(c)) continue;
    if (c === ')' && count(address, '(', end) < count(address, ')', end)) continue;
    if (c === ']' && count(address, '[', end) < count(address, ']', end)) continue;
    break;
  }
  return address.slice(0, end);
}

/** @param {string} text @param {string} c @param {number} end */
function count(text, c, end) {
  let n = 0;
  for (let i = 0; i < end; i++) if (text[i] === c) n++;
  return n;
}
