// The explorer in a real browser, against a real cluster: every page, live updates, lies, a dead node, a long history.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { call, execute, fromSource, load, startBrowser, startDevnet, submit, until } from './devnet.mjs';
import { changed, flip, go, lie, lies, open as openPage, stand } from './page.mjs';

const SIZES = { desktop: [1280, 900], tablet: [820, 1100], phone: [390, 844] };

let net;
let browser;
let url;
/** A transaction with text in it, and its place. */
let sent;
let wallet;
/** Receipts of a contract that was made, and of a call of it. */
let made;
let called;

/** Any call of this is taken for `transfer(address,uint256)`: it keeps the value in slot 0 and logs the transfer. */
const TRANSFER = 'ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';
const TOKEN = `60243560005260243560005560043533` + `7f${TRANSFER}` + '60206000a300';
const MAKE_TOKEN = `0x60${(TOKEN.length / 2).toString(16)}80600b6000396000f3${TOKEN}`;

before(async () => {
  [net, browser] = await Promise.all([startDevnet({ options: ['--rollup', 'notes', '--rollup', 'blobs:hash'] }), startBrowser()]);
  url = net.nodes[0].rpc;
  const id = await submit(url, 'demo', 'hello from a browser test');
  sent = await call(url, 'baton_transaction', { id });
  wallet = await fromSource('evm/wallet.ts');
  made = await execute(url, wallet, 0, { input: MAKE_TOKEN });
  const to = wallet.addressOf(wallet.KEYS[1]);
  called = await execute(url, wallet, 0, { to: made.contractAddress, input: `0xa9059cbb${to.slice(2).padStart(64, '0')}${(1234).toString(16).padStart(64, '0')}` });
});

after(async () => {
  await browser?.close();
  await net?.stop();
});

const open = (path = '', options = {}) => openPage(browser, options.at ?? url, path, options);

const pages = () => [
  ['', 'Overview', '.ring'],
  ['blocks', 'Blocks', 'tbody tr'],
  [`blocks?to=${sent.place.height}`, 'Blocks', 'tbody tr'],
  [`block/${sent.place.height}`, `Block ${sent.place.height}`, '.verdict-good'],
  ['block/0', 'Block 0', '.facts'],
  [`tx/${sent.id}`, 'Transaction', '.verdict-good'],
  ['rollups', 'Rollups', 'tbody tr'],
  ['rollup/demo', 'Rollup demo', 'tbody tr'],
  ['rollup/notes', 'Rollup notes', '.empty'],
  ['rollup/evm', 'Rollup evm', 'tbody meter'],
  ['rollup/evm/block/1', 'Block 1 of evm', 'tbody tr'],
  [`tx/${called.transactionHash}`, 'Transaction', '.changes li'],
  [`rollup/evm/address/${called.from}`, 'Account of evm', '.verdict-good'],
  ['try/evm', 'Try it', 'select[name=from]'],
  ['validators', 'Validators', 'tbody tr'],
  ['mempool', 'Mempool', 'tbody tr'],
  ['settlement', 'Settlement', '.empty'],
  ['settlement/evm/0', 'Batch 0 of evm', '.empty'],
  ['try', 'Try it', 'form.form'],
  ['search/nothing', 'Search', '.note'],
  ['nowhere', 'No such page', '.empty'],
];

test('the page comes from the node, asks nobody else, and is light', async () => {
  const started = await fetch(url, { headers: { accept: 'text/html' } });
  assert.match(started.headers.get('content-security-policy'), /default-src 'none'/);
  assert.match(await (await fetch(url)).text(), /JSON-RPC/, 'programs get a line of text');
  const { page, seen, close } = await open();
  await page.waitForSelector('.ring');
  await page.waitForSelector('[data-verified="true"]');
  const foreign = seen.requests.filter((request) => !request.startsWith(url));
  assert.deepEqual(foreign, []);
  const { paint, weight, first } = await page.evaluate(() => {
    const resources = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const size = (list) => list.reduce((sum, entry) => sum + (entry.encodedBodySize ?? 0), 0);
    const files = resources.filter(({ name, initiatorType }) => initiatorType === 'navigation' || name.includes('/explorer/'));
    return {
      paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
      first: size(files.filter(({ name }) => !name.endsWith('verify.js'))),
      weight: size(files),
    };
  });
  console.log(`page weight: ${first} bytes to show, ${weight} with the verifier; first paint after ${Math.round(paint)} ms`);
  assert.ok(first < 60_000 && weight < 150_000, 'it stays light');
  assert.ok(paint < 5_000);
  assert.deepEqual(seen.complaints, []);
  await close();
});

