// Ethereum's recursive length prefix: bytes, or lists of the same.

import { refuse, require } from './bytes.js';

export type Item = Uint8Array | Item[];

/** Refuses what has another encoding or bytes left over. */
export function decodeRlp(what: string, bytes: Uint8Array): Item {
  const [item, end] = read(what, bytes, 0);
  require(end === bytes.length, 'decode', `${what}: bytes left over`);
  return item;
}

export function text(what: string, item: Item | undefined): Uint8Array {
  return item instanceof Uint8Array ? item : refuse('decode', `${what} is not a string of bytes`);
}

export function list(what: string, item: Item | undefined, length: number): Item[] {
  return Array.isArray(item) && item.length === length ? item : refuse('decode', `${what} is not a list of ${length}`);
}

const SHORT_MAX = 55;

function read(what: string, bytes: Uint8Array, at: number): [Item, number] {
  const first = bytes[at] ?? refuse('decode', `${what}: too short`);
  if (first < 0x80) return [bytes.slice(at, at + 1), at + 1];
  const isList = first >= 0xc0;
  const [start, end] = extent(what, bytes, at, first - (isList ? 0xc0 : 0x80));
  if (!isList) {
    const content = bytes.slice(start, end);
    require(content.length !== 1 || content[0]! >= 0x80, 'decode', `${what}: a byte that needs no prefix`);
    return [content, end];
  }
  const items: Item[] = [];
  for (let next = start; next < end; ) {
    const [item, after] = read(what, bytes, next);
    require(after <= end, 'decode', `${what}: an item longer than its list`);
    items.push(item);
    next = after;
  }
  return [items, end];
}

/** Where the content begins and ends. */
function extent(what: string, bytes: Uint8Array, at: number, short: number): [number, number] {
  let [start, length] = [at + 1, short];
  if (short > SHORT_MAX) {
    const digits = short - SHORT_MAX;
    require(digits <= 4, 'decode', `${what}: a length of ${digits} bytes`);
    length = bytes.slice(start, start + digits).reduce((value, byte) => 256 * value + byte, 0);
    require(bytes[start] !== 0 && length > SHORT_MAX, 'decode', `${what}: a length that is not the shortest`);
    start += digits;
  }
  require(start + length <= bytes.length, 'decode', `${what}: too short`);
  return [start, start + length];
}
