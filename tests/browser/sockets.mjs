/**
 * What many open pages cost the web gateway: sockets that each follow an answer of their own, as it streams.
 *
 *     node sockets.mjs PATH-OF-SLUICEGATE [SOCKETS] [SECONDS]
 *
 * Starts the program twice, as the demo's proxy and as the web gateway alone, and prints what the second one uses while
 * all answers stream at the demo's pace: CPU as a share of one core, and memory, as the kernel accounts for them (Linux).
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';

const [program, sockets = '500', seconds = '10'] = process.argv.slice(2);
assert.ok(program, 'usage: node sockets.mjs PATH-OF-SLUICEGATE [SOCKETS] [SECONDS]');
const COUNT = Number(sockets);
const SPAN = Number(seconds);
const TOKEN = 'token-of-the-sockets-0123456789';
/** Clock ticks a second in `/proc`; 100 on every Linux that Node runs on. */
const TICKS = 100;

const folder = mkdtempSync(join(tmpdir(), 'sluicegate-sockets-'));
/** @type {import('node:child_process').ChildProcess[]} */
const children = [];

/**
 * Starts the program and waits for the line of log that says where it listens. Goes on reading, so that it never waits.
 * @param {string} command @param {string} config
 * @returns {Promise<{pid: number, address: string}>}
 */
function start(command, config) {
  const file = join(folder, `${command}.toml`);
  writeFileSync(file, config);
  const child = spawn(program, [command, '--config', file], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => reject(new Error(`${command} has ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /"(?:listen|address)":"(127\.0\.0\.1:\d+)"/.exec(line);
      if (found) resolve({ pid: Number(child.pid), address: found[1] });
    });
  });
}

/** @param {number} pid */
function usage(pid) {
  // The name in parentheses may hold blanks; user and system time are the 12th and 13th word behind it.
  const words = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /s, '').split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return { cpu: (Number(words[11]) + Number(words[12])) / TICKS, memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024 };
}

let deltas = 0;

/** Opens a socket and asks for an answer that outlasts the measuring. @param {string} address @param {number} n */
function follow(address, n) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${address}/ws`, 'sluice.v1');
    const request = (/** @type {string} */ id, /** @type {string} */ method, /** @type {object} */ params) =>
      socket.send(JSON.stringify({ type: 'req', id, method, params }));
    socket.on('open', () => request('1', 'hello', { min: 1, max: 1, token: TOKEN, visible: true }));
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Error(`socket ${n} was closed with ${code}`)));
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data));
      if (frame.type === 'delta') deltas += 1;
      if (frame.type !== 'res') return;
      if (!frame.ok) reject(new Error(`socket ${n}: ${JSON.stringify(frame)}`));
      else if (frame.id === '1') request('2', 'chat.send', { cid: `c${n}`, text: '/long 100000' });
      else if (frame.id === '2') request('3', 'sub', { session: frame.payload.session });
      else resolve(socket);
    });
  });
}

const PROXY = `[[listener]]
listen = "127.0.0.1:0"
[upstream.ollama]
adapter = "ollama"
targets = ["http://127.0.0.1:11434"]
[[route]]
path = "/v1/*"
pipeline = []
upstream = "ollama"
`;

/** @param {string} endpoint */
const web = (endpoint) => `[chat]
listen = "127.0.0.1:0"
store = "sqlite:sockets.db"
endpoint = "http://${endpoint}"
users = [{ name = "load", token = "${TOKEN}" }]
[chat.limits]
sends-per-minute = 100000
runs-per-user = ${COUNT}
runs = ${COUNT}
waiting-per-user = ${COUNT}
connections = ${COUNT + 10}
connections-per-address = ${COUNT + 10}
`;

try {
  const proxy = await start('demo', PROXY);
  const { pid, address } = await start('chat', web(proxy.address));
  const idle = usage(pid);
  const open = [];
  for (let n = 0; n < COUNT; n++) open.push(await follow(address, n));
  deltas = 0;
  const before = usage(pid);
  await new Promise((resolve) => setTimeout(resolve, SPAN * 1000));
  const after = usage(pid);
  assert.ok(deltas > COUNT, `only ${deltas} deltas came: the answers did not stream`);
  console.log(`${COUNT} sockets, each with an answer that streams, for ${SPAN} s:`);
  console.log(`  ${Math.round(deltas / SPAN)} deltas a second reached the clients`);
  console.log(`  CPU of the web gateway: ${Math.round(((after.cpu - before.cpu) / SPAN) * 100)} % of a core`);
  console.log(`  memory: ${Math.round(idle.memory)} MiB before the first socket, ${Math.round(after.memory)} MiB with all`);
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
