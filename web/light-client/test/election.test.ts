import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GroupKey, fromHex, toHex, verifyElection, verifyElectionView } from '../src/index.js';
import { decodeReveal, draw, leafOf, verifyReveal } from '../src/vrf.js';
import { mutants, refuses, vector } from './support.js';

test('reveals, their outputs and draws', () => {
  for (const epoch of vector('vrf')) {
    const context = {
      chain: fromHex('chain', epoch.context.chain),
      epoch: BigInt(epoch.context.epoch),
      beacon: fromHex('beacon', epoch.context.beacon),
    };
    const [root, key, later] = [epoch.root, epoch.public_key, epoch.later_beacon].map((hex) => fromHex('hash', hex));
    for (const turn of epoch.turns) {
      assert.equal(toHex(leafOf(fromHex('opening', turn.opening))), turn.leaf);
      const reveal = decodeReveal(fromHex('reveal', turn.reveal));
      assert.equal(reveal.turn, turn.turn);
      const output = verifyReveal(reveal, root!, key!, context, later!);
      assert.equal(toHex(output), turn.output);
      for (const { members, benched, drawn } of turn.draws) {
        const may = (member: number) => !benched.includes(member);
        if (members > 1000) continue;
        const last = draw(output, members, may).at(-1)!;
        assert.equal(may(last) ? last : null, drawn);
      }
      const encoded = fromHex('reveal', turn.reveal);
      for (let at = 0; at < encoded.length; at += 1) {
        const changed = Uint8Array.from(encoded);
        changed[at]! ^= 1;
        assert.ok(refuses(() => verifyReveal(decodeReveal(changed), root!, key!, context, later!)), `byte ${at}`);
      }
    }
  }
});

for (const { name, group_key, file, election } of vector('election')) {
  const key = GroupKey.from(group_key);

  test(`${name}: holds, and is what the node says`, () => {
    const { complete, election: found } = verifyElection(file, key);
    assert.deepEqual(found, election);
    assert.equal(complete, election.lottery.evidence === 'reveal');
    verifyElectionView(election, file, key);
  });

  test(`${name}: refused with any field changed`, () => {
    let count = 0;
    // Each costs a pairing, and a proof of a single view has tens of thousands of digits.
    for (const [path, mutant] of mutants(file, name === 'reveal' ? 61 : 997)) {
      if (path === '.history left out') continue;
      assert.ok(refuses(() => verifyElection(mutant, key)), path);
      count += 1;
    }
    assert.ok(count > 100, `${count} mutants`);
  });

  test(`${name}: an answer must say what is proven`, () => {
    for (const [path, mutant] of mutants(election, 61)) {
      assert.ok(refuses(() => verifyElectionView(mutant, file, key)), path);
    }
  });
}
