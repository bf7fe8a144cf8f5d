// Which group key this browser believes. The page comes from a node, so a key that the node names proves nothing by
// itself: the first one seen is kept, and a node that later speaks of another is shown as such. Whoever has the key
// from the operators pins it with a link: `#/?key=0x…`.

import type { Status } from './api';

export interface Trust {
  chain: string;
  key: string;
  /** Whether it came with a link rather than from the node. */
  pinned: boolean;
}

const STORE = 'baton.trust';
const PIN = /[?&]key=(0x[0-9a-f]{192})\b/;
let memory: Trust | undefined;

function read(): Trust | undefined {
  if (memory) return memory;
  try {
    memory = JSON.parse(localStorage.getItem(STORE) ?? 'null') ?? undefined;
  } catch {
    // No storage, or something else in it: as on a first visit.
  }
  return memory;
}

function write(trust: Trust): Trust {
  memory = trust;
  try {
    localStorage.setItem(STORE, JSON.stringify(trust));
  } catch {
    // It is forgotten with the page.
  }
  return trust;
}

/** What is believed; the first time, what the node says. */
export function trusted(status: Status): Trust {
  const pin = PIN.exec(location.hash)?.[1];
  const known = read();
  // Taken once: what is decided afterwards shall stand.
  if (pin) history.replaceState(null, '', location.hash.replace(PIN, ''));
  if (pin && known?.key !== pin) return write({ chain: status.group_key === pin ? status.chain : '', key: pin, pinned: true });
  return known ?? trustNode(status);
}

export function trustNode(status: Status): Trust {
  return write({ chain: status.chain, key: status.group_key, pinned: false });
}

export function sameCluster(trust: Trust, status: Status): boolean {
  return trust.key === status.group_key && (trust.chain === '' || trust.chain === status.chain);
}
