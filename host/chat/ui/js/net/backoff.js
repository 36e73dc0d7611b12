/**
 * When to try again: at once the first time, then with growing delays, and with full jitter, so that many tabs do not
 * reconnect in one wave after a restart.
 */

const FIRST_MS = 500;
const FACTOR = 1.8;
const LONGEST_MS = 15_000;
/** A connection that held this long starts over at the beginning. */
export const STABLE_MS = 30_000;

export class Backoff {
  /** @param {() => number} [random] 0..1 */
  constructor(random = Math.random) {
    this.random = random;
    this.attempts = 0;
  }

  /** How long to wait before the next attempt, in milliseconds. */
  next() {
    const attempt = this.attempts++;
    if (attempt === 0) return 0;
    const ceiling = Math.min(LONGEST_MS, FIRST_MS * FACTOR ** (attempt - 1));
    // Never below a tenth: a burst of attempts at nearly no delay helps nobody.
    return Math.round(ceiling * (0.1 + 0.9 * this.random()));
  }

  reset() {
    this.attempts = 0;
  }
}
