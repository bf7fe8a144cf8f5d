// A dapp on ethers: batches by itself, and reads errors by their words.
import { Contract, ContractFactory, JsonRpcProvider, NonceManager, Wallet, WebSocketProvider, isError, parseEther } from "ethers";
import { counter, done, failure, holds, http, keys, poorKey, same, within, ws } from "./check.mjs";

// By itself ethers gives the same answer for 250 ms, in which several blocks pass.
const provider = new JsonRpcProvider(http, undefined, { pollingInterval: 50, cacheTimeout: -1 });
const live = new WebSocketProvider(ws);
const wallet = new Wallet(keys[2], provider);
const someone = "0x00000000000000000000000000000000000000bb";

const [network, balance, fees, number] = await Promise.all([
  provider.getNetwork(), provider.getBalance(wallet.address), provider.getFeeData(), provider.getBlockNumber(),
]);
holds(network.chainId > 0n && balance > parseEther("9000") && number >= 0, "basics");
holds(fees.maxFeePerGas > 0n && fees.gasPrice > 0n, "fees");

// What a wait resolves with.
const before = await provider.getBalance(someone);
const one = await within((await wallet.sendTransaction({ to: someone, value: parseEther("1") })).wait(), "transfer");
same([one.status, one.from, one.to], [1, wallet.address, someone], "receipt");
same((await provider.getBalance(someone)) - before, parseEther("1"), "balance");

// Many at once.
const managed = new NonceManager(wallet);
const many = await Promise.all(Array.from({ length: 8 }, () => managed.sendTransaction({ to: someone, value: 1n })));
const receipts = await within(Promise.all(many.map((each) => each.wait())), "many transfers");
same(receipts.map((receipt) => receipt.status), Array(8).fill(1), "statuses");
same(new Set(receipts.map((receipt) => receipt.hash)).size, 8, "hashes");
managed.reset();

const head = new Promise((resolve) => live.once("block", resolve));
const factory = new ContractFactory(counter.abi, counter.bytecode, wallet);
const contract = await (await within(factory.deploy(7), "deployment")).waitForDeployment();
const address = await contract.getAddress();
same(await contract.total(), 7n, "constructor");
holds((await within(head, "a head")) > 0, "head");

const event = new Promise((resolve) => {
  new Contract(address, counter.abi, live).once("Increased", (by, amount, total) => resolve([by, amount, total]));
});
const polled = new Promise((resolve) => contract.once("Increased", (by, amount, total) => resolve([by, amount, total])));
// The subscription is there once the same connection answers.
await live.getBlockNumber();
const waiting = new Promise((resolve) => live.once("pending", resolve));
await live.getBlockNumber();
const increased = await within((await contract.increase(3)).wait(), "increase");
same(await within(event, "event"), [wallet.address, 3n, 10n], "event over WebSocket");
same(await within(polled, "polled event"), [wallet.address, 3n, 10n], "event by polling");
holds(String(await within(waiting, "waiting")).length === 66, "waiting transaction");
same((await contract.queryFilter("Increased")).map((log) => log.args.total), [10n], "query");
same(increased.logs[0].args.amount, 3n, "log of the receipt");
same(await contract.total({ blockTag: increased.blockNumber - 1 }), 7n, "history");
same(await contract.increase.staticCall(5), 15n, "static call");
holds((await contract.increase.estimateGas(5)) > 30_000n, "estimate");

const reason = await failure(contract.increase.staticCall(0), "zero");
holds(isError(reason, "CALL_EXCEPTION"), `${reason.code}: ${reason.message}`);
same(reason.reason, "nothing to add", "reason");
const custom = await failure(contract.increase.staticCall(2000), "too large");
holds((await failure(contract.increase.estimateGas(2000), "estimate")).data === custom.data, "data of an estimate");
same([custom.code, custom.revert?.name, custom.revert?.args[0]], ["CALL_EXCEPTION", "TooLarge", 2000n], "custom error");

const poor = new Wallet(poorKey, provider);
const broke = await failure(poor.sendTransaction({ to: someone, value: 1n, gasLimit: 21_000 }), "poor");
same(broke.code, "INSUFFICIENT_FUNDS", broke.message);
const old = await failure(wallet.sendTransaction({ to: someone, nonce: 0, gasLimit: 21_000 }), "old nonce");
same(old.code, "NONCE_EXPIRED", old.message);
// Behind a gap, so that it still waits when it is to be replaced.
const nonce = (await provider.getTransactionCount(wallet.address)) + 2;
const slow = { to: someone, nonce, gasLimit: 21_000, maxFeePerGas: 10_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
await wallet.sendTransaction(slow);
const cheap = await failure(wallet.sendTransaction({ ...slow, value: 1n }), "underpriced");
same(cheap.code, "REPLACEMENT_UNDERPRICED", cheap.message);
const better = { ...slow, value: 2n, maxFeePerGas: 12_000_000_000n, maxPriorityFeePerGas: 2_000_000_000n };
holds((await wallet.sendTransaction(better)).hash.length === 66, "replacement");

const block = await provider.getBlock("latest", true);
holds(block.number > 0 && block.transactions.length > 0, "block");
same((await provider.getTransaction(increased.hash)).blockHash, increased.blockHash, "transaction");
await live.destroy();
done();
