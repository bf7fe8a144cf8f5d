import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { toHex, verifyAccount } from '../src/index.js';
import { type VerifiedAccount } from '../src/account.js';
import { decodeRlp } from '../src/rlp.js';
import { mutants, refuses } from './support.js';

type Item = Uint8Array | Item[];

function rlp(item: Item): Uint8Array {
  const list = Array.isArray(item);
  const content = list ? item.flatMap((one) => [...rlp(one)]) : [...item];
  if (!list && content.length === 1 && content[0]! < 0x80) return Uint8Array.from(content);
  const base = list ? 0xc0 : 0x80;
  if (content.length <= 55) return Uint8Array.of(base + content.length, ...content);
  const digits = content.length > 255 ? [content.length >> 8, content.length & 255] : [content.length];
  return Uint8Array.of(base + 55 + digits.length, ...digits, ...content);
}

const bytes = (length: number, fill: number) => new Uint8Array(length).fill(fill);
const none = new Uint8Array();

/** A state of two accounts whose hashed addresses begin with different digits: one branch, two leaves. */
function state() {
  const addresses = [bytes(20, 1), bytes(20, 2)];
  const keys = addresses.map((address) => keccak_256(address));
  const places = keys.map((key) => key[0]! >> 4);
  assert.notEqual(places[0], places[1]);
  const account = [Uint8Array.of(7), Uint8Array.of(1, 2, 3), bytes(32, 5), bytes(32, 6)];
  // An odd number of digits is left: 3 and the first of them.
  const leaves = keys.map((key) => rlp([Uint8Array.of(0x30 | (key[0]! & 15), ...key.slice(1)), rlp(account)]));
  const branch: Item[] = Array.from({ length: 17 }, () => none);
  for (const [at, leaf] of leaves.entries()) branch[places[at]!] = keccak_256(leaf);
  const root = rlp(branch);
  const free = Array.from({ length: 256 }, (_, fill) => bytes(20, fill)).find((address) => !places.includes(keccak_256(address)[0]! >> 4))!;
  const beside = Array.from({ length: 256 }, (_, fill) => bytes(20, fill)).find((address) => keccak_256(address)[0]! >> 4 === places[0] && toHex(address) !== toHex(addresses[0]!))!;
  return { root: { state_root: toHex(keccak_256(root)) }, branch: toHex(root), leaf: toHex(leaves[0]!), address: toHex(addresses[0]!), free: toHex(free), beside: toHex(beside) };
}

test('an account is what its proof leads to, whatever is changed', () => {
  const { root, branch, leaf, address } = state();
  const view = { address, balance: '0x10203', nonce: '0x7', codeHash: toHex(bytes(32, 6)), storageHash: toHex(bytes(32, 5)), accountProof: [branch, leaf] };
  const expected: VerifiedAccount = { address, balance: 0x10203n, nonce: 7n, codeHash: view.codeHash, storageRoot: view.storageHash };
  assert.deepEqual(verifyAccount(view, root), expected);
  let count = 0;
  for (const [path, mutant] of mutants(view, 1)) {
    assert.ok(refuses(() => verifyAccount(mutant, root)), path);
    count += 1;
  }
  assert.ok(count > 300, `${count} mutants`);
  assert.equal(refuses(() => verifyAccount(view, { state_root: toHex(bytes(32, 0)) }))?.step, 'state');
});

test('that there is no account is proven as well', () => {
  const { root, branch, leaf, free, beside } = state();
  const none = { balance: '0x0', nonce: '0x0', codeHash: toHex(keccak_256(new Uint8Array())), storageHash: toHex(keccak_256(Uint8Array.of(0x80))) };
  verifyAccount({ address: free, ...none, accountProof: [branch] }, root);
  verifyAccount({ address: beside, ...none, accountProof: [branch, leaf] }, root);
  verifyAccount({ address: free, ...none, accountProof: [] }, { state_root: none.storageHash });
  for (const accountProof of [[], [branch, leaf], [leaf]]) assert.ok(refuses(() => verifyAccount({ address: free, ...none, accountProof }, root)));
  assert.ok(refuses(() => verifyAccount({ address: free, ...none, balance: '0x1', accountProof: [branch] }, root)));
  assert.ok(refuses(() => verifyAccount({ address: beside, ...none, accountProof: [branch] }, root)), 'half of the way');
});

test('lists and strings have one encoding', () => {
  const long = [bytes(60, 1), [none, Uint8Array.of(5), bytes(300, 2)]];
  assert.deepEqual(decodeRlp('item', rlp(long)), long);
  const bad = [[], [0x81, 5], [0xb8, 3, 1, 1, 1], [0xb9, 0, 60, ...bytes(60, 1)], [0xc2, 0x81], [0xc1, 0x83, 1, 1, 1], [0x80, 0x80], [0xbf, 1, 1, 1, 1, 1, 1, 1, 1]];
  for (const encoded of bad) assert.ok(refuses(() => decodeRlp('item', Uint8Array.from(encoded))), String(encoded));
});
