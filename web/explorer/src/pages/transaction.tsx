import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type BlockView, type TransactionView, call, rollups } from '../api';
import { type EthTransaction, eth } from '../evm/eth';
import { grouped } from '../format';
import { connection, live, useLive } from '../live';
import { trusted } from '../trust';
import { useVerdict } from '../verify';
import { Card, Empty, Facts, Hex, Loading, Page, Rung, Show, useLoad, useSettles } from '../parts/common';
import { Ladder, isEnd, isFinal } from '../parts/ladder';
import { Payload } from '../parts/payload';
import { VerdictNote } from '../parts/verdict';
import { Executed } from './evm/transaction';

/** A transaction as it climbs: asked for once, then told. */
export function useTransaction(id: string) {
  const loaded = useLoad(() => call<TransactionView>('baton_transaction', { id }), [id]);
  const [told, tell] = useState<TransactionView | undefined>();
  const view = told ?? (loaded.state === 'there' ? loaded.value : undefined);
  // The node ends it by itself where nothing can follow.
  const over = view !== undefined && isEnd(view.rung);
  useEffect(() => tell(undefined), [id]);
  useEffect(() => {
    if (loaded.state !== 'there' || over) return;
    return connection.subscribe({ topic: 'transaction', id, l1: true }, (result) => {
      const next = result as TransactionView;
      if (next.id === id) tell((before) => ({ ...next, times_ms: { ...before?.times_ms, ...next.times_ms } }));
    });
  }, [id, loaded.state, over]);
  const times = loaded.state === 'there' ? loaded.value.times_ms : undefined;
  return told ? { ...loaded, state: 'there' as const, value: { ...told, times_ms: { ...times, ...told.times_ms } } } : loaded;
}

export function Transaction({ id }: { id: string }) {
  const { cluster } = useLive();
  const loaded = useTransaction(id);
  return (
    <Page title="Transaction" lead={<Hex value={id} whole />}>
      <Show loaded={loaded}>{(view) => (cluster ? <Whole view={view} id={id} /> : <Loading />)}</Show>
    </Page>
  );
}

/** The name of the EVM rollup that a transaction is of, if it is of one. */
async function executedBy({ id, place }: TransactionView): Promise<string | undefined> {
  const executed = (await rollups()).filter(({ kind }) => kind === 'evm');
  if (place) return executed.find((rollup) => rollup.id === place.rollup)?.name;
  const waiting = await Promise.all(executed.map(({ name }) => eth<EthTransaction | null>(name, 'eth_getTransactionByHash', id).catch(() => null)));
  return executed[waiting.findIndex((found) => found !== null)]?.name;
}

function Whole({ view, id }: { view: TransactionView; id: string }) {
  const { place } = view;
  const loaded = useLoad(() => executedBy(view), [id, place?.rollup]);
  const executor = loaded.state === 'there' ? loaded.value : undefined;
  const final = isFinal(view.rung);
  const settles = useSettles(place?.rollup);
  return (
    <>
      {final && <Proof view={view} id={id} />}
      <div class="columns">
        <Card title="Ladder" side={<Rung rung={view.rung} />}>
          <Ladder view={view} executed={executor !== undefined} settles={settles} />
        </Card>
        <Card title="Place">
          {place ? (
            <Facts
              rows={[
                ['Block', <a href={`#/block/${final ? place.height : place.block}`}>{grouped(place.height)}</a>],
                ['Hash of the block', <Hex value={place.block} href={`#/block/${place.block}`} />],
                ['Rollup', <a href={`#/rollup/${executor ?? place.rollup}`}>{executor ?? place.rollup}</a>],
                ['Place in its segment', grouped(place.index)],
                ['Bound to', final ? 'this place for ever' : 'nothing yet: the place may change until it is final'],
              ]}
            />
          ) : (
            <Empty>In no block yet.</Empty>
          )}
        </Card>
      </div>
      {executor !== undefined && <Executed rollup={executor} id={id} rung={view.rung} />}
      {place && loaded.state === 'there' && <PayloadCard id={id} place={place} evm={executor !== undefined} />}
    </>
  );
}

function PayloadCard({ id, place, evm }: { id: string; place: NonNullable<TransactionView['place']>; evm: boolean }) {
  const loaded = useLoad(() => call<BlockView>('baton_block', { block: place.block, payloads: true }), [place.block]);
  return (
    <Card title="Payload">
      <Show loaded={loaded}>
        {(block) => {
          const segment = block.segments.find((other) => other.rollup === place.rollup);
          const at = segment?.ids.indexOf(id) ?? -1;
          if (!segment || at < 0) return <Empty>The node does not show it in that block.</Empty>;
          const { payloads, valid_until: validUntil, bundles } = segment;
          return <PayloadFacts id={id} rollup={place.rollup} evm={evm} payload={payloads?.[at] ?? '0x'} validUntil={validUntil?.[at] ?? 0} bundle={bundles?.[at] ?? null} />;
        }}
      </Show>
    </Card>
  );
}

interface PayloadProps {
  id: string;
  rollup: number;
  evm: boolean;
  payload: string;
  validUntil: number;
  bundle: string | null;
}

function PayloadFacts({ id, rollup, evm, payload, validUntil, bundle }: PayloadProps) {
  const verdict = useVerdict(async () => ({ kind: 'payload', asked: id, rollup, evm, payload, validUntil, bundle }), [id, rollup, evm, payload, validUntil, bundle]);
  return (
    <div class="payload-facts">
      <Payload hex={payload} />
      <VerdictNote verdict={verdict} words={{ holds: evm && bundle === null ? 'The id is the Keccak hash of these bytes, as wallets know it.' : 'The id is the hash of these bytes, for this rollup and up to this height.' }} />
      <Facts rows={[['Last height that may carry it', grouped(validUntil)], ...(bundle === null ? [] : ([['Leg of bundle', <Hex value={bundle} />]] as [string, ComponentChildren][]))]} />
    </div>
  );
}

function Proof({ view, id }: { view: TransactionView; id: string }) {
  const trust = trusted(live.cluster!.status);
  const [file, set] = useState<unknown>();
  const verdict = useVerdict(async () => {
    const proof = await call<unknown>('baton_proof', { id });
    set(proof);
    return { kind: 'transaction', asked: id, view, proof, key: trust.key, chain: trust.chain };
  }, [id, view.id, view.rung, trust.key, trust.chain]);
  const save = () => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 2)], { type: 'application/json' }));
    link.download = `proof-${view.id.slice(2, 10)}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <div class="proof">
      <VerdictNote verdict={verdict} words={{ holds: 'The inclusion proof leads from this id to a certificate under the group key.' }} />
      {file !== undefined && (
        <p class="proof-actions">
          <button type="button" class="button" onClick={save}>
            Save the proof
          </button>
          <span>
            and check it without any node: <code>baton verify proof-{view.id.slice(2, 10)}.json --group-key …</code>
          </span>
        </p>
      )}
    </div>
  );
}
