// The explorer of a cluster that settles on a local L1: transactions climb on, and batches show up.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { call, fromSource, startBrowser, startDevnet, until } from './devnet.mjs';
import { changed, go, lie, lies, open, stand } from './page.mjs';

/** L1 makes a block every two seconds, and the eighth makes the first one final; a busy machine takes its time. */
const ON_L1 = { timeout: 240_000 };

let net;
let browser;
let url;
let wallet;

before(async () => {
  [net, browser] = await Promise.all([startDevnet({ from: 14_496, options: ['--l1'] }), startBrowser()]);
  url = net.nodes[0].rpc;
  wallet = await fromSource('evm/wallet.ts');
});

after(async () => {
  await browser?.close();
  await net?.stop();
});

test('transactions climb to posted and settled while one watches', async () => {
  const { page, seen, close } = await open(browser, url, 'try/demo');
  await page.fill('textarea', 'all the way to L1');
  await page.click('button:text("Submit")');
  const transfer = await open(browser, url, 'try/evm');
  await transfer.page.selectOption('select[name=from]', wallet.addressOf(wallet.KEYS[5]));
  await transfer.page.fill('input[name=to]', wallet.addressOf(wallet.KEYS[6]));
  await transfer.page.fill('input[name=ether]', '1');
  await transfer.page.click('button:text("Sign and send")');
  for (const { page: one } of [{ page }, transfer]) {
    await one.waitForSelector('.climb .step-finalized.on');
    await one.waitForSelector('.climb .step-posted.on', ON_L1);
    await one.waitForSelector('.climb .step-settled.now', ON_L1);
  }
  await page.click('.climb a:text("Details and proof")');
  await page.waitForSelector('.proof .verdict-good');
  await page.waitForSelector('.step-settled.now');
  await transfer.page.click('.climb a:text("Details and proof")');
  await transfer.page.waitForSelector('.proof .verdict-good');
  await transfer.page.waitForSelector('.step-executed.on');
  await transfer.page.waitForSelector('.state:text("succeeded")');
  assert.deepEqual([...seen.complaints, ...transfer.seen.complaints], []);
  await transfer.close();
  await close();
});

/** A batch that a final block of L1 has. */
const settled = (rollup) => until(`a batch of ${rollup} settles`, async () => (await call(url, 'baton_batches', { rollup })).batches.find((batch) => batch.settled), ON_L1.timeout);

test('the batch shows up, and leads to what the group signed', async () => {
  const { index, first_height: first, l1_block: block, l1_transaction: sent } = await settled('demo');
  // L1 has it there.
  const l1 = `http://127.0.0.1:${Number(new URL(url).port) + 2_000}`;
  const receipt = await call(l1, 'eth_getTransactionReceipt', [sent]);
  assert.deepEqual([Number(receipt.blockNumber), receipt.status], [block, '0x1']);
  const { page, seen, close } = await open(browser, url, 'settlement');
  await page.waitForSelector('main > .verdict-good');
  await page.waitForSelector('dt:text-is("Origin") + dd:has-text("block")');
  await page.waitForSelector('[aria-label="How far L1 has each rollup"] tr:has(a:text-is("demo")) td:nth-child(3):has-text("everything, to height")', ON_L1);
  await page.waitForSelector('[aria-label="Batches"] tr:has(a:text-is("evm"))');
  const row = `[aria-label="Batches"] tr:has(a[href="#/settlement/demo/${index}"])`;
  await page.waitForSelector(`${row} .rung-settled`, ON_L1);
  await page.waitForSelector('[aria-label="How far L1 has each rollup"] tr:has(a:text-is("demo")) td:has-text("0 of 0 taken")');
  await page.focus(`${row} a[href="#/settlement/demo/${index}"]`);
  await page.keyboard.press('Enter');
  await page.waitForSelector(`h1:text-is("Batch ${index} of demo")`);
  await page.waitForSelector('main > .verdict-good');
  await page.waitForSelector(`.facts a[href="#/block/${first}"]`);
  await page.waitForSelector(`dt:text-is("L1 transaction") + dd:has-text("in block")`);
  await go(page, 'settlement/demo');
  await page.waitForSelector('[aria-label="Batches"] tbody tr');
  await go(page, 'settlement/demo/99999');
  await page.waitForSelector('[role=alert]:has-text("no batch 99999")');
  await go(page, 'settlement/nothing');
  await page.waitForSelector('.empty:has-text("settles here")');
  assert.deepEqual(seen.complaints, []);
  await close();
});

test('every field of a batch that the group did not sign is shown as a lie', async () => {
  const batch = await settled('demo');
  const { page, close } = await open(browser, url, 'mempool');
  await page.waitForSelector('h1:text-is("Mempool")');
  // Whether L1 has it, and where, is the node's own word.
  const ownWord = ['posted', 'settled', 'l1_block', 'l1_transaction'];
  for (const field of [...lies(batch)].filter(([name]) => !ownWord.includes(name))) {
    await lie(page, url, 'baton_batch', (result) => changed(result, field));
    await go(page, `settlement/demo/${batch.index}`);
    await page.waitForSelector('main > .verdict-bad').catch(() => assert.fail(`believed: ${field.join('.')}`));
    await page.unrouteAll();
    await go(page, 'mempool');
    await page.waitForSelector('h1:text-is("Mempool")');
  }
  await close();
});

for (const [name, width, colorScheme] of [['desktop', 1280, 'dark'], ['phone', 390, 'light']]) {
  test(`its pages stand on a ${name}, and are accessible`, async () => {
    const { index } = await settled('demo');
    const { page, seen, close } = await open(browser, url, '', { viewport: { width, height: 900 }, colorScheme });
    const pages = [
      ['settlement', 'Settlement', '[aria-label="Batches"] tbody tr'],
      ['settlement/demo', 'Settlement of demo', '[aria-label="Batches"] tbody tr'],
      [`settlement/demo/${index}`, `Batch ${index} of demo`, 'main > .verdict-good'],
    ];
    await stand(page, pages, name);
    assert.deepEqual(seen.complaints, []);
    await close();
  });
}
