// An account of an EVM rollup.

import { call, rollups } from '../../api';
import { TRANSFER, decodeLog } from '../../evm/abi';
import { type EthBlock, type EthLog, type EthTransaction, eth, ethAll, quantity } from '../../evm/eth';
import { bytes, grouped } from '../../format';
import { useLive } from '../../live';
import { Card, Empty, Facts, Hex, Loading, Page, Show, Table, useLoad } from '../../parts/common';
import { VerdictNote } from '../../parts/verdict';
import { type Trust, trusted } from '../../trust';
import { type Answer, verify } from '../../verify';
import { Address, BlockNumber, TransactionRow, Wei } from './parts';

const EVERY_MS = 3_000;
/** Blocks that are looked back on. A node has no index of accounts, so each of them is read as a whole. */
const BACK = 20;
/** Blocks that are looked back on for logs, which are found by bloom filters. */
const LOGS_BACK = 2_000;
const ROWS_MAX = 25;
/** What stands before the address in an account that code was delegated to (EIP-7702). */
const DELEGATION = '0xef0100';

/** The account in the newest state that a final block of the cluster attests, as far as this browser could check it. */
async function attested(name: string, address: string, { key, chain }: Trust): Promise<Answer | undefined> {
  const rollup = (await rollups()).find((one) => one.name === name && one.evm);
  if (!rollup) return undefined;
  const proof = await call('baton_evmProof', { rollup: rollup.id, account: address });
  return verify({ kind: 'account', asked: `${rollup.id} ${address}`, proof, key, chain });
}

export function EvmAddress({ rollup, address }: { rollup: string; address: string }) {
  const { cluster } = useLive();
  return (
    <Page title={`Account of ${rollup}`} lead={<Hex value={address} whole />}>
      {cluster ? <Account rollup={rollup} address={address} trust={trusted(cluster.status)} /> : <Loading />}
      <Latest rollup={rollup} address={address} />
      <Tokens rollup={rollup} address={address} />
    </Page>
  );
}

function Account({ rollup, address, trust }: { rollup: string; address: string; trust: Trust }) {
  // Shown together with what was found in checking it, so that nothing on the page is unchecked for a moment.
  const loaded = useLoad(() => attested(rollup, address, trust), [rollup, address, trust.key, trust.chain], EVERY_MS);
  const answer = loaded.state === 'there' ? loaded.value : undefined;
  const shown = answer?.holds ? answer.execution : undefined;
  const account = shown?.account;
  // Bytes behind a hash that never changes, and what waits, which the state does not know.
  const code = useLoad(() => eth<string>(rollup, 'eth_getCode', address, 'latest'), [rollup, address, account?.codeHash]);
  const next = useLoad(() => eth<string>(rollup, 'eth_getTransactionCount', address, 'latest'), [rollup, address, shown?.number]);
  return (
    <Show loaded={loaded}>
      {(found) =>
        found ? (
          <>
            <VerdictNote verdict={found} words={{ holds: 'Balance, nonce and hash of the code are in the state that a block with a certificate attests.' }} />
            {shown && account && (
              <Card>
                <Facts
                  rows={[
                    ['Balance', <Wei value={account.balance} />],
                    ['Transactions sent', grouped(account.nonce)],
                    ['Not in this state yet', next.state === 'there' ? grouped(Math.max(0, Number(next.value) - account.nonce)) : '–'],
                    ['Code', code.state === 'there' ? <Code rollup={rollup} code={code.value} /> : '–'],
                    ['Hash of the code', <Hex value={account.codeHash} />],
                    ['After block', <BlockNumber rollup={rollup} number={shown.number} />],
                    ['Attested by', <a href={`#/block/${shown.height}`}>block {grouped(shown.height)} of the cluster</a>],
                  ]}
                />
              </Card>
            )}
          </>
        ) : (
          <Empty>This cluster has no EVM rollup “{rollup}”.</Empty>
        )
      }
    </Show>
  );
}

