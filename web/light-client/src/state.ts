// The lottery's state, which every block carries (specs/7-lottery.md).

import { Reader } from './bytes.js';

const MEMBERS_MAX = 128;

export interface Commitment {
  root: Uint8Array;
  /** Hash of the epoch's proof; zero in epoch 0. */
  proof: Uint8Array;
}

export interface State {
  contextBeacon: Uint8Array;
  laterBeacon: Uint8Array;
  commitments: (Commitment | null)[];
  nextContextBeacon: Uint8Array | null;
  nextCommitments: (Commitment | null)[];
  suspended: Set<number>;
  misses: number[];
  bench: Set<number>;
}

function indices(reader: Reader): Set<number> {
  const bytes = reader.take(32);
  const members = Array.from({ length: 256 }, (_, member) => member);
  return new Set(members.filter((member) => (bytes[member >> 3]! >> (member & 7)) & 1));
}

/** Segments whose reports the state keeps. */
const SEGMENTS_JUDGED = 4;

export function decodeState(encoded: Uint8Array): State {
  const reader = new Reader('state', encoded);
  const commitments = () => reader.list(MEMBERS_MAX, () => reader.option(() => ({ root: reader.take(32), proof: reader.take(32) })));
  const state: State = {
    contextBeacon: reader.take(32),
    laterBeacon: reader.take(32),
    commitments: commitments(),
    nextContextBeacon: reader.option(() => reader.take(32)),
    nextCommitments: commitments(),
    suspended: indices(reader),
    misses: reader.list(MEMBERS_MAX, () => reader.u32()),
    bench: indices(reader),
  };
  // The next bench and its reports draw nobody yet; they are read so that nothing is left over.
  indices(reader);
  for (let segment = 0; segment < SEGMENTS_JUDGED; segment++) {
    let last = -1;
    reader.list(MEMBERS_MAX, () => {
      const member = reader.u8();
      if (member <= last) reader.fail('reports out of order');
      last = member;
      indices(reader);
    });
  }
  reader.end();
  const n = state.commitments.length;
  const whole = n > 0 && state.nextCommitments.length === n && state.misses.length === n && state.suspended.size < n;
  if (!whole) reader.fail('its parts do not speak of the same members');
  return state;
}
