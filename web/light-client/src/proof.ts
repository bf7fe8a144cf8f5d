// Proof that a transaction, or a block, is final (specs/3-proofs.md).

import { Header } from './header.js';
import { type GroupKey, verifyCertificate } from './certificate.js';
import { leaf, verifyHistory, verifyPath } from './merkle.js';
import { U32_MAX, fromHex, number, object, require, toHex } from './bytes.js';

export interface HistoryFile {
  certified: string;
  proof: string;
}

/** Result of `baton_proof`, or what `baton proof` writes to a file. */
export interface ProofFile {
  format: 'baton-proof-1';
  rollup: number;
  id: string;
  index: number;
  position: number;
  path: string;
  header: string;
  history: HistoryFile | null;
  certificate: string;
}

/** Result of `baton_blockProof`. */
export interface BlockProofFile {
  format: 'baton-block-1';
  header: string;
  history: HistoryFile | null;
  certificate: string;
}

/** What a proof shows, and all of it. */
export interface VerifiedTransaction {
  chain: string;
  id: string;
  rollup: number;
  height: number;
  /** Hash of the block. */
  block: string;
  /** Place in the rollup's segment. */
  index: number;
  /** Claimed by the block's author and accepted by 2f+1 members. */
  timestampMs: number;
  /** Height of the header that the certificate is for: that of the block, or a later one. */
  certifiedHeight: number;
}

export interface VerifiedBlock {
  header: Header;
  certifiedHeight: number;
}

/** That the block of a header is final: the certificate is for it, or for a later one that has it in its history. */
export function verifyFinal(file: { header: unknown; history?: unknown; certificate: unknown }, key: GroupKey): VerifiedBlock {
  const header = Header.decode('header', file.header);
  let certified = header;
  if (file.history !== null && file.history !== undefined) {
    const history = object('history', file.history, ['certified', 'proof']);
    certified = Header.decode('history.certified', history['certified']);
    verifyHistory(history['proof'], header, certified);
  }
  verifyCertificate(file.certificate, certified, key);
  return { header, certifiedHeight: Number(certified.number('height')) };
}

/** `chain` is the one that the caller expects; a group key alone excludes the chains of other clusters. */
export function requireChain(header: Header, chain: string | undefined): void {
  if (chain === undefined) return;
  require(header.hex('chain') === chain.toLowerCase(), 'chain', `the header is of chain ${header.hex('chain')}`);
}

export function verifyProof(file: unknown, key: GroupKey, chain?: string): VerifiedTransaction {
  const fields = ['format', 'rollup', 'id', 'index', 'position', 'path', 'header', 'history?', 'certificate'];
  const proof = object('proof', file, fields);
  require(proof['format'] === 'baton-proof-1', 'decode', 'format is not baton-proof-1');
  const rollup = number('rollup', proof['rollup'], U32_MAX);
  const index = number('index', proof['index'], U32_MAX);
  const position = number('position', proof['position'], U32_MAX);
  const id = fromHex('id', proof['id'], 32);
  const header = Header.decode('header', proof['header']);
  verifyPath(proof['path'], leaf(rollup, index, id), position, header.bytes('body_root'));
  const { certifiedHeight } = verifyFinal(proof as { header: unknown; certificate: unknown }, key);
  requireChain(header, chain);
  return {
    chain: header.hex('chain'),
    id: toHex(id),
    rollup,
    height: Number(header.number('height')),
    block: toHex(header.digest()),
    index,
    timestampMs: Number(header.number('timestamp_ms')),
    certifiedHeight,
  };
}

export function verifyBlockProof(file: unknown, key: GroupKey, chain?: string): VerifiedBlock {
  const proof = object('proof', file, ['format', 'header', 'history?', 'certificate']);
  require(proof['format'] === 'baton-block-1', 'decode', 'format is not baton-block-1');
  const verified = verifyFinal(proof as { header: unknown; certificate: unknown }, key);
  requireChain(verified.header, chain);
  return verified;
}

/** Result of `baton_transaction`, as far as a proof speaks of it. */
export interface TransactionView {
  id: string;
  rung: string;
  place?: { rollup: number; height: number; block: string; index: number };
}

/** What execution made of a final transaction of an EVM rollup, and whether L1 has it, is the node's own word. */
const FINAL = ['finalized', 'executed', 'skipped', 'posted', 'settled'];

/** That a node's answer about a final transaction says what its proof shows. Times are the node's own word. */
export function verifyTransaction(view: unknown, file: unknown, key: GroupKey, chain?: string): VerifiedTransaction {
  const verified = verifyProof(file, key, chain);
  const { id, rung, place } = object('transaction', view, ['id', 'rung', 'place', 'times_ms?', 'reason?']);
  require(FINAL.includes(String(rung)), 'answer', `a final transaction is shown as ${String(rung)}`);
  const { rollup, height, block, index } = object('place', place, ['rollup', 'height', 'block', 'index']);
  const same =
    id === verified.id &&
    rollup === verified.rollup &&
    height === verified.height &&
    index === verified.index &&
    block === verified.block;
  require(same, 'answer', 'the place shown is not the one that is proven');
  return verified;
}
