// Pieces that the pages of EVM rollups share.

import type { ComponentChildren } from 'preact';
import { type Argument, type Decoded, type Value, decodeCall } from '../../evm/abi';
import type { EthReceipt, EthTransaction } from '../../evm/eth';
import { amount } from '../../evm/units';
import { grouped } from '../../format';
import { Hex } from '../../parts/common';

/** The exact number is in the title. */
export function Wei({ value }: { value: bigint }) {
  return <span title={`${value} wei`}>{amount(value)}</span>;
}

export function Address({ rollup, value }: { rollup: string; value: string }) {
  return <Hex value={value} href={`#/rollup/${rollup}/address/${value}`} />;
}

export function BlockNumber({ rollup, number }: { rollup: string; number: number }) {
  return <a href={`#/rollup/${rollup}/block/${number}`}>{grouped(number)}</a>;
}

/** Used of a limit, as a number and a share. */
export const gasOf = (used: number, limit: number): string => `${grouped(used)} of ${grouped(limit)} (${((100 * used) / limit).toFixed(1)} %)`;

export function Arguments({ rollup, decoded }: { rollup: string; decoded: Decoded }) {
  if (decoded.arguments.length === 0) return null;
  return (
    <dl class="arguments">
      {decoded.arguments.map((argument) => (
        <div key={argument.name}>
          <dt>
            {argument.name} <small>{argument.type}</small>
          </dt>
          <dd>
            <Shown rollup={rollup} argument={argument} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Shown({ rollup, argument: { type, value } }: { rollup: string; argument: Argument }): ComponentChildren {
  if (type === 'address') return <Address rollup={rollup} value={String(value)} />;
  return <span class="value">{text(value)}</span>;
}

function text(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(text).join(', ')}]`;
  return typeof value === 'bigint' ? new Intl.NumberFormat('en').format(value) : String(value);
}

/** The last two columns are there when the receipt is. */
export function TransactionRow({ rollup, transaction, receipt }: { rollup: string; transaction: EthTransaction; receipt: EthReceipt | undefined }) {
  const { hash, from, to, input, value } = transaction;
  const good = receipt && BigInt(receipt.status) === 1n;
  return (
    <tr>
      <td>
        <Hex value={hash} href={`#/tx/${hash}`} />
      </td>
      <td>
        <Address rollup={rollup} value={from} />
      </td>
      <td>{to === null ? 'new contract' : <Address rollup={rollup} value={to} />}</td>
      <td>{input === '0x' ? 'transfer' : (decodeCall(input)?.name ?? (to === null ? 'create' : input.slice(0, 10)))}</td>
      <td class="number">
        <Wei value={BigInt(value)} />
      </td>
      {receipt && <td class="number">{grouped(Number(receipt.gasUsed))}</td>}
      {receipt && <td class={`state ${good ? 'is-voting' : 'is-gone'}`}>{good ? 'succeeded' : 'failed'}</td>}
    </tr>
  );
}
