// A real cluster, and a real browser that looks at it.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BINARY = process.env.BATON_BIN ?? join(ROOT, 'target/debug/baton');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const OFFSETS = [0, 1_000, 2_000, 22_000];
/** Test files may run at the same time, each with base ports of its own. */
const BASES = 496;

async function free(port) {
  const server = createServer();
  try {
    await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** A base port with all ports of four nodes and an L1 free; apart from those that other tests pick. */
async function basePort(from) {
  for (let base = from; base < from + BASES; base += 16) {
    const ports = OFFSETS.flatMap((offset) => [0, 1, 2, 3].map((index) => base + offset + index));
    const all = await Promise.all(ports.map(free));
    if (all.every(Boolean)) return base;
  }
  throw new Error(`no free ports from ${from} to ${from + BASES}`);
}

export async function startDevnet({ from = 14_000, options = [] } = {}) {
  const base = await basePort(from);
  const directory = mkdtempSync(join(tmpdir(), 'baton-explorer-'));
  const args = ['devnet', '--json', '--dir', join(directory, 'state'), '--base-port', String(base), ...options];
  // What the nodes tell of a healthy life would hide what a test says.
  const env = { RUST_LOG: 'warn', ...process.env };
  // The local L1 is found from the root.
  const child = spawn(BINARY, args, { stdio: ['pipe', 'pipe', 'inherit'], env, cwd: ROOT });
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error('the devnet did not start'))),
  ]);
  const view = JSON.parse(line);
  return {
    ...view,
    directory: join(directory, 'state'),
    kill: (index) => process.kill(view.nodes[index].pid, 'SIGKILL'),
    /** Starts a node again that was killed. */
    restart: (index) => spawn(BINARY, ['node', '--config', join(directory, 'state', `node-${index}`, 'node.toml')], { stdio: 'ignore' }),
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGINT');
      await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Submits so many transactions a second for some seconds; whether the cluster keeps up is not looked at. */
export function load(url, rate, seconds) {
  const args = ['bench', '--rate', String(rate), '--batch', '50', '--warmup', '0s', '--seconds', `${seconds}s`, '--urls', url];
  return once(spawn(BINARY, args, { stdio: 'ignore' }), 'exit');
}

/** A module of the page, as Node runs it. */
export async function fromSource(path) {
  const entry = fileURLToPath(new URL(`../src/${path}`, import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'esm', write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

export async function call(url, method, params = {}) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }) });
  const { result, error } = await response.json();
  if (error) throw Object.assign(new Error(error.message), { data: error.data });
  return result;
}

/** Polls until `look` returns something. */
export async function until(what, look, ms = 60_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function submit(url, rollup, text) {
  const data = `0x${Buffer.from(text).toString('hex')}`;
  const { id } = await call(url, 'baton_submit', { rollup, data });
  await until(`${text} is final`, async () => (await call(url, 'baton_transaction', { id })).rung === 'finalized');
  return id;
}

/** Signs and sends a transaction of one of the devnet's accounts; the receipt, once it is executed. */
export async function execute(url, wallet, account, { to, value = 0n, input = '0x' }) {
  const key = wallet.KEYS[account];
  const nonce = Number(await call(url, 'eth_getTransactionCount', [wallet.addressOf(key), 'latest']));
  const raw = wallet.sign({ chainId: 2211, nonce, tip: 10n ** 9n, fee: 10n ** 11n, gas: 500_000, to, value, input }, key);
  const hash = await call(url, 'eth_sendRawTransaction', [raw]);
  return until(`${hash} is executed`, () => call(url, 'eth_getTransactionReceipt', [hash]));
}

export function startBrowser() {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--enable-precise-memory-info'];
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args });
}
