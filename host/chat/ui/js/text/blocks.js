/**
 * A message's Markdown as a list of blocks that changes only where the text did.
 *
 * Text arrives in chunks. Each chunk is parsed from the start of the last block on, and at the end the whole once more,
 * because a link definition or a blank line in a list can change what came before. A block whose tokens are the same as
 * before keeps its identity, so the view keeps its elements.
 */

/**
 * @typedef {object} Block
 * @property {number} start byte offset in the text
 * @property {string} json its tokens, as the parser wrote them; two blocks with equal `json` look the same
 */

/** @typedef {(bytes: Uint8Array, streaming: boolean) => string} Parse one line `START END JSON` for each block */

const encoder = new TextEncoder();

export class BlockList {
  /** @param {Parse} parse */
  constructor(parse) {
    this.parse = parse;
    /** @type {Block[]} */
    this.blocks = [];
    /** The text as UTF-8, in a buffer that grows by doubling. */
    this.buffer = new Uint8Array(1024);
    this.length = 0;
    /** Where the block begins from which the next chunk is parsed, and how many blocks are before it. */
    this.stable = 0;
    this.kept = 0;
    this.carriage = false;
  }

  /**
   * Adds a chunk of text.
   * @param {string} chunk whole code points
   */
  append(chunk) {
    const text = this.#unixLines(chunk);
    // A UTF-16 unit is at most three bytes.
    const need = this.length + text.length * 3;
    if (need > this.buffer.length) {
      const larger = new Uint8Array(Math.max(need, this.buffer.length * 2));
      larger.set(this.buffer.subarray(0, this.length));
      this.buffer = larger;
    }
    this.length += encoder.encodeInto(text, this.buffer.subarray(this.length)).written;
  }

  /** Parses what is new and returns the blocks as they are now, with open markup shown as closed. */
  update() {
    const tail = this.#parse(this.stable, true);
    this.blocks.length = this.kept;
    this.blocks.push(...tail);
    this.#advance();
    return this.blocks;
  }

  /** Parses the whole text as complete. */
  finish() {
    this.blocks = this.#parse(0, false);
    // More text may still come (a run goes on after a stop): it begins with the whole once more.
    this.kept = 0;
    this.stable = 0;
    return this.blocks;
  }

  /** @param {number} from @param {boolean} streaming @returns {Block[]} */
  #parse(from, streaming) {
    const out = this.parse(this.buffer.subarray(from, this.length), streaming);
    return out
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const first = line.indexOf(' ');
        const second = line.indexOf(' ', first + 1);
        return { start: from + Number(line.slice(0, first)), json: line.slice(second + 1) };
      });
  }

  /**
   * Moves the stable point to the last block, if nothing that follows can join that block to the one before: a blank line
   * is between them, or its first line is complete.
   */
  #advance() {
    const last = this.blocks.at(-1);
    if (!last || this.blocks.length - 1 <= this.kept) return;
    const bytes = this.buffer.subarray(0, this.length);
    const blank = last.start >= 2 && bytes[last.start - 1] === 10 && bytes[last.start - 2] === 10;
    if (blank || bytes.indexOf(10, last.start) >= 0) {
      // The indentation in front of a block is part of what it means.
      this.stable = bytes.subarray(0, last.start).lastIndexOf(10) + 1;
      this.kept = this.blocks.length - 1;
    }
  }

  /** CRLF and CR become LF, also where a chunk ends between the two. @param {string} chunk */
  #unixLines(chunk) {
    let text = chunk;
    if (this.carriage && text.startsWith('\n')) text = text.slice(1);
    this.carriage = chunk.endsWith('\r');
    return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
  }
}
