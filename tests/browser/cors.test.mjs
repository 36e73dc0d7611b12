/** Pages of other origins in a real browser: one that the gateway's configuration lists, and one that it does not. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { elsewhere, fake } from './lib/page.mjs';

const need = (name) => process.env[name] ?? assert.fail(`${name} is not set; see tests/browser/README.md`);
const GATEWAY = need('SLUICE_GATEWAY_URL');
const PORT = Number(need('SLUICE_PAGES_PORT'));
const LISTED = `http://listed.test:${PORT}`;
const FOREIGN = `http://foreign.test:${PORT}`;

const pages = createServer((_, response) => {
  response.setHeader('content-type', 'text/html');
  response.end('<!doctype html><title>A page</title>');
});
before(() => new Promise((resolve) => pages.listen(PORT, '127.0.0.1', resolve)));
after(() => pages.close());

/**
 * What a page makes of a request to the gateway.
 * @param {import('playwright-core').Page} page @param {string} path @param {object} [init]
 */
function ask(page, path, init = {}) {
  return page.evaluate(
    async ({ url, init }) => {
      try {
        const response = await fetch(url, init);
        return { status: response.status, id: response.headers.get('x-request-id'), text: await response.text() };
      } catch (error) {
        return { failed: String(error) };
      }
    },
    { url: GATEWAY + path, init },
  );
}

/** @param {string} text @param {boolean} [stream] @param {string} [type] */
const chat = (text, stream = false, type = 'application/json') => ({
  method: 'POST',
  headers: { 'content-type': type, ...(type === 'application/json' && { authorization: 'Bearer sk-any' }) },
  body: JSON.stringify({ model: 'demo', stream, messages: [{ role: 'user', content: text }] }),
});

test('a page that is listed reads responses, streams and errors', async (t) => {
  const page = await elsewhere(t, LISTED);
  const whole = await ask(page, '/v1/chat/completions', chat('whole'));
  assert.equal(whole.status, 200, JSON.stringify(whole));
  assert.match(String(whole.id), /^req_/);
  assert.equal(JSON.parse(String(whole.text)).choices[0].message.content, 'A plain answer.');
  const stream = await ask(page, '/v1/chat/completions', chat('streamed', true));
  assert.equal(stream.status, 200);
  assert.match(String(stream.text), /^data: .*\[DONE\]\s*$/s);
  assert.equal((await ask(page, '/v1/models')).status, 200);
  const wrong = await ask(page, '/v1/nowhere');
  assert.equal(wrong.status, 404);
  assert.match(String(wrong.text), /"error"/);
});

test('a page that is not listed reads nothing and runs no model', async (t) => {
  const page = await elsewhere(t, FOREIGN);
  for (const init of [chat('json of a foreign page'), chat('text of a foreign page', false, 'text/plain')]) {
    const answer = await ask(page, '/v1/chat/completions', init);
    assert.match(String(answer.failed), /Failed to fetch/, JSON.stringify(answer));
  }
  assert.match(String((await ask(page, '/v1/models')).failed), /Failed to fetch/);
  assert.deepEqual(fake.requests('of a foreign page'), []);
});
