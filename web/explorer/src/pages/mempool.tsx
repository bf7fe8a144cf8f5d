import { bytes, few, grouped } from '../format';
import { useLive } from '../live';
import { Card, Empty, Loading, Page, Table, useRollups } from '../parts/common';

export function Mempool() {
  const { cluster } = useLive();
  const rollups = useRollups();
  if (!cluster) {
    return (
      <Page title="Mempool">
        <Loading />
      </Page>
    );
  }
  const pool = cluster.mempool;
  return (
    <Page title="Mempool" lead="What waits on this node to be ordered. When a limit is reached, new transactions are refused before consensus feels it.">
      <Card title="All rollups">
        <div class="progress-line">
          <label for="pool">
            {grouped(pool.transactions)} transactions, {bytes(pool.bytes)} of {bytes(pool.bytes_max)}
          </label>
          <progress id="pool" max={pool.bytes_max} value={pool.bytes} />
        </div>
        {pool.transactions === 0 && (
          <Empty>
            Nothing waits: what comes in is in a block within moments. <a href="#/try">Try it</a>
          </Empty>
        )}
      </Card>
      <Card title="By rollup">
        <Table label="Mempool by rollup" head={['Rollup', 'Transactions', 'Bytes', 'At most', 'Used']}>
          {pool.rollups.map((one) => (
            <tr key={one.rollup}>
              <td>
                <a href={`#/rollup/${one.rollup}`}>{rollups.get(one.rollup)?.name ?? one.rollup}</a>
              </td>
              <td class="number">{grouped(one.transactions)}</td>
              <td class="number">{bytes(one.bytes)}</td>
              <td class="number">{bytes(one.bytes_max)}</td>
              <td class="number">{few((100 * one.bytes) / one.bytes_max)} %</td>
            </tr>
          ))}
        </Table>
      </Card>
    </Page>
  );
}
