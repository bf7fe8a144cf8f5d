// Accounts of an EVM rollup under the state root that a final block attests (specs/10-evm.md, EIP-1186).

import { keccak_256 } from '@noble/hashes/sha3.js';
import { type ResultView } from './block.js';
import { equal, fromHex, list as jsonList, object, refuse, require, toHex } from './bytes.js';
import { type Item, decodeRlp, list, text } from './rlp.js';

/** Result of `eth_getProof` without slots. */
export interface AccountView {
  address: string;
  balance: string;
  nonce: string;
  codeHash: string;
  storageHash: string;
  accountProof: string[];
}

/** One that does not exist has nothing of everything. */
export interface VerifiedAccount {
  address: string;
  balance: bigint;
  nonce: bigint;
  codeHash: string;
  storageRoot: string;
}

const NO_CODE = toHex(keccak_256(new Uint8Array()));
const NO_STORAGE = toHex(keccak_256(Uint8Array.of(0x80)));

/** That an answer about an account is what a result of execution says. The result comes from a block that was verified. */
export function verifyAccount(view: unknown, { state_root: root }: Pick<ResultView, 'state_root'>): VerifiedAccount {
  const fields = ['address', 'balance', 'nonce', 'codeHash', 'storageHash', 'accountProof', 'storageProof?'];
  const shown = object('account', view, fields);
  require(shown['storageProof'] === undefined || jsonList('storageProof', shown['storageProof'], (_, slot) => slot).length === 0, 'decode', 'slots are not checked here');
  const address = fromHex('address', shown['address'], 20);
  const nodes = jsonList('accountProof', shown['accountProof'], (what, node) => fromHex(what, node));
  const leaf = find(nodes, fromHex('state_root', root, 32), keccak_256(address));
  const account = { address: toHex(address), ...(leaf ? decodeAccount(leaf) : { balance: 0n, nonce: 0n, codeHash: NO_CODE, storageRoot: NO_STORAGE }) };
  const expected = {
    balance: `0x${account.balance.toString(16)}`,
    nonce: `0x${account.nonce.toString(16)}`,
    codeHash: account.codeHash,
    storageHash: account.storageRoot,
  };
  for (const [field, value] of Object.entries(expected)) {
    require(shown[field] === value, 'answer', `${field} is shown as ${String(shown[field])}, and ${value} is in the state`);
  }
  return account;
}

function decodeAccount(leaf: Uint8Array): Omit<VerifiedAccount, 'address'> {
  const [nonce, balance, storageRoot, codeHash] = list('account', decodeRlp('account', leaf), 4).map((item) => text('account', item));
  return { nonce: integer(nonce!), balance: integer(balance!), storageRoot: toHex(storageRoot!), codeHash: toHex(codeHash!) };
}

function integer(bytes: Uint8Array): bigint {
  require(bytes[0] !== 0, 'decode', 'a number with leading zeros');
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** The value of a key in a trie, or null where the nodes show that it has none. Every node is there and used. */
function find(nodes: Uint8Array[], root: Uint8Array, key: Uint8Array): Uint8Array | null {
  if (nodes.length === 0) {
    require(toHex(root) === NO_STORAGE, 'state', 'no proof for a state with accounts');
    return null;
  }
  let way = nibbles(key);
  let expected = root;
  for (const [depth, node] of nodes.entries()) {
    require(equal(keccak_256(node), expected), 'state', `node ${depth} is not the one that the node above it names`);
    const last = depth + 1 === nodes.length;
    const next = step(decodeRlp('accountProof', node), way);
    if ('found' in next) {
      require(last, 'state', 'nodes beyond the end of the way');
      return next.found;
    }
    require(!last, 'state', 'the way goes on');
    ({ expected, way } = next);
  }
  return refuse('state', 'the way goes on');
}

type Next = { found: Uint8Array | null } | { expected: Uint8Array; way: number[] };

function step(node: Item, way: number[]): Next {
  if (Array.isArray(node) && node.length === 2) {
    const [path, isLeaf] = compact(text('path', node[0]));
    if (path.some((nibble, at) => way[at] !== nibble)) return { found: null };
    const rest = way.slice(path.length);
    const content = text('node', node[1]);
    return isLeaf ? { found: rest.length === 0 ? content : null } : { expected: content, way: rest };
  }
  const child = text('node', list('node', node, 17)[way[0] ?? refuse('state', 'a way that is too long')]);
  return child.length === 0 ? { found: null } : { expected: child, way: way.slice(1) };
}

const nibbles = (bytes: Uint8Array): number[] => [...bytes].flatMap((byte) => [byte >> 4, byte & 15]);

/** A path, and whether it ends in a leaf. */
function compact(encoded: Uint8Array): [number[], boolean] {
  const [flags = 4, ...rest] = nibbles(encoded);
  require(flags < 4, 'decode', 'a path of no known kind');
  return [flags % 2 === 1 ? rest : rest.slice(1), flags >= 2];
}
