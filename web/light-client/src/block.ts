// That a node's answer about a block is what the cluster made final.

import { type GroupKey } from './certificate.js';
import { bodyRoot, headsRoot, leaf, resultsRoot } from './merkle.js';
import { type VerifiedBlock, verifyBlockProof } from './proof.js';
import { type ChainFacts, memberIndex } from './genesis.js';
import { bundleId, transactionId } from './transaction.js';
import { type Json, U32_MAX, concat, equal, fromHex, list, number, object, require, text, toHex, u32, u64 } from './bytes.js';

export interface HeadView {
  rollup: number;
  head: string;
}

/** One rollup's part of a block. The last three are there when payloads were asked for, one entry per id. */
export interface SegmentView {
  rollup: number;
  head: string;
  ids: string[];
  payloads?: string[];
  valid_until?: number[];
  bundles?: (string | null)[];
}

/** Where a block says that execution of an EVM rollup stands. */
export interface ResultView {
  rollup: number;
  /** Height of the last block of the cluster that is executed. */
  executed_to: number;
  /** The rollup's newest sealed block then. */
  number: number;
  hash: string;
  state_root: string;
  /** Base fee per gas of the block after it, in wei. */
  base_fee: number;
}

/** Result of `baton_block`. */
export interface BlockView {
  hash: string;
  rung: string;
  height: number;
  epoch: number;
  view: number;
  parent: string;
  timestamp_ms: number;
  committer: number;
  author: number;
  election: string;
  parent_seed: string;
  body_root: string;
  heads_root: string;
  history_root: string;
  transactions: number;
  bytes: number;
  heads: HeadView[];
  results: ResultView[];
  segments: SegmentView[];
  certificate?: string;
}

const FIELDS = [
  'hash', 'rung', 'height', 'epoch', 'view', 'parent', 'timestamp_ms', 'committer', 'author', 'election',
  'parent_seed', 'body_root', 'heads_root', 'history_root', 'transactions', 'bytes', 'heads', 'results', 'segments', 'certificate?',
];

/**
 * Checks every field of `view` but `bytes`, which is the node's own word: the header's by the certificate, ids and
 * payloads, heads and results by the roots in the header, members by the genesis whose digest names the chain.
 */
export function verifyBlock(view: unknown, file: unknown, key: GroupKey, facts: ChainFacts): VerifiedBlock {
  const verified = verifyBlockProof(file, key, facts.chain);
  const { header } = verified;
  const shown = object('block', view, FIELDS);
  const segments = list('segments', shown['segments'], decodeSegment);
  const expected: Json = {
    hash: toHex(header.digest()),
    rung: 'finalized',
    height: Number(header.number('height')),
    epoch: Number(header.number('epoch')),
    view: Number(header.number('view')),
    parent: header.hex('parent'),
    timestamp_ms: Number(header.number('timestamp_ms')),
    committer: memberIndex(facts, header.hex('committer')),
    author: memberIndex(facts, header.hex('author')),
    election: header.election,
    parent_seed: header.hex('parent_seed'),
    body_root: header.hex('body_root'),
    heads_root: header.hex('heads_root'),
    history_root: header.hex('history_root'),
    transactions: segments.reduce((sum, segment) => sum + segment.ids.length, 0),
  };
  for (const [field, value] of Object.entries(expected)) {
    require(shown[field] === value, 'answer', `${field} is shown as ${String(shown[field])}, and ${String(value)} is final`);
  }
  number('bytes', shown['bytes']);
  verifyIds(segments, header.bytes('body_root'));
  verifyHeads(shown['heads'], segments, header.bytes('heads_root'));
  verifyResults(shown['results'], header.bytes('results_root'));
  verifyPayloads(segments, facts.evm);
  // A certificate of its own is the one that was checked, unless the proof goes through a later block.
  const own = verified.certifiedHeight === expected['height'] ? (file as Json)['certificate'] : undefined;
  require(shown['certificate'] === own, 'answer', 'the certificate shown is not the one that was checked');
  return verified;
}

