// What L1 has of what the cluster ordered.

import { FIELDS } from '@baton/light-client';
import type { ComponentChildren } from 'preact';
import { type BlockView, type L1, call, constant, rollups, settlement } from '../api';
import { type BatchView, type ForcedQueue, batchesFrom, lastOnL1, nextOf, queueOf, stateOf } from '../batches';
import { bytes, duration, grouped } from '../format';
import { useLive } from '../live';
import { Card, Empty, Facts, Hex, Loading, Page, Rung, Show, Table, useLoad, useRollups } from '../parts/common';
import { VerdictNote } from '../parts/verdict';
import { type Trust, trusted } from '../trust';
import { type Answer, type Verdict, verify } from '../verify';

const EVERY_MS = 3_000;
/** Of all rollups, and on a page of one. */
const ROWS = 20;

const LEAD = 'What the cluster orders goes to L1 in batches, each under one signature of the group. From them anyone can rebuild a rollup without asking a node.';

/** A page with something on it where the cluster settles. */
function Settling({ title, lead, children }: { title: string; lead?: ComponentChildren; children: (l1: L1, trust: Trust) => ComponentChildren }) {
  const { cluster } = useLive();
  const loaded = useLoad(settlement, []);
  return (
    <Page title={title} lead={lead}>
      <Show loaded={loaded}>
        {(l1) => {
          if (!l1) return <Empty>This cluster does not settle on an L1.</Empty>;
          return cluster ? children(l1, trusted(cluster.status)) : <Loading />;
        }}
      </Show>
    </Page>
  );
}

export function Settlement() {
  return (
    <Settling title="Settlement" lead={LEAD}>
      {(l1, trust) => <All l1={l1} trust={trust} />}
    </Settling>
  );
}

/** Of one rollup, by its name or number. */
function OfRollup({ name, l1, children }: { name: string; l1: L1; children: (rollup: number) => ComponentChildren }) {
  const loaded = useLoad(async () => {
    const id = (await rollups()).find((rollup) => rollup.name === name || String(rollup.id) === name)?.id;
    return l1.rollups.find(({ rollup }) => rollup === id)?.rollup;
  }, [name, l1]);
  return (
    <Show loaded={loaded}>
      {(rollup) =>
        rollup === undefined ? (
          <Empty>
            No rollup “{name}” settles here. <a href="#/settlement">Settlement</a>
          </Empty>
        ) : (
          children(rollup)
        )
      }
    </Show>
  );
}

interface Final {
  block: BlockView;
  /** The last block of L1 that the cluster has taken note of; number 0 before the first. */
  origin: { number: number; hash: string };
  verdict: Answer;
}

/** The newest final block, and what this browser found in checking it. */
async function newestFinal({ key, chain }: Trust): Promise<Final> {
  const block = await call<BlockView>('baton_block', { block: 'latest' });
  const [proof, genesis] = await Promise.all([call<{ header: string }>('baton_blockProof', { block: block.height }), constant('baton_genesis')]);
  const verdict = await verify({ kind: 'block', asked: String(block.height), view: block, proof, genesis, key, chain });
  const field = ([at, size]: readonly [number, number]) => `0x${proof.header.slice(2 + 2 * at, 2 + 2 * (at + size))}`;
  return { block, origin: { number: Number(field(FIELDS.l1_number)), hash: field(FIELDS.l1_hash) }, verdict };
}

interface Progress {
  rollup: number;
  posted: BatchView | undefined;
  settled: BatchView | undefined;
  queue: ForcedQueue | null;
  /** The newest ones, oldest first. */
  batches: BatchView[];
}

async function progressOf(rollup: number): Promise<Progress> {
  const [next, onL1, queue] = await Promise.all([nextOf(rollup), lastOnL1(rollup), queueOf(rollup)]);
  return { rollup, ...onL1, queue, batches: await batchesFrom(rollup, Math.max(0, next - ROWS), ROWS) };
}

function All({ l1, trust }: { l1: L1; trust: Trust }) {
  const loaded = useLoad(
    async () => {
      const progress = await Promise.all(l1.rollups.map(({ rollup }) => progressOf(rollup)));
      // After the batches, so that finality is never behind them.
      return { progress, final: await newestFinal(trust) };
    },
    [l1, trust.key, trust.chain],
    EVERY_MS,
  );
  return (
    <Show loaded={loaded}>
      {({ progress, final: { block, origin, verdict } }) => (
        <>
          <VerdictNote verdict={verdict} words={{ holds: 'The origin is that of the newest block with a certificate. What L1 has is this node’s word: anyone can look at L1.' }} />
          {verdict.holds && <Terms l1={l1} origin={origin} />}
          {verdict.holds && <ByRollup l1={l1} block={block} all={progress} />}
          <Card title="Newest batches">
            <Batches batches={newestOf(progress)} />
          </Card>
        </>
      )}
    </Show>
  );
}

