// What the page knows of Ethereum by itself: signatures, encodings, amounts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { fromSource } from './devnet.mjs';

const [abi, units, wallet] = await Promise.all(['evm/abi.ts', 'evm/units.ts', 'evm/wallet.ts'].map(fromSource));

const hash = (signature) => {
  const { name, parameters } = abi.parse(signature);
  return `0x${Buffer.from(keccak_256(Buffer.from(`${name}(${parameters.map(({ type }) => type)})`))).toString('hex')}`;
};

test('functions and events are known by the hash of their signature', () => {
  for (const [selector, signature] of Object.entries(abi.FUNCTIONS)) assert.equal(hash(signature).slice(0, 10), selector, signature);
  for (const [topic, signature] of Object.entries(abi.EVENTS)) assert.equal(hash(signature), topic, signature);
});

const word = (value) => BigInt(value).toString(16).padStart(64, '0');
const address = `0x${'ab'.repeat(20)}`;

test('calls are decoded, and what is no call is not', () => {
  const values = (input) => abi.decodeCall(input)?.arguments.map(({ value }) => value);
  assert.deepEqual(values(`0xa9059cbb${word(address)}${word(7)}`), [address, 7n]);
  assert.deepEqual(values('0xd0e30db0'), []);
  assert.deepEqual(values(`0xb88d4fde${word(address)}${word(address)}${word(9)}${word(128)}${word(3)}${'0102f0'.padEnd(64, '0')}`), [address, address, 9n, '0x0102f0']);
  const batch = [word(address), word(address), word(160), word(224), word(320), word(1), word(5), word(2), word(6), word(8), word(0)];
  assert.deepEqual(values(`0x2eb2c2d6${batch.join('')}`), [address, address, [5n], [6n, 8n], '0x']);
  const calls = [word(32), word(2), word(64), word(128), word(1), 'aa'.padEnd(64, '0'), word(0)];
  assert.deepEqual(values(`0xac9650d8${calls.join('')}`), [['0xaa', '0x']]);
  for (const bad of ['0x', '0x12345678', `0xa9059cbb${word(1)}`, `0xac9650d8${word(32)}${word(2n ** 255n)}`, `0xac9650d8${word(2n ** 64n)}`]) assert.equal(values(bad), undefined, bad);
});

test('logs are decoded, of tokens by value and by id', () => {
  const values = (topics, data) => abi.decodeLog(topics, data)?.arguments.map(({ value }) => value);
  const [from, to] = [word(address), word(1)].map((item) => `0x${item}`);
  const zero = `0x${'01'.padStart(40, '0')}`;
  assert.deepEqual(values([abi.TRANSFER, from, to], `0x${word(5)}`), [address, zero, 5n]);
  assert.deepEqual(values([abi.TRANSFER, from, to, `0x${word(5)}`], '0x'), [address, zero, 5n]);
  assert.equal(values([abi.TRANSFER, from, to], '0x'), undefined);
  assert.equal(values([abi.TRANSFER, from, to, to, to], '0x'), undefined);
  assert.equal(values([], '0x'), undefined);
});

test('amounts read as people write them', () => {
  const cases = [[0n, '0'], [1n, '1 wei'], [1_500_000_000n, '1.5 gwei'], [10n ** 18n, '1 ether'], [12_345n * 10n ** 17n, '1,234.5 ether'], [10n ** 18n + 1n, '1 ether']];
  for (const [wei, text] of cases) assert.equal(units.amount(wei), text);
  for (const [text, wei] of [['1', 10n ** 18n], ['0.25', 25n * 10n ** 16n], ['0.000000000000000001', 1n], ['', undefined], ['1e3', undefined], ['-1', undefined], ['0.0000000000000000001', undefined]]) assert.equal(units.weiOf(text), wei, text);
});

test('the keys of a devnet are those of its accounts', () => {
  assert.equal(wallet.KEYS.length, 10);
  assert.equal(wallet.addressOf(wallet.KEYS[0]), '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266');
  assert.equal(wallet.addressOf(wallet.KEYS[9]), '0xa0ee7a142d267c1f36714e4a8f75612f20a79720');
});
