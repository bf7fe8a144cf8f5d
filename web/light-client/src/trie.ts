// Ethereum's RLP and Merkle-Patricia tries, as far as proofs need them.

import { keccak_256 as keccak } from '@noble/hashes/sha3.js';
import { concat, equal, refuse, require } from './bytes.js';

export type Rlp = Uint8Array | Rlp[];

const EMPTY_TRIE = keccak(Uint8Array.of(0x80));

/** One item from the front, in its shortest form, and what follows it. */
function item(what: string, bytes: Uint8Array): [Rlp, Uint8Array] {
  const fail = (): never => refuse('decode', `${what} is not RLP`);
  const first = bytes[0] ?? fail();
  if (first < 0x80) return [bytes.slice(0, 1), bytes.slice(1)];
  const base = first < 0xc0 ? 0x80 : 0xc0;
  let [start, size] = [1, first - base];
  if (size > 55) {
    start += size - 55;
    const digits = bytes.slice(1, start);
    if (digits.length > 4 || digits.length < size - 55 || digits[0] === 0) fail();
    size = digits.reduce((value, digit) => value * 256 + digit, 0);
    if (size < 56) fail();
  }
  const content = bytes.slice(start, start + size);
  if (content.length < size || (base === 0x80 && size === 1 && content[0]! < 0x80)) fail();
  return [base === 0x80 ? content : items(what, content), bytes.slice(start + size)];
}

function items(what: string, bytes: Uint8Array): Rlp[] {
  const all = [];
  for (let rest = bytes; rest.length > 0; ) {
    const [one, after] = item(what, rest);
    all.push(one);
    rest = after;
  }
  return all;
}

/** A list that is all there is. */
export function record(what: string, bytes: Uint8Array): Rlp[] {
  const [one, rest] = item(what, bytes);
  require(Array.isArray(one) && rest.length === 0, 'decode', `${what} is not a list in RLP`);
  return one;
}

export function encode(value: Rlp): Uint8Array {
  if (value instanceof Uint8Array && value.length === 1 && value[0]! < 0x80) return value;
  const content = value instanceof Uint8Array ? value : concat(...value.map(encode));
  const base = value instanceof Uint8Array ? 0x80 : 0xc0;
  if (content.length < 56) return concat(Uint8Array.of(base + content.length), content);
  const digits = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return concat(Uint8Array.of(base + 55 + digits.length, ...digits), content);
}

export function nibbles(bytes: Uint8Array): number[] {
  return [...bytes].flatMap((byte) => [byte >> 4, byte & 15]);
}

/** What the trie with this root has under a key; null where it has nothing. All nodes must be on the way. */
export function lookup(step: string, root: Uint8Array, key: number[], nodes: Uint8Array[]): Uint8Array | null {
  const rest = [...nodes];
  const next = (hash: Uint8Array): Rlp[] => {
    const node = rest.shift() ?? refuse(step, 'a node is missing');
    require(equal(keccak(node), hash), step, 'a node is not the one that is named');
    return record('node', node);
  };
  const end = (value: Uint8Array | null): Uint8Array | null => {
    require(rest.length === 0, step, 'a node too many');
    return value;
  };
  if (equal(root, EMPTY_TRIE)) return end(null);
  let [node, at] = [next(root), 0];
  for (;;) {
    let child: Rlp;
    if (node.length === 17) {
      // All keys of a trie have one length, or none begins with another: nothing ends at a branch.
      child = node[key[at] ?? refuse(step, 'the key ends at a branch')]!;
      at += 1;
    } else {
      const [path, content] = node as [Rlp, Rlp];
      require(node.length === 2 && path instanceof Uint8Array && path.length > 0, 'decode', 'a node has no path');
      const all = nibbles(path);
      const [flag, part] = [all[0]!, all.slice(all[0]! & 1 ? 1 : 2)];
      require(flag < 4 && (flag % 2 === 1 || all[1] === 0), 'decode', 'a path has unknown flags');
      const isOnTheWay = part.every((nibble, index) => nibble === key[at + index]);
      at += part.length;
      if (flag >= 2) {
        const value = content instanceof Uint8Array ? content : refuse('decode', 'a leaf without value');
        return end(isOnTheWay && at === key.length ? value : null);
      }
      if (!isOnTheWay) return end(null);
      child = content;
    }
    if (Array.isArray(child)) node = child;
    else if (child.length === 0) return end(null);
    else node = next(child);
  }
}
