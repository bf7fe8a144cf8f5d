// Batches of a rollup on their way to L1. The node lists them from an index on, oldest first.

import type { BatchView } from '@baton/light-client';
import { call } from './api';

export type { BatchView };

/** How far a batch has come. */
export function stateOf({ settled, posted, certificate }: BatchView): 'settled' | 'posted' | 'certified' | 'cut' {
  if (settled) return 'settled';
  if (posted) return 'posted';
  return certificate ? 'certified' : 'cut';
}

/** The forced queue, as the newest block of L1 has it. */
export interface ForcedQueue {
  length: number;
  taken: number;
}

export const queueOf = async (rollup: number): Promise<ForcedQueue | null> =>
  (await call<{ forced: ForcedQueue | null }>('baton_batches', { rollup, from_index: Number.MAX_SAFE_INTEGER, limit: 1 })).forced;

export async function batchesFrom(rollup: number, index: number, limit: number): Promise<BatchView[]> {
  return (await call<{ batches: BatchView[] }>('baton_batches', { rollup, from_index: index, limit })).batches;
}

type Such = (batch: BatchView) => boolean;

/**
 * The first index from which on no batch is such. What is such of a batch is such of all before it, so the end is found
 * in steps that double, and then by halving. `guess` is where it was before.
 */
async function end(rollup: number, guess: number, such: Such): Promise<number> {
  const holds = async (index: number) => {
    const [batch] = await batchesFrom(rollup, index, 1);
    return batch !== undefined && such(batch);
  };
  let low = guess > 0 && (await holds(guess - 1)) ? guess : 0;
  let step = 1;
  while (await holds(low + step - 1)) {
    low += step;
    step *= 2;
  }
  let high = low + step - 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (await holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const ends = new Map<string, number>();

async function endOf(rollup: number, name: string, such: Such): Promise<number> {
  const place = `${rollup} ${name}`;
  const found = await end(rollup, ends.get(place) ?? 0, such);
  ends.set(place, found);
  return found;
}

/** Index of the next batch, which is not there yet. */
export const nextOf = (rollup: number): Promise<number> => endOf(rollup, 'cut', () => true);

/** The last batch that L1 has, and the last that it has for good. */
export async function lastOnL1(rollup: number): Promise<{ posted: BatchView | undefined; settled: BatchView | undefined }> {
  const last = async (state: 'posted' | 'settled') => {
    const next = await endOf(rollup, state, (batch) => batch[state]);
    return next > 0 ? (await batchesFrom(rollup, next - 1, 1))[0] : undefined;
  };
  const [posted, settled] = await Promise.all([last('posted'), last('settled')]);
  return { posted, settled };
}
