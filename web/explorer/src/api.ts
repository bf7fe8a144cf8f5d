// The node's API, as far as this page uses it: calls by POST, subscriptions over one WebSocket.

import type { BlockView, ElectionView } from '@baton/light-client';

export type { BlockView, ElectionView };

export type Rung = 'pending' | 'replicated' | 'proposed' | 'notarized' | 'finalized' | 'executed' | 'posted' | 'settled' | 'expired' | 'rejected' | 'skipped' | 'superseded';

export interface Status {
  version: string;
  network: string;
  network_id: number;
  chain: string;
  group_key: string;
  index: number;
  identity: string;
  members: number;
  quorum: number;
  faults: number;
  ready: boolean;
  reason?: string;
  epoch: number;
  view: number;
  lowest_height: number;
  finalized_height: number;
  finalized_hash: string;
  finalized_time_ms: number;
  uptime_ms: number;
  mempool_transactions: number;
}

export interface Pool {
  transactions: number;
  bytes: number;
  bytes_max: number;
  rollups: { rollup: number; transactions: number; bytes: number; bytes_max: number }[];
}

export interface MemberSight {
  index: number;
  /** Null where the node cannot tell. */
  connected: boolean | null;
  voting: boolean;
  last_vote_view: number | null;
  benched: boolean;
  suspended: boolean;
  clock_ahead_ms: number | null;
}

/** How far the node has executed an EVM rollup. */
export interface Execution {
  rollup: number;
  executed_to: number;
  number: number;
  stopped: boolean;
}

/** What the topic `cluster` delivers a few times a second. */
export interface Cluster {
  time_ms: number;
  status: Status;
  mempool: Pool;
  executions: Execution[];
  members: MemberSight[];
}

export interface BlockEvent {
  rung: Rung;
  height: number;
  hash: string;
  epoch: number;
  view: number;
  committer: number;
  author: number;
  timestamp_ms: number;
  time_ms: number;
  transactions: number;
  bytes: number;
  /** Members whose votes for it the node had seen by then. */
  voters: number[];
}

/** What became final in one second. */
export interface SecondView {
  time_ms: number;
  blocks: number;
  transactions: number;
  finality_ms: number | null;
}

export interface TransactionView {
  id: string;
  rung: Rung;
  place?: { rollup: number; height: number; block: string; index: number };
  times_ms?: Partial<Record<Rung, number>>;
  reason?: string;
}

/** What the genesis says of a rollup that executes Ethereum transactions. */
export interface Evm {
  chain_id: number;
  gas_limit: number;
  base_fee: { start: number; elasticity: number; denominator: number };
  fee_recipient: string;
  cadence: 'per-block' | { slotted: { ms: number } };
}

export interface Rollup {
  id: number;
  name: string;
  kind: string;
  data: string;
  ordering: string;
  transaction_bytes_max: number;
  block_bytes_max: number;
  mempool_bytes_max: number;
  reserved_percent: number;
  evm?: Evm;
}

export interface RollupBlock {
  height: number;
  block: string;
  timestamp_ms: number;
  head: string;
  ids: string[];
  payloads: string[];
}

export interface Counts {
  from_height: number | null;
  blocks_authored: number;
  designations: number;
  reveals: number;
  single_proofs: number;
  turns_missed: number;
  segments_benched: number;
  suspensions: number;
}

export interface Validator {
  index: number;
  identity: string;
  p2p: string;
  weight: number;
  voting: boolean;
  last_vote_view: number | null;
  benched: boolean;
  suspended: boolean;
  epoch: Counts;
  since_start: Counts;
  this_node: boolean;
}

export interface Epoch {
  epoch: number;
  first_height: number;
  last_height: number;
  group_key: string;
  election: string;
  holders: number;
  quorum: number;
  faults: number;
}

/** What the genesis says of L1. */
export interface L1 {
  chain_id: number;
  registry: string;
  start_block: number;
  confirmation: 'finalized' | { depth: number };
  data: 'blobs' | 'calldata' | 'directory';
  batch_bytes_target: number;
  batch_age_ms_max: number;
  rollups: { rollup: number; inbox: string; queue: string; first_height: number }[];
}

export interface Receipt {
  chain: string;
  node: string;
  rung: Rung;
  time_ms: number;
  ids: string[];
  signature: string;
}

/** The node said no, or did not answer. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly reason: string,
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

const OFFLINE = 'This node does not answer. It may be stopped, or the network between is down.';
const RETRIES = 8;

interface Refusal {
  reason: string;
  detail: string;
  retry_after_ms?: number;
}

interface Reply {
  result?: unknown;
  /** The methods of Ethereum have text as data, or none. */
  error?: { message: string; data?: Refusal | string };
}

/** Where the methods of Ethereum are about this rollup. */
export const pathOf = (rollup: string): string => `/rollup/${rollup}`;

