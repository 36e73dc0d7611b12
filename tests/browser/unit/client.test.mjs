import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from '../../../host/chat/ui/js/net/client.js';
import { memoryShelf } from '../../../host/chat/ui/js/net/outbox.js';

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A client over a transport that answers `hello` as `user` and keeps what is sent. */
async function connected(owner, user, shelf = memoryShelf()) {
  const sent = [];
  const socket = {
    readyState: 1,
    onopen: null,
    onmessage: null,
    onclose: null,
    closed: 0,
    send(text) {
      const frame = JSON.parse(text);
      sent.push(frame);
      const payload = frame.method === 'hello' ? { user: { id: user }, limits: {}, server: {}, health: null } : { sessions: [] };
      setImmediate(() => this.onmessage?.({ data: JSON.stringify({ type: 'res', id: frame.id, ok: true, payload }) }));
    },
    close(code) {
      this.closed = code;
    },
  };
  const client = new Client({ owner, build: '', shelf, hello: () => ({}), open: () => socket });
  const strangers = [];
  client.on('stranger', (id) => strangers.push(id));
  await client.start();
  socket.onopen?.();
  for (let i = 0; i < 6; i++) await settle();
  clearTimeout(client.outbox.timer);
  for (const name of Object.keys(client.connection.timers)) clearTimeout(client.connection.timers[name]);
  return { client, sent, socket, strangers };
}

const waiting = { cid: 'c1', session: null, chat: 'x', text: 'of A', params: {}, created_at: 1, state: 'waiting' };

test('a waiting message goes out in the name of whoever wrote it', async () => {
  const shelf = memoryShelf();
  await shelf.put({ ...waiting });
  const { sent, strangers } = await connected('u_A', 'u_A', shelf);
  assert.deepEqual(
    sent.filter((frame) => frame.method === 'chat.send').map((frame) => frame.params.text),
    ['of A'],
  );
  assert.deepEqual(strangers, []);
});

test('a connection that turns out to be somebody else’s is given up before anything is sent', async () => {
  const shelf = memoryShelf();
  await shelf.put({ ...waiting });
  const { client, sent, socket, strangers } = await connected('u_A', 'u_B', shelf);
  assert.deepEqual(
    sent.map((frame) => frame.method),
    ['hello'],
  );
  assert.deepEqual(strangers, ['u_B']);
  assert.equal(client.online, false);
  assert.ok(socket.closed);
  assert.equal((await shelf.all()).length, 1, 'the message waits for its writer');
});
