// A dapp on viem: reads, sends, deploys, watches, and reads the errors.
import {
  BaseError, ContractFunctionRevertedError, InsufficientFundsError, NonceTooLowError, createPublicClient,
  createWalletClient, defineChain, http as httpTransport, keccak256, parseEther, webSocket,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { counter, done, failure, holds, http, keys, poorKey, same, within, ws } from "./check.mjs";

const probe = createPublicClient({ transport: httpTransport(http) });
const id = await probe.getChainId();
const chain = defineChain({
  id, name: "evm", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [http], webSocket: [ws] } },
});
const account = privateKeyToAccount(keys[0]);
const transport = httpTransport(http, { batch: true });
// In much shorter intervals viem passes over the block that it waits for while it looks at the one before.
const reader = createPublicClient({ chain, transport, pollingInterval: 500 });
const wallet = createWalletClient({ account, chain, transport });
const live = createPublicClient({ chain, transport: webSocket(ws) });
const someone = "0x00000000000000000000000000000000000000aa";
const receiptOf = (hash) => within(reader.waitForTransactionReceipt({ hash }), `receipt of ${hash}`);

// Several questions in one batch.
const [block, price, tip, balance] = await Promise.all([
  reader.getBlock(), reader.getGasPrice(), reader.estimateMaxPriorityFeePerGas(),
  reader.getBalance({ address: account.address }),
]);
holds(balance > parseEther("9000") && price > 0n && tip > 0n && block.baseFeePerGas > 0n, "basics");
const fees = await reader.estimateFeesPerGas();
holds(fees.maxFeePerGas > fees.maxPriorityFeePerGas, "fees");

// Transfers, right after one another, get nonces of their own.
const before = await reader.getTransactionCount({ address: account.address, blockTag: "pending" });
const hashes = [];
for (let i = 0; i < 4; i++) hashes.push(await wallet.sendTransaction({ to: someone, value: parseEther("1") }));
const receipts = await Promise.all(hashes.map(receiptOf));
same(receipts.map((receipt) => receipt.status), Array(4).fill("success"), "transfers");
same(await reader.getTransactionCount({ address: account.address }), before + 4, "nonces");
const sent = await reader.getTransaction({ hash: hashes[3] });
same([sent.nonce, sent.value, sent.blockHash], [before + 3, parseEther("1"), receipts[3].blockHash], "transaction");

// Every type of transaction that a wallet makes.
const types = [
  [{ type: "legacy", gasPrice: await reader.getGasPrice() }, "legacy"],
  [{ type: "eip2930", gasPrice: await reader.getGasPrice(), accessList: [{ address: someone, storageKeys: [] }] }, "eip2930"],
  [{ type: "eip1559" }, "eip1559"],
];
for (const [options, type] of types) {
  const receipt = await receiptOf(await wallet.sendTransaction({ to: someone, value: 1n, ...options }));
  same([receipt.status, receipt.type], ["success", type], type);
}

// Handed in, with the receipt as the answer.
const sync = await within(wallet.sendTransactionSync({ to: someone, value: 1n }), "sendTransactionSync");
same(sync.status, "success", "sync");
same(await reader.getTransactionReceipt({ hash: sync.transactionHash }), sync, "receipt of sync");

// Watch before anything happens.
const heads = [], logsSeen = [], waiting = [];
let told;
const news = new Promise((resolve) => (told = resolve));
const check = () => heads.length && logsSeen.length && waiting.length && told();
const stops = [
  live.watchBlocks({ onBlock: (head) => (heads.push(head), check()), onError: console.error }),
  live.watchPendingTransactions({ onTransactions: (all) => (waiting.push(...all), check()), onError: console.error }),
];

const deployed = await receiptOf(await wallet.deployContract({ ...counter, args: [5n] }));
const contract = { abi: counter.abi, address: deployed.contractAddress };
stops.push(live.watchContractEvent({ ...contract, eventName: "Increased", onLogs: (all) => (logsSeen.push(...all), check()) }));
same(await reader.readContract({ ...contract, functionName: "total" }), 5n, "constructor");
const filter = await reader.createContractEventFilter({ ...contract, eventName: "Increased" });
const blockFilter = await reader.createBlockFilter();