async function post(path: string, body: unknown): Promise<unknown> {
  try {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
    return await response.json();
  } catch {
    throw new ApiError(OFFLINE, 'offline');
  }
}

function resultOf<T>(reply: Reply): T {
  if (reply.error === undefined) return reply.result as T;
  const { message, data } = reply.error;
  const refusal = typeof data === 'object' ? data : undefined;
  throw new ApiError(refusal?.detail ?? message, refusal?.reason ?? 'failed', refusal?.retry_after_ms);
}

/** Waits as long as the node asks for, a few times; what it refuses without a time to wait stays refused. */
export async function call<T>(method: string, params: object = {}, path = '/'): Promise<T> {
  for (let retry = 0; ; retry += 1) {
    try {
      return resultOf<T>((await post(path, { jsonrpc: '2.0', id: 1, method, params })) as Reply);
    } catch (error) {
      const wait = error instanceof ApiError ? error.retryAfterMs : undefined;
      if (wait === undefined || retry === RETRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(wait, 1_000)));
    }
  }
}

/** Several calls in one request; those that are refused are left out. */
export async function callAll<T>(method: string, params: object[], path = '/'): Promise<T[]> {
  if (params.length === 0) return [];
  const calls = params.map((one, id) => ({ jsonrpc: '2.0', id, method, params: one }));
  const replies = (await post(path, calls)) as Reply[];
  return replies.filter((reply) => reply.error === undefined).map((reply) => reply.result as T);
}

const constants = new Map<string, Promise<unknown>>();

/** What does not change while the node runs, asked for once. */
export function constant<T>(method: 'baton_genesis' | 'baton_rollups'): Promise<T> {
  const known = constants.get(method);
  if (known) return known as Promise<T>;
  const asked = call<T>(method);
  constants.set(method, asked);
  asked.catch(() => constants.delete(method));
  return asked;
}

export const rollups = (): Promise<Rollup[]> => constant('baton_rollups');

/** Nothing where the cluster does not settle on an L1. */
export const settlement = async (): Promise<L1 | undefined> => (await constant<{ l1?: L1 | null }>('baton_genesis')).l1 ?? undefined;

export type Handler = (result: unknown) => void;

interface Subscription {
  params: object;
  handler: Handler;
  /** The node's number for it on the present connection. */
  number?: number;
}

const RECONNECT_MS_MIN = 250;
const RECONNECT_MS_MAX = 4_000;

/** One WebSocket that comes back by itself, with all its subscriptions. */
export class Connection {
  private socket: WebSocket | undefined;
  private wait = RECONNECT_MS_MIN;
  private next = 1;
  private readonly subscriptions = new Map<number, Subscription>();

  constructor(private readonly changed: (online: boolean) => void) {
    this.connect();
    // A laptop that wakes up, or a network that is back, need not wait for the timer.
    addEventListener('online', () => this.connect());
  }

  /** Returns what ends it. */
  subscribe(params: object, handler: Handler): () => void {
    const id = this.next;
    this.next += 1;
    this.subscriptions.set(id, { params, handler });
    if (this.socket?.readyState === WebSocket.OPEN) this.start(id);
    return () => {
      const number = this.subscriptions.get(id)?.number;
      this.subscriptions.delete(id);
      if (number !== undefined) this.send({ id: 0, method: 'baton_unsubscribe', params: { subscription: number } });
    };
  }

  private connect(): void {
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws'));
    this.socket = socket;
    socket.onopen = () => {
      this.wait = RECONNECT_MS_MIN;
      // It may be another cluster by now.
      constants.clear();
      this.changed(true);
      for (const id of this.subscriptions.keys()) this.start(id);
    };
    socket.onmessage = (message) => this.receive(JSON.parse(message.data as string));
    socket.onclose = () => {
      for (const subscription of this.subscriptions.values()) delete subscription.number;
      this.changed(false);
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(2 * this.wait, RECONNECT_MS_MAX);
    };
  }

  private start(id: number): void {
    this.send({ id, method: 'baton_subscribe', params: this.subscriptions.get(id)?.params });
  }

  private send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
  }

  private receive(message: Reply & { id?: number; params?: { subscription: number; result: unknown } }): void {
    if (message.params !== undefined) {
      const { subscription, result } = message.params;
      for (const { number, handler } of this.subscriptions.values()) if (number === subscription) handler(result);
      return;
    }
    const { id } = message;
    if (id === undefined) return;
    if (message.error) {
      const { data } = message.error;
      const wait = typeof data === 'object' ? data.retry_after_ms : undefined;
      if (wait !== undefined) setTimeout(() => this.subscriptions.has(id) && this.start(id), wait);
      return;
    }
    if (typeof message.result !== 'number') return;
    const subscription = this.subscriptions.get(id);
    // Ended before the node had answered.
    if (subscription) subscription.number = message.result;
    else this.send({ id: 0, method: 'baton_unsubscribe', params: { subscription: message.result } });
  }
}
