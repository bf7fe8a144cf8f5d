import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { duration, grouped, short } from './format';
import { type Live, useLive } from './live';
import { type Route, go, useRoute } from './router';
import { sameCluster, trustNode, trusted } from './trust';
import { Copy, Empty, Page } from './parts/common';
import { Block } from './pages/block';
import { Blocks } from './pages/blocks';
import { EvmAddress } from './pages/evm/address';
import { EvmBlock } from './pages/evm/block';
import { Mempool } from './pages/mempool';
import { Overview } from './pages/overview';
import { RollupPage, Rollups } from './pages/rollups';
import { Search } from './pages/search';
import { Batch, RollupSettlement, Settlement } from './pages/settlement';
import { Transaction } from './pages/transaction';
import { Try } from './pages/try';
import { Validators } from './pages/validators';

const NAVIGATION: [string, string][] = [
  ['', 'Overview'],
  ['blocks', 'Blocks'],
  ['rollups', 'Rollups'],
  ['validators', 'Validators'],
  ['mempool', 'Mempool'],
  ['settlement', 'Settlement'],
  ['try', 'Try it'],
];

/** Pages that belong to an entry of the navigation. */
const UNDER: Record<string, string> = { block: 'blocks', rollup: 'rollups', tx: 'blocks' };

/** A height or number in its one form, or a hash. */
const place = (text: string): string => (/^\d{1,15}$/.test(text) ? String(Number(text)) : text.toLowerCase());

const numberOf = (text: string | null): number | undefined => (text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined);

function page({ name, rest, query }: Route) {
  const [first = '', second, third = ''] = rest;
  switch (name) {
    case '':
      return <Overview />;
    case 'blocks':
      return <Blocks to={numberOf(query.get('to'))} />;
    case 'block':
      return <Block at={place(first)} />;
    case 'tx':
      return <Transaction id={first.toLowerCase()} />;
    case 'rollups':
      return <Rollups />;
    case 'rollup':
      if (second === 'block') return <EvmBlock rollup={first} at={place(third)} />;
      if (second === 'address') return <EvmAddress rollup={first} address={third.toLowerCase()} />;
      return <RollupPage name={first} />;
    case 'validators':
      return <Validators />;
    case 'mempool':
      return <Mempool />;
    case 'settlement': {
      if (first === '') return <Settlement />;
      const index = numberOf(second ?? null);
      return index === undefined ? <RollupSettlement name={first} to={numberOf(query.get('to'))} /> : <Batch name={first} index={index} />;
    }
    case 'try':
      return <Try rollup={first} />;
    case 'search':
      return <Search text={first.trim()} />;
    default:
      return (
        <Page title="No such page">
          <Empty>
            There is nothing at “{name.slice(0, 40)}”. <a href="#/">Overview</a>
          </Empty>
        </Page>
      );
  }
}

function App() {
  const route = useRoute();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  // As if the browser had loaded a page: at its top, with the heading read out.
  useEffect(() => {
    if (!first.current) {
      scrollTo(0, 0);
      main.current?.querySelector('h1')?.focus();
    }
    first.current = false;
  }, [route.path]);
  const under = UNDER[route.name] ?? route.name;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.querySelector('h1')?.focus())}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/">
          <img src="/explorer/icon.svg" alt="" width="28" height="28" /> Baton
        </a>
        <nav aria-label="Pages of this explorer" class="menu">
          {NAVIGATION.map(([name, title]) => (
            <a key={name} href={`#/${name}`} aria-current={under === name ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <Find />
        <Theme />
      </header>
      <State />
      <main id="main" ref={main}>
        {page(route)}
      </main>
      <Foot />
    </>
  );
}

function Find() {
  const submit = (event: Event) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const text = String(new FormData(form).get('text') ?? '').trim();
    if (text !== '') go(`search/${encodeURIComponent(text)}`);
    form.reset();
  };
  return (
    <form role="search" class="find" onSubmit={submit}>
      <input name="text" type="search" placeholder="Height, hash, address" aria-label="Search by height, hash, address or rollup" autocomplete="off" spellcheck={false} />
    </form>
  );
}

const THEMES = ['system', 'light', 'dark'] as const;

function Theme() {
  const [theme, set] = useState(() => {
    try {
      return localStorage.getItem('baton.theme') ?? 'system';
    } catch {
      return 'system';
    }
  });
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme;
    try {
      localStorage.setItem('baton.theme', theme);
    } catch {
      // It is forgotten with the page.
    }
  }, [theme]);
  const next = THEMES[(THEMES.indexOf(theme as (typeof THEMES)[number]) + 1) % THEMES.length]!;
  return (
    <button type="button" class="theme" onClick={() => set(next)} aria-label={`Colours: ${theme}. Change to ${next}`} title={`Colours: ${theme}`}>
      {theme === 'dark' ? '☾' : theme === 'light' ? '☀' : '◐'}
    </button>
  );
}

/** Whether the node lives, whether it does its work, and why not. */
function State() {
  const now = useLive();
  return (
    <section class="state-line" aria-label="State of this node">
      {banner(now)}
      <OtherCluster now={now} />
    </section>
  );
}

/** Without a word for so long, an open connection is as good as none. */
const SILENT_MS = 5_000;

function banner({ online, cluster, heardMs }: Live) {
  const silent = cluster !== undefined && Date.now() - heardMs > SILENT_MS;
  if (online === false || (online && silent)) {
    return (
      <p class="banner banner-bad" data-state="offline" role="status">
        <span class="dot" /> This node does not answer{heardMs > 0 ? `. You see what it said ${duration(Math.floor((Date.now() - heardMs) / 1_000) * 1_000)} ago` : ''}; trying again…
      </p>
    );
  }
  if (!cluster) return <p class="banner">Connecting…</p>;
  const { status } = cluster;
  if (!status.ready) {
    return (
      <p class="banner banner-warn" data-state="not-ready" role="status">
        <span class="dot" /> <strong>Not ready:</strong> {status.reason ?? 'no reason given'}
      </p>
    );
  }
  return (
    <p class="banner banner-good" data-state="ready">
      <span class="dot" /> <strong>{status.network}</strong> finalizes at height {grouped(status.finalized_height)}
    </p>
  );
}

function OtherCluster({ now }: { now: Live }) {
  const [, again] = useState(0);
  const status = now.cluster?.status;
  if (!status) return null;
  const trust = trusted(status);
  if (sameCluster(trust, status)) return null;
  return (
    <div class="banner banner-bad other" role="alert">
      <p>
        <strong>Another cluster than before.</strong> This browser {trust.pinned ? 'was told to trust' : 'first saw here'} the group key {short(trust.key)}; the node speaks for{' '}
        {short(status.group_key)}. After a fresh devnet that is as it should be. Anywhere else, ask the operators.
      </p>
      <button type="button" class="button" onClick={() => (trustNode(status), again((count) => count + 1))}>
        Trust this one
      </button>
    </div>
  );
}

function Foot() {
  const { cluster } = useLive();
  if (!cluster) return <footer class="foot" />;
  const { status } = cluster;
  const trust = trusted(status);
  return (
    <footer class="foot">
      <p>
        Node {status.index} of {status.members}, version {status.version}, up {duration(status.uptime_ms)}. Chain <code>{short(status.chain)}</code>
        <Copy value={status.chain} label="Copy chain" />. Group key <code>{short(trust.key)}</code>
        <Copy value={trust.key} label="Copy group key" /> {trust.pinned ? 'pinned by a link' : 'as this browser first saw it; compare it with your operator’s'}.
      </p>
    </footer>
  );
}

render(<App />, document.getElementById('app')!);
