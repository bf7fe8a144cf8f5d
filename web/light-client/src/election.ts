// That the author of a final block was drawn rightly (specs/7-lottery.md, "Checking an election").

import { type Header } from './header.js';
import { Header as HeaderCodec } from './header.js';
import { type GroupKey, beaconOf } from './certificate.js';
import { type ChainFacts, type Genesis, contextBeacon, memberIndex, verifyGenesis } from './genesis.js';
import { requireChain, verifyFinal } from './proof.js';
import { type Commitment, type State, decodeState } from './state.js';
import { type Context, decodeReveal, draw, verifyReveal, viewOutput } from './vrf.js';
import { ascii, equal, fromHex, object, refuse, require, sha256, toHex } from './bytes.js';

/** Result of `baton_electionProof`. */
export interface ElectionFile {
  format: 'baton-election-1';
  genesis: unknown;
  header: string;
  evidence: string;
  parent: string;
  held: string;
  state: string;
  history: { certified: string; proof: string } | null;
  certificate: string;
}

export interface Candidate {
  member: number;
  skipped?: 'benched' | 'suspended';
}

/** The same fields as the result of `baton_election`, computed from what is proven. */
export interface ElectionView {
  height: number;
  block: string;
  epoch: number;
  view: number;
  parent_view: number;
  views_missed: number;
  election: string;
  committer: number;
  author: number;
  parent_seed: string;
  lottery: {
    turn: number;
    evidence: 'reveal' | 'single-proof';
    evidence_bytes: number;
    opening: string;
    commitment: { root: string; proof_hash: string | null } | null;
    context_beacon: string;
    later_beacon: string;
    output: string;
    draw: Candidate[];
    benched: number[];
    suspended: number[];
    missed: { view: number; committer: number }[];
  };
}

export interface VerifiedElection {
  election: ElectionView;
  /**
   * False for a view that the committer proved by itself: the draw follows from the opening, but whether the
   * opening is the committer's needs the zero-knowledge proof, which `baton verify` checks and this package not.
   */
  complete: boolean;
}

const FILE = ['format', 'genesis', 'header', 'evidence', 'parent', 'held', 'state', 'history?', 'certificate'];
const MISSED_MAX = 256;
const TURNS = [63, 127, 255, 511, 1023, 2047];
const TURNS_PER_BLOCK = 4;

export function verifyElection(file: unknown, key: GroupKey, chain?: string): VerifiedElection {
  const proof = object('election', file, FILE);
  require(proof['format'] === 'baton-election-1', 'decode', 'format is not baton-election-1');
  const { header } = verifyFinal(proof as { header: unknown; certificate: unknown }, key);
  requireChain(header, chain);
  const members = verifyGenesis(proof['genesis'], header.hex('chain'));
  const { genesis } = members;
  const lottery = header.election === 'zk-lottery' && genesis.election === 'zk-lottery';
  require(lottery, 'election', `only elections by zk-lottery have a proof, and this is by ${header.election}`);
  const parent = HeaderCodec.decode('parent', proof['parent']);
  requireParent(header, parent, BigInt(genesis.epoch_blocks));
  const held = fromHex('held', proof['held']);
  const encoded = fromHex('state', proof['state']);
  const root = sha256(ascii('_BATON_MEMBERS'), held, encoded);
  require(equal(root, parent.bytes('members_root')), 'state', 'it is not the one that the parent commits to');
  const evidence = fromHex('evidence', proof['evidence']);
  const evidenceRoot = sha256(ascii('_BATON_REVEAL_EVIDENCE'), evidence);
  require(equal(evidenceRoot, header.bytes('reveal_evidence')), 'evidence', 'it is not what the header commits to');
  const state = before(decodeState(encoded), parent, header.number('epoch'));
  require(state.commitments.length === genesis.members.length, 'state', 'it is of another number of members');
  return elect(header, state, evidence, members);
}

/** That a header stands where its parent says. */
function requireParent(header: Header, parent: Header, epochBlocks: bigint): void {
  const at = (of: Header, field: 'height' | 'epoch' | 'view' | 'parent_view') => of.number(field);
  require(equal(header.bytes('parent'), parent.digest()), 'parent', 'the header names another one');
  const places: [string, boolean][] = [
    ['chain', header.hex('chain') === parent.hex('chain')],
    ['height', at(parent, 'height') + 1n === at(header, 'height')],
    ['epoch', [header, parent].every((of) => at(of, 'epoch') === at(of, 'height') / epochBlocks)],
    ['view', at(header, 'view') > at(header, 'parent_view')],
    ['parent view', at(header, 'parent_view') === (at(header, 'epoch') === at(parent, 'epoch') ? at(parent, 'view') : 0n)],
  ];
  for (const [field, follows] of places) require(follows, 'parent', `the header's ${field} does not follow from it`);
}

/** The state that a block of `epoch` on `parent` builds on. */
function before(state: State, parent: Header, epoch: bigint): State {
  if (epoch === parent.number('epoch')) return state;
  const rotation = state.commitments.length - state.suspended.size;
  const turns = Number(parent.number('view')) / Math.max(rotation, 1);
  const least = Math.max(Math.floor(Math.floor(turns) / 2) + 1, 4);
  const faults = Math.floor((state.commitments.length - 1) / 3);
  const worst = [...state.misses.entries()]
    .filter(([, misses]) => misses >= least)
    .sort(([one, oneMisses], [other, otherMisses]) => otherMisses - oneMisses || one - other)
    .slice(0, faults);
  return {
    ...state,
    contextBeacon: state.nextContextBeacon ?? new Uint8Array(32),
    laterBeacon: beaconOf(parent.bytes('parent_seed')),
    commitments: state.nextCommitments,
    suspended: new Set(worst.map(([member]) => member)),
  };
}

