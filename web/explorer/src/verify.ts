// Asks the worker to check what the node said.

import type { VerifiedExecution } from '@baton/light-client';
import { useEffect, useState } from 'preact/hooks';

export type Request =
  | { kind: 'receipt'; receipt: unknown }
  | { kind: 'payload'; asked: string; rollup: number; evm: boolean; payload: string; validUntil: number; bundle: string | null }
  | { kind: 'final'; proof: unknown; key: string; chain: string }
  | { kind: 'transaction'; asked: string; view: unknown; proof: unknown; key: string; chain: string }
  | { kind: 'block'; asked: string; view: unknown; proof: unknown; genesis: unknown; key: string; chain: string }
  | { kind: 'account'; asked: string; proof: unknown; key: string; chain: string }
  | { kind: 'batch'; asked: string; batch: unknown; proof: unknown; genesis: unknown; key: string; chain: string }
  | { kind: 'election'; asked: string; view: unknown; proof: unknown; key: string; chain: string };

export interface Found {
  /** Whether nothing is left to check elsewhere. */
  complete: boolean;
  /** What a proof of an account shows. */
  execution?: VerifiedExecution;
}

export type Answer = { id: number; ms: number } & (({ holds: true } & Found) | { holds: false; detail: string });

let worker: Worker | undefined;
let next = 1;
const waiting = new Map<number, (answer: Answer) => void>();

function started(): Worker {
  if (worker) return worker;
  worker = new Worker('/explorer/verify.js', { type: 'module' });
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    waiting.get(data.id)?.(data);
    waiting.delete(data.id);
  };
  worker.onerror = () => {
    for (const [id, resolve] of waiting) resolve({ id, ms: 0, holds: false, detail: 'the verifier did not load' });
    waiting.clear();
  };
  return worker;
}

export function verify(request: Request): Promise<Answer> {
  const id = next;
  next += 1;
  return new Promise((resolve) => {
    waiting.set(id, resolve);
    started().postMessage({ ...request, id });
  });
}

export type Verdict = Answer | 'checking' | { unavailable: string };

/** Checks once whenever one of `inputs` changes; `make` fetches what the check needs. */
export function useVerdict(make: (() => Promise<Request>) | undefined, inputs: unknown[]): Verdict {
  const [verdict, set] = useState<Verdict>('checking');
  useEffect(() => {
    let current = true;
    set('checking');
    make?.()
      .then(verify)
      .then((answer) => current && set(answer))
      .catch((error: Error) => current && set({ unavailable: error.message }));
    return () => {
      current = false;
    };
  }, inputs);
  return verdict;
}