for (const [name, [width, height]] of Object.entries(SIZES)) {
  test(`every page stands on a ${name}, and is accessible`, async () => {
    const { page, seen, close } = await open('', { viewport: { width, height }, colorScheme: name === 'tablet' ? 'dark' : 'light' });
    await stand(page, pages(), name);
    // What is asked for and not there is refused by the node, not by the browser.
    assert.deepEqual(seen.complaints, []);
    await close();
  });
}

test('the keyboard reaches everything', async () => {
  const { page, close } = await open();
  await page.waitForSelector('.ring');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
  await page.focus('.menu a[href="#/validators"]');
  await page.keyboard.press('Enter');
  await page.waitForSelector('h1:text-is("Validators")');
  await until('the new heading has the focus', () => page.evaluate(() => document.activeElement.textContent === 'Validators'));
  await close();
});

test('the overview moves with the cluster', async () => {
  const { page, close } = await open();
  await page.waitForSelector('.ring');
  const height = () => page.$eval('.tile .tile-value', (element) => Number(element.textContent.replaceAll(',', '')));
  const first = await height();
  await until('the height grows', async () => (await height()) > first);
  await page.waitForSelector('.turn .member');
  await until('a quorum is seen to vote', async () => (await page.$$('.ring .voted')).length >= 3);
  await submit(url, 'demo', 'counted by the ladder');
  await until('the ladder counts it', async () => (await page.textContent('.counts li:last-child strong')) !== '0');
  await close();
});

test('a transaction is submitted and climbs while one watches', async () => {
  const { page, close } = await open('try/notes');
  assert.equal(await page.$eval('select[name=rollup]', (select) => select.value), 'notes');
  await page.fill('textarea', 'climbing ✓');
  await page.selectOption('select[name=ack]', 'replicated');
  await page.click('button:text("Submit")');
  await page.waitForSelector('.climb .verdict-good');
  await page.waitForSelector('.climb .step-finalized.on');
  await page.waitForFunction(() => document.querySelectorAll('.climb .step.on time').length >= 2);
  await page.waitForSelector('.climb .step-posted.now:has-text("in the directory of the cluster")');
  assert.equal(await page.$('.climb .step-settled'), null, 'nothing settles on a cluster without an L1');
  await page.click('.climb a:text("Details and proof")');
  await page.waitForSelector('.proof .verdict-good');
  assert.match(await page.textContent('.payload pre'), /climbing ✓/);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('button:text("Save the proof")')]);
  const proof = JSON.parse(readFileSync(await download.path(), 'utf8'));
  assert.equal(proof.format, 'baton-proof-1');
  // The page of a rollup of hashes hashes for the user.
  await go(page, 'try/blobs');
  await page.waitForSelector('h1:text-is("Try it")');
  await page.selectOption('select[name=rollup]', 'blobs');
  await page.fill('textarea', 'a file');
  await page.click('button:text("Submit")');
  await page.waitForSelector('.climb .step-finalized.on');
  await close();
});

test('a transfer is signed in the page, climbs to its execution, and shows what it did', async () => {
  const { page, seen, close } = await open('try/evm');
  const [from, to] = [5, 6].map((account) => wallet.addressOf(wallet.KEYS[account]));
  await page.selectOption('select[name=from]', from);
  await page.fill('input[name=to]', to);
  await page.fill('input[name=ether]', 'much');
  await page.click('button:text("Sign and send")');
  await page.waitForSelector('[role=alert]:has-text("no amount of ether")');
  await page.fill('input[name=ether]', '0.25');
  await page.click('button:text("Sign and send")');
  await page.waitForSelector('.climb .step-executed.on');
  await page.click('.climb a:text("Details and proof")');
  await page.waitForSelector('.proof .verdict-good');
  await page.waitForSelector('.payload-facts .verdict-good');
  await page.waitForSelector('.state:text("succeeded")');
  assert.match(await page.textContent('.card:has(h2:text("Call"))'), /0\.25 ether/);
  assert.match(await page.textContent('.changes'), /\+0\.25 ether/);
  assert.equal(await call(url, 'eth_getBalance', [to, 'latest']), `0x${(10_000n * 10n ** 18n + 25n * 10n ** 16n).toString(16)}`);
  assert.deepEqual(seen.complaints, []);
  await close();
});

