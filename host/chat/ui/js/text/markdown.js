/**
 * The Markdown parser: a small WebAssembly module without imports, built from `ui/markdown`.
 *
 * Responsible for loading it and for handing bytes in and out. If it traps on some text, that text is shown as it is and
 * the next one gets a fresh instance.
 */

/** @typedef {{memory: WebAssembly.Memory, input(length: number): number, parse(streaming: number): number, output(): number}} Exports */

const decoder = new TextDecoder();

export class Markdown {
  /** @param {WebAssembly.Module} module */
  constructor(module) {
    this.module = module;
    this.exports = this.#instance();
    /** @type {(bytes: Uint8Array, streaming: boolean) => string} */
    this.parse = (bytes, streaming) => {
      try {
        return this.#call(bytes, streaming);
      } catch {
        this.exports = this.#instance();
        return plain(bytes);
      }
    };
  }

  /** @returns {Exports} */
  #instance() {
    return /** @type {any} */ (new WebAssembly.Instance(this.module).exports);
  }

  /** @param {Uint8Array} bytes @param {boolean} streaming */
  #call(bytes, streaming) {
    const { memory, input, parse, output } = this.exports;
    const address = input(bytes.length);
    new Uint8Array(memory.buffer, address, bytes.length).set(bytes);
    const length = parse(streaming ? 1 : 0);
    return decoder.decode(new Uint8Array(memory.buffer, output(), length));
  }
}

/**
 * Loads the parser.
 * @param {string | URL} url
 * @returns {Promise<Markdown>}
 */
export async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`markdown module: ${response.status}`);
  // Not compileStreaming: it insists on a content type, and a proxy in between may change that.
  return new Markdown(await WebAssembly.compile(await response.arrayBuffer()));
}

/** Text as one paragraph with its line breaks. @param {Uint8Array} bytes */
export function plain(bytes) {
  const nodes = decoder
    .decode(bytes)
    .split('\n')
    .flatMap((line, index) => (index ? [['br'], line] : [line]));
  return `0 ${bytes.length} ${JSON.stringify(['p', ...nodes])}\n`;
}
