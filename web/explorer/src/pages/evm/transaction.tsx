// What a transaction of an EVM rollup asked for, and what it did.

import type { ComponentChildren } from 'preact';
import type { Rung } from '../../api';
import { decodeCall, decodeLog } from '../../evm/abi';
import { type AccountState, type CallFrame, type EthLog, type EthReceipt, type EthTransaction, type StateDiff, eth } from '../../evm/eth';
import { gwei } from '../../evm/units';
import { bytes, grouped } from '../../format';
import { Card, Empty, Facts, Hex, Show, useLoad } from '../../parts/common';
import { Payload } from '../../parts/payload';
import { Address, Arguments, BlockNumber, Wei, gasOf } from './parts';

const TYPES: Record<string, string> = { '0x0': 'legacy', '0x1': 'access list', '0x2': 'EIP-1559', '0x4': 'EIP-7702' };
/** Logs, calls and accounts that are shown at once. */
const SHOWN_MAX = 50;
const RECEIPT_TRIES = 20;
const RECEIPT_EVERY_MS = 100;

interface Props {
  rollup: string;
  id: string;
}

export function Executed({ rollup, id, rung }: Props & { rung: Rung }) {
  const transaction = useLoad(() => eth<EthTransaction | null>(rollup, 'eth_getTransactionByHash', id), [rollup, id]);
  const executed = ['executed', 'posted', 'settled'].includes(rung);
  const receipt = useLoad(async () => (executed ? receiptOf(rollup, id) : null), [rollup, id, executed]);
  return (
    <>
      <div class="columns">
        <Card title="Call">
          <Show loaded={transaction}>{(value) => (value ? <Call rollup={rollup} transaction={value} /> : <Empty>It is no part of an Ethereum block, so this is not shown.</Empty>)}</Show>
        </Card>
        <Card title="Receipt">
          <Show loaded={receipt}>
            {(value) => (value ? <Receipt rollup={rollup} receipt={value} gas={transaction.state === 'there' ? transaction.value?.gas : undefined} /> : <Empty>{rung === 'skipped' ? 'None: it was left out.' : 'It comes with the execution.'}</Empty>)}
          </Show>
        </Card>
      </div>
      {receipt.state === 'there' && receipt.value && (
        <>
          <Logs rollup={rollup} logs={receipt.value.logs} />
          <Changes rollup={rollup} id={id} />
          <Calls rollup={rollup} id={id} />
        </>
      )}
    </>
  );
}

/** The rung may be told a moment before the block of the rollup can be read. */
async function receiptOf(rollup: string, id: string): Promise<EthReceipt | null> {
  for (let tries = 0; tries < RECEIPT_TRIES; tries += 1) {
    const receipt = await eth<EthReceipt | null>(rollup, 'eth_getTransactionReceipt', id);
    if (receipt) return receipt;
    await new Promise((resolve) => setTimeout(resolve, RECEIPT_EVERY_MS));
  }
  return null;
}

function Call({ rollup, transaction }: { rollup: string; transaction: EthTransaction }) {
  const { from, to, value, input, nonce, type } = transaction;
  const decoded = to === null ? undefined : decodeCall(input);
  const rows: [string, ComponentChildren][] = [
    ['From', <Address rollup={rollup} value={from} />],
    ['To', to === null ? 'a new contract' : <Address rollup={rollup} value={to} />],
    ['Value', <Wei value={BigInt(value)} />],
    ['Nonce', grouped(Number(nonce))],
    ['Type', TYPES[type] ?? type],
    ['Offers', transaction.maxFeePerGas ? `${gwei(BigInt(transaction.maxFeePerGas))}, tip ${gwei(BigInt(transaction.maxPriorityFeePerGas ?? '0x0'))}` : gwei(BigInt(transaction.gasPrice ?? '0x0'))],
  ];
  return (
    <>
      <Facts rows={rows} />
      {decoded && (
        <>
          <p class="method">
            calls <code>{decoded.name}</code>
          </p>
          <Arguments rollup={rollup} decoded={decoded} />
        </>
      )}
      {!decoded && input !== '0x' && (
        <>
          <p class="method">{to === null ? 'makes a contract of' : `calls ${input.length >= 10 ? input.slice(0, 10) : 'it'} with`}</p>
          <Payload hex={input} />
        </>
      )}
    </>
  );
}