test('a call of a contract is decoded, with its log and the slot that it wrote', async () => {
  const { page, close } = await open(`tx/${called.transactionHash}`);
  const card = (title) => page.textContent(`.card:has(h2:text("${title}"))`);
  await page.waitForSelector('.changes');
  assert.match(await card('Call'), /calls transfer.*to address.*value uint256.*1,234/);
  assert.match(await card('Log'), /Transfer.*from address.*to address.*1,234/);
  assert.match(await card('State changes'), /slot 0.*0 → 0x4d2/);
  await go(page, `tx/${made.transactionHash}`);
  await page.waitForSelector('.facts:has-text("Contract made")');
  await page.waitForSelector('.changes :text("code")');
  await go(page, `rollup/evm/address/${made.contractAddress}`);
  await page.waitForSelector(`.facts dd:text("${TOKEN.length / 2} B")`);
  await go(page, `rollup/evm/address/${called.from}`);
  await page.waitForSelector('.card:has(h2:text("Latest transfers of tokens")) tbody tr');
  await go(page, `rollup/evm/block/${Number(called.blockNumber)}`);
  await page.waitForSelector('tbody td:text("transfer")');
  await page.waitForSelector('.facts a:text("of the cluster")');
  await close();
});

test('every field of an account that is not in the attested state is shown as a lie', async () => {
  const { page, close } = await open('mempool');
  await page.waitForSelector('h1');
  const proof = await call(url, 'baton_evmProof', { rollup: 'evm', account: called.from });
  const fields = [...lies({ ...proof, attested_by: { ...proof.attested_by, history: null } })].filter((field) => field[1] !== 'history');
  for (const field of fields) {
    await lie(page, url, 'baton_evmProof', (result) => changed(result, field));
    await go(page, `rollup/evm/address/${called.from}`);
    await page.waitForSelector('.verdict-bad').catch(() => assert.fail(`believed: ${field.join('.')}`));
    await page.unrouteAll();
    await go(page, 'mempool');
    await page.waitForSelector('h1:text-is("Mempool")');
  }
  await close();
});

test('the charts begin with the last minute', async () => {
  await until('some blocks', async () => (await call(url, 'baton_lastMinute')).length > 3);
  const { page, close } = await open();
  await page.waitForSelector('.chart svg[aria-label^="Time to finality"]:not([aria-label*="nothing"])');
  const seen = await page.$eval('.chart-line', (line) => line.getAttribute('d').split('L').length);
  assert.ok(seen >= 3, `${seen} seconds`);
  await close();
});

test('search finds heights, blocks, transactions and rollups', async () => {
  const { page, close } = await open();
  const look = async (text, title) => {
    await page.fill('.find input', text);
    await page.press('.find input', 'Enter');
    await page.waitForSelector(`h1:text-is("${title}")`);
  };
  await look(String(sent.place.height), `Block ${sent.place.height}`);
  await look(sent.id, 'Transaction');
  await look(sent.place.block, `Block ${sent.place.height}`);
  await look('demo', 'Rollup demo');
  await look(called.transactionHash, 'Transaction');
  await look(called.from, 'Account of evm');
  await look(called.blockHash, `Block ${Number(called.blockNumber)} of evm`);
  await look('0x' + '11'.repeat(32), 'Search');
  await page.waitForSelector('.note:has-text("Nothing here")');
  await close();
});

