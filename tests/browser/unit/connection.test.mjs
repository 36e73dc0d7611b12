import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Backoff } from '../../../host/chat/ui/js/net/backoff.js';
import { Connection } from '../../../host/chat/ui/js/net/connection.js';

const microtasks = async () => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};

/** A connection over sockets that the test drives. Timers are mocked; `t.after` restores them. */
function make(t, options = {}) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
  const sockets = [];
  const states = [];
  const frames = [];
  const connection = new Connection({
    open: () => {
      const socket = {
        sent: [],
        closed: null,
        onopen: null,
        onmessage: null,
        onclose: null,
        send: (text) => socket.sent.push(JSON.parse(text)),
        close: (code) => (socket.closed = code ?? 1000),
      };
      sockets.push(socket);
      return socket;
    },
    hello: () => ({ tab: 't_1' }),
    onhello: () => {},
    onframe: (frame) => frames.push(frame),
    onstate: (state) => states.push(state),
    backoff: new Backoff(() => 1),
    ...options,
  });
  const answer = (payload = {}, index = -1) => {
    const socket = sockets.at(-1);
    socket.onmessage({ data: JSON.stringify({ type: 'res', id: socket.sent.at(index).id, ok: true, payload }) });
    return microtasks();
  };
  const online = async () => {
    connection.connect();
    sockets.at(-1).onopen();
    await answer({ heartbeat: { tick_ms: 15_000 } });
  };
  return { connection, sockets, states, frames, answer, online };
}

test('hello is the first frame, and only after its answer is the line online', async (t) => {
  const { connection, sockets, states, answer } = make(t);
  connection.connect();
  sockets[0].onopen();
  assert.equal(sockets[0].sent[0].method, 'hello');
  assert.deepEqual(sockets[0].sent[0].params, { tab: 't_1' });
  assert.deepEqual(states, ['connecting']);
  await answer({});
  assert.deepEqual(states, ['connecting', 'online']);
});

test('a lost line is tried again at once, then later and later', async (t) => {
  const { connection, sockets, online } = make(t);
  await online();
  const waits = [];
  for (let i = 0; i < 4; i++) {
    sockets.at(-1).onclose({ code: 1006 });
    waits.push(connection.retryAt - Date.now());
    mock.timers.tick(waits.at(-1));
  }
  assert.deepEqual(waits, [0, 500, 900, 1620]);
  assert.equal(sockets.length, 5);
});

test('a stable line starts the schedule over', async (t) => {
  const { connection, sockets, online, answer } = make(t);
  await online();
  sockets[0].onclose({ code: 1006 });
  mock.timers.tick(0);
  sockets[1].onopen();
  await answer({});
  mock.timers.tick(30_000);
  sockets.at(-1).onclose({ code: 1006 });
  assert.equal(connection.retryAt, Date.now());
});

test('requests in flight fail when the line is lost, and requests while offline at once', async (t) => {
  const { connection, sockets, online } = make(t);
  await online();
  const pending = connection.request('sessions.list');
  sockets[0].onclose({ code: 1006 });
  await assert.rejects(pending, { code: 'OFFLINE' });
  await assert.rejects(connection.request('sessions.list'), { code: 'OFFLINE' });
});

test('an error answer rejects with the code of the server', async (t) => {
  const { connection, sockets, online } = make(t);
  await online();
  const pending = connection.request('chat.send');
  const { id } = sockets[0].sent.at(-1);
  sockets[0].onmessage({
    data: JSON.stringify({
      type: 'res',
      id,
      ok: false,
      error: { code: 'RATE_LIMITED', layer: 'gateway', message: '', retryable: true, retry_after_ms: 7, request_id: 'req_1' },
    }),
  });
  await assert.rejects(pending, { code: 'RATE_LIMITED', retryAfter: 7, requestId: 'req_1' });
});

test('a login that is missing or over stops the attempts', async (t) => {
  const { connection, sockets, states } = make(t);
  connection.connect();
  sockets[0].onopen();
  sockets[0].onclose({ code: 4401 });
  mock.timers.tick(60_000);
  assert.equal(states.at(-1), 'login');
  assert.equal(sockets.length, 1);
});

test('a refusal that would only repeat stops the attempts', async (t) => {
  for (const code of [4400, 4403, 4413]) {
    const { connection, sockets, states } = make(t);
    connection.connect();
    sockets[0].onclose({ code });
    mock.timers.tick(60_000);
    assert.equal(states.at(-1), 'stopped');
    assert.equal(sockets.length, 1);
    mock.timers.reset();
  }
});

test('a goodbye says when to come back', async (t) => {
  const { connection, sockets, frames, online } = make(t);
  await online();
  sockets[0].onmessage({ data: JSON.stringify({ type: 'bye', reason: 'restart', reconnect_after_ms: 1840 }) });
  sockets[0].onclose({ code: 4503 });
  assert.equal(frames[0].type, 'bye');
  assert.equal(connection.retryAt - Date.now(), 1840);
});

test('a silent line is probed and replaced while the page is visible', async (t) => {
  const { sockets, online } = make(t);
  await online();
  mock.timers.tick(45_000);
  assert.equal(sockets[0].sent.at(-1).method, 'ping');
  mock.timers.tick(5_000);
  await microtasks();
  assert.equal(sockets[0].closed, 4000);
  mock.timers.tick(0);
  assert.equal(sockets.length, 2);
});

test('a silent line of a hidden page is left alone', async (t) => {
  const { sockets, online } = make(t, { visible: () => false });
  await online();
  mock.timers.tick(120_000);
  assert.equal(sockets[0].sent.length, 1);
});

test('a line that talks is not probed', async (t) => {
  const { sockets, online } = make(t);
  await online();
  for (let i = 0; i < 10; i++) {
    mock.timers.tick(15_000);
    sockets[0].onmessage({ data: '{"type":"tick"}' });
  }
  assert.equal(sockets[0].sent.length, 1);
});

test('showing the page again does not wait for the schedule', async (t) => {
  const { connection, sockets, online } = make(t);
  await online();
  for (let i = 0; i < 3; i++) {
    sockets.at(-1).onclose({ code: 1006 });
    if (i < 2) mock.timers.tick(connection.retryAt - Date.now());
  }
  assert.equal(connection.state, 'waiting');
  const before = sockets.length;
  connection.probe();
  assert.equal(sockets.length, before + 1);
});

test('a socket that never opens is given up', async (t) => {
  const { connection, sockets } = make(t);
  connection.connect();
  mock.timers.tick(9_999);
  assert.equal(sockets.length, 1);
  mock.timers.tick(1);
  assert.equal(connection.failures, 1);
  assert.equal(sockets[0].closed, 4000);
  mock.timers.tick(0);
  assert.equal(sockets.length, 2);
});

test('a late event of an old socket changes nothing', async (t) => {
  const { connection, sockets, online } = make(t);
  await online();
  const { onclose } = sockets[0];
  onclose({ code: 1006 });
  mock.timers.tick(0);
  onclose({ code: 4401 });
  assert.equal(connection.state, 'connecting');
});
