// The Ethereum API of one EVM rollup, as far as this page uses it. Quantities come as hex.

import { call, callAll, pathOf } from '../api';

export interface EthBlock<T = string> {
  number: string;
  hash: string;
  parentHash: string;
  timestamp: string;
  miner: string;
  gasUsed: string;
  gasLimit: string;
  baseFeePerGas: string;
  size: string;
  stateRoot: string;
  transactionsRoot: string;
  receiptsRoot: string;
  mixHash: string;
  /** The cluster's block before the one that begins this. */
  parentBeaconBlockRoot: string;
  transactions: T[];
}

export interface EthTransaction {
  hash: string;
  type: string;
  from: string;
  /** Null where it makes a contract. */
  to: string | null;
  value: string;
  input: string;
  nonce: string;
  gas: string;
  gasPrice?: string;
  maxFeePerGas?: string;
  maxPriorityFeePerGas?: string;
  /** Null while it waits. */
  blockNumber: string | null;
}

export interface EthLog {
  address: string;
  topics: string[];
  data: string;
  logIndex: string;
  blockNumber: string;
  transactionHash: string;
}

export interface EthReceipt {
  transactionHash: string;
  status: string;
  blockNumber: string;
  gasUsed: string;
  effectiveGasPrice: string;
  contractAddress: string | null;
  logs: EthLog[];
}

/** One call of a trace, with those it made. */
export interface CallFrame {
  type: string;
  from: string;
  to?: string;
  value?: string;
  gasUsed: string;
  input: string;
  error?: string;
  revertReason?: string;
  calls?: CallFrame[];
}

/** One side of a state change; what is the same on both sides is left out. */
export interface AccountState {
  balance?: string;
  nonce?: number;
  code?: string;
  storage?: Record<string, string>;
}

export interface StateDiff {
  pre: Record<string, AccountState>;
  post: Record<string, AccountState>;
}

export const eth = <T>(rollup: string, method: string, ...params: unknown[]): Promise<T> => call<T>(method, params, pathOf(rollup));

export const ethAll = <T>(rollup: string, method: string, params: unknown[][]): Promise<T[]> => callAll<T>(method, params, pathOf(rollup));

export const quantity = (number: number | bigint): string => `0x${number.toString(16)}`;
