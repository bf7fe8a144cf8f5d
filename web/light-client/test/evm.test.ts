import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GroupKey, verifyEvmProof } from '../src/index.js';
import { mutants, refuses, vector } from './support.js';

const { group_key, cases } = vector('evm-proof');
const key = GroupKey.from(group_key);

for (const { name, block, file } of cases) {
  test(`${name}: holds`, () => {
    const verified = verifyEvmProof(file, key);
    assert.equal(verified.block, block);
    assert.equal(verified.account?.address, file.account?.address);
    assert.equal(verified.account?.balance, file.account && BigInt(file.account.balance));
    assert.equal(verified.receipt?.index, file.receipt?.index);
    verifyEvmProof(file, key, verified.chain);
    assert.equal(refuses(() => verifyEvmProof(file, key, `0x${'11'.repeat(32)}`))?.step, 'chain');
  });

  test(`${name}: refused with any field changed`, () => {
    let count = 0;
    for (const [path, mutant] of mutants(file, 401)) {
      // The same file, or one that proves less.
      if (path === '.attested_by.history left out' || /^\.account\.slots\[\d\] left out$/.test(path)) continue;
      // What shows that nothing is there may show it of another key, too.
      const at = /^\.account\.slots\[(\d)\]\.slot$/.exec(path)?.[1];
      const isAbsent = at === undefined ? name === 'absent' && path === '.account.address' : BigInt(file.account.slots[at].value) === 0n;
      if (isAbsent) continue;
      assert.ok(refuses(() => verifyEvmProof(mutant, key)), path);
      count += 1;
    }
    assert.ok(count > 60, `${count} mutants`);
  });
}
