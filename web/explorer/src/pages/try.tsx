import { useState } from 'preact/hooks';
import { ApiError, type Receipt, type Rollup, call, rollups } from '../api';
import { hexOf } from '../format';
import { live } from '../live';
import { useVerdict } from '../verify';
import { Card, Empty, Hex, Member, Page, Show, useLoad, useSettles } from '../parts/common';
import { Form, useSubmit } from '../parts/form';
import { Ladder } from '../parts/ladder';
import { VerdictNote } from '../parts/verdict';
import { TransferForm } from './evm/transfer';
import { useTransaction } from './transaction';

export interface Sent {
  id: string;
  rollup: Rollup;
  /** By the node's clock. */
  since: number;
  /** Where the node signs one. */
  receipt?: Receipt;
}

const SENT_MAX = 5;

/** `first` is the rollup to begin with. */
export function Try({ rollup: first }: { rollup: string }) {
  const loaded = useLoad(rollups, []);
  const [sent, set] = useState<Sent[]>([]);
  const onSent = (one: Sent) => set((before) => [one, ...before].slice(0, SENT_MAX));
  return (
    <Page title="Try it" lead="Hand a transaction to this node and watch the cluster order it.">
      <Show loaded={loaded}>
        {(all) => {
          const cards = [<BytesCard key="bytes" rollups={all.filter(({ kind }) => kind === 'opaque')} first={first} onSent={onSent} />, <TransferForm key="transfer" rollups={all.filter(({ evm }) => evm)} first={first} onSent={onSent} />];
          return <div class="columns">{all.find(({ name }) => name === first)?.evm ? cards.reverse() : cards}</div>;
        }}
      </Show>
      {sent.map((one) => (
        <Climb key={one.id} sent={one} />
      ))}
    </Page>
  );
}

interface Props {
  rollups: Rollup[];
  first: string;
  onSent: (sent: Sent) => void;
}

function BytesCard(props: Props) {
  return <Card title="Submit bytes">{props.rollups.length === 0 ? <Empty>This cluster has no opaque rollup.</Empty> : <BytesForm {...props} />}</Card>;
}

function BytesForm({ rollups, first, onSent }: Props) {
  const [name, setName] = useState(rollups.find((rollup) => rollup.name === first)?.name ?? rollups[0]!.name);
  const [text, setText] = useState('hello');
  const [ack, setAck] = useState('pending');
  const rollup = rollups.find((one) => one.name === name)!;
  const [state, submit] = useSubmit(async () => {
    const data = await payload(rollup, text);
    const { id, receipt } = await call<{ id: string; receipt: Receipt }>('baton_submit', { rollup: rollup.id, data, ack });
    onSent({ id, rollup, receipt, since: receipt.time_ms });
  });
  return (
    <Form action="Submit" state={state} onSubmit={submit} ready={text !== ''}>
      <p class="wide hint">No account is needed: an opaque rollup takes any bytes.</p>
      <label class="wide">
        {rollup.data === 'hash' ? 'Text; its SHA-256 is submitted' : 'Text, or 0x and hex'}
        <textarea rows={3} value={text} onInput={(event) => setText(event.currentTarget.value)} spellcheck={false} />
      </label>
      <label>
        Rollup
        <select name="rollup" value={name} onChange={(event) => setName(event.currentTarget.value)}>
          {rollups.map((one) => (
            <option key={one.id} value={one.name}>
              {one.name} ({one.data === 'hash' ? 'hashes' : 'any bytes'})
            </option>
          ))}
        </select>
      </label>
      <label>
        Receipt when it is
        <select name="ack" value={ack} onChange={(event) => setAck(event.currentTarget.value)}>
          <option value="pending">pending: on this node’s disk</option>
          <option value="replicated">replicated: on a quorum of disks</option>
        </select>
      </label>
    </Form>
  );
}

/** Hashing needs a secure page, which plain HTTP is only on this machine. */
async function payload(rollup: Rollup, text: string): Promise<string> {
  const given = /^0x([0-9a-fA-F]{2})+$/.test(text) ? text : hexOf(text);
  if (rollup.data !== 'hash' || given.length === 66) return given;
  if (!globalThis.crypto.subtle) throw new ApiError('Over plain HTTP the browser does not hash. Give 0x and 64 hex digits.', 'bad_request');
  const bytes = Uint8Array.from(given.slice(2).match(/../g)!, (pair) => Number.parseInt(pair, 16));
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].reduce((hex, byte) => hex + byte.toString(16).padStart(2, '0'), '0x');
}

function Climb({ sent: { id, rollup, receipt, since } }: { sent: Sent }) {
  const loaded = useTransaction(id);
  const settles = useSettles(rollup.id);
  const rung = receipt?.rung ?? 'pending';
  return (
    <Card title="Your transaction" side={<a href={`#/tx/${id}`}>Details and proof</a>} class="climb">
      <p>
        <Hex value={id} href={`#/tx/${id}`} />, accepted by <Member index={live.cluster?.status.index ?? 0} long /> as {rung}.
      </p>
      <Show loaded={loaded}>{(view) => <Ladder view={{ ...view, times_ms: { [rung]: since, ...view.times_ms } }} executed={rollup.evm !== undefined} settles={settles} since={since} />}</Show>
      {receipt && <Signed receipt={receipt} />}
    </Card>
  );
}

function Signed({ receipt }: { receipt: Receipt }) {
  const verdict = useVerdict(async () => ({ kind: 'receipt', receipt }), [receipt.signature]);
  return <VerdictNote verdict={verdict} words={{ holds: 'The receipt is signed by the node that it names.' }} />;
}
