// A header: 582 bytes whose digest is what votes and certificates name.

import { ascii, fromHex, require, sha256, toHex } from './bytes.js';

export const HEADER_BYTES = 582;

/** Places of the fields (specs/2-blocks-and-headers.md): offset and size. */
export const FIELDS = {
  version: [0, 1],
  chain: [1, 32],
  epoch: [33, 8],
  view: [41, 8],
  parent_view: [49, 8],
  height: [57, 8],
  parent: [65, 32],
  timestamp_ms: [97, 8],
  committer: [105, 32],
  author: [137, 32],
  election: [169, 1],
  reveal: [170, 32],
  reveal_evidence: [202, 32],
  parent_seed: [234, 48],
  body_root: [282, 32],
  heads_root: [314, 32],
  history_root: [346, 32],
  results_root: [378, 32],
  l1_number: [410, 8],
  l1_hash: [418, 32],
  forced_root: [450, 32],
  members_root: [482, 32],
  bench_report: [514, 32],
  payload_root: [546, 32],
  protocol_signal: [578, 4],
} as const;

export type HeaderField = keyof typeof FIELDS;

const ELECTIONS = ['genesis', 'round-robin', 'threshold-lottery', 'zk-lottery', 'stake-weighted'] as const;

export class Header {
  private constructor(readonly encoded: Uint8Array) {}

  static decode(what: string, hex: unknown): Header {
    const header = new Header(fromHex(what, hex, HEADER_BYTES));
    require(header.number('version') === 1n, 'decode', `${what} is not a header of version 1`);
    require(Number(header.number('election')) < ELECTIONS.length, 'decode', `${what} has an unknown election`);
    return header;
  }

  bytes(field: HeaderField): Uint8Array {
    const [offset, size] = FIELDS[field];
    return this.encoded.slice(offset, offset + size);
  }

  hex(field: HeaderField): string {
    return toHex(this.bytes(field));
  }

  number(field: HeaderField): bigint {
    return this.bytes(field).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  get election(): string {
    return ELECTIONS[Number(this.number('election'))]!;
  }

  digest(): Uint8Array {
    return sha256(ascii('_BATON_HEADER'), this.encoded);
  }
}
