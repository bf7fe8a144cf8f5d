// What the page knows of the cluster right now. Everything kept here has a bound, however long the page is open.

import { useEffect, useState } from 'preact/hooks';
import { type BlockEvent, type Cluster, Connection, type Rung, type SecondView, call } from './api';

/** Blocks that the lists and the ring look back on. */
const BLOCKS_MAX = 120;
/** Seconds of the charts. */
export const SECONDS = 60;
/** Redraws at most this often, however many events come. */
const REDRAW_MS = 200;

export interface LiveBlock extends BlockEvent {
  /** When this node saw each rung. */
  times: Partial<Record<Rung, number>>;
}

/** One second of the charts. */
export interface Second {
  /** Unix seconds. */
  at: number;
  blocks: number;
  transactions: number;
  /** Of the blocks that became final in it, from proposed to finalized here. */
  finalityMs: number[];
}

export interface Live {
  /** Whether the WebSocket is open; undefined until it first was, or failed to. */
  online: boolean | undefined;
  /** When the last word of the node came, in this browser's time. */
  heardMs: number;
  cluster: Cluster | undefined;
  /** When that came, in this browser's time. */
  clusterMs: number;
  /** Newest first, by height; unfinalized ones among them. */
  blocks: LiveBlock[];
  seconds: Second[];
  /** Final since the page was opened. */
  finalizedTransactions: number;
}

export const live: Live = {
  online: undefined,
  heardMs: 0,
  cluster: undefined,
  clusterMs: 0,
  blocks: [],
  seconds: [],
  finalizedTransactions: 0,
};

const listeners = new Set<() => void>();
let redraw: ReturnType<typeof setTimeout> | undefined;

function changed(): void {
  redraw ??= setTimeout(() => {
    redraw = undefined;
    for (const listener of listeners) listener();
  }, REDRAW_MS);
}

/** Redraws the component as the cluster moves. */
export function useLive(): Live {
  const [, tick] = useState(0);
  useEffect(() => {
    const listener = () => tick((count) => count + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return live;
}

function second(at: number): Second {
  const last = live.seconds.at(-1);
  if (last?.at === at) return last;
  const earlier = live.seconds.find((other) => other.at === at);
  if (earlier) return earlier;
  const fresh: Second = { at, blocks: 0, transactions: 0, finalityMs: [] };
  live.seconds.push(fresh);
  live.seconds.sort((one, other) => one.at - other.at);
  live.seconds.splice(0, live.seconds.length - SECONDS - 5);
  return fresh;
}

function onBlock(event: BlockEvent): void {
  live.heardMs = Date.now();
  const known = live.blocks.find((block) => block.hash === event.hash);
  const times = { ...known?.times, [event.rung]: event.time_ms };
  const voters = [...new Set([...(known?.voters ?? []), ...event.voters])];
  const block = { ...event, times, voters };
  if (known) live.blocks[live.blocks.indexOf(known)] = block;
  else live.blocks.unshift(block);
  if (event.rung === 'finalized') {
    // What lost against it at its height, or below.
    live.blocks = live.blocks.filter((other) => other.rung === 'finalized' || other.height > event.height);
    live.finalizedTransactions += event.transactions;
    const now = second(Math.floor(event.time_ms / 1_000));
    now.blocks += 1;
    now.transactions += event.transactions;
    if (times.proposed !== undefined) now.finalityMs.push(event.time_ms - times.proposed);
  }
  live.blocks.sort((one, other) => other.height - one.height);
  live.blocks.length = Math.min(live.blocks.length, BLOCKS_MAX);
  changed();
}

/** What was before the page was opened, or while the node was away. */
async function fillLastMinute(): Promise<void> {
  for (const { time_ms, blocks, transactions, finality_ms } of await call<SecondView[]>('baton_lastMinute')) {
    const known = second(time_ms / 1_000);
    if (known.blocks < blocks) Object.assign(known, { blocks, transactions, finalityMs: finality_ms === null ? [] : [finality_ms] });
  }
  changed();
}

export const connection = new Connection((online) => {
  live.online = online;
  // Without it the charts begin empty.
  if (online) fillLastMinute().catch(() => undefined);
  changed();
});

connection.subscribe({ topic: 'blocks' }, (result) => {
  if (typeof (result as BlockEvent).height === 'number') onBlock(result as BlockEvent);
});

connection.subscribe({ topic: 'cluster' }, (result) => {
  live.cluster = result as Cluster;
  live.clusterMs = Date.now();
  live.heardMs = live.clusterMs;
  changed();
});

/** The node's clock, as far as the page knows it. */
export const nodeNow = (): number => (live.cluster ? live.cluster.time_ms + (Date.now() - live.clusterMs) : Date.now());

// Silence shows as well.
setInterval(changed, 1_000);

/** The charts' seconds up to now, empty ones included. The last one is not over yet and left out. */
export function lastSeconds(): Second[] {
  const now = Math.floor((live.cluster?.time_ms ?? Date.now()) / 1_000);
  const known = new Map(live.seconds.map((one) => [one.at, one]));
  return Array.from({ length: SECONDS }, (_, at) => now - SECONDS + at).map(
    (at) => known.get(at) ?? { at, blocks: 0, transactions: 0, finalityMs: [] },
  );
}

/** Those of the last ten that were watched to their end: a page that has just opened must not call the cluster slow. */
export function watchedSeconds(): Second[] {
  const first = live.seconds[0]?.at;
  return first === undefined ? [] : lastSeconds().slice(-10).filter((second) => second.at > first);
}

export function median(numbers: number[]): number | undefined {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}
