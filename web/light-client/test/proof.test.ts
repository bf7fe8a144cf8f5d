import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  GroupKey,
  Header,
  type HeaderField,
  Refused,
  decodeCertificate,
  toHex,
  verifyBlock,
  verifyBlockProof,
  verifyCertificate,
  verifyGenesis,
  verifyProof,
  verifyTransaction,
} from '../src/index.js';
import { signedByCertificate } from '../src/certificate.js';
import { fromHex } from '../src/bytes.js';
import { mutants, refuses, vector } from './support.js';

const certificate = vector('certificate');
const key = GroupKey.from(certificate.group_key);

test('a certificate and what it signs', () => {
  const decoded = decodeCertificate(certificate.encoded);
  assert.deepEqual(
    [decoded.epoch, decoded.view, decoded.parentView].map(Number),
    [certificate.epoch, certificate.view, certificate.parent_view],
  );
  const signed = signedByCertificate(fromHex('chain', certificate.chain), decoded);
  assert.equal(toHex(signed.vote), certificate.vote_signs);
  assert.equal(toHex(signed.seed), certificate.seed_signs);
  verifyCertificate(certificate.encoded, Header.decode('header', vector('proof').file.header), key);
});

for (const name of ['proof', 'proof-with-history']) {
  const { file } = vector(name);

  test(`${name}: holds`, () => {
    const verified = verifyProof(file, key);
    assert.equal(verified.id, file.id);
    assert.equal(verified.chain, certificate.chain);
    assert.equal(verified.certifiedHeight > verified.height, name === 'proof-with-history');
    verifyProof(file, key, certificate.chain);
    assert.equal(refuses(() => verifyProof(file, key, `0x${'11'.repeat(32)}`))?.step, 'chain');
  });

  test(`${name}: refused with any digit of any field changed`, () => {
    let count = 0;
    for (const [path, mutant] of mutants(file, 1)) {
      // The same file, written without the field.
      if (path === '.history left out' && file.history === null) continue;
      assert.ok(refuses(() => verifyProof(mutant, key)), path);
      count += 1;
    }
    assert.ok(count > 1_500, `${count} mutants`);
  });

  test(`${name}: an answer must say what is proven`, () => {
    const { id, rollup, height, block, index } = verifyProof(file, key);
    const view = { id, rung: 'finalized', place: { rollup, height, block, index } };
    for (const rung of ['finalized', 'executed', 'skipped', 'posted', 'settled']) verifyTransaction({ ...view, rung }, file, key);
    for (const [path, mutant] of mutants(view, 7)) {
      assert.ok(refuses(() => verifyTransaction(mutant, file, key)), path);
    }
  });
}

test('a block is final by its own certificate or a later one', () => {
  for (const name of ['proof', 'proof-with-history']) {
    const { header, history, certificate: encoded } = vector(name).file;
    const file = { format: 'baton-block-1', header, history, certificate: encoded };
    assert.equal(toHex(verifyBlockProof(file, key).header.digest()), certificate.block);
    for (const [path, mutant] of mutants(file, 5)) {
      if (path === '.history left out' && history === null) continue;
      assert.ok(refuses(() => verifyBlockProof(mutant, key)), path);
    }
  }
});

/** What a node answers about the block of the vectors. */
function blockAnswer() {
  const block = vector('block');
  const genesis = verifyGenesis(vector('genesis'), certificate.chain);
  const header = Header.decode('header', vector('proof').file.header);
  const number = (field: HeaderField) => Number(header.number(field));
  const hex = Object.fromEntries(
    (['parent', 'parent_seed', 'body_root', 'heads_root', 'history_root'] as const).map((field) => [field, header.hex(field)]),
  );
  const segments = block.segments.map((transactions: { rollup: number; id: string; payload: string; valid_until: number; bundle: string | null }[]) => {
    const { rollup } = transactions[0]!;
    return {
      rollup,
      head: block.heads.find((head: { rollup: number }) => head.rollup === rollup).head,
      ids: transactions.map(({ id }) => id),
      payloads: transactions.map(({ payload }) => payload),
      valid_until: transactions.map(({ valid_until }) => valid_until),
      bundles: transactions.map(({ bundle }) => bundle),
    };
  });
  const view = {
    hash: block.digest,
    rung: 'finalized',
    ...{ height: number('height'), epoch: number('epoch'), view: number('view'), timestamp_ms: number('timestamp_ms') },
    ...hex,
    committer: genesis.identities.indexOf(header.hex('committer')),
    author: genesis.identities.indexOf(header.hex('author')),
    election: header.election,
    transactions: segments.flatMap(({ ids }: { ids: string[] }) => ids).length,
    bytes: 1_000,
    heads: block.heads,
    results: [],
    segments,
  };
  return { genesis, view };
}

for (const name of ['proof', 'proof-with-history']) {
  test(`${name}: every field of an answer about the block is checked`, () => {
    const { genesis, view } = blockAnswer();
    const { header, history, certificate: encoded } = vector(name).file;
    const file = { format: 'baton-block-1', header, history, certificate: encoded };
    const shown = history === null ? { ...view, certificate: encoded } : view;
    verifyBlock(shown, file, key, genesis);
    for (const [path, mutant] of mutants(shown, 11)) {
      // The size is the node's own word, and said to be.
      if (path === '.bytes' && typeof (mutant as typeof view).bytes === 'number' && Number.isInteger((mutant as typeof view).bytes) && (mutant as typeof view).bytes >= 0) continue;
      assert.ok(refuses(() => verifyBlock(mutant, file, key, genesis)), path);
    }
    const rollups = shown.segments.length;
    assert.ok(rollups > 1 && shown.segments.some(({ bundles }: { bundles: unknown[] }) => bundles.some((bundle) => bundle !== null)), 'a block with a bundle');
  });
}

test('another key is refused, and what is no key', () => {
  const file = vector('proof').file;
  const other = GroupKey.from(vector('batch').group_key ?? vector('batch')[0].group_key);
  assert.equal(refuses(() => verifyProof(file, other))?.step, 'certificate');
  const infinity = `0xc0${'00'.repeat(95)}`;
  const outside = `0x8${certificate.group_key.slice(3, -1)}0`;
  for (const bad of ['0x', infinity, outside, certificate.group_key.slice(0, -2)]) {
    assert.ok(refuses(() => GroupKey.from(bad)) instanceof Refused, bad);
  }
});

test('errors of the vote cannot cancel those of the seed', () => {
  const file = vector('proof').file;
  const { encoded } = certificate;
  // The signatures of vote and seed exchanged: their sum is the same.
  const at = encoded.length - 192;
  const swapped = encoded.slice(0, at) + encoded.slice(at + 96) + encoded.slice(at, at + 96);
  assert.equal(refuses(() => verifyProof({ ...file, certificate: swapped }, key))?.step, 'certificate');
});

test('how long a verification takes', () => {
  const { file } = vector('proof');
  const rounds = 20;
  const started = performance.now();
  for (let round = 0; round < rounds; round += 1) verifyProof(file, key);
  const each = (performance.now() - started) / rounds;
  console.log(`one proof with its certificate: ${each.toFixed(1)} ms`);
  assert.ok(each < 2_000);
});
