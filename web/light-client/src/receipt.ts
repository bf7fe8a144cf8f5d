// A node's signed word about what it accepted (specs/5-receipts.md): a promise of one node, not of the cluster.

import { ed25519 } from '@noble/curves/ed25519.js';
import { ascii, concat, fromHex, number, object, refuse, require, sha256, toHex, u64 } from './bytes.js';
import { signedBytes } from './certificate.js';

const RUNGS = ['pending', 'replicated', 'proposed', 'notarized', 'finalized', 'expired', 'rejected'];

/** Checks the signature and returns who gave it: the chain, and the identity of the node. */
export function verifyReceipt(receipt: unknown): { chain: string; node: string } {
  const fields = object('receipt', receipt, ['chain', 'node', 'rung', 'time_ms', 'ids', 'signature']);
  const chain = fromHex('receipt.chain', fields['chain'], 32);
  const node = fromHex('receipt.node', fields['node'], 32);
  const rung = RUNGS.indexOf(String(fields['rung']));
  require(rung >= 0, 'decode', 'receipt.rung is unknown');
  if (!Array.isArray(fields['ids'])) refuse('decode', 'receipt.ids is not a list');
  const ids = fields['ids'].map((id) => fromHex('receipt.ids', id, 32));
  const time = number('receipt.time_ms', fields['time_ms']);
  const message = concat(Uint8Array.of(rung), u64(time), sha256(ascii('_BATON_BATCH_IDS'), ...ids));
  const signed = signedBytes(concat(ascii('_BATON_RECEIPT'), chain), message);
  const signature = fromHex('receipt.signature', fields['signature'], 64);
  let holds = false;
  try {
    holds = ed25519.verify(signature, signed, node);
  } catch {
    // Points that are none.
  }
  require(holds, 'receipt', 'the signature is not that of the node');
  return { chain: toHex(chain), node: toHex(node) };
}
