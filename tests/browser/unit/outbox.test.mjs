import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox, memoryShelf } from '../../../host/chat/ui/js/net/outbox.js';
import { OFFLINE, RequestError } from '../../../host/chat/ui/js/net/wire.js';

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** An outbox over a server whose answers are given by `answers`, one for each attempt. */
function make(answers, shelf = memoryShelf()) {
  const attempts = [];
  const sent = [];
  const clock = { now: 1_000 };
  const outbox = new Outbox({
    shelf,
    send: async (entry) => {
      attempts.push(entry.cid);
      const answer = answers.shift() ?? {};
      if (answer instanceof Error) throw answer;
      return answer;
    },
    onsent: (entry, payload) => sent.push([entry.text, payload]),
    onchange: () => {},
    now: () => clock.now,
  });
  return { outbox, attempts, sent, clock, shelf };
}

test('a message goes out once and leaves the shelf', async () => {
  const { outbox, sent, shelf } = make([{ message: 'm1' }]);
  outbox.add('ses_A', 'c', 'hello');
  await settle();
  assert.deepEqual(sent, [['hello', { message: 'm1' }]]);
  assert.deepEqual(outbox.entries, []);
  assert.deepEqual(await shelf.all(), []);
});

test('messages go out in their order, one after another', async () => {
  const { outbox, sent } = make([{}, {}, {}]);
  for (const text of ['a', 'b', 'c']) outbox.add('ses_A', 'c', text);
  await settle();
  assert.deepEqual(
    sent.map(([text]) => text),
    ['a', 'b', 'c'],
  );
});

test('without a connection a message waits, and goes out under the same id', async () => {
  const { outbox, attempts, sent } = make([new RequestError({ code: OFFLINE }), {}]);
  const entry = outbox.add('ses_A', 'c', 'hello');
  await settle();
  assert.equal(entry.state, 'waiting');
  await outbox.flush();
  assert.deepEqual(attempts, [entry.cid, entry.cid]);
  assert.equal(sent.length, 1);
});

test('a limit makes the message wait as long as the server says, and those behind it too', async () => {
  const { outbox, attempts, clock } = make([new RequestError({ code: 'RATE_LIMITED', retry_after_ms: 8_000 }), {}, {}]);
  const entry = outbox.add('ses_A', 'c', 'first');
  outbox.add('ses_A', 'c', 'second');
  await settle();
  assert.equal(outbox.waitingUntil, 9_000);
  await outbox.flush();
  assert.deepEqual(attempts, [entry.cid]);
  clock.now = 9_000;
  await outbox.flush();
  assert.equal(attempts.length, 3);
  assert.deepEqual(outbox.entries, []);
  clearTimeout(outbox.timer);
});

test('a refused message stays, says why, and does not hold up the next one', async () => {
  const { outbox, sent } = make([new RequestError({ code: 'TOO_LARGE', request_id: 'req_1' }), {}]);
  const entry = outbox.add('ses_A', 'c', 'long');
  outbox.add('ses_A', 'c', 'short');
  await settle();
  assert.equal(entry.state, 'failed');
  assert.deepEqual(entry.error, { code: 'TOO_LARGE', layer: 'gateway', requestId: 'req_1' });
  assert.deepEqual(
    sent.map(([text]) => text),
    ['short'],
  );
  assert.deepEqual(outbox.entries, [entry]);
});

test('a refused message can be sent again with other parameters', async () => {
  const { outbox, sent } = make([new RequestError({ code: 'LEAF_CHANGED' }), {}]);
  const entry = outbox.add('ses_A', 'c', 'hello', { expected_leaf: 'm1' });
  await settle();
  outbox.retry(entry.cid, {});
  await settle();
  assert.deepEqual(entry.params, {});
  assert.equal(sent.length, 1);
});

test('an expired login keeps the message', async () => {
  const { outbox, shelf } = make([new RequestError({ code: 'UNAUTHENTICATED' })]);
  outbox.add('ses_A', 'c', 'hello');
  await settle();
  assert.equal((await shelf.all())[0].text, 'hello');
  clearTimeout(outbox.timer);
});

test('a later page takes over what an earlier one left, and sends it under the same id', async () => {
  const first = make([new RequestError({ code: OFFLINE })]);
  const entry = first.outbox.add('ses_A', 'c', 'hello');
  await settle();
  const second = make([{}], first.shelf);
  await second.outbox.load();
  assert.equal(second.outbox.entries[0].state, 'waiting');
  await second.outbox.flush();
  assert.deepEqual(second.attempts, [entry.cid]);
});

test('messages of one new chat belong together, those of another do not', () => {
  const { outbox } = make([]);
  outbox.busy = true;
  outbox.add(null, 'c1', 'a');
  outbox.add(null, 'c2', 'b');
  outbox.add('ses_A', 'c1', 'c');
  assert.deepEqual(
    outbox.of(null, 'c1').map((entry) => entry.text),
    ['a'],
  );
  assert.deepEqual(
    outbox.of('ses_A', 'whatever').map((entry) => entry.text),
    ['c'],
  );
});

test('a message that arrived through an event is not sent again', async () => {
  const { outbox } = make([new RequestError({ code: OFFLINE })]);
  const entry = outbox.add('ses_A', 'c', 'hello');
  await settle();
  outbox.remove(entry.cid);
  assert.deepEqual(outbox.entries, []);
});
