// The ladder that every transaction climbs, in the words of the API.

import type { Rung, TransactionView } from '../api';
import { duration } from '../format';
import { Time } from './common';

const ORDERED: Rung[] = ['pending', 'replicated', 'proposed', 'notarized', 'finalized'];
const ON_L1: Rung[] = ['posted', 'settled'];
const FAILED: Rung[] = ['expired', 'rejected', 'skipped', 'superseded'];

/** Whether nothing can follow, whatever its rollup is. */
export const isEnd = (rung: Rung): boolean => ['settled', ...FAILED].includes(rung);

/** In a block that can never be replaced, whatever execution made of it. */
export const isFinal = (rung: Rung): boolean => ['finalized', 'executed', 'skipped', ...ON_L1].includes(rung);

/** What the rung means where there is no L1. */
const IN_DIRECTORY = 'in a batch that the group signed, in the directory of the cluster';

const MEANING: Record<Rung, string> = {
  pending: 'on one node’s disk',
  replicated: 'on the disks of a quorum of nodes',
  proposed: 'in a block that this node found valid',
  notarized: 'in a block that a quorum voted for',
  finalized: 'in a block with a certificate: never lost, never moved',
  executed: 'its effects are final, with a receipt',
  posted: 'in a batch in a block of L1, which L1 may still replace',
  settled: 'in a batch in a final block of L1',
  expired: 'its last valid height passed before it was ordered',
  rejected: 'never accepted',
  skipped: 'in a final block, and its execution left it out',
  superseded: 'another transaction took its place',
};

interface Props {
  view: TransactionView;
  /** Whether its rollup is executed. */
  executed: boolean;
  /** Whether its rollup settles on L1. */
  settles: boolean;
  /** When it was handed in, if this page saw that. */
  since?: number;
}

export function Ladder({ view, executed, settles, since }: Props) {
  const skipped = view.rung === 'skipped';
  const filed = !settles && view.rung === 'posted';
  const above: Rung[] = settles ? ON_L1 : filed ? ['posted'] : [];
  const ladder: Rung[] = skipped ? ORDERED : [...ORDERED, ...(executed ? (['executed'] as const) : []), ...above];
  const reached = ladder.indexOf(skipped ? 'finalized' : view.rung);
  const times = view.times_ms ?? {};
  const first = since ?? ladder.map((rung) => times[rung]).find((ms) => ms !== undefined);
  const ended = FAILED.includes(view.rung);
  return (
    <ol class="ladder" aria-label={`Ladder: now ${view.rung}`}>
      {ladder.map((rung, at) => {
        const on = at <= reached;
        const ms = times[rung];
        return (
          <li key={rung} class={`step ${on ? 'on' : ''} ${rung === view.rung ? 'now' : ''} step-${rung}`} aria-current={rung === view.rung ? 'step' : undefined}>
            <span class="step-name">{rung}</span>
            <span class="step-meaning">{filed && rung === 'posted' ? IN_DIRECTORY : MEANING[rung]}</span>
            <span class="step-time">
              {ms !== undefined ? (
                <>
                  <Time ms={ms} />
                  {first !== undefined && ms > first && <span class="step-after"> +{duration(ms - first)}</span>}
                </>
              ) : on ? (
                'reached'
              ) : (
                ''
              )}
            </span>
          </li>
        );
      })}
      {ended && (
        <li class="step on now step-ended" aria-current="step">
          <span class="step-name">{view.rung}</span>
          <span class="step-meaning">{view.reason ?? MEANING[view.rung]}</span>
        </li>
      )}
    </ol>
  );
}
