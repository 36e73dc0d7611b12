/**
 * Announcements for screen readers.
 *
 * The transcript itself is silent, or every token would be read. Two regions speak: one waits its turn, one interrupts and
 * is for errors only.
 */

import { h } from '../dom.js';

const polite = h('div.sr-only', { role: 'status', 'aria-live': 'polite' });
const assertive = h('div.sr-only', { role: 'alert', 'aria-live': 'assertive' });

/** The regions, to be put into the document once. */
export function regions() {
  return [polite, assertive];
}

/** @param {string} text @param {boolean} [urgent] */
export function say(text, urgent = false) {
  const region = urgent ? assertive : polite;
  // The same text twice is not a change, and would not be spoken.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}
