import { useEffect } from 'preact/hooks';
import { ApiError, type BlockView, type TransactionView, call, rollups } from '../api';
import { type EthBlock, eth } from '../evm/eth';
import { Empty, Page, Show, useLoad } from '../parts/common';

const missing = (error: unknown): undefined => {
  if (error instanceof ApiError && ['not_found', 'bad_request', 'pruned'].includes(error.reason)) return undefined;
  throw error;
};

/** The page of what `text` names: a height, a hash, a rollup. */
async function find(text: string): Promise<string | undefined> {
  if (/^[\d,]+$/.test(text)) {
    const block = await call<BlockView>('baton_block', { block: Number(text.replaceAll(',', '')) }).catch(missing);
    return block && `block/${block.height}`;
  }
  if (/^(0x)?[0-9a-fA-F]{64}$/.test(text)) {
    const id = `0x${text.replace(/^0x/, '').toLowerCase()}`;
    const [transaction, block] = await Promise.all([
      call<TransactionView>('baton_transaction', { id }).catch(missing),
      call<BlockView>('baton_block', { block: id }).catch(missing),
    ]);
    if (transaction) return `tx/${id}`;
    return block ? `block/${id}` : evmBlock(id);
  }
  if (/^(0x)?[0-9a-fA-F]{40}$/.test(text)) return account(`0x${text.replace(/^0x/, '').toLowerCase()}`);
  const rollup = (await rollups()).find((one) => one.name === text.toLowerCase());
  return rollup && `rollup/${rollup.name}`;
}

const executed = async (): Promise<string[]> => (await rollups()).filter(({ evm }) => evm).map(({ name }) => name);

async function evmBlock(hash: string): Promise<string | undefined> {
  for (const name of await executed()) {
    if (await eth<EthBlock | null>(name, 'eth_getBlockByHash', hash, false)) return `rollup/${name}/block/${hash}`;
  }
  return undefined;
}

/** An address is of every rollup; the first one where it was used is shown. */
async function account(address: string): Promise<string | undefined> {
  const names = await executed();
  for (const name of names) {
    const asked = ['eth_getBalance', 'eth_getTransactionCount', 'eth_getCode'].map((method) => eth<string>(name, method, address, 'latest'));
    if ((await Promise.all(asked)).some((value) => !/^0x0?$/.test(value))) return `rollup/${name}/address/${address}`;
  }
  return names[0] && `rollup/${names[0]}/address/${address}`;
}

export function Search({ text }: { text: string }) {
  const loaded = useLoad(() => find(text), [text]);
  const found = loaded.state === 'there' ? loaded.value : undefined;
  useEffect(() => {
    if (found !== undefined) location.replace(`#/${found}`);
  }, [found]);
  return (
    <Page title="Search">
      <Show loaded={loaded}>
        {(path) =>
          path === undefined ? (
            <div class="note">
              <strong>Nothing here by “{text.slice(0, 80)}”</strong>
              <p>Search takes a height, the hash of a block, the id of a transaction, an address, or the name of a rollup. Ids are known to this node from the moment it hears of them.</p>
            </div>
          ) : (
            <Empty>Found.</Empty>
          )
        }
      </Show>
    </Page>
  );
}