function Receipt({ rollup, receipt, gas }: { rollup: string; receipt: EthReceipt; gas: string | undefined }) {
  const used = Number(receipt.gasUsed);
  const price = BigInt(receipt.effectiveGasPrice);
  const good = BigInt(receipt.status) === 1n;
  return (
    <Facts
      rows={[
        ['Status', <span class={`state ${good ? 'is-voting' : 'is-gone'}`}>{good ? 'succeeded' : 'failed: it paid, and changed nothing else'}</span>],
        ['Block of the rollup', <BlockNumber rollup={rollup} number={Number(receipt.blockNumber)} />],
        ['Gas', gas === undefined ? grouped(used) : gasOf(used, Number(gas))],
        ['Price of gas', gwei(price)],
        ['Fee', <Wei value={BigInt(used) * price} />],
        ...(receipt.contractAddress ? ([['Contract made', <Address rollup={rollup} value={receipt.contractAddress} />]] as [string, ComponentChildren][]) : []),
      ]}
    />
  );
}

function Logs({ rollup, logs }: { rollup: string; logs: EthLog[] }) {
  if (logs.length === 0) return null;
  return (
    <Card title={logs.length === 1 ? 'Log' : `Logs (${grouped(logs.length)})`}>
      <ol class="logs">
        {logs.slice(0, SHOWN_MAX).map((log) => (
          <li key={log.logIndex}>
            <Log rollup={rollup} log={log} />
          </li>
        ))}
      </ol>
      {logs.length > SHOWN_MAX && <Empty>and {grouped(logs.length - SHOWN_MAX)} more</Empty>}
    </Card>
  );
}

function Log({ rollup, log: { address, topics, data } }: { rollup: string; log: EthLog }) {
  const decoded = decodeLog(topics, data);
  return (
    <>
      <p>
        <Address rollup={rollup} value={address} /> {decoded ? <code>{decoded.name}</code> : 'logs'}
      </p>
      {decoded ? (
        <Arguments rollup={rollup} decoded={decoded} />
      ) : (
        <ul class="topics">
          {topics.map((topic, at) => (
            <li key={at}>
              <small>topic {at}</small> <Hex value={topic} />
            </li>
          ))}
          {data !== '0x' && (
            <li>
              <Payload hex={data} brief />
            </li>
          )}
        </ul>
      )}
    </>
  );
}

/** Accounts as they were and as they became. Old states are not kept, and then the node says so. */
function Changes({ rollup, id }: Props) {
  const options = { tracer: 'prestateTracer', tracerConfig: { diffMode: true } };
  const loaded = useLoad(() => eth<StateDiff>(rollup, 'debug_traceTransaction', id, options), [rollup, id]);
  return (
    <Card title="State changes">
      <Show loaded={loaded}>
        {({ pre, post }) => {
          const addresses = [...new Set([...Object.keys(pre), ...Object.keys(post)])];
          return (
            <>
              <ul class="changes">
                {addresses.slice(0, SHOWN_MAX).map((address) => (
                  <li key={address}>
                    <Address rollup={rollup} value={address} />
                    <Change before={pre[address] ?? {}} after={post[address]} />
                  </li>
                ))}
              </ul>
              {addresses.length > SHOWN_MAX && <Empty>and {grouped(addresses.length - SHOWN_MAX)} accounts more</Empty>}
            </>
          );
        }}
      </Show>
    </Card>
  );
}

