import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseSocket } from '../../../host/chat/ui/js/net/sse.js';

/** A server whose event stream brings these chunks. @param {string[]} chunks */
function stream(chunks) {
  globalThis.fetch = async () =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
          controller.close();
        },
      }),
    );
}

/** Says hello, and gives all frames until the stream has ended. */
async function frames(onframe = async () => {}) {
  const socket = new SseSocket();
  const got = [];
  await new Promise((resolve) => {
    socket.onclose = resolve;
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      got.push(frame);
      onframe(frame);
    };
    socket.send(JSON.stringify({ type: 'req', id: '7', method: 'hello', params: {} }));
  });
  return got;
}

test('frames come whole and in order, however the stream is cut', async () => {
  const text = 'data: {"type":"res","id":"hello","payload":{"conn":"c_1"}}\n\ndata: {"type":"tick","n":1}\r\n\r\n: ping\n\ndata: {"type":"tick","n":2}\n\n';
  for (const at of [1, 20, text.indexOf('\r') + 1, text.length - 1]) {
    stream([text.slice(0, at), text.slice(at)]);
    const got = await frames();
    assert.deepEqual(
      got.map(({ id, n }) => id ?? n),
      ['7', 1, 2],
    );
  }
});

test('an answer is taken by who awaits it before the frames behind it come', async () => {
  stream(['data: {"type":"res","id":"1"}\n\ndata: {"type":"delta"}\n\n']);
  const order = [];
  const awaited = async (depth) => (depth ? awaited(depth - 1) : undefined);
  await frames(async (frame) => {
    if (frame.type === 'res') await awaited(20);
    order.push(frame.type);
  });
  assert.deepEqual(order, ['res', 'delta']);
});
