// The commands of cast that people type.
import { execFileSync } from "node:child_process";
import { counter, done, failure, holds, http, keys, poorKey, same } from "./check.mjs";

const program = process.argv[4];
const someone = "0x00000000000000000000000000000000000000cC";
const cast = (...args) =>
  execFileSync(program, args, { env: { ...process.env, ETH_RPC_URL: http }, encoding: "utf8", stdio: "pipe" }).trim();
const json = (...args) => JSON.parse(cast(...args, "--json"));
const key = ["--private-key", keys[1]];
const says = async (what, words, ...args) => {
  const error = await failure((async () => cast(...args))(), what);
  holds(new RegExp(words, "i").test(error.stderr), `${what}: ${error.stderr}`);
};

const address = cast("wallet", "address", ...key);
holds(BigInt(cast("balance", address)) > 9000n * 10n ** 18n, "balance");
holds(Number(cast("chain-id")) > 0 && Number(cast("block-number")) >= 0, "chain");
holds(BigInt(cast("gas-price")) > 0n && BigInt(cast("base-fee")) > 0n, "fees");
holds(cast("client").startsWith("baton/"), "client");

const before = { nonce: Number(cast("nonce", address)), balance: BigInt(cast("balance", someone)) };
const sent = json("send", someone, "--value", "1ether", ...key);
same([sent.status, sent.to.toLowerCase()], ["0x1", someone.toLowerCase()], "send");
same(BigInt(cast("balance", someone)) - before.balance, 10n ** 18n, "received");
same(json("send", someone, "--value", "1", "--legacy", ...key).type, "0x0", "legacy");
// Two, without waiting for the first.
const [first, second] = [0, 1].map(() => cast("send", someone, "--value", "1", "--async", ...key));
same([json("receipt", first).status, json("receipt", second).status], ["0x1", "0x1"], "async");
same(Number(cast("nonce", address)) - before.nonce, 4, "nonce");

const deployed = json("send", ...key, "--create", counter.bytecode, "constructor(uint256)", "4");
const contract = deployed.contractAddress;
same(cast("call", contract, "total()(uint256)"), "4", "call");
const increased = json("send", contract, "increase(uint256)", "6", ...key);
same([increased.status, increased.logs.length], ["0x1", 1], "increase");
same(cast("call", contract, "total()(uint256)"), "10", "called again");
same(cast("call", contract, "total()(uint256)", "--block", String(Number(increased.blockNumber) - 1)), "4", "history");
const logs = json("logs", "--from-block", "0", "--address", contract, "Increased(address indexed,uint256,uint256)");
same(logs.map((log) => log.transactionHash), [increased.transactionHash], "logs");
holds(Number(cast("estimate", contract, "increase(uint256)", "6", "--from", address)) > 30_000, "estimate");
same(BigInt(cast("storage", contract, "0")), 10n, "storage");
holds(cast("code", contract).length > 100, "code");
holds(json("proof", contract, "0x0").accountProof.length > 0, "proof");
const list = cast("access-list", contract, "total()", "--from", address);
holds(list.toLowerCase().includes(contract.toLowerCase()), `access list: ${list}`);
same(json("tx", sent.transactionHash).hash, sent.transactionHash, "tx");
same(json("block", sent.blockNumber).hash, sent.blockHash, "block");
const trace = JSON.parse(cast("rpc", "debug_traceTransaction", increased.transactionHash, '{"tracer":"callTracer"}'));
same([trace.type, trace.to], ["CALL", contract.toLowerCase()], "trace");

await says("revert", "nothing to add", "call", contract, "increase(uint256)", "0");
await says("custom error", "TooLarge|custom error|0x", "call", contract, "increase(uint256)", "2000");
await says("poor", "insufficient funds", "send", someone, "--value", "1", "--gas-limit", "21000", "--private-key", poorKey);
await says("old nonce", "nonce too low", "send", someone, "--nonce", "0", "--gas-limit", "21000", ...key);
await says("no such method", "-32601", "rpc", "anvil_nodeInfo");
done();