const newestOf = (all: Progress[]): BatchView[] =>
  all.flatMap(({ batches }) => batches).sort((one, other) => other.last_height - one.last_height).slice(0, ROWS);

const originRule = ({ confirmation }: L1): string => (confirmation === 'finalized' ? 'one that is final on L1' : `one with ${confirmation.depth} blocks on top of it`);

function Terms({ l1, origin }: { l1: L1; origin: Final['origin'] }) {
  return (
    <Card title="L1">
      <Facts
        rows={[
          ['Chain id', String(l1.chain_id)],
          ['Origin', origin.number > 0 ? <>block {grouped(origin.number)}, <Hex value={origin.hash} /></> : 'none yet'],
          ['An origin is', originRule(l1)],
          ['Data of batches', l1.data],
          ['A batch ends', `at ${bytes(l1.batch_bytes_target)}, or ${duration(l1.batch_age_ms_max)} after the first thing in it`],
          ['Registry of keys', <Hex value={l1.registry} />],
        ]}
      />
    </Card>
  );
}

function ByRollup({ l1, block, all }: { l1: L1; block: BlockView; all: Progress[] }) {
  const known = useRollups();
  return (
    <Card title="How far L1 has it">
      <Table label="How far L1 has each rollup" head={['Rollup', 'Posted', 'Settled', 'Forced entries', 'Inbox', 'Forced queue']}>
        {all.map(({ rollup, posted, settled, queue }) => {
          const name = known.get(rollup)?.name ?? String(rollup);
          const contracts = l1.rollups.find((one) => one.rollup === rollup)!;
          return (
            <tr key={rollup}>
              <td>
                <a href={`#/settlement/${name}`}>{name}</a>
              </td>
              <td>
                <Reach batch={posted} rollup={rollup} block={block} />
              </td>
              <td>
                <Reach batch={settled} rollup={rollup} block={block} />
              </td>
              <td class="number">{queue ? `${grouped(queue.taken)} of ${grouped(queue.length)} taken` : 'L1 not reached'}</td>
              <td>
                <Hex value={contracts.inbox} />
              </td>
              <td>
                <Hex value={contracts.queue} />
              </td>
            </tr>
          );
        })}
      </Table>
      <p class="hint">Behind is counted in blocks of the cluster up to the newest final one. A rollup in which nothing happens has no batches.</p>
    </Card>
  );
}

/** Up to where, and how far that is behind finality. A batch that ends at the rollup's present head has everything. */
function Reach({ batch, rollup, block }: { batch: BatchView | undefined; rollup: number; block: BlockView }) {
  const head = block.heads.find((one) => one.rollup === rollup)?.head;
  if (!batch) return <>{head === undefined ? 'nothing was ordered' : 'nothing yet'}</>;
  const to = `to height ${grouped(batch.last_height)}`;
  if (batch.order_root === head) return <>everything, {to}</>;
  return (
    <>
      {to}, {grouped(Math.max(0, block.height - batch.last_height))} behind
    </>
  );
}

function Batches({ batches }: { batches: BatchView[] }) {
  const known = useRollups();
  if (batches.length === 0) {
    return (
      <Empty>
        None yet: one is cut some time after something was ordered. <a href="#/try">Try it</a>
      </Empty>
    );
  }
  return (
    <Table label="Batches" head={['Rollup', 'Batch', 'Blocks', 'State', 'L1 transaction', 'Data', 'Commitment to the data', 'Head after']}>
      {batches.map((batch) => {
        const name = known.get(batch.rollup)?.name ?? String(batch.rollup);
        return (
          <tr key={`${batch.rollup} ${batch.index}`}>
            <td>
              <a href={`#/settlement/${name}`}>{name}</a>
            </td>
            <td class="number">
              <a href={`#/settlement/${name}/${batch.index}`} aria-label={`Batch ${batch.index} of ${name}`}>
                {grouped(batch.index)}
              </a>
            </td>
            <td class="number">
              <Blocks batch={batch} />
            </td>
            <td>
              <Rung rung={stateOf(batch)} />
            </td>
            <td>{batch.l1_transaction ? <Hex value={batch.l1_transaction} /> : '–'}</td>
            <td>{batch.data}</td>
            <td>
              <Hex value={batch.data_commitment} />
            </td>
            <td>
              <Hex value={batch.head} />
            </td>
          </tr>
        );
      })}
    </Table>
  );
}

