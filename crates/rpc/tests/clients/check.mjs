// What the scripts share: the accounts of the devnet, the contract, and a count of what was checked.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

// Of the mnemonic "test test test test test test test test test test test junk".
export const keys = [
  "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
  "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];
export const poorKey = "0x00000000000000000000000000000000000000000000000000000000000beef1";
export const counter = JSON.parse(readFileSync(new URL("counter.json", import.meta.url), "utf8"));

export const [http, ws] = process.argv.slice(2);
assert(http?.startsWith("http") && ws?.startsWith("ws"), "usage: node SCRIPT.mjs http://… ws://…");

let checks = 0;

export function same(actual, expected, what) {
  assert.deepEqual(actual, expected, what);
  checks += 1;
}

export function holds(condition, what) {
  assert(condition, what);
  checks += 1;
}

// The error that a promise ends with.
export async function failure(promise, what) {
  try {
    await promise;
  } catch (error) {
    checks += 1;
    return error;
  }
  assert.fail(`${what} should have failed`);
}

// Rejects when nothing came for so long.
export function within(promise, what, ms = 30_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export function done() {
  console.log(`${checks} checks passed`);
  process.exit(0);
}
