import { useEffect, useState } from 'preact/hooks';
import { type Cluster, call } from '../api';
import { ago, duration, few, grouped } from '../format';
import { type Live, type LiveBlock, type Second, lastSeconds, live, median, useLive, watchedSeconds } from '../live';
import { sameCluster, trusted } from '../trust';
import { type Answer, verify } from '../verify';
import { BlockRows } from '../parts/blocks';
import { Chart } from '../parts/chart';
import { Card, Empty, Loading, Member, Page } from '../parts/common';
import { CONDITIONS, Ring, conditionOf } from '../parts/ring';

const VERIFY_EVERY_MS = 2_000;
/** A block that has no quorum after so long is shown as it is. */
const SLOW_MS = 500;

export function Overview() {
  const now = useLive();
  const { cluster } = now;
  return (
    <Page title="Overview" lead={cluster && `${cluster.status.members} nodes act as one sequencer. This is what node ${cluster.status.index} sees.`}>
      {cluster ? <Board cluster={cluster} now={now} /> : <Loading />}
    </Page>
  );
}

function Board({ cluster, now }: { cluster: Cluster; now: Live }) {
  const seconds = lastSeconds();
  const recent = watchedSeconds();
  const finality = median(recent.flatMap((second) => second.finalityMs));
  const rate = (of: (second: Second) => number) => (recent.length === 0 ? undefined : recent.reduce((sum, second) => sum + of(second), 0) / recent.length);
  const perSecond = (value: number | undefined) => (value === undefined ? '–' : `${few(value)} /s`);
  const block = inTheRing(now.blocks, cluster);
  const { status } = cluster;
  return (
    <>
      <div class="tiles">
        <Tile name="Final height" value={grouped(status.finalized_height)} note={status.finalized_time_ms > 0 ? ago(status.finalized_time_ms, cluster.time_ms) : 'none yet'} />
        <Tile name="Time to finality" value={finality === undefined ? '–' : duration(finality)} note="from proposed, median" />
        <Tile name="Blocks" value={perSecond(rate((second) => second.blocks))} note={`epoch ${grouped(status.epoch)}, view ${grouped(status.view)}`} />
        <Tile name="Transactions" value={perSecond(rate((second) => second.transactions))} note={`${grouped(cluster.mempool.transactions)} waiting here`} />
        <Verified cluster={cluster} />
      </div>
      <div class="board">
        <Card title="The cluster" class="ring-card">
          <Ring cluster={cluster} block={block} frozen={now.online === false} />
          <Turn block={block} />
          <ul class="legend" aria-label="Members">
            {cluster.members.map((member) => {
              const condition = conditionOf(member);
              return (
                <li key={member.index} class={`is-${condition}`} data-member-state={condition}>
                  <Member index={member.index} long />
                  <span class="condition">{CONDITIONS[condition]}</span>
                  {member.clock_ahead_ms !== null && <span class="condition">clock {duration(member.clock_ahead_ms)} ahead</span>}
                </li>
              );
            })}
          </ul>
        </Card>
        <div class="stack">
          <Card>
            <Chart title="Time to finality" unit="ms" kind="line" values={seconds.map((second) => median(second.finalityMs))} now={finality} />
          </Card>
          <Card>
            <Chart title="Throughput" unit="tx/s" kind="bars" values={seconds.map((second) => second.transactions)} now={rate((second) => second.transactions)} />
          </Card>
          <LadderCounts cluster={cluster} now={now} />
        </div>
      </div>
      <Card title="Newest blocks" side={<a href="#/blocks">All blocks</a>}>
        <BlockRows blocks={now.blocks.slice(0, 10)} />
      </Card>
    </>
  );
}

/** The newest block with votes to see: at many blocks a second the very newest has hardly any yet. */
function inTheRing(blocks: LiveBlock[], { time_ms, status }: Cluster): LiveBlock | undefined {
  const [newest] = blocks;
  if (newest && time_ms - newest.timestamp_ms > SLOW_MS) return newest;
  return blocks.find((block) => block.voters.length >= status.quorum) ?? newest;
}

function Tile({ name, value, note }: { name: string; value: string; note: string }) {
  return (
    <div class="tile">
      <span class="tile-name">{name}</span>
      <span class="tile-value">{value}</span>
      <span class="tile-note">{note}</span>
    </div>
  );
}

/** In words what the ring shows. */
function Turn({ block }: { block: LiveBlock | undefined }) {
  if (!block) return <Empty>No block has come by since this page was opened.</Empty>;
  return (
    <p class="turn">
      View {grouped(block.view)}: <Member index={block.committer} long /> commits,{' '}
      {block.committer === block.author ? (
        'and builds the block itself.'
      ) : (
        <>
          <Member index={block.author} long /> is drawn and builds the block.
        </>
      )}
    </p>
  );
}

function LadderCounts({ cluster, now }: { cluster: Cluster; now: Live }) {
  const open = now.blocks.filter((block) => block.rung !== 'finalized');
  const count = (rung: string) => open.filter((block) => block.rung === rung).reduce((sum, block) => sum + block.transactions, 0);
  const steps: [string, number, string][] = [
    ['waiting', cluster.mempool.transactions, 'in this node’s mempool'],
    ['proposed', count('proposed'), 'in blocks under vote'],
    ['notarized', count('notarized'), 'voted for by a quorum'],
    ['finalized', now.finalizedTransactions, 'since this page was opened'],
  ];
  return (
    <Card title="The ladder">
      <ol class="counts">
        {steps.map(([name, value, note]) => (
          <li key={name}>
            <span class={`rung rung-${name}`}>{name}</span>
            <strong>{grouped(value)}</strong>
            <small>{note}</small>
          </li>
        ))}
      </ol>
    </Card>
  );
}

/** Every few seconds this browser checks the certificate of the newest block itself. */
function Verified({ cluster }: { cluster: Cluster }) {
  const [last, set] = useState<{ height: number; answer: Answer } | undefined>();
  const trust = trusted(cluster.status);
  useEffect(() => {
    let current = true;
    let busy = false;
    const check = async () => {
      const height = live.cluster?.status.finalized_height ?? 0;
      if (busy || height === 0 || document.hidden || !live.online) return;
      busy = true;
      try {
        const proof = await call('baton_blockProof', { block: height });
        const answer = await verify({ kind: 'final', proof, key: trust.key, chain: trust.chain });
        if (current) set({ height, answer });
      } catch {
        // The banner says that the node is away; a certificate that is not there yet comes with the next block.
      }
      busy = false;
    };
    void check();
    const timer = setInterval(check, VERIFY_EVERY_MS);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [trust.key, trust.chain]);
  if (!sameCluster(trust, cluster.status)) return <Tile name="Checked here" value="–" note="another cluster’s key" />;
  if (!last) return <Tile name="Checked here" value="…" note="certificate of the newest block" />;
  const { answer, height } = last;
  return (
    <div class={`tile ${answer.holds ? 'tile-good' : 'tile-bad'}`} data-verified={answer.holds}>
      <span class="tile-name">Checked here</span>
      <span class="tile-value">{answer.holds ? `✓ ${grouped(height)}` : 'Refused'}</span>
      <span class="tile-note">{answer.holds ? `certificate holds, ${few(answer.ms)} ms` : answer.detail}</span>
    </div>
  );
}