test('every field of an answer that is not what the cluster signed is shown as a lie', async () => {
  const { height } = sent.place;
  const block = await call(url, 'baton_block', { block: height, payloads: true });
  const proof = await call(url, 'baton_proof', { id: sent.id });
  const cases = [
    [`tx/${sent.id}`, 'baton_transaction', '.proof .verdict', Object.keys(sent.place).map((field) => ['place', field])],
    [`tx/${sent.id}`, 'baton_proof', '.proof .verdict', [...lies({ ...proof, history: null })].filter(([field]) => field !== 'history')],
    [`tx/${sent.id}`, 'baton_block', '.payload-facts .verdict', ['payloads', 'valid_until'].map((field) => ['segments', 0, field, 0])],
    // The size is the node's own word.
    [`block/${height}`, 'baton_block', 'main > .verdict', [...lies(block)].filter(([field]) => field !== 'bytes')],
    [`block/${height}`, 'baton_election', '.card .verdict', [...lies(await call(url, 'baton_election', { height }))]],
  ];
  const { page, close } = await open();
  await page.waitForSelector('.ring');
  let count = 0;
  for (const [path, method, verdict, fields] of cases) {
    for (const field of fields) {
      await page.unrouteAll();
      await lie(page, url, method, (result) => changed(result, field));
      await go(page, 'mempool');
      await page.waitForSelector('h1:text-is("Mempool")');
      await go(page, path);
      // A rung that is not final has nothing to show for it, so nothing is called checked.
      const seen = await Promise.race([
        page.waitForSelector(`${verdict}-bad`).then(() => 'refused'),
        page.waitForSelector(`${verdict}-good`).then(() => 'believed'),
        page.waitForSelector('main > p.note').then(() => 'not final'),
        page.waitForSelector('main [role=alert]').then(() => 'refused'),
      ]).catch(async () => `neither: ${await page.textContent('main')}`);
      const honest = method === 'baton_block' && field[0] === 'rung' ? 'not final' : 'refused';
      assert.equal(seen, honest, `${method} ${field.join('.')}`);
      count += 1;
    }
  }
  console.log(`${count} lies, each shown as one`);
  await page.unrouteAll();
  await go(page, `block/${height}`);
  await page.waitForSelector('main > .verdict-good');
  await close();
});

test('a true answer about something else is shown as a lie', async () => {
  const { height } = sent.place;
  const { page, close } = await open('mempool');
  await until('a later block', async () => (await call(url, 'baton_status')).finalized_height > height + 1);
  const other = { baton_block: { block: height + 1, payloads: true }, baton_blockProof: { block: height + 1 } };
  await page.route(`${url}/`, async (route) => {
    const asked = route.request().postDataJSON();
    const params = other[asked?.method];
    return params ? route.continue({ postData: JSON.stringify({ ...asked, params }) }) : route.continue();
  });
  await go(page, `block/${height}`);
  await page.waitForSelector('main > .verdict-bad:has-text("asked for")');
  await close();
});

test('a certificate that does not hold shows on the overview', async () => {
  const { page, close } = await open('mempool');
  await lie(page, url, 'baton_blockProof', (proof) => ({ ...proof, certificate: flip(proof.certificate, proof.certificate.length - 20) }));
  await go(page, '');
  await page.waitForSelector('.tile-bad:has-text("Refused")');
  await close();
});

test('a node that speaks of another cluster is not believed', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const key = net.group_key.slice(0, -2) + (net.group_key.endsWith('00') ? '01' : '00');
  await page.goto(`${url}/#/?key=${key}`);
  await page.waitForSelector('.other:has-text("Another cluster")');
  await page.click('button:text("Trust this one")');
  await page.waitForSelector('[data-verified="true"]');
  await context.close();
});

test('a node that is killed while one watches shows at once, and so does its return', async () => {
  const { page, close } = await open();
  await page.waitForSelector('.legend li:nth-child(4)[data-member-state="voting"]');
  const killed = Date.now();
  net.kill(3);
  await page.waitForSelector('.legend li:nth-child(4)[data-member-state="gone"]');
  console.log(`a dead node shows after ${Date.now() - killed} ms`);
  await page.waitForSelector('.ring .is-gone');
  const height = () => page.$eval('.tile .tile-value', (element) => Number(element.textContent.replaceAll(',', '')));
  const then = await height();
  await until('the others go on', async () => (await height()) > then + 2);
  const node = net.restart(3);
  try {
    await page.waitForSelector('.legend li:nth-child(4)[data-member-state="voting"]', { timeout: 90_000 });
  } finally {
    node.kill('SIGTERM');
  }
  await close();
});

