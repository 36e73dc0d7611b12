// A text that arrives in parts, such as the deltas of a stream: what is looked for may begin in one part and end in another.

/**
 * Holds back the end of a text as long as it may be the beginning of what is looked for.
 *
 * `waits(text)` is the number of characters at the end that have to wait for more; `change(text)` is what becomes of the rest.
 */
export class Window {
  #held = "";
  #waits;
  #change;
  #most;

  /** At most `most` characters wait: then `change` gets them all. */
  constructor({ waits, change, most = 4096 }) {
    this.#waits = waits;
    this.#change = change;
    this.#most = most;
  }

  /** Takes a part, and returns what need not wait, changed. */
  push(part) {
    const text = this.#held + part;
    const waiting = Math.min(this.#waits(text), text.length);
    const cut = waiting > this.#most ? text.length : text.length - waiting;
    this.#held = text.slice(cut);
    return cut === 0 ? "" : this.#change(text.slice(0, cut));
  }

  /** The rest, changed: nothing follows. */
  end() {
    const rest = this.#held;
    this.#held = "";
    return rest === "" ? "" : this.#change(rest);
  }
}

/** How many characters at the end of a text may be the beginning of one of these words: for `waits` of a window. */
export function beginning(text, words) {
  let longest = 0;
  for (const word of words) {
    for (let length = Math.min(word.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(word.slice(0, length))) {
        longest = length;
        break;
      }
    }
  }
  return longest;
}