/** `after` has what differs; without it the account is gone. */
function Change({ before, after }: { before: AccountState; after: AccountState | undefined }) {
  if (!after) return <p>removed</p>;
  const rows: [string, ComponentChildren][] = [];
  if (after.balance !== undefined) {
    const [from, to] = [BigInt(before.balance ?? '0x0'), BigInt(after.balance)];
    rows.push(['balance', <Step from={<Wei value={from} />} to={<Wei value={to} />} note={<>{to < from ? '−' : '+'}<Wei value={to < from ? from - to : to - from} /></>} />]);
  }
  if (after.nonce !== undefined) rows.push(['nonce', <Step from={grouped(before.nonce ?? 0)} to={grouped(after.nonce)} />]);
  if (after.code !== undefined) rows.push(['code', <Step from={codeOf(before.code)} to={codeOf(after.code)} />]);
  const slots = [...new Set([...Object.keys(before.storage ?? {}), ...Object.keys(after.storage ?? {})])];
  for (const slot of slots.slice(0, SHOWN_MAX)) {
    rows.push([`slot ${trimmed(slot)}`, <Step from={trimmed(before.storage?.[slot])} to={trimmed(after.storage?.[slot])} />]);
  }
  if (slots.length > SHOWN_MAX) rows.push(['slots', `and ${grouped(slots.length - SHOWN_MAX)} more`]);
  return <Facts rows={rows} />;
}

const codeOf = (code: string | undefined): string => (code === undefined || code === '0x' ? 'none' : bytes(code.length / 2 - 1));

/** A word of the state without its leading zeros; one that is not listed is zero. */
function trimmed(word = '0x0'): string {
  const digits = word.slice(2).replace(/^0+/, '');
  if (digits === '') return '0';
  return digits.length > 16 ? `0x${digits.slice(0, 8)}…${digits.slice(-6)}` : `0x${digits}`;
}

function Step({ from, to, note }: { from: ComponentChildren; to: ComponentChildren; note?: ComponentChildren }) {
  return (
    <span class="step-change">
      {from} → <strong>{to}</strong> {note && <small>{note}</small>}
    </span>
  );
}

/** Calls within calls, where there are any or the transaction failed. */
function Calls({ rollup, id }: Props) {
  const loaded = useLoad(() => eth<CallFrame>(rollup, 'debug_traceTransaction', id, { tracer: 'callTracer' }), [rollup, id]);
  // That a state is gone, the card above has said.
  if (loaded.state !== 'there') return null;
  const root = loaded.value;
  if (!root.calls && !root.error) return null;
  const all = flatten(root, 0);
  return (
    <Card title="Calls">
      <ol class="calls">
        {all.slice(0, SHOWN_MAX).map(({ frame, depth }, at) => (
          <li key={at} style={{ '--depth': Math.min(depth, 8) }}>
            <Frame rollup={rollup} frame={frame} />
          </li>
        ))}
      </ol>
      {all.length > SHOWN_MAX && <Empty>and {grouped(all.length - SHOWN_MAX)} more</Empty>}
    </Card>
  );
}

function flatten(frame: CallFrame, depth: number): { frame: CallFrame; depth: number }[] {
  return [{ frame, depth }, ...(frame.calls ?? []).flatMap((call) => flatten(call, depth + 1))];
}

function Frame({ rollup, frame }: { rollup: string; frame: CallFrame }) {
  const { type, to, value, input, gasUsed, error, revertReason } = frame;
  const worth = BigInt(value ?? '0x0');
  return (
    <>
      <small>{type.toLowerCase()}</small> {to && <Address rollup={rollup} value={to} />} <code>{decodeCall(input)?.name ?? (input === '0x' ? '' : input.slice(0, 10))}</code>{' '}
      {worth > 0n && <Wei value={worth} />} <small>{grouped(Number(gasUsed))} gas</small>
      {error && (
        <span class="state is-gone">
          {' '}
          {error}
          {revertReason && `: ${revertReason}`}
        </span>
      )}
    </>
  );
}