const { request, result } = await reader.simulateContract({ ...contract, functionName: "increase", args: [37n], account });
same(result, 42n, "simulation");
const increased = await receiptOf(await wallet.writeContract(request));
same(await reader.readContract({ ...contract, functionName: "total" }), 42n, "write");
same(await reader.readContract({ ...contract, functionName: "total", blockNumber: deployed.blockNumber }), 5n, "history");
const found = await reader.getContractEvents({ ...contract, eventName: "Increased", fromBlock: deployed.blockNumber, strict: true });
same(found.map((log) => [log.args.amount, log.args.total]), [[37n, 42n]], "events");
same((await reader.getFilterChanges({ filter })).map((log) => log.transactionHash), [increased.transactionHash], "filter");
holds((await reader.getFilterChanges({ filter: blockFilter })).includes(increased.blockHash), "block filter");
same(await reader.uninstallFilter({ filter }), true, "uninstalled");
await within(news, "subscriptions");
same(logsSeen[0].args.total, 42n, "watched event");
holds(waiting.every((hash) => hash.length === 66) && heads[0].number > 0n, "watched heads and transactions");
stops.forEach((stop) => stop());

// Errors as contracts made them.
const reverted = async (functionName, args) => {
  const error = await failure(reader.simulateContract({ ...contract, functionName, args, account }), functionName);
  return error.walk((each) => each instanceof ContractFunctionRevertedError);
};
same((await reverted("increase", [0n])).reason, "nothing to add", "reason");
const custom = await reverted("increase", [2000n]);
same([custom.data.errorName, custom.data.args], ["TooLarge", [2000n, 1000n]], "custom error");
holds((await reverted("quotient", [1n, 0n])).reason.includes("zero"), "panic");
const walk = (error, kind) => error instanceof BaseError && error.walk((each) => each instanceof kind);
const poor = createWalletClient({ account: privateKeyToAccount(poorKey), chain, transport });
holds(walk(await failure(poor.sendTransaction({ to: someone, value: 1n }), "poor"), InsufficientFundsError), "funds");
const broke = await failure(poor.sendTransaction({ to: someone, value: 1n, gas: 21_000n }), "poor with gas");
holds(walk(broke, InsufficientFundsError), `funds when sent: ${broke.details}`);
const old = await failure(wallet.sendTransaction({ to: someone, nonce: 0, gas: 21_000n }), "old nonce");
holds(walk(old, NonceTooLowError), `nonce: ${old.details}`);

// What only developers ask.
const proof = await reader.getProof({ address: contract.address, storageKeys: [`0x${"0".repeat(64)}`] });
same([proof.storageProof[0].value, proof.accountProof.length > 0], [42n, true], "proof");
const slot = await reader.getStorageAt({ address: contract.address, slot: "0x0" });
same(BigInt(slot), 42n, "storage");
const history = await reader.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
same([history.baseFeePerGas.length, history.reward.length], [5, 4], "fee history");
const pretended = await reader.readContract({
  ...contract, functionName: "total",
  stateOverride: [{ address: contract.address, stateDiff: [{ slot: `0x${"0".repeat(64)}`, value: `0x${"0".repeat(63)}7` }] }],
});
same(pretended, 7n, "state override");
const list = await reader.createAccessList({ account: account.address, to: contract.address, data: "0x2ddbd13a" });
same(list.accessList[0].storageKeys.length, 1, "access list");
const code = await reader.getCode({ address: contract.address });
holds(keccak256(code).length === 66 && code.length > 100, "code");

// A wallet that acts as a contract (EIP-7702).
const other = privateKeyToAccount(keys[1]);
const authorization = await createWalletClient({ account: other, chain, transport }).signAuthorization({ contractAddress: contract.address });
const delegated = await receiptOf(await wallet.sendTransaction({ to: other.address, authorizationList: [authorization], data: "0x2ddbd13a" }));
same([delegated.status, delegated.type], ["success", "eip7702"], "delegation");
same((await reader.getCode({ address: other.address })).slice(0, 8), "0xef0100", "delegated code");
const full = await reader.getBlock({ blockNumber: delegated.blockNumber, includeTransactions: true });
holds(full.transactions.some((each) => each.hash === delegated.transactionHash), "block with transactions");
same((await reader.getBlock({ blockTag: "pending" })).hash, null, "pending block");
done();
