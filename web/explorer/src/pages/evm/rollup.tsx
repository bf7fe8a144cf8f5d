// An EVM rollup: how far it is executed, its price of gas, its newest blocks.

import { useRef } from 'preact/hooks';
import type { Evm, Rollup } from '../../api';
import { type EthBlock, ethAll, quantity } from '../../evm/eth';
import { gwei } from '../../evm/units';
import { grouped } from '../../format';
import { useLive } from '../../live';
import { Ago, Card, Empty, Facts, Hex, Show, Table, useLoad } from '../../parts/common';
import { Address, BlockNumber } from './parts';

const ROWS = 20;
const EVERY_MS = 2_000;

export function Execution({ rollup, evm }: { rollup: Rollup; evm: Evm }) {
  const { cluster } = useLive();
  const sight = cluster?.executions.find((one) => one.rollup === rollup.id);
  const behind = cluster && sight ? cluster.status.finalized_height - sight.executed_to : undefined;
  return (
    <Card title="Execution">
      <Facts
        rows={[
          ['Newest block', sight ? <BlockNumber rollup={rollup.name} number={sight.number} /> : '–'],
          [
            'Executed to',
            sight ? (
              <>
                height {grouped(sight.executed_to)} of the cluster
                {sight.stopped ? <strong class="state is-gone">, and no further: see the line above</strong> : behind !== undefined && behind > 0 && `, ${grouped(behind)} behind`}
              </>
            ) : (
              '–'
            ),
          ],
          ['Chain id', String(evm.chain_id)],
          ['Gas of a block', grouped(evm.gas_limit)],
          ['Base fee', `aims at a gas limit divided by ${evm.base_fee.elasticity}; moves by at most 1/${evm.base_fee.denominator}`],
          ['Blocks', evm.cadence === 'per-block' ? 'one for each block of the cluster with transactions' : `one each ${evm.cadence.slotted.ms / 1_000} s with transactions`],
          ['Fee recipient', <Address rollup={rollup.name} value={evm.fee_recipient} />],
          ['For wallets', <Hex value={`${location.origin}/rollup/${rollup.name}`} whole />],
        ]}
      />
    </Card>
  );
}

export function NewestBlocks({ rollup: { id, name } }: { rollup: Rollup }) {
  const { cluster } = useLive();
  const newest = cluster?.executions.find((one) => one.rollup === id)?.number;
  // Blocks never change, so each is asked for once.
  const known = useRef(new Map<number, EthBlock>());
  const head = useRef(0);
  head.current = newest ?? 0;
  const loaded = useLoad(
    async () => {
      const numbers = Array.from({ length: ROWS }, (_, at) => head.current - at).filter((number) => number >= 0);
      const missing = numbers.filter((number) => !known.current.has(number));
      const blocks = await ethAll<EthBlock | null>(name, 'eth_getBlockByNumber', missing.map((number) => [quantity(number), false]));
      for (const block of blocks) if (block) known.current.set(Number(block.number), block);
      for (const number of known.current.keys()) if (!numbers.includes(number)) known.current.delete(number);
      return numbers.flatMap((number) => known.current.get(number) ?? []);
    },
    [name, newest === undefined],
    EVERY_MS,
  );
  return (
    <Card title="Newest blocks" side={<a href={`#/try/${name}`}>Try it</a>}>
      <Show loaded={loaded}>{(blocks) => (blocks.length === 0 ? <Empty>None is executed yet.</Empty> : <Blocks rollup={name} blocks={blocks} />)}</Show>
    </Card>
  );
}

function Blocks({ rollup, blocks }: { rollup: string; blocks: EthBlock[] }) {
  return (
    <Table label="Blocks" head={['Number', 'Age', 'Transactions', 'Gas used', 'Full', 'Base fee', 'Hash']}>
      {blocks.map((block) => (
        <tr key={block.hash}>
          <td>
            <BlockNumber rollup={rollup} number={Number(block.number)} />
          </td>
          <td>{Number(block.number) === 0 ? 'genesis' : <Ago ms={1_000 * Number(block.timestamp)} />}</td>
          <td class="number">{grouped(block.transactions.length)}</td>
          <td class="number">{grouped(Number(block.gasUsed))}</td>
          <td>
            <meter max={Number(block.gasLimit)} value={Number(block.gasUsed)} aria-label={`Gas used in block ${block.number}`} />
          </td>
          <td class="number">{gwei(BigInt(block.baseFeePerGas))}</td>
          <td>
            <Hex value={block.hash} />
          </td>
        </tr>
      ))}
    </Table>
  );
}