function decodeSegment(what: string, value: unknown): SegmentView {
  const fields = object(what, value, ['rollup', 'head', 'ids', 'payloads?', 'valid_until?', 'bundles?']);
  const rollup = number(`${what}.rollup`, fields['rollup'], U32_MAX);
  const segment: SegmentView = { rollup, head: text(`${what}.head`, fields['head']), ids: list(`${what}.ids`, fields['ids'], text) };
  const details = ['payloads', 'valid_until', 'bundles'].filter((field) => fields[field] !== undefined);
  if (details.length === 0) return segment;
  require(details.length === 3, 'decode', `${what} has only ${details.join(' and ')}`);
  segment.payloads = list(`${what}.payloads`, fields['payloads'], text);
  segment.valid_until = list(`${what}.valid_until`, fields['valid_until'], (name, height) => number(name, height));
  segment.bundles = list(`${what}.bundles`, fields['bundles'], (name, bundle) => (bundle === null ? null : text(name, bundle)));
  const lengths = [segment.payloads, segment.valid_until, segment.bundles].map((items) => items.length);
  require(lengths.every((length) => length === segment.ids.length), 'answer', `${what} has not one payload per id`);
  return segment;
}

function verifyIds(segments: SegmentView[], root: Uint8Array): void {
  const leaves = segments.flatMap(({ rollup, ids }) => ids.map((id, index) => leaf(rollup, index, fromHex('id', id, 32))));
  require(equal(bodyRoot(leaves), root), 'answer', 'these ids are not those of the block');
}

function verifyHeads(value: unknown, segments: SegmentView[], root: Uint8Array): void {
  const heads = list('heads', value, (what, item) => {
    const fields = object(what, item, ['rollup', 'head']);
    return { rollup: number(`${what}.rollup`, fields['rollup'], U32_MAX), head: fromHex(`${what}.head`, fields['head'], 32) };
  });
  require(equal(headsRoot(heads), root), 'answer', 'these heads of rollups are not those of the block');
  for (const { rollup, head } of segments) {
    const known = heads.find((other) => other.rollup === rollup);
    require(known !== undefined && toHex(known.head) === head, 'answer', `the head of rollup ${rollup} is not that of the block`);
  }
}

function verifyResults(value: unknown, root: Uint8Array): void {
  const results = list('results', value, (what, item) => {
    const fields = object(what, item, ['rollup', 'executed_to', 'number', 'hash', 'state_root', 'base_fee']);
    const count = (field: string) => u64(number(`${what}.${field}`, fields[field]));
    const hash = (field: string) => fromHex(`${what}.${field}`, fields[field], 32);
    const rollup = u32(number(`${what}.rollup`, fields['rollup'], U32_MAX));
    return concat(rollup, count('executed_to'), count('number'), hash('hash'), hash('state_root'), count('base_fee'));
  });
  require(equal(resultsRoot(results), root), 'answer', 'these results of execution are not those of the block');
}

interface Leg {
  rollup: number;
  payload: Uint8Array;
  validUntil: number;
}

function verifyPayloads(segments: SegmentView[], executed: ReadonlySet<number>): void {
  const bundles = new Map<string, Leg[]>();
  for (const { rollup, ids, payloads, valid_until: validUntils, bundles: of } of segments) {
    if (!payloads) continue;
    for (const [at, id] of ids.entries()) {
      const [payload, validUntil, bundle] = [fromHex('payload', payloads[at]), validUntils![at]!, of![at]!];
      const leg = bundle === null ? null : fromHex('bundle', bundle, 32);
      const own = transactionId({ rollup, validUntil, payload, bundle: leg, evm: executed.has(rollup) });
      require(toHex(own) === id, 'answer', `the payload shown of transaction ${id} is not its own`);
      if (bundle !== null) bundles.set(bundle, [...(bundles.get(bundle) ?? []), { rollup, payload, validUntil }]);
    }
  }
  for (const [bundle, legs] of bundles) {
    const own = bundleId(legs[0]!.validUntil, legs);
    require(toHex(own) === bundle, 'answer', `the legs shown of bundle ${bundle} are not all of it`);
  }
}
