/**
 * The socket's shape over HTTP: an event stream for what comes in, one request for each frame that goes out.
 *
 * For networks whose middle boxes block WebSocket. It is slower, and holds one of the browser's few connections to the
 * origin, so it is used only if WebSocket fails and plain HTTP works.
 */

import { call } from './rest.js';

export class SseSocket {
  constructor() {
    /** @type {(() => void) | null} */
    this.onopen = null;
    /** @type {((event: {data: string}) => void) | null} */
    this.onmessage = null;
    /** @type {((event: {code: number}) => void) | null} */
    this.onclose = null;
    this.abort = new AbortController();
    this.connection = '';
    this.closed = false;
    // The opener sets its handlers first.
    queueMicrotask(() => this.onopen?.());
  }

  /** @param {string} text one frame */
  send(text) {
    const frame = JSON.parse(text);
    if (frame.method === 'hello') this.#stream(frame.id);
    else this.#rpc(text);
  }

  close() {
    this.closed = true;
    this.abort.abort();
  }

  /** @param {string} helloId the id under which our side waits for the answer to `hello` */
  async #stream(helloId) {
    try {
      const response = await call('GET', 'events', undefined, { signal: this.abort.signal, headers: { accept: 'text/event-stream' } });
      await this.#read(/** @type {ReadableStream<Uint8Array>} */ (response.body), helloId);
      this.#end(1006);
    } catch (error) {
      this.#end(/** @type {any} */ (error).code === 'UNAUTHENTICATED' ? 4401 : 1006);
    }
  }

  /** @param {ReadableStream<Uint8Array>} body @param {string} helloId */
  async #read(body, helloId) {
    const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const events = rest.split(/\r?\n\r?\n/);
      rest = events.pop() ?? '';
      for (const event of events) {
        const data = event
          .split(/\r?\n/)
          .filter((line) => line.startsWith('data:'))
          .map((line) => line.slice(5).trimStart())
          .join('\n');
        if (data) await this.#frame(data, helloId);
      }
    }
  }

  /** @param {string} data @param {string} helloId */
  async #frame(data, helloId) {
    const frame = JSON.parse(data);
    if (frame.type === 'res' && frame.id === 'hello') {
      this.connection = frame.payload?.conn ?? '';
      this.onmessage?.({ data: JSON.stringify({ ...frame, id: helloId }) });
    } else {
      this.onmessage?.({ data });
    }
    // Code that awaits a response gets it before the next frames arrive, as with a WebSocket, where each frame is a task.
    if (frame.type === 'res') await task();
  }

  /** @param {string} text */
  async #rpc(text) {
    try {
      const response = await call('POST', 'rpc', JSON.parse(text), {
        headers: { 'x-sluice-conn': this.connection },
        signal: this.abort.signal,
      });
      // Accepted: the answer comes on the stream, in its order among the other frames.
      if (response.status === 202) return;
      const data = await response.text();
      if (!this.closed) this.onmessage?.({ data });
    } catch (error) {
      // One request that is lost is a time-out for its caller; a login that is over ends the connection.
      if (/** @type {any} */ (error).code === 'UNAUTHENTICATED') this.#end(4401);
    }
  }

  /** @param {number} code */
  #end(code) {
    if (this.closed) return;
    this.close();
    this.onclose?.({ code });
  }
}

/** Resolves in a new task. Unlike a timer, a message is not delayed while the page is hidden. @returns {Promise<void>} */
function task() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
