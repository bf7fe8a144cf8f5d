// Trees and chains that a header commits to: transactions of a block, heads of rollups, all earlier headers.

import { type Header } from './header.js';
import { Reader, ascii, concat, equal, fromHex, refuse, require, sha256, u32, u64 } from './bytes.js';

const ZERO_HASH = new Uint8Array(32);

export function leaf(rollup: number, index: number, id: Uint8Array): Uint8Array {
  return sha256(ascii('_BATON_LEAF'), u32(rollup), u32(index), id);
}

/** Root over leaves in the order of the block. */
export function bodyRoot(leaves: Uint8Array[]): Uint8Array {
  let level = leaves.map((item, position) => sha256(u32(position), item));
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let at = 0; at < level.length; at += 2) above.push(sha256(level[at]!, level[at + 1] ?? level[at]!));
    level = above;
  }
  return sha256(u32(leaves.length), level[0] ?? sha256());
}

/** That a leaf is at `position` under `root` (step 3). */
export function verifyPath(encoded: unknown, item: Uint8Array, position: number, root: Uint8Array): void {
  const reader = new Reader('path', fromHex('path', encoded));
  const count = reader.u32();
  const siblings = reader.list(32, () => reader.take(32));
  reader.end();
  require(position < count, 'path', `position ${position} is outside a tree of ${count}`);
  let node = sha256(u32(position), item);
  const next = () => siblings.shift() ?? refuse('path', 'too short');
  for (let at = position, width = count; width > 1; at = Math.floor(at / 2), width = Math.ceil(width / 2)) {
    if (at % 2 === 1) node = sha256(next(), node);
    else if (at + 1 === width) node = sha256(node, node);
    else node = sha256(node, next());
  }
  require(siblings.length === 0, 'path', 'too long');
  require(equal(sha256(u32(count), node), root), 'path', 'the transaction is not in the block at this place');
}

export interface Head {
  rollup: number;
  head: Uint8Array;
}

/** A rollup's head after a block at `height` with these ids. */
export function headAfter(rollup: number, head: Uint8Array | null, height: number | bigint, ids: Uint8Array[]): Uint8Array {
  const segment = sha256(ascii('_BATON_SEGMENT'), u64(ids.length), ...ids);
  return sha256(ascii('_BATON_CHAIN_HEAD'), u32(rollup), head ?? ZERO_HASH, u64(height), segment);
}

export function headsRoot(heads: Head[]): Uint8Array {
  return sha256(ascii('_BATON_ROLLUP_HEADS'), ...heads.map(({ rollup, head }) => concat(u32(rollup), head)));
}

/** Over the encoded results of the EVM rollups, in ascending order; zero where there are none. */
export function resultsRoot(results: Uint8Array[]): Uint8Array {
  return results.length === 0 ? ZERO_HASH : sha256(ascii('_BATON_EXECUTION_RESULTS'), ...results);
}

function bits(value: bigint): bigint {
  let count = 0n;
  for (let rest = value; rest > 0n; rest >>= 1n) count += rest & 1n;
  return count;
}

/** Hash of the node of `height` over the leaves from `start`, one of which is `leaf`. */
function climb(height: number, start: bigint, place: bigint, digest: Uint8Array, next: () => Uint8Array): Uint8Array {
  const position = u64(2n * start - bits(start) + (2n << BigInt(height)) - 2n);
  if (height === 0) return sha256(position, digest);
  const middle = start + (1n << BigInt(height - 1));
  // Siblings left of the way come from the top down, those right of it from the bottom up.
  if (place < middle) {
    const left = climb(height - 1, start, place, digest, next);
    return sha256(position, left, next());
  }
  const left = next();
  return sha256(position, left, climb(height - 1, middle, place, digest, next));
}

/** That `header` is among those before `certified` (step 4). */
export function verifyHistory(encoded: unknown, header: Header, certified: Header): void {
  require(header.hex('chain') === certified.hex('chain'), 'history', 'the headers are of two chains');
  const reader = new Reader('history.proof', fromHex('history.proof', encoded));
  const leaves = reader.varint();
  const inactive = reader.varint();
  const hashes = reader.list(128, () => reader.take(32));
  reader.end();
  const place = header.number('height');
  const known = leaves === certified.number('height') && leaves <= 1n << 62n && inactive === 0n;
  require(known, 'history', 'it is that of another header');
  require(place < leaves, 'history', 'the header is not an earlier one');
  const next = () => hashes.shift() ?? refuse('history', 'too short');
  let mine = { height: 0, start: 0n };
  let before = false;
  let after = 0;
  let start = 0n;
  for (let height = 62; height >= 0; height -= 1) {
    const size = 1n << BigInt(height);
    if ((leaves & size) === 0n) continue;
    if (place >= start + size) before = true;
    else if (place >= start) mine = { height, start };
    else after += 1;
    start += size;
  }
  const folded = before ? next() : null;
  const peaks = Array.from({ length: after }, next);
  const peak = climb(mine.height, mine.start, place, header.digest(), next);
  let root = folded === null ? peak : sha256(folded, peak);
  for (const other of peaks) root = sha256(root, other);
  require(hashes.length === 0, 'history', 'too long');
  root = sha256(Uint8Array.of(0, 0), u64(leaves), root);
  require(equal(root, certified.bytes('history_root')), 'history', 'the header is not among those before the certified one');
}
