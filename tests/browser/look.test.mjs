/** What one sees, and what one must not: accessibility, narrow screens, hostile text, a view that does not jump. */

import assert from 'node:assert/strict';
import { AxeBuilder } from '@axe-core/playwright';
import { test } from 'node:test';
import { held } from './lib/fake.mjs';
import { answer, answerText, done, eventually, fake, field, open, prompt, send } from './lib/page.mjs';

const RICH = `Intro with **bold**, \`code\` and a [link](https://example.org/).

## Heading

1. one
2. two

| a | b |
|---|:-:|
| 1 | 2 |

- [x] done
- [ ] open

> quoted

\`\`\`python
def f(x):
    return x + 1  # comment
\`\`\`
`;

/** @param {import('playwright-core').Page} page @param {string} what */
async function axe(page, what) {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const all = await new AxeBuilder({ page }).withTags(tags).disableRules(['heading-order']).analyze();
  // Which headings a model writes, and in which order, is its own affair.
  const headings = await new AxeBuilder({ page }).withRules(['heading-order']).exclude('.md').analyze();
  const violations = [...all.violations, ...headings.violations];
  assert.deepEqual(
    violations.map(({ id, nodes }) => `${what}: ${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`),
    [],
  );
}

for (const theme of /** @type {const} */ (['light', 'dark'])) {
  for (const language of /** @type {const} */ (['en', 'zh-CN'])) {
    test(`axe finds nothing on any view, ${theme}, ${language}`, async (t) => {
      const page = await open(t, { theme, language });
      await axe(page, 'empty');
      const ask = prompt('axe');
      fake.on(ask, { reasoning: 'Thinking about it.', text: RICH, ms: 5 });
      await send(page, ask);
      await answer(page).locator(':scope > .md p').first().waitFor();
      await axe(page, 'streaming');
      await done(page);
      await answer(page).locator('.reasoning summary').click();
      await axe(page, 'answer');
      await send(page, '/debug');
      await page.locator('.card').waitFor();
      await axe(page, 'debug');
      const broken = prompt('axe error');
      fake.on(broken, { text: '', status: 500 });
      await send(page, broken);
      await answer(page).locator('.error-note').waitFor();
      await axe(page, 'error');
      await page.getByRole('searchbox').fill('axe');
      await page.locator('.session mark').first().waitFor();
      await axe(page, 'search');
      await page.locator('.bar [aria-haspopup="menu"]').click();
      await axe(page, 'menu');
      await page.keyboard.press('Escape');
      await page.keyboard.press('ArrowUp');
      await field(page).fill('/');
      await axe(page, 'commands');
      await field(page).fill('/settings');
      await field(page).press('Control+Enter');
      await page.getByRole('dialog').waitFor();
      await axe(page, 'settings');
    });

    test(`axe finds nothing on the login, ${theme}, ${language}`, async (t) => {
      const page = await open(t, { theme, language, login: false });
      await page.locator('.login').waitFor();
      await axe(page, 'login');
    });
  }
}

test('at 320 px nothing is cut off or scrolls sideways', async (t) => {
  const page = await open(t, { width: 320, height: 640, touch: true });
  const fits = async (/** @type {string} */ what) => {
    const wide = await page.evaluate(() =>
      [...document.querySelectorAll('body *')]
        .filter((node) => {
          const box = node.getBoundingClientRect();
          const inScroller = node.closest('.table, pre, .sidebar, .sr-only');
          return box.width > 0 && !inScroller && (box.right > innerWidth + 1 || box.left < -1);
        })
        .map((node) => `${node.tagName}.${node.className}`),
    );
    assert.deepEqual(wide, [], what);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320, what);
  };
  await fits('empty');
  const ask = prompt('narrow');
  fake.on(ask, { reasoning: 'Hm.', text: `${RICH}\n\nhttps://example.org/${'a'.repeat(120)}\n`, ms: 1 });
  await send(page, ask);
  await done(page);
  await fits('answer');
  await send(page, '/debug');
  await page.locator('.card').waitFor();
  await fits('debug');
  await page.locator('.drawer-open').tap();
  await page.locator('.app.sidebar-open').waitFor();
  assert.equal(await page.locator('.conversation').evaluate((node) => node.inert), true);
  await page.keyboard.press('Escape');
  await eventually(async () => (await page.locator('.app.sidebar-open').count()) === 0, 'Escape closes the drawer');
});

