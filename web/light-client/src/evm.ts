// What an EVM rollup holds or did (specs/3-proofs.md, "Proofs of execution").

import { keccak_256 as keccak } from '@noble/hashes/sha3.js';
import { type BlockProofFile, requireChain, verifyBlockProof } from './proof.js';
import { type GroupKey } from './certificate.js';
import { type Rlp, encode, lookup, nibbles, record } from './trie.js';
import { Reader, U32_MAX, ascii, equal, fromHex, list, number, object, refuse, require, sha256, text, toHex } from './bytes.js';

export interface SlotFile {
  slot: string;
  value: string;
  nodes: string[];
}

/** Result of `baton_evmProof`, or what `baton evm-proof` writes to a file. Either `account` or `receipt` is there. */
export interface EvmProofFile {
  format: 'baton-evm-proof-1';
  rollup: number;
  attested_by: BlockProofFile;
  results: string;
  headers: string[];
  account?: {
    address: string;
    nonce: number;
    balance: string;
    code_hash: string;
    storage_root: string;
    nodes: string[];
    slots: SlotFile[];
  };
  receipt?: {
    index: number;
    transaction: string;
    transaction_nodes: string[];
    receipt: string;
    receipt_nodes: string[];
  };
}

export interface VerifiedAccount {
  address: string;
  nonce: number;
  balance: bigint;
  codeHash: string;
  slots: { slot: string; value: string }[];
}

export interface VerifiedReceipt {
  /** Hash of the transaction. */
  transaction: string;
  index: number;
  /** As in the receipts' trie (EIP-2718). */
  receipt: Uint8Array;
}

/** Of the block of the rollup in question. */
export interface VerifiedExecution {
  chain: string;
  /** Of the block of the cluster that attests it. */
  height: number;
  rollup: number;
  number: number;
  block: string;
  stateRoot: string;
  account: VerifiedAccount | null;
  receipt: VerifiedReceipt | null;
}

const HEADERS_MAX = 256;
const SLOTS_MAX = 256;
const RESULTS_MAX = 16;
const EMPTY_CODE = keccak(new Uint8Array());
const EMPTY_TRIE = keccak(Uint8Array.of(0x80));

/** Of one rollup, out of all that a block attests. */
function attestedHash(results: unknown, rollup: number, root: Uint8Array): Uint8Array {
  const bytes = fromHex('results', results);
  require(equal(sha256(ascii('_BATON_EXECUTION_RESULTS'), bytes), root), 'results', 'they are not those of results_root');
  const reader = new Reader('results', bytes);
  let found: Uint8Array | null = null;
  const size = 92;
  require(bytes.length % size === 0 && bytes.length <= RESULTS_MAX * size, 'decode', 'results are not whole, or too many');
  for (let at = 0; at < bytes.length; at += size) {
    const id = reader.u32();
    reader.take(16);
    const hash = reader.take(32);
    reader.take(40);
    if (id === rollup) found = hash;
  }
  reader.end();
  return found ?? refuse('results', `nothing of rollup ${rollup} is attested`);
}

/** Fields of a rollup's header, by their place in its RLP. */
interface EvmHeader {
  hash: Uint8Array;
  parentHash: Uint8Array;
  stateRoot: Uint8Array;
  transactionsRoot: Uint8Array;
  receiptsRoot: Uint8Array;
  number: number;
}

function evmHeader(what: string, value: unknown): EvmHeader {
  const bytes = fromHex(what, value);
  const fields = record(what, bytes);
  const field = (at: number): Uint8Array => {
    const one: Rlp | undefined = fields[at];
    return one instanceof Uint8Array ? one : refuse('decode', `${what} is no header`);
  };
  return {
    hash: keccak(bytes),
    parentHash: field(0),
    stateRoot: field(3),
    transactionsRoot: field(4),
    receiptsRoot: field(5),
    number: Number(new Reader(what, field(8)).integer(field(8).length)),
  };
}

function nodesOf(what: string, value: unknown): Uint8Array[] {
  return list(what, value, (where, node) => fromHex(where, node));
}

function minimal(value: bigint): Uint8Array {
  const digits = value === 0n ? '' : value.toString(16);
  return fromHex('number', `0x${digits.length % 2 === 0 ? '' : '0'}${digits}`);
}

/** That the trie has this under the key, or nothing. */
function holds(step: string, root: Uint8Array, key: Uint8Array, value: Uint8Array | null, nodes: Uint8Array[]): void {
  const found = lookup(step, root, nibbles(key), nodes);
  const same = found === null || value === null ? found === value : equal(found, value);
  require(same, step, 'the trie has something else there');
}

