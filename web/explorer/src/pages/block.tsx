import { useEffect } from 'preact/hooks';
import { type BlockView, type ElectionView, call, constant } from '../api';
import { bytes, dateTime, grouped } from '../format';
import { live, useLive } from '../live';
import { trusted } from '../trust';
import { useVerdict } from '../verify';
import { Card, Empty, Facts, Hex, Loading, Member, Page, Rung, Show, useLoad, useRollups } from '../parts/common';
import { Payload } from '../parts/payload';
import { VerdictNote } from '../parts/verdict';
import { BlockNumber } from './evm/parts';

/** Ids of a segment that are listed at once. */
const IDS_MAX = 100;

export function Block({ at }: { at: string }) {
  const { cluster } = useLive();
  const block = /^\d+$/.test(at) ? Number(at) : at;
  const loaded = useLoad(() => call<BlockView>('baton_block', { block, payloads: true }), [at]);
  const there = loaded.state === 'there' ? loaded.value : undefined;
  // Until it is final it may still change its rung.
  useEffect(() => {
    if (there === undefined || there.rung === 'finalized') return;
    const timer = setTimeout(loaded.again, 500);
    return () => clearTimeout(timer);
  }, [loaded]);
  return (
    <Page title={there ? `Block ${grouped(there.height)}` : 'Block'} lead={there && (there.height === 0 ? 'The genesis' : dateTime(there.timestamp_ms))}>
      <Show loaded={loaded}>{(block) => (cluster ? <Whole block={block} at={at} /> : <Loading />)}</Show>
    </Page>
  );
}

function Whole({ block, at }: { block: BlockView; at: string }) {
  const rollups = useRollups();
  const nameOf = (rollup: number) => rollups.get(rollup)?.name ?? String(rollup);
  const final = block.rung === 'finalized' && block.height > 0;
  return (
    <>
      <nav class="pager" aria-label="Neighbours">
        {block.height > 0 && <a href={`#/block/${block.height - 1}`}>← {grouped(block.height - 1)}</a>}
        <a href={`#/block/${block.height + 1}`}>{grouped(block.height + 1)} →</a>
      </nav>
      {final ? <BlockVerdict block={block} at={at} /> : <p class="note">{block.height === 0 ? 'The genesis has no certificate: its digest names the chain.' : 'This block is not final yet.'}</p>}
      <div class="columns">
        <Card title="Header">
          <Facts
            rows={[
              ['Hash', <Hex value={block.hash} />],
              ['Rung', <Rung rung={block.rung} />],
              ['Parent', block.height > 0 ? <Hex value={block.parent} href={`#/block/${block.parent}`} /> : <Hex value={block.parent} />],
              ['Epoch, view', `${grouped(block.epoch)}, ${grouped(block.view)}`],
              ['Committer', <Member index={block.committer} />],
              ['Author', <Member index={block.author} />],
              ['Transactions', grouped(block.transactions)],
              ['Size', bytes(block.bytes)],
              ['Body root', <Hex value={block.body_root} />],
              ['Heads root', <Hex value={block.heads_root} />],
              ['History root', <Hex value={block.history_root} />],
              ['Seed of the parent’s view', <Hex value={block.parent_seed} />],
              ['Certificate', block.certificate ? <Hex value={block.certificate} /> : 'a later block’s'],
            ]}
          />
        </Card>
        {final ? <Election height={block.height} /> : <Card title="Election">It is shown once the block is final.</Card>}
      </div>
      {block.segments.map((segment) => (
        <Card key={segment.rollup} title={`Rollup ${nameOf(segment.rollup)}`} side={<a href={`#/rollup/${nameOf(segment.rollup)}`}>{grouped(segment.ids.length)} {segment.ids.length === 1 ? 'transaction' : 'transactions'}</a>}>
          <ul class="rows">
            {segment.ids.slice(0, IDS_MAX).map((id, index) => (
              <li key={id}>
                <Hex value={id} href={`#/tx/${id}`} />
                <Payload hex={segment.payloads?.[index] ?? '0x'} brief />
              </li>
            ))}
          </ul>
          {segment.ids.length > IDS_MAX && <Empty>and {grouped(segment.ids.length - IDS_MAX)} more</Empty>}
        </Card>
      ))}
      {block.segments.length === 0 && (
        <Card title="Transactions">
          <Empty>None: an idle cluster makes empty blocks, so that everybody sees that it lives.</Empty>
        </Card>
      )}
      {block.results.map(({ rollup, executed_to, number, hash, state_root }) => (
        <Card key={rollup} title={`Execution of ${nameOf(rollup)}`}>
          <Facts
            rows={[
              ['Attested up to', <a href={`#/block/${executed_to}`}>height {grouped(executed_to)}</a>],
              ['Block of the rollup then', <BlockNumber rollup={nameOf(rollup)} number={number} />],
              ['Its hash', <Hex value={hash} />],
              ['Its state root', <Hex value={state_root} />],
            ]}
          />
        </Card>
      ))}
    </>
  );
}

