// Blocks as rows, whether they came live or were asked for.

import type { BlockView } from '../api';
import { bytes, grouped } from '../format';
import { Ago, Empty, Hex, Member, Rung, Table } from './common';

type Row = Pick<BlockView, 'hash' | 'rung' | 'height' | 'epoch' | 'view' | 'committer' | 'author' | 'timestamp_ms' | 'transactions' | 'bytes'>;

export function BlockRows({ blocks, none = 'No block yet.' }: { blocks: Row[]; none?: string }) {
  if (blocks.length === 0) return <Empty>{none}</Empty>;
  return (
    <Table label="Blocks" head={['Height', 'Rung', 'Age', 'Committer', 'Drawn', 'Transactions', 'Size', 'Epoch, view', 'Hash']}>
      {blocks.map((block) => (
        <tr key={block.hash}>
          <td>
            <a href={`#/block/${block.rung === 'finalized' ? block.height : block.hash}`}>{grouped(block.height)}</a>
          </td>
          <td>
            <Rung rung={block.rung} />
          </td>
          <td>{block.height === 0 ? 'genesis' : <Ago ms={block.timestamp_ms} />}</td>
          <td>
            <Member index={block.committer} />
          </td>
          <td>
            <Member index={block.author} />
          </td>
          <td class="number">{grouped(block.transactions)}</td>
          <td class="number">{bytes(block.bytes)}</td>
          <td>
            {grouped(block.epoch)}, {grouped(block.view)}
          </td>
          <td>
            <Hex value={block.hash} />
          </td>
        </tr>
      ))}
    </Table>
  );
}
