// What the group signs for L1 (specs/9-settlement.md, "Batch certificate").

import { type GroupKey, signaturePoint, signedBytes } from './certificate.js';
import { Reader, ascii, fromHex, object, require, sha256, toHex } from './bytes.js';

/** What `baton verify` checks, too. */
export interface BatchFile {
  format: 'baton-batch-1';
  message: string;
  signature: string;
}

/** Result of `baton_batch`. */
export interface BatchView {
  rollup: number;
  index: number;
  inbox: string;
  key_generation: number;
  first_height: number;
  last_height: number;
  slot: number;
  previous_head: string;
  head: string;
  order_root: string;
  data: 'blobs' | 'calldata' | 'directory';
  data_commitment: string;
  forced_cursor: number;
  posted: boolean;
  settled: boolean;
  /** Where L1 has it; not of old batches. */
  l1_block?: number;
  l1_transaction?: string;
  certificate: BatchFile | null;
}

/** What the group signed. */
export type VerifiedBatch = Omit<BatchView, 'posted' | 'settled' | 'l1_block' | 'l1_transaction' | 'certificate'> & { l1_chain_id: number; claimed_state_root: string };

const MESSAGE_BYTES = 205;
const DATA = ['blobs', 'calldata', 'directory'] as const;

function decode(message: Uint8Array): VerifiedBatch {
  const reader = new Reader('message', message);
  const [u64, hash] = [() => Number(reader.integer(8)), () => toHex(reader.take(32))];
  const batch = {
    l1_chain_id: u64(),
    inbox: toHex(reader.take(20)),
    key_generation: reader.u32(),
    rollup: reader.u32(),
    index: u64(),
    previous_head: hash(),
    first_height: u64(),
    last_height: u64(),
    slot: u64(),
    order_root: hash(),
    data: DATA[reader.u8()] ?? reader.fail('an unknown kind of data'),
    data_commitment: hash(),
    forced_cursor: u64(),
    claimed_state_root: hash(),
    head: toHex(sha256(ascii('_BATON_L1_HEAD'), message)),
  };
  reader.end();
  return batch;
}

/** That the group signed what an answer says of a batch. Whether L1 has it, and where, is the node's own word. */
export function verifyBatch(view: unknown, key: GroupKey): VerifiedBatch {
  const signed = ['rollup', 'index', 'inbox', 'key_generation', 'first_height', 'last_height', 'slot', 'previous_head', 'head', 'order_root', 'data', 'data_commitment', 'forced_cursor'] as const;
  const shown = object('batch', view, [...signed, 'posted', 'settled', 'l1_block?', 'l1_transaction?', 'certificate']);
  const file = object('certificate', shown['certificate'], ['format', 'message', 'signature']);
  require(file['format'] === 'baton-batch-1', 'decode', 'format is not baton-batch-1');
  const message = fromHex('message', file['message'], MESSAGE_BYTES);
  const signature = signaturePoint('signature', fromHex('signature', file['signature'], 48));
  const holds = key.verifyAll([{ message: signedBytes(ascii('_BATON_L1_BATCH'), message), signature }]);
  require(holds, 'certificate', 'its signature does not verify under this group key');
  const batch = decode(message);
  for (const field of signed) {
    require(shown[field] === batch[field], 'answer', `${field} is shown as ${String(shown[field])}, and ${String(batch[field])} is signed`);
  }
  return batch;
}
