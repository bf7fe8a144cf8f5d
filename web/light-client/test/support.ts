import { readFileSync } from 'node:fs';
import { Refused } from '../src/index.js';

/** A golden vector, shared with the Rust implementation. */
export function vector(name: string): any {
  return JSON.parse(readFileSync(new URL(`../../../../specs/vectors/${name}.json`, import.meta.url), 'utf8'));
}

/** Whether `check` refuses, with a reason of its own and not by tripping over the input. */
export function refuses(check: () => unknown): Refused | null {
  try {
    check();
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
  return null;
}

function flipDigit(text: string, at: number): string {
  const digit = Number.parseInt(text[at]!, 16);
  return text.slice(0, at) + (digit ^ 1).toString(16) + text.slice(at + 1);
}

/** Changes of one leaf: of hex every `step`-th digit, one more for a number, another value for the rest. */
function changesOf(value: unknown, step: number): unknown[] {
  if (value === null) return [0, {}];
  if (typeof value === 'number') return [value + 1, -1, 0.5, String(value)].filter((changed) => changed !== value);
  if (typeof value === 'boolean') return [!value];
  const text = value as string;
  if (!/^0x([0-9a-f]{2})*$/.test(text)) return [`${text}x`, ''];
  const flips = [];
  for (let at = 2; at < text.length; at += step) flips.push(flipDigit(text, at));
  return [...flips, text.slice(0, -2), `${text}00`, '', 7, null];
}

/** Every change of every leaf of a JSON value, and every field left out or added, with the path of what changed. */
export function* mutants(value: unknown, step: number, path = ''): Generator<[string, unknown]> {
  if (typeof value !== 'object' || value === null) {
    for (const changed of changesOf(value, step)) yield [path, changed];
    return;
  }
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) {
      for (const [where, changed] of mutants(item, step, `${path}[${at}]`)) yield [where, replaced(value, at, changed)];
      yield [`${path}[${at}] left out`, value.filter((_, other) => other !== at)];
    }
    return;
  }
  const object = value as Record<string, unknown>;
  for (const [field, item] of Object.entries(object)) {
    for (const [where, changed] of mutants(item, step, `${path}.${field}`)) yield [where, { ...object, [field]: changed }];
    const { [field]: _, ...rest } = object;
    yield [`${path}.${field} left out`, rest];
  }
  yield [`${path} with one more field`, { ...object, more: 1 }];
}

function replaced(list: unknown[], at: number, item: unknown): unknown[] {
  return list.map((other, index) => (index === at ? item : other));
}
