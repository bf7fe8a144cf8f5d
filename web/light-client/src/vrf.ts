// Reveals of the verifiable random function (specs/6-vrf.md): one permutation, one path, one hash.

import { blake3 } from '@noble/hashes/blake3.js';
import { Reader, ascii, concat, equal, require, u32, u64 } from './bytes.js';
import { EXTERNAL_FINAL, EXTERNAL_INITIAL, INTERNAL } from './poseidon2.js';

const SUITE = Uint8Array.of(1);
/** KoalaBear: 2^31 − 2^24 + 1. */
const P = (1n << 31n) - (1n << 24n) + 1n;
const WIDTH = 16;
const WORDS = 8;

const hash = (domain: string, ...parts: Uint8Array[]): Uint8Array => blake3(concat(ascii(domain), ...parts));
const mod = (value: bigint): bigint => ((value % P) + P) % P;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = mod(base), rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % P) {
    if (rest & 1n) result = (result * square) % P;
  }
  return result;
}

/** 1 / 2^k */
const half = (k: bigint): bigint => power(power(2n, k), P - 2n);

const DIAGONAL = [
  -2n, 1n, 2n, half(1n), 3n, 4n, -half(1n), -3n,
  -4n, half(8n), half(3n), half(24n), -half(8n), -half(3n), -half(4n), -half(24n),
];

function externalLayer(state: bigint[]): bigint[] {
  const mixed = Array.from({ length: WIDTH }, (_, at) => {
    const [a, b, c, d] = [0, 1, 2, 3].map((step) => state[at - (at % 4) + ((at + step) % 4)]!) as [bigint, bigint, bigint, bigint];
    return 2n * a + 3n * b + c + d;
  });
  const sums = [0, 1, 2, 3].map((k) => mixed[k]! + mixed[k + 4]! + mixed[k + 8]! + mixed[k + 12]!);
  return mixed.map((element, at) => mod(element + sums[at % 4]!));
}

function internalLayer(state: bigint[]): bigint[] {
  const sum = state.reduce((all, element) => all + element, 0n);
  return state.map((element, at) => mod(DIAGONAL[at]! * element + sum));
}

const cube = (element: bigint): bigint => (((element * element) % P) * element) % P;

/** Poseidon2 of width 16 over KoalaBear. */
export function permute(input: bigint[]): bigint[] {
  let state = externalLayer(input);
  const full = (constants: readonly number[]) => {
    state = externalLayer(state.map((element, at) => cube(element + BigInt(constants[at]!))));
  };
  EXTERNAL_INITIAL.forEach(full);
  for (const constant of INTERNAL) {
    state[0] = cube(state[0]! + BigInt(constant));
    state = internalLayer(state);
  }
  EXTERNAL_FINAL.forEach(full);
  return state;
}

/** Eight elements from their one encoding. */
function words(what: string, bytes: Uint8Array): bigint[] {
  require(bytes.length === 32 && bytes[0] === SUITE[0], 'reveal', `${what} is not of suite 1`);
  let value = 0n;
  for (let at = 31; at > 0; at -= 1) value = (value << 8n) | BigInt(bytes[at]!);
  const elements = Array.from({ length: WORDS }, (_, at) => (value >> BigInt(31 * at)) & 0x7fff_ffffn);
  require(elements.every((element) => element < P), 'reveal', `${what} has an element outside the field`);
  return elements;
}

function encode(elements: bigint[]): Uint8Array {
  let value = elements.reduceRight((all, element) => (all << 31n) | element, 0n);
  const bytes = new Uint8Array(32);
  bytes.set(SUITE);
  for (let at = 1; at < 32; at += 1, value >>= 8n) bytes[at] = Number(value & 0xffn);
  return bytes;
}

/** Elements that nobody chose: 31 bits at a time of a hash, those not below p dropped. */
function hashedWords(domain: string): bigint[] {
  const stream = blake3(concat(ascii(domain), SUITE), { dkLen: 256 });
  const elements: bigint[] = [];
  for (let at = 0; elements.length < WORDS; at += 4) {
    const integer = stream.slice(at, at + 4).reduceRight((all, byte) => (all << 8n) | BigInt(byte), 0n) & 0x7fff_ffffn;
    if (integer < P) elements.push(integer);
  }
  return elements;
}

let leafIv: bigint[] | undefined;

export function leafOf(opening: Uint8Array): Uint8Array {
  leafIv ??= hashedWords('_BATON_VRF_LEAF_IV');
  return encode(permute([...words('the opening', opening), ...leafIv]).slice(0, WORDS));
}

export interface Context {
  chain: Uint8Array;
  epoch: bigint;
  beacon: Uint8Array;
}

export interface Reveal {
  turn: number;
  opening: Uint8Array;
  path: Uint8Array[];
}

export function decodeReveal(bytes: Uint8Array): Reveal {
  const levels = (bytes.length - 36) / 32;
  require(Number.isInteger(levels) && levels >= 6 && levels <= 11, 'reveal', 'its path has not 6 to 11 siblings');
  const reader = new Reader('reveal', bytes);
  return { turn: reader.u32(), opening: reader.take(32), path: Array.from({ length: levels }, () => reader.take(32)) };
}

/** That `reveal` is the key's under the root in force; returns the output that draws. */
export function verifyReveal(reveal: Reveal, root: Uint8Array, key: Uint8Array, context: Context, later: Uint8Array): Uint8Array {
  const levels = reveal.path.length;
  require(reveal.turn < 2 ** levels - 1, 'reveal', 'its turn is outside the tree');
  words('the key', key);
  let node = leafOf(reveal.opening);
  let position = reveal.turn;
  for (const sibling of reveal.path) {
    node = position % 2 === 1 ? hash('_BATON_VRF_NODE', sibling, node) : hash('_BATON_VRF_NODE', node, sibling);
    position = Math.floor(position / 2);
  }
  const top = concat(SUITE, Uint8Array.of(levels), context.chain, u64(context.epoch), context.beacon, key, node);
  require(equal(hash('_BATON_VRF_ROOT', top), root), 'reveal', 'it does not lead to the commitment in force');
  return output('_BATON_VRF_TURN_OUTPUT', context, BigInt(reveal.turn), key, reveal.opening, later);
}

/** Of a view proven by itself; whether the proof holds is not looked at here. */
export function viewOutput(context: Context, view: bigint, key: Uint8Array, opening: Uint8Array, later: Uint8Array): Uint8Array {
  words('the opening', opening);
  return output('_BATON_VRF_VIEW_OUTPUT', context, view, key, opening, later);
}

function output(domain: string, context: Context, place: bigint, key: Uint8Array, opening: Uint8Array, later: Uint8Array): Uint8Array {
  return hash(domain, context.chain, u64(context.epoch), u64(place), key, opening, later);
}

/** Members in the order in which an output draws them, each with whether it may build; ends with the first that may. */
export function draw(drawn: Uint8Array, members: number, may: (member: number) => boolean): number[] {
  const candidates: number[] = [];
  const tried = (member: number) => {
    candidates.push(member);
    return may(member);
  };
  let last = 0;
  for (let j = 0; j < 256; j += 1) {
    const digits = hash('_BATON_VRF_DRAW', drawn, u32(j)).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
    last = Number(digits % BigInt(members));
    if (tried(last)) return candidates;
  }
  for (let step = 0; step < members; step += 1) {
    if (tried((last + step) % members)) return candidates;
  }
  return candidates;
}
