// What this browser found when it checked what the node said.

import { few } from '../format';
import type { Verdict } from '../verify';

interface Words {
  holds: string;
  /** What is left to check elsewhere. */
  partly?: string;
}

export function VerdictNote({ verdict, words }: { verdict: Verdict; words: Words }) {
  if (verdict === 'checking') {
    return (
      <p class="verdict verdict-checking" role="status">
        <span class="spinner" aria-hidden="true" /> This browser is checking…
      </p>
    );
  }
  if ('unavailable' in verdict) {
    return (
      <p class="verdict verdict-checking" role="status">
        <Mark sign="?" /> Not checked: {verdict.unavailable}
      </p>
    );
  }
  if (!verdict.holds) {
    return (
      <p class="verdict verdict-bad" role="alert">
        <Mark sign="!" />
        <span>
          <strong>Do not believe this.</strong> What the node says does not hold: {verdict.detail}.
        </span>
      </p>
    );
  }
  const { complete, ms } = verdict;
  return (
    <p class={`verdict ${complete ? 'verdict-good' : 'verdict-partly'}`} role="status">
      <Mark sign={complete ? '✓' : '~'} />
      <span>
        <strong>{complete ? 'Checked by this browser' : 'Checked in part'}</strong> in {few(ms)} ms. {complete ? words.holds : (words.partly ?? words.holds)}
      </span>
    </p>
  );
}

function Mark({ sign }: { sign: string }) {
  return (
    <span class="mark" aria-hidden="true">
      {sign}
    </span>
  );
}
