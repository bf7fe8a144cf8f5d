// Bytes as the protocol writes them: big-endian integers, LEB128 varints, lists, hex.

import { sha256 as sha256Hash } from '@noble/hashes/sha2.js';

/** Why a response is not believed. `step` names the check that failed, as in the protocol's chapter on proofs. */
export class Refused extends Error {
  override readonly name = 'Refused';

  constructor(
    readonly step: string,
    detail: string,
  ) {
    super(`${step}: ${detail}`);
  }
}

export function refuse(step: string, detail: string): never {
  throw new Refused(step, detail);
}

export function require(condition: boolean, step: string, detail: string): asserts condition {
  if (!condition) refuse(step, detail);
}

const TEXT = new TextEncoder();

export const ascii = (text: string): Uint8Array => TEXT.encode(text);

export function concat(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export const sha256 = (...parts: Uint8Array[]): Uint8Array => sha256Hash(concat(...parts));

export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

export function toHex(bytes: Uint8Array): string {
  let text = '0x';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** `what` names the field in errors. */
export function fromHex(what: string, text: unknown, length?: number): Uint8Array {
  if (typeof text !== 'string' || !/^0x([0-9a-fA-F]{2})*$/.test(text)) refuse('decode', `${what} is not 0x and hex`);
  const bytes = new Uint8Array((text.length - 2) / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(text.slice(2 + 2 * at, 4 + 2 * at), 16);
  if (length !== undefined) require(bytes.length === length, 'decode', `${what} has ${bytes.length} bytes, not ${length}`);
  return bytes;
}

function integer(value: bigint | number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let rest = BigInt(value);
  for (let at = size - 1; at >= 0; at -= 1) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

export const u32 = (value: bigint | number): Uint8Array => integer(value, 4);
export const u64 = (value: bigint | number): Uint8Array => integer(value, 8);

export function varint(value: bigint | number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

/** Reads bytes from the front; `end` refuses what is left over, so that no value has two encodings. */
export class Reader {
  private at = 0;

  constructor(
    private readonly what: string,
    private readonly bytes: Uint8Array,
  ) {}

  fail(detail: string): never {
    return refuse('decode', `${this.what}: ${detail}`);
  }

  take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) this.fail('too short');
    this.at += length;
    return this.bytes.slice(this.at - length, this.at);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  integer(size: number): bigint {
    return this.take(size).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  u32(): number {
    return Number(this.integer(4));
  }

  varint(bits = 64): bigint {
    let value = 0n;
    for (let shift = 0n; shift < BigInt(bits); shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if ((byte === 0 && shift > 0n) || value >> BigInt(bits) !== 0n) this.fail('a varint that is not the shortest, or too large');
        return value;
      }
    }
    return this.fail('a varint that is too long');
  }

  option<T>(read: () => T): T | null {
    const flag = this.u8();
    if (flag > 1) this.fail('an option is neither there nor absent');
    return flag === 1 ? read() : null;
  }

  list<T>(max: number, read: () => T): T[] {
    const count = this.varint(32);
    if (count > BigInt(max)) this.fail(`${count} items; at most ${max}`);
    return Array.from({ length: Number(count) }, read);
  }

  end(): void {
    if (this.at !== this.bytes.length) this.fail('bytes left over');
  }
}

export type Json = Record<string, unknown>;

/** A JSON object with these fields and no others; those that end in `?` may be absent. */
export function object(what: string, value: unknown, fields: readonly string[]): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse('decode', `${what} is not an object`);
  const known = new Set(fields.map((field) => field.replace('?', '')));
  for (const field of Object.keys(value)) require(known.has(field), 'decode', `${what} has an unknown field ${field}`);
  for (const field of fields) {
    if (!field.endsWith('?')) require(field in value, 'decode', `${what} has no field ${field}`);
  }
  return value as Json;
}

export function number(what: string, value: unknown, max = Number.MAX_SAFE_INTEGER): number {
  const fits = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max;
  return fits ? value : refuse('decode', `${what} is not an integer from 0 to ${max}`);
}

export const U32_MAX = 0xffff_ffff;

export function text(what: string, value: unknown): string {
  return typeof value === 'string' ? value : refuse('decode', `${what} is not a string`);
}

export function list<T>(what: string, value: unknown, item: (what: string, value: unknown) => T): T[] {
  return Array.isArray(value) ? value.map((one, at) => item(`${what}[${at}]`, one)) : refuse('decode', `${what} is not a list`);
}
