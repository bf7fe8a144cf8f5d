import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GroupKey, verifyBatch } from '../src/index.js';
import { mutants, refuses, vector } from './support.js';

const { cases, group_key } = vector('batch');
const key = GroupKey.from(group_key);

/** As the API shows it, read off the message by the places of its fields. */
function viewOf({ message, signature, head }: { message: string; signature: string; head: string }) {
  const at = (offset: number, size: number) => `0x${message.slice(2 + 2 * offset, 2 + 2 * (offset + size))}`;
  return {
    rollup: Number(at(32, 4)),
    index: Number(at(36, 8)),
    inbox: at(8, 20),
    key_generation: Number(at(28, 4)),
    first_height: Number(at(76, 8)),
    last_height: Number(at(84, 8)),
    slot: Number(at(92, 8)),
    previous_head: at(44, 32),
    head,
    order_root: at(100, 32),
    data: ['blobs', 'calldata', 'directory'][Number(at(132, 1))],
    data_commitment: at(133, 32),
    forced_cursor: Number(at(165, 8)),
    posted: true,
    settled: false,
    certificate: { format: 'baton-batch-1', message, signature },
  };
}

test('what the group signed for L1 holds', () => {
  for (const one of cases) assert.equal(verifyBatch(viewOf(one), key).head, one.head);
});

test('an answer that says anything else is refused', () => {
  let count = 0;
  for (const [path, mutant] of mutants(viewOf(cases[0]), 9)) {
    if (/^\.(posted|settled)$/.test(path)) continue;
    assert.ok(refuses(() => verifyBatch(mutant, key)), path);
    count += 1;
  }
  assert.ok(count > 150, `${count} mutants`);
  assert.equal(refuses(() => verifyBatch({ ...viewOf(cases[0]), certificate: null }, key))?.step, 'decode');
  const other = { ...viewOf(cases[0]), certificate: viewOf(cases[1]).certificate };
  assert.equal(refuses(() => verifyBatch(other, key))?.step, 'answer');
});