const HOSTILE = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<svg onload=alert(1)>',
  '<iframe srcdoc="<script>parent.alert(1)</script>"></iframe>',
  '<details open ontoggle=alert(1)>x</details>',
  '<a href="javascript:alert(1)">x</a>',
  '<style>*{background:url(https://evil.example/)}</style>',
  '<base href="https://evil.example/">',
  '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
  '<form action="https://evil.example/"><input name=q></form>',
  '<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>',
  '[a](javascript:alert(1))',
  '[a](JaVaScRiPt:alert(1))',
  '[a](java\tscript:alert(1))',
  '[a](&#106;avascript:alert(1))',
  '[a](data:text/html,<script>alert(1)</script>)',
  '[a](vbscript:alert(1))',
  '[a](//evil.example/)',
  '[a](https://bank.example@evil.example/)',
  '![a](https://evil.example/leak.png)',
  '![a](javascript:alert(1))',
  '![a](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)',
  '![a"onerror="alert(1)](x)',
  '<javascript:alert(1)>',
  '<https://evil.example/"onmouseover=alert(1)>',
  '[a]: javascript:alert(1)\n\n[a]',
  '```"><img src=x onerror=alert(1)>\n<script>alert(1)</script>\n```',
  '| <img src=x onerror=alert(1)> | b |\n|---|---|\n| `<script>` | <b onclick=alert(1)>x</b> |',
  '`<img src=x onerror=alert(1)>`',
  '# <img src=x onerror=alert(1)>',
  '- [ ] <img src=x onerror=alert(1)>',
  '\u202Etxt.exe\u202C <b>bidi</b>',
];

