// The accounts of a devnet, whose keys everybody knows, and signing with them. Loaded only where it is needed.

import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { fromHex, toHex } from '@baton/light-client';

/** Of the mnemonic `test test test test test test test test test test test junk`. Of no worth anywhere else. */
export const KEYS = [
  '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80',
  '0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d',
  '0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a',
  '0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6',
  '0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a',
  '0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba',
  '0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e',
  '0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356',
  '0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97',
  '0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6',
];

export interface Unsigned {
  chainId: number;
  nonce: number;
  tip: bigint;
  fee: bigint;
  gas: number;
  /** Without it, a contract is made. */
  to?: string;
  value: bigint;
  input?: string;
}

export function addressOf(key: string): string {
  const point = secp256k1.getPublicKey(fromHex('key', key, 32), false);
  return toHex(keccak_256(point.slice(1)).slice(12));
}

/** A raw signed transaction of type 2 (EIP-1559). */
export function sign({ chainId, nonce, tip, fee, gas, to, value, input = '0x' }: Unsigned, key: string): string {
  const target = to === undefined ? new Uint8Array() : fromHex('to', to, 20);
  const fields: Item[] = [number(chainId), number(nonce), number(tip), number(fee), number(gas), target, number(value), fromHex('input', input), []];
  const hash = keccak_256(typed(fields));
  const bytes = secp256k1.sign(hash, fromHex('key', key, 32), { prehash: false, format: 'recovered' });
  const { r, s, recovery } = secp256k1.Signature.fromBytes(bytes, 'recovered');
  return toHex(typed([...fields, number(recovery ?? 0), number(r), number(s)]));
}

const typed = (fields: Item[]): Uint8Array => Uint8Array.of(2, ...rlp(fields));

type Item = Uint8Array | Item[];

/** Recursive length prefix. */
function rlp(item: Item): number[] {
  const list = Array.isArray(item);
  const content = list ? item.flatMap(rlp) : [...item];
  if (!list && content.length === 1 && content[0]! < 0x80) return content;
  const base = list ? 0xc0 : 0x80;
  if (content.length <= 55) return [base + content.length, ...content];
  const length = number(content.length);
  return [base + 55 + length.length, ...length, ...content];
}

/** Big-endian, without leading zeros. */
function number(value: number | bigint): Uint8Array {
  const digits = value === 0 || value === 0n ? '' : value.toString(16);
  return fromHex('number', `0x${digits.length % 2 === 1 ? '0' : ''}${digits}`);
}
