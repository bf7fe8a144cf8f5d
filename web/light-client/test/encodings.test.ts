import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIELDS, Header, bundleId, fromHex, genesisDigest, headAfter, headsRoot, toHex, transactionId, verifyReceipt } from '../src/index.js';
import { bodyRoot, leaf } from '../src/merkle.js';
import { Reader, varint } from '../src/bytes.js';
import { refuses, mutants, vector } from './support.js';

test('a header has each field in its place', () => {
  const { digest, encoded, fields } = vector('header');
  const header = Header.decode('header', encoded);
  assert.equal(toHex(header.digest()), digest);
  assert.deepEqual(Object.keys(FIELDS), fields.map((field: { name: string }) => field.name));
  for (const { name, offset, size, value } of fields) {
    assert.deepEqual(FIELDS[name as keyof typeof FIELDS], [offset, size]);
    assert.equal(header.hex(name), value);
  }
});

test('ids of transactions and bundles', () => {
  for (const { bundle, id, payload, rollup, encoded } of vector('transactions')) {
    // JSON numbers end at 2^53, so the last valid height is read from the encoding.
    const validUntil = new Reader('transaction', fromHex('encoded', encoded)).varint();
    const transaction = { rollup, validUntil, payload: fromHex('payload', payload), bundle: bundle && fromHex('bundle', bundle) };
    assert.equal(toHex(transactionId(transaction)), id);
  }
  const { id, legs } = vector('bundle');
  const parts = legs.map((leg: { rollup: number; payload: string }) => ({ rollup: leg.rollup, payload: fromHex('payload', leg.payload) }));
  assert.equal(toHex(bundleId(legs[0].valid_until, parts)), id);
});

test('a transaction of an EVM rollup has the hash that wallets know, unless it is a leg', () => {
  const transaction = { rollup: 2, validUntil: 9, payload: new TextEncoder().encode('abc'), evm: true };
  // The well-known Keccak-256 of these bytes.
  assert.equal(toHex(transactionId(transaction)), '0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45');
  const bundle = new Uint8Array(32).fill(1);
  assert.deepEqual(transactionId({ ...transaction, bundle }), transactionId({ ...transaction, bundle, evm: false }));
});

test('roots of blocks of several sizes, and the heads that follow', () => {
  const heads = new Map<number, Uint8Array>();
  for (const block of vector('roots')) {
    const leaves = [];
    for (const { rollup, ids } of block.segments) {
      const bytes = ids.map((id: string) => fromHex('id', id));
      leaves.push(...bytes.map((id: Uint8Array, index: number) => leaf(rollup, index, id)));
      heads.set(rollup, headAfter(rollup, heads.get(rollup) ?? null, block.height, bytes));
    }
    assert.equal(toHex(bodyRoot(leaves)), block.body_root);
    const known = [...heads].sort(([one], [other]) => one - other).map(([rollup, head]) => ({ rollup, head }));
    assert.deepEqual(known.map(({ rollup, head }) => ({ head: toHex(head), rollup })), block.heads);
    assert.equal(toHex(headsRoot(known)), block.heads_root);
  }
});

test('the digest of a genesis', () => {
  assert.equal(toHex(genesisDigest(vector('genesis'))), vector('certificate').chain);
});

test('receipts are signed by their node, whatever is changed', () => {
  const all = vector('receipts');
  for (const receipt of all) assert.equal(verifyReceipt(receipt).node, receipt.node);
  for (const [path, mutant] of mutants(all[0], 1)) assert.ok(refuses(() => verifyReceipt(mutant)), path);
});

test('varints have one form', () => {
  for (const value of [0n, 1n, 127n, 128n, 300n, 2n ** 32n, 2n ** 64n - 1n]) {
    assert.equal(new Reader('varint', varint(value)).varint(), value);
  }
  for (const bytes of [[0x80, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], [0x80]]) {
    assert.ok(refuses(() => new Reader('varint', Uint8Array.from(bytes)).varint()));
  }
});
