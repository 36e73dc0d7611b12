// UTF-8. StarlingMonkey has `TextEncoder` and `TextDecoder`, QuickJS has neither.

/** How many bytes are given to one call of `String.fromCharCode`: what surely fits the engine's stack of arguments. */
const STEP = 4096;

/**
 * The text of bytes in UTF-8; what is not UTF-8 becomes U+FFFD.
 *
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export const decode = typeof TextDecoder === "undefined" ? decodeBytes : (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/**
 * The bytes of a text in UTF-8; half of a surrogate pair becomes U+FFFD.
 *
 * @param {string} text
 * @returns {Uint8Array}
 */
export const encode = typeof TextEncoder === "undefined" ? encodeText : (text) => new TextEncoder().encode(text);

/** `decode` without `TextDecoder`. A loop over bytes takes 20 times as long in QuickJS as its own functions. */
export function decodeBytes(bytes) {
  const raw = bytes.toBase64 ? atob(bytes.toBase64()) : characters(bytes);
  if (!/[^\0-\x7f]/.test(raw)) return raw;
  try {
    return decodeURIComponent(escape(raw));
  } catch {
    return repair(bytes);
  }
}

/** A character for each byte. */
function characters(bytes) {
  let raw = "";
  for (let at = 0; at < bytes.length; at += STEP) {
    raw += String.fromCharCode.apply(null, bytes.subarray(at, at + STEP));
  }
  return raw;
}

/** The text of bytes that are not UTF-8: each longest beginning of a character that breaks off becomes one U+FFFD. */
function repair(bytes) {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at++];
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    let left = first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0;
    let point = first & (0x3f >> left);
    // The second byte tells overlong forms, surrogates and what is beyond U+10FFFF.
    let low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    let high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (left === 0) point = -1;
    while (left > 0 && bytes[at] >= low && bytes[at] <= high) {
      point = (point << 6) | (bytes[at++] & 0x3f);
      left--;
      low = 0x80;
      high = 0xbf;
    }
    text += left > 0 || point < 0 ? "\ufffd" : String.fromCodePoint(point);
  }
  return text;
}

/** `encode` without `TextEncoder`, by the engine's own functions if it has them. */
export function encodeText(text) {
  if (Uint8Array.fromBase64) {
    try {
      return Uint8Array.fromBase64(btoa(unescape(encodeURIComponent(text))));
    } catch {
      // Half of a surrogate pair.
    }
  }
  return encodeEach(text);
}

function encodeEach(text) {
  const bytes = new Uint8Array(text.length * 3);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    let point = text.charCodeAt(at);
    if (point < 0x80) {
      bytes[length++] = point;
      continue;
    }
    if (point >= 0xd800 && point <= 0xdfff) {
      point = text.codePointAt(at);
      if (point > 0xffff) at++;
      else point = 0xfffd;
    }
    if (point < 0x800) {
      bytes[length++] = 0xc0 | (point >> 6);
    } else {
      if (point < 0x10000) {
        bytes[length++] = 0xe0 | (point >> 12);
      } else {
        bytes[length++] = 0xf0 | (point >> 18);
        bytes[length++] = 0x80 | ((point >> 12) & 0x3f);
      }
      bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
    }
    bytes[length++] = 0x80 | (point & 0x3f);
  }
  return bytes.slice(0, length);
}
