// Ids of transactions and bundles (specs/1-transactions-and-bundles.md).

import { keccak_256 } from '@noble/hashes/sha3.js';
import { ascii, concat, sha256, u32, u64 } from './bytes.js';

export interface Transaction {
  rollup: number;
  /** Last height of a block that may carry it. */
  validUntil: number | bigint;
  payload: Uint8Array;
  /** Id of the bundle that it is a leg of. */
  bundle?: Uint8Array | null;
  /** Whether the rollup executes Ethereum transactions: its ids are the hashes that wallets know (specs/10-evm.md). */
  evm?: boolean;
}

export function transactionId({ rollup, validUntil, payload, bundle, evm }: Transaction): Uint8Array {
  if (evm && !bundle) return keccak_256(payload);
  const rest = concat(u32(rollup), u64(validUntil), payload);
  return bundle ? sha256(ascii('_BATON_LEG'), bundle, rest) : sha256(ascii('_BATON_TRANSACTION'), rest);
}

/** Legs in the order of the block: by rollup. */
export function bundleId(validUntil: number | bigint, legs: { rollup: number; payload: Uint8Array }[]): Uint8Array {
  const parts = legs.map(({ rollup, payload }) => concat(u32(rollup), sha256(payload)));
  return sha256(ascii('_BATON_BUNDLE'), u64(validUntil), u64(legs.length), ...parts);
}