test('a history of ten thousand blocks costs no memory', async () => {
  const { page, close } = await open('mempool');
  // Between page and node: what the node says is passed on, and blocks are added under the same subscription.
  let socket;
  let subscription;
  await page.routeWebSocket(/.*/, (route) => {
    socket = route;
    const server = route.connectToServer();
    let asked;
    route.onMessage((message) => {
      const { id, params } = JSON.parse(message);
      if (params?.topic === 'blocks') asked = id;
      server.send(message);
    });
    server.onMessage((message) => {
      const { id, result } = JSON.parse(message);
      if (asked !== undefined && id === asked) subscription = result;
      route.send(message);
    });
  });
  await page.reload();
  await go(page, '');
  await page.waitForSelector('.ring');
  const heap = async () => {
    const session = await page.context().newCDPSession(page);
    await session.send('HeapProfiler.collectGarbage');
    await session.detach();
    return page.evaluate(() => performance.memory.usedJSHeapSize);
  };
  const feed = (from, count) => {
    for (let height = from; height < from + count; height += 1) {
      for (const rung of height % 10 === 0 ? ['proposed', 'notarized', 'finalized'] : ['finalized']) {
        const hash = `0x${height.toString(16).padStart(64, '0')}`;
        const [committer, author, time_ms] = [height % 4, (height + 1) % 4, Date.now()];
        const result = { rung, height, hash, epoch: 0, view: height, committer, author, timestamp_ms: time_ms, time_ms, transactions: 3, bytes: 900, voters: [0, 1, 2] };
        socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'baton_subscription', params: { subscription, result } }));
      }
    }
  };
  await until('the subscription', () => subscription);
  feed(1_000_000, 500);
  await page.waitForFunction(() => document.querySelector('.counts li:last-child strong')?.textContent.startsWith('1,5'));
  const before = await heap();
  for (let round = 0; round < 20; round += 1) feed(1_001_000 + 500 * round, 500);
  await page.waitForFunction(() => document.querySelector('.counts li:last-child strong')?.textContent.startsWith('31,'));
  const grown = (await heap()) - before;
  console.log(`10,000 blocks: ${Math.round(grown / 1_024)} KiB more`);
  assert.ok(grown < 4 * 1_024 * 1_024, `${grown} bytes more`);
  assert.ok((await page.$$('tbody tr')).length <= 10);
  await close();
});

test('an overview that stays open under load costs little', async () => {
  const { page, close } = await open();
  await page.waitForSelector('.ring');
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const busy = async () => (await session.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration').value;
  // RATE=0 with an optimised BATON_BIN is all that the cluster takes.
  const tps = Number(process.env.RATE ?? 1_000);
  const loaded = load(url, tps, 6);
  const rate = () => page.$eval('.tile:nth-child(4) .tile-value', (element) => Number.parseFloat(element.textContent.replaceAll(',', '')));
  await until('the load shows', async () => (await rate()) > 50);
  const [start, at] = [await busy(), Date.now()];
  await loaded;
  const share = (100 * (await busy() - start)) / ((Date.now() - at) / 1_000);
  console.log(`an open overview at ${tps || 'all possible'} tx/s: ${share.toFixed(1)} % of a core`);
  assert.ok(share < 80);
  await close();
});

test('a node that goes away is said to be away, and comes back by itself', async () => {
  const own = net.nodes[2].rpc;
  const { page, close } = await open('', { at: own });
  await page.waitForSelector('[data-state="ready"]');
  net.kill(2);
  await page.waitForSelector('[data-state="offline"]');
  assert.ok(await page.$('.ring-frozen'), 'the ring stands still');
  await go(page, `block/${sent.place.height}`);
  await page.waitForSelector('[role=alert]:has-text("does not answer")');
  const node = net.restart(2);
  await page.waitForSelector('[data-state]:not([data-state="offline"])', { timeout: 90_000 });
  await page.click('button:text("Try again")');
  await page.waitForSelector('main > .verdict-good', { timeout: 60_000 });
  node.kill('SIGTERM');
  await close();
});
