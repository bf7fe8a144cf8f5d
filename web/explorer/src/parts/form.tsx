// A form that sends something to the node, and says what the node answered when it refuses.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError } from '../api';

type State = 'idle' | 'sending' | ApiError;

/** Its state, and what to do when it is submitted. */
export function useSubmit(send: () => Promise<void>): [State, (event: Event) => void] {
  const [state, set] = useState<State>('idle');
  const submit = (event: Event) => {
    event.preventDefault();
    set('sending');
    send().then(
      () => set('idle'),
      (error: unknown) => set(error instanceof ApiError ? error : new ApiError(String(error), 'failed')),
    );
  };
  return [state, submit];
}

interface Props {
  action: string;
  state: State;
  ready: boolean;
  onSubmit: (event: Event) => void;
  children: ComponentChildren;
}

export function Form({ action, state, ready, onSubmit, children }: Props) {
  return (
    <form class="form" onSubmit={onSubmit}>
      {children}
      <div class="form-end">
        <button type="submit" class="button button-main" disabled={state === 'sending' || !ready}>
          {state === 'sending' ? 'Sending…' : action}
        </button>
        {state instanceof ApiError && (
          <p class="note note-bad" role="alert">
            {state.message}
          </p>
        )}
      </div>
    </form>
  );
}
