/**
 * The text of a message, which may still be growing.
 *
 * Keeps one element per block. What is unchanged keeps its element; while text streams in, that is everything but the
 * last block.
 */

import { h } from '../dom.js';
import { BlockList } from '../text/blocks.js';
import { plain } from '../text/markdown.js';
import { patch } from '../text/patch.js';
import { block } from '../text/render.js';
import { CodeView } from './code.js';

/** The parser, or text as it is until it has been loaded. @type {import('../text/blocks.js').Parse} */
let parse = plain;

/** @param {import('../text/blocks.js').Parse} parser */
export function useParser(parser) {
  parse = parser;
}

/** The parser of the moment, not of now: it may be loaded later. */
const newBlocks = () => new BlockList((bytes, streaming) => parse(bytes, streaming));

const context = {
  code: (/** @type {string} */ language, /** @type {string} */ source, /** @type {boolean} */ closed, /** @type {string} */ info) =>
    new CodeView(language, source, closed, info).node,
};

export class BodyView {
  constructor() {
    this.node = h('div.md', { dir: 'auto' });
    this.source = '';
    this.streaming = true;
    this.blocks = newBlocks();
    /** The tokens of each child, as text. @type {string[]} */
    this.shown = [];
  }

  /**
   * Shows `text`.
   * @param {string} text
   * @param {boolean} streaming more will follow
   */
  update(text, streaming) {
    if (text === this.source && streaming === this.streaming) return;
    if (!text.startsWith(this.source)) this.#reset();
    this.blocks.append(text.slice(this.source.length));
    this.source = text;
    this.streaming = streaming;
    this.#show(streaming ? this.blocks.update() : this.blocks.finish());
  }

  #reset() {
    this.source = '';
    this.streaming = true;
    this.blocks = newBlocks();
    this.shown = [];
    this.node.replaceChildren();
  }

  /** @param {import('../text/blocks.js').Block[]} blocks */
  #show(blocks) {
    blocks.forEach(({ json }, index) => {
      if (this.shown[index] === json) return;
      const token = JSON.parse(json);
      const old = this.node.children[index];
      const code = /** @type {any} */ (old)?.__code;
      // Without a view of its own: a long block is seldom more than a line longer than before.
      if (code && token[0] === 'pre' && code.is(token[1], token[4] ?? '')) code.update(token[2], token[3] === 1);
      else if (old) patch(old, block(token, context));
      else this.node.append(block(token, context));
      this.shown[index] = json;
    });
    while (this.node.children.length > blocks.length) this.node.lastElementChild?.remove();
    this.shown.length = blocks.length;
  }
}
