// Verification off the page's thread: a pairing takes longer than a frame.

import {
  GroupKey,
  Refused,
  type VerifiedBatch,
  fromHex,
  toHex,
  transactionId,
  verifyBatch,
  verifyBlock,
  verifyBlockProof,
  verifyElectionView,
  verifyEvmProof,
  verifyGenesis,
  verifyReceipt,
  verifyTransaction,
} from '@baton/light-client';
import type { L1 } from './api';
import type { Answer, Found, Request } from './verify';

const WHOLE: Found = { complete: true };

const keys = new Map<string, GroupKey>();

function keyOf(hex: string): GroupKey {
  const known = keys.get(hex) ?? GroupKey.from(hex);
  keys.clear();
  return keys.set(hex, known).get(hex)!;
}

/** A true answer to another question is a lie as well. */
function asked(name: string, ...names: string[]): void {
  if (!names.includes(name)) throw new Refused('answer', `asked for ${name}, the node speaks of ${names.join(', ')}`);
}

/** A batch for another chain or contract settles nothing here. */
function settlesAt(l1: L1 | null | undefined, { l1_chain_id, inbox, rollup }: VerifiedBatch): void {
  const own = l1?.chain_id === l1_chain_id && l1.rollups.find((one) => one.rollup === rollup)?.inbox === inbox;
  if (!own) throw new Refused('genesis', `the genesis names no inbox ${inbox} of rollup ${rollup} on chain ${l1_chain_id}`);
}

function check(request: Request): Found {
  if (request.kind === 'receipt') {
    verifyReceipt(request.receipt);
    return WHOLE;
  }
  if (request.kind === 'payload') {
    const { rollup, evm, validUntil } = request;
    const payload = fromHex('payload', request.payload);
    const bundle = request.bundle === null ? null : fromHex('bundle', request.bundle, 32);
    if (toHex(transactionId({ rollup, evm, validUntil, payload, bundle })) !== request.asked) throw new Refused('answer', 'the payload has another id');
    return WHOLE;
  }
  const key = keyOf(request.key);
  const chain = request.chain || undefined;
  switch (request.kind) {
    case 'transaction':
      asked(request.asked, verifyTransaction(request.view, request.proof, key, chain).id);
      return WHOLE;
    case 'final':
      verifyBlockProof(request.proof, key, chain);
      return WHOLE;
    case 'block': {
      const { header } = verifyBlockProof(request.proof, key, chain);
      verifyBlock(request.view, request.proof, key, verifyGenesis(request.genesis, header.hex('chain')));
      asked(request.asked, String(header.number('height')), toHex(header.digest()));
      return WHOLE;
    }
    case 'account': {
      const execution = verifyEvmProof(request.proof, key, chain);
      asked(request.asked, `${execution.rollup} ${execution.account?.address}`);
      return { complete: true, execution };
    }
    case 'batch': {
      const { header } = verifyBlockProof(request.proof, key, chain);
      const { genesis } = verifyGenesis(request.genesis, header.hex('chain'));
      const batch = verifyBatch(request.batch, key);
      asked(request.asked, `${batch.rollup}/${batch.index}`);
      settlesAt((genesis as { l1?: L1 | null }).l1, batch);
      return WHOLE;
    }
    case 'election': {
      const { complete, election } = verifyElectionView(request.view, request.proof, key, chain);
      asked(request.asked, String(election.height));
      return { complete };
    }
  }
}

onmessage = ({ data }: MessageEvent<Request & { id: number }>) => {
  const started = performance.now();
  let answer: Answer;
  try {
    const found = check(data);
    answer = { id: data.id, holds: true, ...found, ms: performance.now() - started };
  } catch (error) {
    // Whatever trips over an answer does not hold either.
    const detail = error instanceof Refused ? error.message : `decode: ${String(error)}`;
    answer = { id: data.id, holds: false, detail, ms: performance.now() - started };
  }
  postMessage(answer);
};
