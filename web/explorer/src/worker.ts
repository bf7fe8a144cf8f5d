// Verification off the page's thread: a pairing takes longer than a frame.

import {
  type BlockView,
  GroupKey,
  Refused,
  fromHex,
  toHex,
  transactionId,
  verifyAccount,
  verifyBlock,
  verifyBlockProof,
  verifyElectionView,
  verifyGenesis,
  verifyReceipt,
  verifyTransaction,
} from '@baton/light-client';
import type { Answer, Request } from './verify';

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

function check(request: Request): boolean {
  if (request.kind === 'receipt') {
    verifyReceipt(request.receipt);
    return true;
  }
  if (request.kind === 'payload') {
    const { rollup, evm, validUntil } = request;
    const payload = fromHex('payload', request.payload);
    const bundle = request.bundle === null ? null : fromHex('bundle', request.bundle, 32);
    if (toHex(transactionId({ rollup, evm, validUntil, payload, bundle })) !== request.asked) throw new Refused('answer', 'the payload has another id');
    return true;
  }
  const key = keyOf(request.key);
  const chain = request.chain || undefined;
  switch (request.kind) {
    case 'transaction':
      asked(request.asked, verifyTransaction(request.view, request.proof, key, chain).id);
      return true;
    case 'final':
      verifyBlockProof(request.proof, key, chain);
      return true;
    case 'block': {
      const { header } = verifyBlockProof(request.proof, key, chain);
      verifyBlock(request.view, request.proof, key, verifyGenesis(request.genesis, header.hex('chain')));
      asked(request.asked, String(header.number('height')), toHex(header.digest()));
      return true;
    }
    case 'account': {
      const { header } = verifyBlockProof(request.proof, key, chain);
      verifyBlock(request.view, request.proof, key, verifyGenesis(request.genesis, header.hex('chain')));
      const result = (request.view as BlockView).results.find(({ rollup }) => rollup === request.rollup);
      if (!result) throw new Refused('answer', `the block says nothing of rollup ${request.rollup}`);
      asked(request.asked, verifyAccount(request.account, result).address);
      return true;
    }
    case 'election': {
      const { complete, election } = verifyElectionView(request.view, request.proof, key, chain);
      asked(request.asked, String(election.height));
      return complete;
    }
  }
}

onmessage = ({ data }: MessageEvent<Request & { id: number }>) => {
  const started = performance.now();
  let answer: Answer;
  try {
    const complete = check(data);
    answer = { id: data.id, holds: true, complete, ms: performance.now() - started };
  } catch (error) {
    // Whatever trips over an answer does not hold either.
    const detail = error instanceof Refused ? error.message : `decode: ${String(error)}`;
    answer = { id: data.id, holds: false, detail, ms: performance.now() - started };
  }
  postMessage(answer);
};