function Code({ rollup, code }: { rollup: string; code: string }) {
  if (code === '0x') return <>none: a key holds it</>;
  if (code.startsWith(DELEGATION)) return <>that of <Address rollup={rollup} value={`0x${code.slice(DELEGATION.length)}`} /></>;
  return <>{bytes(code.length / 2 - 1)}</>;
}

function Latest({ rollup, address }: { rollup: string; address: string }) {
  const loaded = useLoad(
    async () => {
      const head = Number(await eth<string>(rollup, 'eth_blockNumber'));
      const numbers = Array.from({ length: BACK }, (_, at) => head - at).filter((number) => number > 0);
      const blocks = await ethAll<EthBlock<EthTransaction> | null>(rollup, 'eth_getBlockByNumber', numbers.map((number) => [quantity(number), true]));
      return blocks.flatMap((block) => block?.transactions ?? []).filter(({ from, to }) => from === address || to === address);
    },
    [rollup, address],
  );
  return (
    <Card
      title="Latest transactions"
      side={
        <button type="button" class="button" onClick={loaded.again}>
          Look again
        </button>
      }
    >
      <Show loaded={loaded}>
        {(transactions) =>
          transactions.length === 0 ? (
            <Empty>None in the last {grouped(BACK)} blocks.</Empty>
          ) : (
            <Table label="Transactions" head={['Hash', 'From', 'To', 'Call', 'Value']}>
              {transactions.slice(0, ROWS_MAX).map((transaction) => (
                <TransactionRow key={transaction.hash} rollup={rollup} transaction={transaction} receipt={undefined} />
              ))}
            </Table>
          )
        }
      </Show>
    </Card>
  );
}

/** Of tokens by ERC-20 and ERC-721, from and to the account. */
function Tokens({ rollup, address }: { rollup: string; address: string }) {
  const loaded = useLoad(
    async () => {
      const head = Number(await eth<string>(rollup, 'eth_blockNumber'));
      const fromBlock = quantity(Math.max(0, head - LOGS_BACK));
      const word = `0x${address.slice(2).padStart(64, '0')}`;
      const ask = (topics: (string | null)[]) => eth<EthLog[]>(rollup, 'eth_getLogs', { fromBlock, topics });
      const [sent, got] = await Promise.all([ask([TRANSFER, word]), ask([TRANSFER, null, word])]);
      const place = (log: EthLog) => Number(log.blockNumber) * 1e5 + Number(log.logIndex);
      return [...sent, ...got].sort((one, other) => place(other) - place(one)).slice(0, ROWS_MAX);
    },
    [rollup, address],
  );
  if (loaded.state === 'there' && loaded.value.length === 0) return null;
  return (
    <Card title="Latest transfers of tokens">
      <Show loaded={loaded}>
        {(logs) => (
          <Table label="Transfers" head={['Block', 'Token', 'From', 'To', 'Value or id', 'Transaction']}>
            {logs.map((log) => (
              <TokenRow key={`${log.blockNumber} ${log.logIndex}`} rollup={rollup} log={log} />
            ))}
          </Table>
        )}
      </Show>
    </Card>
  );
}

function TokenRow({ rollup, log }: { rollup: string; log: EthLog }) {
  const [from, to, value] = decodeLog(log.topics, log.data)?.arguments ?? [];
  return (
    <tr>
      <td>
        <BlockNumber rollup={rollup} number={Number(log.blockNumber)} />
      </td>
      <td>
        <Address rollup={rollup} value={log.address} />
      </td>
      <td>{from && <Address rollup={rollup} value={String(from.value)} />}</td>
      <td>{to && <Address rollup={rollup} value={String(to.value)} />}</td>
      <td class="number">{String(value?.value ?? '')}</td>
      <td>
        <Hex value={log.transactionHash} href={`#/tx/${log.transactionHash}`} />
      </td>
    </tr>
  );
}
