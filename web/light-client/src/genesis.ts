// The genesis: its digest is the chain's identity, so a genesis is as good as the header that names the chain.

import { U32_MAX, ascii, fromHex, number, object, refuse, require, sha256, toHex } from './bytes.js';
import { beaconOf } from './certificate.js';

export interface Member {
  identity: string;
  vrf_key: string;
  commitment?: string;
  p2p: string;
  weight: number;
}

/** Result of `baton_genesis`; the fields that a verifier looks at. */
export interface Genesis {
  key_generation: { group_key: string };
  members: Member[];
  rollups: { id: number; kind: string }[];
  election: string;
  epoch_blocks: number;
}

/** What blocks are read by, of a genesis with the digest `chain`. */
export interface ChainFacts {
  chain: string;
  /** Of the members, by index. */
  identities: string[];
  /** Rollups that execute Ethereum transactions, by id. */
  evm: ReadonlySet<number>;
}

/**
 * SHA-256 over the genesis as compact JSON in the order of its fields, which parsing and writing it again keeps.
 * A number above 2^53 does not survive that, and such a genesis is refused as another chain's.
 */
export function genesisDigest(genesis: unknown): Uint8Array {
  return sha256(ascii('_BATON_GENESIS'), ascii(JSON.stringify(genesis)));
}

/** The context beacon of epoch 0: this genesis without its commitments. */
export function contextBeacon(genesis: Genesis): Uint8Array {
  const members = genesis.members.map(({ commitment: _, ...member }) => member);
  return beaconOf(genesisDigest({ ...genesis, members }));
}

/** A genesis of the chain that is expected, and what follows from it; refuses any other. */
export function verifyGenesis(value: unknown, chain: string): ChainFacts & { genesis: Genesis } {
  if (typeof value !== 'object' || value === null) refuse('decode', 'the genesis is not an object');
  const genesis = value as Genesis;
  const digest = toHex(genesisDigest(genesis));
  require(digest === chain.toLowerCase(), 'genesis', `its digest is ${digest}, and the chain is ${chain}`);
  require(Array.isArray(genesis.members) && genesis.members.length > 0, 'decode', 'the genesis has no members');
  for (const member of genesis.members) {
    const fields = object('member', member, ['identity', 'vrf_key', 'commitment?', 'p2p', 'weight']);
    fromHex('identity', fields['identity'], 32);
    fromHex('vrf_key', fields['vrf_key'], 32);
  }
  number('epoch_blocks', genesis.epoch_blocks);
  require(Array.isArray(genesis.rollups), 'decode', 'the genesis has no rollups');
  const executed = genesis.rollups.filter(({ kind }) => kind === 'evm').map(({ id }) => number('rollups[].id', id, U32_MAX));
  return { genesis, chain: digest, identities: genesis.members.map((member) => member.identity), evm: new Set(executed) };
}

export function memberIndex(facts: ChainFacts, identity: string): number {
  return facts.identities.indexOf(identity);
}
