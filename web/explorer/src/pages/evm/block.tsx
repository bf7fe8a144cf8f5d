// One block of an EVM rollup.

import type { ComponentChildren } from 'preact';
import { type TransactionView, call } from '../../api';
import { type EthBlock, type EthReceipt, type EthTransaction, eth, quantity } from '../../evm/eth';
import { gwei } from '../../evm/units';
import { bytes, dateTime, grouped } from '../../format';
import { Card, Empty, Facts, Hex, Page, Show, Table, useLoad } from '../../parts/common';
import { Address, TransactionRow, gasOf } from './parts';

const ROWS_MAX = 100;

/** `at` is a number or a hash. */
export function EvmBlock({ rollup, at }: { rollup: string; at: string }) {
  const loaded = useLoad(async () => {
    const block = await (/^\d+$/.test(at)
      ? eth<EthBlock<EthTransaction> | null>(rollup, 'eth_getBlockByNumber', quantity(Number(at)), true)
      : eth<EthBlock<EthTransaction> | null>(rollup, 'eth_getBlockByHash', at, true));
    return block && { block, receipts: (await eth<EthReceipt[] | null>(rollup, 'eth_getBlockReceipts', block.hash)) ?? [] };
  }, [rollup, at]);
  const number = loaded.state === 'there' && loaded.value ? Number(loaded.value.block.number) : undefined;
  return (
    <Page title={number === undefined ? `Block of ${rollup}` : `Block ${grouped(number)} of ${rollup}`} lead={number === 0 ? 'The accounts of the genesis' : undefined}>
      <Show loaded={loaded}>
        {(found) => (found ? <Whole rollup={rollup} block={found.block} receipts={found.receipts} /> : <Empty>This node has executed no such block of {rollup}. <a href={`#/rollup/${rollup}`}>Its newest ones</a></Empty>)}
      </Show>
    </Page>
  );
}

function Whole({ rollup, block, receipts }: { rollup: string; block: EthBlock<EthTransaction>; receipts: EthReceipt[] }) {
  const number = Number(block.number);
  return (
    <>
      <nav class="pager" aria-label="Neighbours">
        {number > 0 && <a href={`#/rollup/${rollup}/block/${number - 1}`}>← {grouped(number - 1)}</a>}
        <a href={`#/rollup/${rollup}/block/${number + 1}`}>{grouped(number + 1)} →</a>
      </nav>
      <div class="columns">
        <Card title="Header">
          <Facts
            rows={[
              ['Hash', <Hex value={block.hash} />],
              ['Parent', <Hex value={block.parentHash} {...(number > 0 && { href: `#/rollup/${rollup}/block/${number - 1}` })} />],
              ['Time', number === 0 ? 'none' : dateTime(1_000 * Number(block.timestamp))],
              ['Gas', gasOf(Number(block.gasUsed), Number(block.gasLimit))],
              ['Base fee', gwei(BigInt(block.baseFeePerGas))],
              ['Fee recipient', <Address rollup={rollup} value={block.miner} />],
              ['Size', bytes(Number(block.size))],
            ]}
          />
        </Card>
        <Card title="Roots">
          <Facts
            rows={[
              ['State', <Hex value={block.stateRoot} />],
              ['Transactions', <Hex value={block.transactionsRoot} />],
              ['Receipts', <Hex value={block.receiptsRoot} />],
              ['Randomness', <Hex value={block.mixHash} />],
              ...(block.transactions.length > 0 ? ([['Ordered in', <Ordered id={block.transactions[0]!.hash} />]] as [string, ComponentChildren][]) : []),
            ]}
          />
        </Card>
      </div>
      <Transactions rollup={rollup} block={block} receipts={receipts} />
    </>
  );
}

/** The cluster's block that brought the first transaction. */
function Ordered({ id }: { id: string }) {
  const loaded = useLoad(() => call<TransactionView>('baton_transaction', { id }), [id]);
  if (loaded.state !== 'there' || !loaded.value.place) return <>–</>;
  const { height } = loaded.value.place;
  return <a href={`#/block/${height}`}>block {grouped(height)} of the cluster</a>;
}

function Transactions({ rollup, block: { transactions }, receipts }: { rollup: string; block: EthBlock<EthTransaction>; receipts: EthReceipt[] }) {
  if (transactions.length === 0) {
    return (
      <Card title="Transactions">
        <Empty>None.</Empty>
      </Card>
    );
  }
  return (
    <Card title={`Transactions (${grouped(transactions.length)})`}>
      <Table label="Transactions" head={['Hash', 'From', 'To', 'Call', 'Value', 'Gas', 'Status']}>
        {transactions.slice(0, ROWS_MAX).map((transaction, at) => (
          <TransactionRow key={transaction.hash} rollup={rollup} transaction={transaction} receipt={receipts[at]} />
        ))}
      </Table>
      {transactions.length > ROWS_MAX && <Empty>and {grouped(transactions.length - ROWS_MAX)} more</Empty>}
    </Card>
  );
}
