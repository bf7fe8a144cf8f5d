import { type Rollup, type RollupBlock, call, rollups } from '../api';
import { bytes, grouped } from '../format';
import { live, useLive } from '../live';
import { Ago, Card, Empty, Facts, Hex, Page, Show, Table, useLoad } from '../parts/common';
import { Payload } from '../parts/payload';
import { Execution, NewestBlocks } from './evm/rollup';

/** Blocks that are looked back on for one rollup. */
const BACK = 500;
const ROWS_MAX = 40;

export function Rollups() {
  const { cluster } = useLive();
  const loaded = useLoad(rollups, []);
  return (
    <Page title="Rollups" lead="One cluster orders for many rollups. Each has its own limits, and may have a share of every block that others cannot take.">
      <Card>
        <Show loaded={loaded}>
          {(all) => (
            <Table label="Rollups" head={['Name', 'Id', 'Kind', 'Data', 'Order', 'Waiting', 'Reserved', 'Transaction at most']}>
              {all.map((rollup) => (
                <tr key={rollup.id}>
                  <td>
                    <a href={`#/rollup/${rollup.name}`}>{rollup.name}</a>
                  </td>
                  <td class="number">{rollup.id}</td>
                  <td>{rollup.kind}</td>
                  <td>{rollup.data}</td>
                  <td>{rollup.ordering}</td>
                  <td class="number">{grouped(cluster?.mempool.rollups.find((pool) => pool.rollup === rollup.id)?.transactions ?? 0)}</td>
                  <td class="number">{rollup.reserved_percent} %</td>
                  <td class="number">{bytes(rollup.transaction_bytes_max)}</td>
                </tr>
              ))}
            </Table>
          )}
        </Show>
      </Card>
    </Page>
  );
}

export function RollupPage({ name }: { name: string }) {
  const loaded = useLoad(async () => {
    const all = await rollups();
    return all.find((rollup) => rollup.name === name || String(rollup.id) === name);
  }, [name]);
  return (
    <Page title={loaded.state === 'there' && loaded.value ? `Rollup ${loaded.value.name}` : 'Rollup'}>
      <Show loaded={loaded}>
        {(rollup) =>
          rollup ? (
            <>
              <div class={rollup.evm ? 'columns' : undefined}>
                <Card title="Rules">
                  <Facts
                    rows={[
                      ['Id', String(rollup.id)],
                      ['Kind', rollup.evm ? 'evm: ordered, then executed by every node' : 'opaque: ordered, not executed'],
                      ['Data', rollup.evm ? 'signed Ethereum transactions' : rollup.data === 'hash' ? 'hashes of 32 bytes' : 'any bytes'],
                      ['Order', rollup.ordering],
                      ['Payload of a transaction', `at most ${bytes(rollup.transaction_bytes_max)}`],
                      ['Segment in a block', `at most ${bytes(rollup.block_bytes_max)}`],
                      ['Waiting on one node', `at most ${bytes(rollup.mempool_bytes_max)}`],
                      ['Reserved of every block', `${rollup.reserved_percent} %`],
                    ]}
                  />
                </Card>
                {rollup.evm && <Execution rollup={rollup} evm={rollup.evm} />}
              </div>
              {rollup.evm ? <NewestBlocks rollup={rollup} /> : <Segments rollup={rollup} />}
            </>
          ) : (
            <Empty>
              This cluster has no rollup “{name}”. <a href="#/rollups">All rollups</a>
            </Empty>
          )
        }
      </Show>
    </Page>
  );
}

function Segments({ rollup }: { rollup: Rollup }) {
  const loaded = useLoad(
    async () => {
      const status = live.cluster?.status;
      const tip = status?.finalized_height ?? (await call<{ finalized_height: number }>('baton_status')).finalized_height;
      const from_height = Math.max(1, tip - BACK, status?.lowest_height ?? 0);
      const { blocks } = await call<{ blocks: RollupBlock[] }>('baton_rollupBlocks', { rollup: rollup.id, from_height, limit: BACK + 50 });
      return blocks.reverse();
    },
    [rollup.id],
    3_000,
  );
  return (
    <Card title="Latest segments" side={<a href={`#/try/${rollup.name}`}>Try it</a>}>
      <Show loaded={loaded}>
        {(blocks) =>
          blocks.length === 0 ? (
            <Empty>No transaction of this rollup in the last {grouped(BACK)} blocks.</Empty>
          ) : (
            <Table label="Segments" head={['Height', 'Age', 'Transactions', 'First', 'Payload', 'Head after']}>
              {blocks.slice(0, ROWS_MAX).map((block) => (
                <tr key={block.height}>
                  <td>
                    <a href={`#/block/${block.height}`}>{grouped(block.height)}</a>
                  </td>
                  <td>
                    <Ago ms={block.timestamp_ms} />
                  </td>
                  <td class="number">{grouped(block.ids.length)}</td>
                  <td>
                    <Hex value={block.ids[0]!} href={`#/tx/${block.ids[0]}`} />
                  </td>
                  <td>
                    <Payload hex={block.payloads[0]!} brief />
                  </td>
                  <td>
                    <Hex value={block.head} />
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Show>
    </Card>
  );
}