function verifyAccount(value: unknown, stateRoot: Uint8Array): VerifiedAccount {
  const fields = ['address', 'nonce', 'balance', 'code_hash', 'storage_root', 'nodes', 'slots'];
  const account = object('account', value, fields);
  const address = fromHex('account.address', account['address'], 20);
  const nonce = number('account.nonce', account['nonce']);
  const decimal = text('account.balance', account['balance']);
  require(/^(0|[1-9][0-9]{0,77})$/.test(decimal), 'decode', 'account.balance is not a decimal number');
  const balance = BigInt(decimal);
  const codeHash = fromHex('account.code_hash', account['code_hash'], 32);
  const storageRoot = fromHex('account.storage_root', account['storage_root'], 32);
  const isEmpty = nonce === 0 && balance === 0n && equal(codeHash, EMPTY_CODE) && equal(storageRoot, EMPTY_TRIE);
  const leaf = encode([minimal(BigInt(nonce)), minimal(balance), storageRoot, codeHash]);
  holds('account', stateRoot, keccak(address), isEmpty ? null : leaf, nodesOf('account.nodes', account['nodes']));
  const slots = list('account.slots', account['slots'], (what, one) => {
    const slot = object(what, one, ['slot', 'value', 'nodes']);
    const [key, held] = [fromHex(`${what}.slot`, slot['slot'], 32), fromHex(`${what}.value`, slot['value'], 32)];
    const integer = BigInt(toHex(held));
    const stored = integer === 0n ? null : encode(minimal(integer));
    holds('slot', storageRoot, keccak(key), stored, nodesOf(`${what}.nodes`, slot['nodes']));
    return { slot: toHex(key), value: toHex(held) };
  });
  require(slots.length <= SLOTS_MAX, 'decode', `${slots.length} slots; at most ${SLOTS_MAX}`);
  return { address: toHex(address), nonce, balance, codeHash: toHex(codeHash), slots };
}

function verifyReceiptOf(value: unknown, header: EvmHeader): VerifiedReceipt {
  const fields = ['index', 'transaction', 'transaction_nodes', 'receipt', 'receipt_nodes'];
  const file = object('receipt', value, fields);
  const index = number('receipt.index', file['index'], U32_MAX);
  const key = encode(minimal(BigInt(index)));
  const transaction = fromHex('receipt.transaction', file['transaction']);
  const receipt = fromHex('receipt.receipt', file['receipt']);
  holds('transaction', header.transactionsRoot, key, transaction, nodesOf('transaction_nodes', file['transaction_nodes']));
  holds('receipt', header.receiptsRoot, key, receipt, nodesOf('receipt_nodes', file['receipt_nodes']));
  return { transaction: toHex(keccak(transaction)), index, receipt };
}

/** `chain` is the one that the caller expects; a group key alone excludes the chains of other clusters. */
export function verifyEvmProof(file: unknown, key: GroupKey, chain?: string): VerifiedExecution {
  const fields = ['format', 'rollup', 'attested_by', 'results', 'headers', 'account?', 'receipt?'];
  const proof = object('proof', file, fields);
  require(proof['format'] === 'baton-evm-proof-1', 'decode', 'format is not baton-evm-proof-1');
  const rollup = number('rollup', proof['rollup'], U32_MAX);
  const { header: attesting } = verifyBlockProof(proof['attested_by'], key, chain);
  requireChain(attesting, chain);
  const headers = list('headers', proof['headers'], evmHeader);
  require(headers.length <= HEADERS_MAX, 'decode', `${headers.length} headers; at most ${HEADERS_MAX}`);
  let named = attestedHash(proof['results'], rollup, attesting.bytes('results_root'));
  for (const header of headers) {
    require(equal(header.hash, named), 'header', 'it is not the one that the result, or the header before, names');
    named = header.parentHash;
  }
  const header = headers.at(-1) ?? refuse('header', 'there is none');
  const [account, receipt] = [proof['account'] ?? null, proof['receipt'] ?? null];
  require((account === null) !== (receipt === null), 'decode', 'expected either account or receipt');
  return {
    chain: attesting.hex('chain'),
    height: Number(attesting.number('height')),
    rollup,
    number: header.number,
    block: toHex(header.hash),
    stateRoot: toHex(header.stateRoot),
    account: account === null ? null : verifyAccount(account, header.stateRoot),
    receipt: receipt === null ? null : verifyReceiptOf(receipt, header),
  };
}