test('hostile text stays text: no script, no request, no violation of the policy', async (t) => {
  const page = await open(t);
  const ask = prompt('<img src=x onerror=alert(1)>');
  fake.on(ask, { reasoning: HOSTILE.join('\n\n'), text: HOSTILE.join('\n\n'), ms: 1, size: 7 });
  await send(page, ask);
  await done(page);
  await answer(page).locator('.reasoning summary').click();
  await page.getByRole('searchbox').fill('onerror');
  await page.locator('.session mark').first().waitFor();
  for (const node of await page.locator('.transcript a, .session a').all()) {
    const href = await node.getAttribute('href');
    assert.match(href ?? '', /^(https:\/\/|mailto:|#ses_)/, href ?? '');
    if (href?.startsWith('https:')) assert.equal(await node.getAttribute('rel'), 'noopener noreferrer nofollow');
  }
  const bad = await page.evaluate(() =>
    [...document.querySelectorAll('.app *')]
      .filter(
        (node) =>
          (['SCRIPT', 'IFRAME', 'STYLE', 'BASE', 'META', 'FORM', 'OBJECT', 'EMBED', 'LINK', 'MATH'].includes(node.tagName) &&
            !node.matches('.composer')) ||
          [...node.attributes].some((attribute) => attribute.name.startsWith('on')),
      )
      .map((node) => node.outerHTML.slice(0, 80)),
  );
  assert.deepEqual(bad, []);
  assert.equal(await page.locator('.transcript img').count(), 0);
  assert.ok((await answerText(page)).includes('<script>alert(1)</script>'), 'shown as it was written');
});

test('nothing of an answer disappears: notes, formulas, definitions, addresses that are no links', async (t) => {
  const page = await open(t);
  const ask = prompt('as it is');
  const parts = [
    String.raw`By Gauss \( \sum_{k=1}^{n} k = \frac{n*(n+1)}{2} * 1 \), as known.[^1]`,
    String.raw`\[ a_1 * b_2 \\ \{c\} \]`,
    '[^1]: https://example.org/gauss',
    '[unused]: https://example.org/unused',
  ];
  const text = `${parts.join('\n\n')}\n\n| one |\n|---|\n| 1 | beyond |\n\nSee [the file](./docs/plan.md).\n\n\`\`\`js title=app.js\nx\n\`\`\``;
  const { promise: hold, release } = held();
  t.after(release);
  fake.on(ask, { text, ms: 1, size: 80, hold });
  await send(page, ask);
  await eventually(async () => (await answerText(page)).includes(parts[0].slice(0, 40)), 'shown while it is written');
  release();
  await done(page);
  const shown = await answerText(page);
  for (const part of [...parts, 'beyond', './docs/plan.md', 'js title=app.js']) assert.ok(shown.includes(part), `${part} in ${shown}`);
  assert.equal(await answer(page).locator('em').count(), 0);
});

/**
 * The value of `look` when it has not changed for ten frames: the wheel scrolls smoothly.
 * @param {import('playwright-core').Page} page @param {() => Promise<number>} look
 */
async function atRest(page, look) {
  let last = await look();
  for (let same = 0; same < 10; ) {
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
    const now = await look();
    same = now === last ? same + 1 : 0;
    last = now;
  }
  return last;
}

test('the view does not move while one reads, and follows again from the end', async (t) => {
  const page = await open(t);
  const ask = prompt('scroll');
  fake.on(ask, { text: Array.from({ length: 160 }, (_, i) => `Paragraph ${i} with a few words in it.`).join('\n\n'), ms: 15, size: 12 });
  await send(page, ask);
  const box = page.locator('.transcript');
  const top = () => box.evaluate((node) => node.scrollTop);
  const fromEnd = () => box.evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop);
  const height = () => box.evaluate((node) => node.scrollHeight);
  const grown = async () => {
    const before = await height();
    await eventually(async () => (await height()) > before, 'more text comes in');
  };
  await eventually(async () => (await top()) > 300, 'it follows what is written');
  assert.ok((await fromEnd()) <= 2);
  await box.hover();
  await page.mouse.wheel(0, -200);
  await page.locator('.jump').waitFor();
  const still = await atRest(page, top);
  for (let i = 0; i < 10; i++) {
    await grown();
    assert.equal(await top(), still, 'not by a pixel');
  }
  await page.locator('.jump').click();
  await eventually(async () => (await fromEnd()) <= 2, 'at the end');
  for (let i = 0; i < 3; i++) {
    await grown();
    assert.ok((await fromEnd()) <= 2, 'and it stays there');
  }
  await done(page);
  assert.ok((await fromEnd()) <= 2);
});

test('only the last block is rebuilt while an answer streams in', async (t) => {
  const page = await open(t);
  const ask = prompt('blocks');
  fake.on(ask, { text: `First paragraph.\n\n${RICH}\n\n${'more words '.repeat(100)}`, ms: 5, size: 6 });
  await send(page, ask);
  await answer(page).locator('.md > :nth-child(2)').waitFor();
  await answer(page)
    .locator('.md > :first-child')
    .evaluate((node) => /** @type {any} */ (node.__mine = true));
  await answer(page).locator('.code').waitFor();
  await answer(page)
    .locator('.code')
    .evaluate((node) => /** @type {any} */ (node.__mine = true));
  await done(page);
  assert.equal(
    await answer(page)
      .locator('.md > :first-child')
      .evaluate((node) => /** @type {any} */ (node).__mine),
    true,
  );
  assert.equal(
    await answer(page)
      .locator('.code')
      .evaluate((node) => /** @type {any} */ (node).__mine),
    true,
  );
});

test('a screen reader hears that an answer is written, and its beginning at the end', async (t) => {
  const page = await open(t);
  await page.evaluate(() => {
    /** @type {any} */ (window).__said = [];
    for (const region of document.querySelectorAll('[aria-live="polite"]')) {
      new MutationObserver(() => /** @type {any} */ (window).__said.push(region.textContent)).observe(region, {
        childList: true,
        characterData: true,
        subtree: true,
      });
    }
  });
  const ask = prompt('announce');
  fake.on(ask, { text: 'A short answer to be heard.', ms: 20 });
  await send(page, ask);
  await done(page);
  const said = await page.evaluate(() => /** @type {any} */ (window).__said);
  assert.ok(
    said.some((/** @type {string} */ text) => text.startsWith('Answer is being written')),
    said.join('|'),
  );
  assert.ok(
    said.some((/** @type {string} */ text) => text.includes('A short answer to be heard.')),
    said.join('|'),
  );
  assert.equal(await page.locator('.transcript').getAttribute('aria-live'), 'off');
});
