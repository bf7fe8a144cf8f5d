// A transfer between accounts of a devnet, whose keys everybody knows. Signed in the page.

import { useState } from 'preact/hooks';
import { ApiError, type Rollup, type Status } from '../../api';
import { eth, ethAll, quantity } from '../../evm/eth';
import { amount, weiOf } from '../../evm/units';
import { short } from '../../format';
import { nodeNow, useLive } from '../../live';
import { Card, Empty, Show, useLoad } from '../../parts/common';
import { Form, useSubmit } from '../../parts/form';
import type { Sent } from '../try';

type Wallet = typeof import('../../evm/wallet');

/** A file of its own: no other page needs it. */
const WALLET: string = '/explorer/wallet.js';

/** What `baton devnet` writes into its genesis. */
const isDevnet = ({ network, network_id }: Status): boolean => network === 'devnet' && network_id === 2211;

interface Props {
  rollups: Rollup[];
  first: string;
  onSent: (sent: Sent) => void;
}

interface Account {
  key: string;
  address: string;
  balance: bigint;
}

export function TransferForm({ rollups, first, onSent }: Props) {
  const { cluster } = useLive();
  const rollup = rollups.find(({ name }) => name === first) ?? rollups[0];
  if (!cluster || !rollup) return null;
  return (
    <Card title={`Transfer on ${rollup.name}`}>
      {isDevnet(cluster.status) ? (
        <Devnet rollup={rollup} onSent={onSent} />
      ) : (
        <Empty>
          This cluster is no devnet, so this page knows no keys. Point a wallet at {location.origin}/rollup/{rollup.name}.
        </Empty>
      )}
    </Card>
  );
}

async function accounts(rollup: string): Promise<{ wallet: Wallet; all: Account[] }> {
  const wallet: Wallet = await import(WALLET);
  const known = wallet.KEYS.map((key) => ({ key, address: wallet.addressOf(key) }));
  const balances = await ethAll<string>(rollup, 'eth_getBalance', known.map(({ address }) => [address, 'latest']));
  return { wallet, all: known.map((account, at) => ({ ...account, balance: BigInt(balances[at] ?? '0x0') })) };
}

function Devnet({ rollup, onSent }: { rollup: Rollup; onSent: (sent: Sent) => void }) {
  const loaded = useLoad(() => accounts(rollup.name), [rollup.name]);
  return (
    <Show loaded={loaded}>
      {({ wallet, all }) => (
        <TransferFields
          rollup={rollup}
          wallet={wallet}
          all={all}
          onSent={(sent) => {
            onSent(sent);
            loaded.again();
          }}
        />
      )}
    </Show>
  );
}

function TransferFields({ rollup, wallet, all, onSent }: { rollup: Rollup; wallet: Wallet; all: Account[]; onSent: (sent: Sent) => void }) {
  const [from, setFrom] = useState(all[0]!.address);
  const [to, setTo] = useState(all[1]!.address);
  const [ether, setEther] = useState('1');
  const [state, submit] = useSubmit(async () => {
    const value = weiOf(ether);
    if (value === undefined) throw new ApiError(`“${ether}” is no amount of ether; write one like 0.25`, 'bad_request');
    if (!/^0x[0-9a-fA-F]{40}$/.test(to)) throw new ApiError(`“${to}” is no address; write 0x and 40 hex digits`, 'bad_request');
    const since = nodeNow();
    const raw = await signed(rollup, wallet, all.find(({ address }) => address === from)!, to, value);
    const id = await eth<string>(rollup.name, 'eth_sendRawTransaction', raw);
    onSent({ id, rollup, since });
  });
  return (
    <Form action="Sign and send" state={state} onSubmit={submit} ready={ether !== '' && to !== ''}>
      <p class="wide hint">The accounts of every devnet: their keys are public, and worth nothing elsewhere.</p>
      <label class="wide">
        From
        <select name="from" value={from} onChange={(event) => setFrom(event.currentTarget.value)}>
          {all.map(({ address, balance }) => (
            <option key={address} value={address}>
              {short(address)}: {amount(balance)}
            </option>
          ))}
        </select>
      </label>
      <label>
        To
        <input name="to" list="devnet-accounts" value={to} onInput={(event) => setTo(event.currentTarget.value.trim())} spellcheck={false} autocomplete="off" />
        <datalist id="devnet-accounts">
          {all.map(({ address }) => (
            <option key={address} value={address} />
          ))}
        </datalist>
      </label>
      <label>
        Ether
        <input name="ether" inputMode="decimal" value={ether} onInput={(event) => setEther(event.currentTarget.value)} autocomplete="off" />
      </label>
    </Form>
  );
}

/** At the fee that the node suggests, with the next free nonce. */
async function signed(rollup: Rollup, wallet: Wallet, from: Account, to: string, value: bigint): Promise<string> {
  const [nonce, price, tip, gas] = await Promise.all([
    eth<string>(rollup.name, 'eth_getTransactionCount', from.address, 'latest'),
    eth<string>(rollup.name, 'eth_gasPrice'),
    eth<string>(rollup.name, 'eth_maxPriorityFeePerGas'),
    eth<string>(rollup.name, 'eth_estimateGas', { from: from.address, to, value: quantity(value) }),
  ]);
  const unsigned = { chainId: rollup.evm!.chain_id, nonce: Number(nonce), tip: BigInt(tip), fee: BigInt(price) + BigInt(tip), gas: Number(gas), to, value };
  return wallet.sign(unsigned, from.key);
}