function elect(header: Header, state: State, evidence: Uint8Array, known: ChainFacts & { genesis: Genesis }): VerifiedElection {
  const { genesis } = known;
  const members = genesis.members.length;
  const rotation = Array.from({ length: members }, (_, member) => member).filter((member) => !state.suspended.has(member));
  const [epoch, view] = [header.number('epoch'), header.number('view')];
  const committerOf = (of: bigint) => rotation[Number((epoch + of) % BigInt(rotation.length))]!;
  const committer = committerOf(view);
  require(memberIndex(known, header.hex('committer')) === committer, 'committer', `the view is member ${committer}'s`);
  const turn = Number(view / BigInt(rotation.length));
  const commitment = state.commitments[committer] ?? null;
  const context: Context = { chain: contextBeacon(genesis), epoch, beacon: state.contextBeacon };
  const key = fromHex('vrf_key', genesis.members[committer]!.vrf_key, 32);
  const shown = show({ evidence, commitment, turn, turns: turnsOf(genesis), view }, key, context, state.laterBeacon);
  require(equal(shown.opening, header.bytes('reveal')), 'opening', 'the header has another one');
  const skipped = (member: number) => (state.suspended.has(member) ? 'suspended' : state.bench.has(member) ? 'benched' : undefined);
  const drawn = draw(shown.output, members, (member) => skipped(member) === undefined);
  const author = memberIndex(known, header.hex('author'));
  require(drawn.at(-1) === author && skipped(author) === undefined, 'draw', `it draws member ${drawn.at(-1)}, and ${author} built the block`);
  const parentView = header.number('parent_view');
  const missed = [];
  for (let of = parentView + 1n; of < view && missed.length < MISSED_MAX; of += 1n) missed.push({ view: Number(of), committer: committerOf(of) });
  const election: ElectionView = {
    height: Number(header.number('height')),
    block: toHex(header.digest()),
    epoch: Number(epoch),
    view: Number(view),
    parent_view: Number(parentView),
    views_missed: Number(view - parentView) - 1,
    election: header.election,
    committer,
    author,
    parent_seed: header.hex('parent_seed'),
    lottery: {
      turn,
      evidence: shown.complete ? 'reveal' : 'single-proof',
      evidence_bytes: evidence.length,
      opening: toHex(shown.opening),
      commitment: commitment && commitmentView(commitment),
      context_beacon: toHex(state.contextBeacon),
      later_beacon: toHex(state.laterBeacon),
      output: toHex(shown.output),
      draw: drawn.map((member) => {
        const reason = skipped(member);
        return reason === undefined ? { member } : { member, skipped: reason };
      }),
      benched: [...state.bench],
      suspended: [...state.suspended].sort((one, other) => one - other),
      missed,
    },
  };
  return { election, complete: shown.complete };
}

function commitmentView({ root, proof }: Commitment): { root: string; proof_hash: string | null } {
  return { root: toHex(root), proof_hash: proof.every((byte) => byte === 0) ? null : toHex(proof) };
}

/** Turns that a commitment covers: the least that is four times the blocks of an epoch over the members. */
function turnsOf(genesis: Genesis): number {
  const needed = Math.floor((TURNS_PER_BLOCK * genesis.epoch_blocks) / genesis.members.length);
  return TURNS.find((turns) => turns >= needed) ?? 2047;
}

interface Evidence {
  evidence: Uint8Array;
  commitment: Commitment | null;
  turn: number;
  turns: number;
  view: bigint;
}

/** Opening and output that the evidence shows. */
function show({ evidence, commitment, turn, turns, view }: Evidence, key: Uint8Array, context: Context, later: Uint8Array) {
  const rest = evidence.slice(1);
  if (evidence[0] === 0) {
    if (commitment === null) return refuse('evidence', 'a reveal, and no commitment is in force');
    const reveal = decodeReveal(rest);
    require(reveal.turn === turn, 'evidence', `it reveals turn ${reveal.turn}, and this is turn ${turn}`);
    const output = verifyReveal(reveal, commitment.root, key, context, later);
    return { opening: reveal.opening, output, complete: true };
  }
  require(evidence[0] === 1 && rest.length > 32, 'evidence', 'of no known kind');
  require(commitment === null || turn >= turns, 'evidence', 'a proof of the view by itself, where a commitment is in force');
  const opening = rest.slice(0, 32);
  return { opening, output: viewOutput(context, view, key, opening, later), complete: false };
}

/** That a node's account of an election (`baton_election`) is what the proof shows. */
export function verifyElectionView(view: unknown, file: unknown, key: GroupKey, chain?: string): VerifiedElection {
  const verified = verifyElection(file, key, chain);
  const difference = differs('', view, verified.election);
  require(difference === null, 'answer', `${difference} is not what is proven`);
  return verified;
}

/** The path of the first field in which two JSON values differ. */
function differs(path: string, one: unknown, other: unknown): string | null {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
    return one === other ? null : path;
  }
  const fields = new Set([...Object.keys(one), ...Object.keys(other)]);
  for (const field of fields) {
    const at = (value: object) => (value as Record<string, unknown>)[field];
    const found = differs(path === '' ? field : `${path}.${field}`, at(one), at(other));
    if (found !== null) return found;
  }
  return null;
}
