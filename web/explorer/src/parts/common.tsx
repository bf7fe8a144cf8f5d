// Small pieces that all pages are made of.

import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError, type Rollup, rollups, settlement } from '../api';
import { ago, clock, dateTime, short } from '../format';
import { live, nodeNow, useLive } from '../live';

export function Page({ title, lead, children }: { title: string; lead?: ComponentChildren; children: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · Baton`;
  }, [title]);
  return (
    <>
      <header class="page-head">
        <h1 tabIndex={-1}>{title}</h1>
        {lead && <p class="lead">{lead}</p>}
      </header>
      {children}
    </>
  );
}

export function Card({ title, side, children, class: name = '' }: { title?: string; side?: ComponentChildren; children: ComponentChildren; class?: string }) {
  return (
    <section class={`card ${name}`}>
      {title && (
        <div class="card-head">
          <h2>{title}</h2>
          {side}
        </div>
      )}
      {children}
    </section>
  );
}

export type Loaded<T> = { state: 'loading' } | { state: 'failed'; error: ApiError } | { state: 'there'; value: T };

/** Loads again whenever one of `inputs` changes; `every` also at an interval, without going blank in between. */
export function useLoad<T>(load: () => Promise<T>, inputs: unknown[], every?: number): Loaded<T> & { again: () => void } {
  const [loaded, set] = useState<Loaded<T>>({ state: 'loading' });
  const [round, again] = useState(0);
  useEffect(() => {
    set({ state: 'loading' });
  }, inputs);
  useEffect(() => {
    let current = true;
    const run = () =>
      load().then(
        (value) => current && set({ state: 'there', value }),
        (error: unknown) => {
          const known = error instanceof ApiError ? error : new ApiError(String(error), 'failed');
          // What was there stays while the node is away; the banner says that it is.
          if (current) set((before) => (before.state === 'there' && known.reason === 'offline' ? before : { state: 'failed', error: known }));
        },
      );
    void run();
    const timer = every === undefined ? undefined : setInterval(run, every);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [...inputs, round]);
  return { ...loaded, again: () => again(round + 1) };
}

/** By id; empty until the node has answered. */
export function useRollups(): Map<number, Rollup> {
  const loaded = useLoad(rollups, []);
  return new Map(loaded.state === 'there' ? loaded.value.map((rollup) => [rollup.id, rollup]) : []);
}

/** Whether a rollup settles on L1; not until the node has answered. */
export function useSettles(rollup: number | undefined): boolean {
  const loaded = useLoad(settlement, []);
  return loaded.state === 'there' && loaded.value !== undefined && loaded.value.rollups.some((one) => one.rollup === rollup);
}

const TITLES: Record<string, string> = {
  not_found: 'Nothing here by that name',
  pruned: 'This node no longer has it',
  offline: 'The node does not answer',
  not_ready: 'Not yet',
};

export function Show<T>({ loaded, children }: { loaded: Loaded<T> & { again?: () => void }; children: (value: T) => ComponentChildren }) {
  if (loaded.state === 'loading') return <Loading />;
  if (loaded.state === 'there') return <>{children(loaded.value)}</>;
  const { error, again } = { ...loaded };
  return (
    <div class="note note-bad" role="alert">
      <strong>{TITLES[error.reason] ?? 'The node refused'}</strong>
      <p>{error.message}</p>
      {again && (
        <button type="button" class="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading() {
  return (
    <div class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Asking the node…
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** A hash or key: short, whole in the title, copied with a click on the button. */
export function Hex({ value, href, whole = false }: { value: string; href?: string; whole?: boolean }) {
  const text = whole ? value : short(value);
  return (
    <span class={whole ? 'hex hex-whole' : 'hex'}>
      {href ? (
        <a href={href} title={value}>
          {text}
        </a>
      ) : (
        <span title={value}>{text}</span>
      )}
      <Copy value={value} />
    </span>
  );
}

export function Copy({ value, label = 'Copy' }: { value: string; label?: string }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      set(true);
      setTimeout(() => set(false), 1_500);
    } catch {
      // Without permission; the whole value is in the title.
    }
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={done ? 'Copied' : `${label} ${short(value)}`}>
      {done ? '✓' : <CopyIcon />}
    </button>
  );
}

function CopyIcon() {
  return (
    <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">
      <rect x="5" y="5" width="9" height="9" rx="2" fill="none" stroke="currentColor" stroke-width="1.5" />
      <path d="M11 3V2.5A1.5 1.5 0 0 0 9.5 1h-6A1.5 1.5 0 0 0 2 2.5v6A1.5 1.5 0 0 0 3.5 10H4" fill="none" stroke="currentColor" stroke-width="1.5" />
    </svg>
  );
}

/** Name and value, one under the other. */
export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Wide tables scroll by themselves; the keyboard reaches them. */
export function Table({ label, head, children }: { label: string; head: string[]; children: ComponentChildren }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export function Time({ ms }: { ms: number }) {
  return (
    <time dateTime={new Date(ms).toISOString()} title={dateTime(ms)}>
      {clock(ms)}
    </time>
  );
}

/** Moves on by itself, by the node's clock. */
export function Ago({ ms }: { ms: number }) {
  useLive();
  return <span title={dateTime(ms)}>{ago(ms, nodeNow())}</span>;
}

export function Member({ index, long = false }: { index: number; long?: boolean }) {
  const own = live.cluster?.status.index === index;
  return (
    <a class="member" href="#/validators" title={own ? `node ${index}, which serves this page` : `node ${index}`}>
      <span class="member-dot" data-member={index % 8} aria-hidden="true" />
      {long ? `node ${index}` : index}
      {long && own && <span class="own"> (this one)</span>}
    </a>
  );
}

export function Rung({ rung }: { rung: string }) {
  return <span class={`rung rung-${rung}`}>{rung}</span>;
}