function BlockVerdict({ block, at }: { block: BlockView; at: string }) {
  const trust = trusted(live.cluster!.status);
  const verdict = useVerdict(async () => {
    const [proof, genesis] = await Promise.all([call('baton_blockProof', { block: /^\d+$/.test(at) ? Number(at) : at }), constant('baton_genesis')]);
    return { kind: 'block', asked: at, view: block, proof, genesis, key: trust.key, chain: trust.chain };
  }, [at, block.hash, block.rung, trust.key, trust.chain]);
  return <VerdictNote verdict={verdict} words={{ holds: 'The certificate under the group key makes this header final; ids, payloads, results of execution and members are those it commits to.' }} />;
}

function Election({ height }: { height: number }) {
  const loaded = useLoad(() => call<ElectionView>('baton_election', { height }), [height]);
  return (
    <Card title="Election">
      <Show loaded={loaded}>{(election) => (election.lottery ? <Lottery election={election} height={height} /> : <Plain election={election} />)}</Show>
    </Card>
  );
}

function Plain({ election }: { election: ElectionView }) {
  return (
    <Facts
      rows={[
        ['Kind', election.election],
        ['Leader and author', <Member index={election.author} />],
        ['Views without a block before', grouped(election.views_missed)],
      ]}
    />
  );
}

function Lottery({ election, height }: { election: ElectionView; height: number }) {
  const { lottery } = election;
  const trust = trusted(live.cluster!.status);
  const verdict = useVerdict(async () => {
    const proof = await call('baton_electionProof', { height });
    return { kind: 'election', asked: String(height), view: election, proof, key: trust.key, chain: trust.chain };
  }, [height, election.block, trust.key, trust.chain]);
  const byReveal = lottery.evidence === 'reveal';
  return (
    <>
      <ol class="draw">
        <li>
          <Member index={election.committer} long /> leads view {grouped(election.view)}. It is turn {grouped(lottery.turn)} of its epoch.
        </li>
        <li>
          It {byReveal ? 'reveals' : 'proves for this view alone'} <Hex value={lottery.opening} />
          {byReveal ? ', committed to before the epoch,' : ''} in {bytes(lottery.evidence_bytes)}.
        </li>
        <li>
          With a beacon that came later this makes <Hex value={lottery.output} />,
        </li>
        <li>
          which draws{' '}
          {lottery.draw.map(({ member, skipped }, at) => (
            <span key={at}>
              {at > 0 && ', then '}
              <Member index={member} long />
              {skipped && ` (${skipped})`}
            </span>
          ))}
          , who builds the block.
        </li>
      </ol>
      <VerdictNote
        verdict={verdict}
        words={{
          holds: 'Turn, reveal, output and draw follow from what the certificate covers.',
          partly: 'The draw follows from what was revealed. The zero-knowledge proof of this single view needs `baton election --out` and `baton verify`.',
        }}
      />
      <Facts
        rows={[
          ['Kind', election.election],
          ['Commitment', lottery.commitment ? <Hex value={lottery.commitment.root} /> : 'none in force'],
          ['Context beacon', <Hex value={lottery.context_beacon} />],
          ['Later beacon', <Hex value={lottery.later_beacon} />],
          ['Views without a block before', election.views_missed === 0 ? 'none' : grouped(election.views_missed)],
        ]}
      />
    </>
  );
}
