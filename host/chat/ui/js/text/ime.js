/**
 * Whether a key belongs to the person or to their input method.
 *
 * While a word is being composed, Enter picks a candidate, Escape drops it and the arrows walk the candidates. Browsers
 * tell in four ways, none of them everywhere: `isComposing`, key code 229, `compositionstart`/`end`, and, in Safari, only
 * by the order: `compositionend` comes just before the `keydown` that caused it.
 */

/** A `keydown` this soon after `compositionend` is the one that ended it. Measured by others at below 10 ms; 30 is safe and unnoticed. */
const SAFARI_GAP_MS = 30;

export class CompositionGuard {
  /** @param {() => number} [now] milliseconds; the events' own clock where it is left out */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.composing = false;
    this.endedAt = -Infinity;
  }

  /** A word has been begun. */
  start() {
    this.composing = true;
  }

  /** A word has been taken or dropped. */
  end() {
    this.composing = false;
    this.endedAt = this.now();
  }

  /** The field lost focus: some input methods never end their word then. */
  blur() {
    this.composing = false;
  }

  /**
   * Whether this key press is the input method's.
   * @param {{isComposing?: boolean, keyCode?: number}} event
   */
  owns(event) {
    return this.composing || event.isComposing === true || event.keyCode === 229 || this.now() - this.endedAt < SAFARI_GAP_MS;
  }

  /**
   * Listens to a field.
   * @param {HTMLElement} field
   */
  watch(field) {
    field.addEventListener('compositionstart', () => this.start());
    field.addEventListener('compositionend', () => this.end());
    field.addEventListener('blur', () => this.blur());
    return this;
  }
}

/**
 * What Enter does in the composer.
 * @param {{key: string, shiftKey: boolean, ctrlKey: boolean, metaKey: boolean, altKey: boolean, isComposing?: boolean, keyCode?: number}} event
 * @param {{guard: {owns(event: any): boolean}, touch: boolean, enterSends: boolean}} context
 * @returns {'send' | 'newline' | 'none'} `none`: not our key
 */
export function enterAction(event, { guard, touch, enterSends }) {
  if (event.key !== 'Enter' || guard.owns(event)) return 'none';
  if (event.ctrlKey || event.metaKey) return 'send';
  if (event.shiftKey || event.altKey) return 'newline';
  return enterSends && !touch ? 'send' : 'newline';
}
