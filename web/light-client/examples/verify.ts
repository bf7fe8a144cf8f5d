// Submits a transaction to a node and believes nothing of what it says about it:
//
//   node dist/examples/verify.js http://127.0.0.1:8545 0x<group key>
//
// A devnet prints the group key when it starts. In earnest it comes from the cluster's operators.

import { GroupKey, toHex, verifyBlock, verifyElection, verifyGenesis, verifyReceipt, verifyTransaction } from '../src/index.js';

const [url = 'http://127.0.0.1:8545', groupKey] = process.argv.slice(2);
if (groupKey === undefined) throw new Error('usage: verify.js URL GROUP_KEY');
const key = GroupKey.from(groupKey);

async function call(method: string, params: object = {}): Promise<any> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const { result, error } = (await (await fetch(url, { method: 'POST', body })).json()) as any;
  if (error === undefined) return result;
  if (error.data?.retry_after_ms === undefined) throw new Error(error.message);
  await new Promise((resolve) => setTimeout(resolve, error.data.retry_after_ms));
  return call(method, params);
}

const data = toHex(new TextEncoder().encode(`hello at ${Date.now()}`));
const { id, receipt } = await call('baton_submit', { rollup: 'demo', data });
console.log(`accepted by node ${verifyReceipt(receipt).node}`);

let view = await call('baton_transaction', { id });
while (view.rung !== 'finalized') {
  await new Promise((resolve) => setTimeout(resolve, 50));
  view = await call('baton_transaction', { id });
}
const { chain, height, block } = verifyTransaction(view, await call('baton_proof', { id }), key);
console.log(`${id} is final at height ${height} of chain ${chain}`);

const members = verifyGenesis(await call('baton_genesis'), chain);
const answer = await call('baton_block', { block: height, payloads: true });
verifyBlock(answer, await call('baton_blockProof', { block: height }), key, members);
console.log(`block ${block} was built by member ${answer.author}`);

if (answer.election === 'zk-lottery') {
  const { election, complete } = verifyElection(await call('baton_electionProof', { height }), key, chain);
  console.log(`member ${election.committer} drew member ${election.author}${complete ? '' : ' (by a proof not checked here)'}`);
}
