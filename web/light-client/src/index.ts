export { type BatchFile, type BatchView, type VerifiedBatch, verifyBatch } from './batch.js';
export { type BlockView, type HeadView, type ResultView, type SegmentView, verifyBlock } from './block.js';
export { Refused, fromHex, toHex } from './bytes.js';
export { type Certificate, GroupKey, decodeCertificate, verifyCertificate } from './certificate.js';
export {
  type Candidate,
  type ElectionFile,
  type ElectionView,
  type VerifiedElection,
  verifyElection,
  verifyElectionView,
} from './election.js';
export {
  type EvmProofFile,
  type SlotFile,
  type VerifiedAccount,
  type VerifiedExecution,
  type VerifiedReceipt,
  verifyEvmProof,
} from './evm.js';
export { type ChainFacts, type Genesis, type Member, genesisDigest, verifyGenesis } from './genesis.js';
export { FIELDS, HEADER_BYTES, Header, type HeaderField } from './header.js';
export { headAfter, headsRoot } from './merkle.js';
export {
  type BlockProofFile,
  type HistoryFile,
  type ProofFile,
  type TransactionView,
  type VerifiedBlock,
  type VerifiedTransaction,
  verifyBlockProof,
  verifyFinal,
  verifyProof,
  verifyTransaction,
} from './proof.js';
export { verifyReceipt } from './receipt.js';
export { type Transaction, bundleId, transactionId } from './transaction.js';
