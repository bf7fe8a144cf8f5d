// Threshold signatures under the group key: what makes a header final.

import { bls12_381 as bls } from '@noble/curves/bls12-381.js';
import { type Header } from './header.js';
import { Reader, ascii, concat, equal, fromHex, refuse, require, sha256, varint } from './bytes.js';

const DST = 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_';

type G1 = InstanceType<typeof bls.G1.Point>;
type Prepared = ReturnType<typeof bls.utils.calcPairingPrecomputes>;

/** A cluster's public key, made ready for pairings. Make it once: that takes longer than a verification. */
export class GroupKey {
  private constructor(
    readonly hex: string,
    private readonly key: Prepared,
    private readonly generator: Prepared,
  ) {}

  /** `hex` is `0x` and 96 bytes: a compressed point of G2, in the right subgroup. */
  static from(hex: string): GroupKey {
    const bytes = fromHex('the group key', hex, 96);
    let point: InstanceType<typeof bls.G2.Point>;
    try {
      point = bls.G2.Point.fromBytes(bytes);
      point.assertValidity();
    } catch {
      return refuse('group key', 'not a point of G2');
    }
    require(!point.is0() && point.isTorsionFree(), 'group key', 'not in the subgroup');
    const prepare = bls.utils.calcPairingPrecomputes;
    return new GroupKey(hex.toLowerCase(), prepare(point), prepare(bls.G2.Point.BASE));
  }

  /**
   * Whether all signatures hold. They are checked in one pairing equation, each multiplied by a factor of 128
   * bits that nobody can foresee, so that no errors cancel out.
   */
  verifyAll(signed: { message: Uint8Array; signature: G1 }[]): boolean {
    let signatures = bls.G1.Point.ZERO;
    let messages = bls.G1.Point.ZERO;
    for (const [at, { message, signature }] of signed.entries()) {
      const factor = at === 0 ? 1n : randomFactor();
      signatures = signatures.add(signature.multiplyUnsafe(factor));
      messages = messages.add(bls.G1.hashToCurve(message, { DST }).multiplyUnsafe(factor));
    }
    if (signatures.is0() || messages.is0()) return false;
    const left = signatures.negate().toAffine();
    const right = messages.toAffine();
    const product = bls.millerLoopBatch([
      [this.generator, left.x, left.y],
      [this.key, right.x, right.y],
    ]);
    const { Fp12 } = bls.fields;
    return Fp12.eql(Fp12.finalExponentiate(product), Fp12.ONE);
  }
}

function randomFactor(): bigint {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n) | 1n;
}

export function signaturePoint(what: string, bytes: Uint8Array): G1 {
  let point: G1;
  try {
    point = bls.G1.Point.fromBytes(bytes);
    point.assertValidity();
  } catch {
    return refuse('certificate', `the ${what} is not a point of G1`);
  }
  require(!point.is0() && point.isTorsionFree(), 'certificate', `the ${what} is not in the subgroup`);
  return point;
}

/** `varint(length of namespace) ‖ namespace ‖ message` */
export function signedBytes(namespace: Uint8Array, message: Uint8Array): Uint8Array {
  return concat(varint(namespace.length), namespace, message);
}

export interface Certificate {
  epoch: bigint;
  view: bigint;
  parentView: bigint;
  /** Digest of the header that it makes final. */
  block: Uint8Array;
  vote: Uint8Array;
  seed: Uint8Array;
}

export function decodeCertificate(hex: unknown): Certificate {
  const reader = new Reader('certificate', fromHex('certificate', hex));
  const certificate = {
    epoch: reader.varint(),
    view: reader.varint(),
    parentView: reader.varint(),
    block: reader.take(32),
    vote: reader.take(48),
    seed: reader.take(48),
  };
  reader.end();
  return certificate;
}

/** What the two signatures of a certificate are over. */
export function signedByCertificate(chain: Uint8Array, certificate: Certificate): { vote: Uint8Array; seed: Uint8Array } {
  const namespace = (suffix: string) => concat(ascii('_BATON_CONSENSUS'), chain, ascii(suffix));
  const round = concat(varint(certificate.epoch), varint(certificate.view));
  const proposal = concat(round, varint(certificate.parentView), certificate.block);
  return {
    vote: signedBytes(namespace('_FINALIZE'), proposal),
    seed: signedBytes(namespace('_SEED'), round),
  };
}

/** That `header` is final, by a certificate of its own. */
export function verifyCertificate(hex: unknown, header: Header, key: GroupKey): Certificate {
  const certificate = decodeCertificate(hex);
  const names =
    certificate.epoch === header.number('epoch') &&
    certificate.view === header.number('view') &&
    certificate.parentView === header.number('parent_view') &&
    equal(certificate.block, header.digest());
  require(names, 'certificate', 'it is for another block');
  const signed = signedByCertificate(header.bytes('chain'), certificate);
  const holds = key.verifyAll([
    { message: signed.vote, signature: signaturePoint('vote', certificate.vote) },
    { message: signed.seed, signature: signaturePoint('seed', certificate.seed) },
  ]);
  require(holds, 'certificate', 'its signatures do not verify under this group key');
  return certificate;
}

/** The beacon that a seed of the group makes. */
export const beaconOf = (seed: Uint8Array): Uint8Array => sha256(ascii('_BATON_BEACON'), seed);
