/**
 * A model server that answers by script, in the OpenAI dialect and in Ollama's own.
 *
 * It stands where the tests' gateway expects its model: directly behind the web gateway, or behind the proxy. What it
 * answers is decided by the last message of the person.
 */

import http from 'node:http';

/**
 * @typedef {object} Script
 * @property {string} text the answer
 * @property {string} [reasoning] comes first
 * @property {number} [ms] pause between chunks; 0 sends them as fast as they are read
 * @property {number} [size] characters of a chunk
 * @property {number} [wait] pause before the first chunk
 * @property {Promise<unknown>} [hold] nothing follows the third chunk before this is settled
 * @property {boolean} [fail] the connection is cut in place of an end
 * @property {number} [status] an error instead of an answer
 * @property {any} [error] what the error says, in place of OpenAI's
 * @property {Record<string, string>} [headers] of the error
 */

/** @typedef {{prompt: string, messages: any[], model: string, requestId: string | undefined, began: number, chunks: number, ended?: number, left?: number}} Seen */

/** A promise for `hold`, and what settles it. */
export function held() {
  let release = () => {};
  const promise = new Promise((resolve) => (release = () => resolve(undefined)));
  return { promise, release };
}

const DEFAULT = { text: 'A plain answer.', ms: 5, size: 4 };

export class FakeModel {
  constructor() {
    /** By a part of the prompt; the latest rule wins. @type {Array<[string, Script]>} */
    this.rules = [];
    /** @type {Seen[]} */
    this.seen = [];
    /** The models that it has. */
    this.models = ['demo', 'qwen3:32b'];
    this.sockets = new Set();
  }

  /** Answers prompts that contain `part` with `script`. @param {string} part @param {Script} script */
  on(part, script) {
    this.rules.unshift([part, script]);
  }

  /** The requests whose prompt contains `part`. @param {string} part */
  requests(part) {
    return this.seen.filter((seen) => seen.prompt.includes(part));
  }

  /** @param {number} port */
  async start(port) {
    this.server = http.createServer((request, response) => this.#serve(request, response));
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    await new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', () => resolve(undefined));
    });
  }

  /** Goes away at once, with all its connections. */
  async stop() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  async #serve(request, response) {
    const url = new URL(request.url, 'http://fake');
    const json = (value, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (url.pathname === '/v1/models')
      return json({ object: 'list', data: this.models.map((id) => ({ id, object: 'model', created: 1, owned_by: 'library' })) });
    if (url.pathname === '/api/tags')
      return json({
        models: this.models.map((name) => ({
          name,
          model: name,
          modified_at: '2026-01-01T00:00:00Z',
          size: 1,
          digest: 'x',
          details: {},
        })),
      });
    if (url.pathname === '/api/version') return json({ version: '0.12.0' });
    if (url.pathname === '/api/ps') return json({ models: [{ name: 'qwen3:32b' }] });
    if (!['/v1/chat/completions', '/api/chat'].includes(url.pathname)) return json({ error: 'not found' }, 404);
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    return this.#answer(request, response, JSON.parse(body), url.pathname === '/api/chat' ? ollama : openai);
  }

  async #answer(request, response, body, dialect) {
    const prompt = String(body.messages.findLast((message) => message.role === 'user')?.content ?? '');
    const script = { ...DEFAULT, ...this.rules.find(([part]) => prompt.includes(part))?.[1] };
    /** @type {Seen} */
    const seen = {
      prompt,
      messages: body.messages,
      model: body.model,
      requestId: request.headers['x-request-id'],
      began: Date.now(),
      chunks: 0,
    };
    this.seen.push(seen);
    response.on('close', () => {
      if (!response.writableFinished) seen.left = Date.now();
    });
    if (script.status) {
      response.writeHead(script.status, { 'content-type': 'application/json', ...script.headers });
      return response.end(JSON.stringify({ error: script.error ?? { message: 'scripted failure', type: 'server_error' } }));
    }
    if (script.wait) await pause(script.wait, response);
    response.writeHead(200, { 'content-type': dialect.type });
    for (const [channel, chunk] of chunks(script)) {
      if (response.destroyed) return undefined;
      if (script.hold && seen.chunks === 3) await script.hold;
      seen.chunks++;
      const more = response.write(dialect.chunk(body.model, channel, chunk));
      if (script.ms) await pause(script.ms, response);
      else if (!more) await writable(response);
    }
    if (script.fail) return response.destroy();
    seen.ended = Date.now();
    return response.end(dialect.end(body.model, seen.chunks));
  }
}

/** Waits until the other side has read, or is gone. @param {http.ServerResponse} response */
function writable(response) {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go);
      response.off('close', go);
      resolve(undefined);
    };
    response.on('drain', go);
    response.on('close', go);
  });
}

/** Waits, unless the other side leaves: a timer would keep the tests from ending. @param {number} ms @param {http.ServerResponse} response */
function pause(ms, response) {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      response.off('close', go);
      resolve(undefined);
    };
    const timer = setTimeout(go, ms);
    response.on('close', go);
  });
}

/** @param {Script} script */
function* chunks({ text, reasoning = '', size = 4 }) {
  const parts = [
    ['reasoning', reasoning],
    ['content', text],
  ];
  for (const [channel, whole] of parts) {
    const points = [...whole];
    for (let at = 0; at < points.length; at += size) yield [channel, points.slice(at, at + size).join('')];
  }
}

const openai = {
  type: 'text/event-stream',
  chunk: (model, channel, text) =>
    `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices: [{ index: 0, delta: { role: 'assistant', [channel]: text }, finish_reason: null }] })}\n\n`,
  end: (model, count) =>
    `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\n` +
    `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices: [], usage: { prompt_tokens: 11, completion_tokens: count, total_tokens: 11 + count } })}\n\ndata: [DONE]\n\n`,
};

const ollama = {
  type: 'application/x-ndjson',
  chunk: (model, channel, text) =>
    `${JSON.stringify({ model, created_at: '2026-01-01T00:00:00Z', message: { role: 'assistant', content: '', [channel === 'reasoning' ? 'thinking' : 'content']: text }, done: false })}\n`,
  end: (model, count) =>
    `${JSON.stringify({ model, created_at: '2026-01-01T00:00:00Z', message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop', total_duration: 1, load_duration: 1, prompt_eval_count: 11, prompt_eval_duration: 1, eval_count: count, eval_duration: 1 })}\n`,
};