function Blocks({ batch: { first_height, last_height } }: { batch: BatchView }) {
  return (
    <>
      <a href={`#/block/${first_height}`}>{grouped(first_height)}</a> to <a href={`#/block/${last_height}`}>{grouped(last_height)}</a>
    </>
  );
}

/** `to` is the index of the newest batch to show. */
export function RollupSettlement({ name, to }: { name: string; to: number | undefined }) {
  return (
    <Settling title={`Settlement of ${name}`}>
      {(l1) => (
        <OfRollup name={name} l1={l1}>
          {(rollup) => <History name={name} rollup={rollup} to={to} />}
        </OfRollup>
      )}
    </Settling>
  );
}

function History({ name, rollup, to }: { name: string; rollup: number; to: number | undefined }) {
  const loaded = useLoad(
    async () => {
      const next = await nextOf(rollup);
      const last = Math.min(next - 1, to ?? next - 1);
      const batches = await batchesFrom(rollup, Math.max(0, last - ROWS + 1), ROWS);
      return { next, batches: batches.filter(({ index }) => index <= last).reverse() };
    },
    [rollup, to],
    EVERY_MS,
  );
  return (
    <Card title="Batches">
      <Show loaded={loaded}>
        {({ next, batches }) => {
          const [newest, oldest] = [batches[0]?.index ?? 0, batches.at(-1)?.index ?? 0];
          return (
            <>
              <Batches batches={batches} />
              <nav class="pager" aria-label="More batches">
                {newest + 1 < next && <a href={`#/settlement/${name}?to=${newest + ROWS}`}>← Newer</a>}
                {oldest > 0 && <a href={`#/settlement/${name}?to=${oldest - 1}`}>Older →</a>}
              </nav>
            </>
          );
        }}
      </Show>
    </Card>
  );
}

export function Batch({ name, index }: { name: string; index: number }) {
  return (
    <Settling title={`Batch ${grouped(index)} of ${name}`}>
      {(l1, trust) => (
        <OfRollup name={name} l1={l1}>
          {(rollup) => <OneBatch trust={trust} rollup={rollup} index={index} />}
        </OfRollup>
      )}
    </Settling>
  );
}

async function checked(rollup: number, index: number, { key, chain }: Trust): Promise<{ batch: BatchView; verdict: Verdict }> {
  const batch = await call<BatchView>('baton_batch', { rollup, index });
  if (!batch.certificate) return { batch, verdict: { unavailable: 'a quorum has not signed it yet' } };
  const [proof, genesis] = await Promise.all([call('baton_blockProof', { block: 'latest' }), constant('baton_genesis')]);
  return { batch, verdict: await verify({ kind: 'batch', asked: `${rollup}/${index}`, batch, proof, genesis, key, chain }) };
}

function OneBatch({ trust, rollup, index }: { trust: Trust; rollup: number; index: number }) {
  const loaded = useLoad(() => checked(rollup, index, trust), [rollup, index, trust.key, trust.chain], EVERY_MS);
  return (
    <Show loaded={loaded}>
      {({ batch, verdict }) => (
        <>
          <VerdictNote verdict={verdict} words={{ holds: 'The group signed this batch for the inbox that the genesis names. Whether L1 has it is this node’s word.' }} />
          <BatchFacts batch={batch} />
        </>
      )}
    </Show>
  );
}

const MEANING = {
  cut: 'its blocks are final; members are signing it',
  certified: 'signed by the group, and not on L1 yet',
  posted: 'in a block of L1, which L1 may still replace',
  settled: 'in a final block of L1',
};

function BatchFacts({ batch }: { batch: BatchView }) {
  const state = stateOf(batch);
  return (
    <Card title="Batch" side={<Rung rung={state} />}>
      <Facts
        rows={[
          ['State', MEANING[state]],
          ['Blocks', <Blocks batch={batch} />],
          ...(batch.l1_transaction && batch.l1_block !== undefined
            ? ([['L1 transaction', <><Hex value={batch.l1_transaction} /> in block {grouped(batch.l1_block)}</>]] as [string, ComponentChildren][])
            : []),
          ['Inbox', <Hex value={batch.inbox} />],
          ['Data', batch.data],
          ['Commitment to the data', <Hex value={batch.data_commitment} />],
          ['Order root', <Hex value={batch.order_root} />],
          ['Head of the inbox before', <Hex value={batch.previous_head} />],
          ['Head of the inbox after', <Hex value={batch.head} />],
          ['Forced entries taken', grouped(batch.forced_cursor)],
          ['Slot, generation of the key', `${grouped(batch.slot)}, ${grouped(batch.key_generation)}`],
          ...(batch.certificate ? ([['Signature', <Hex value={batch.certificate.signature} />]] as [string, ComponentChildren][]) : []),
        ]}
      />
    </Card>
  );
}
