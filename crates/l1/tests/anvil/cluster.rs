//! The cluster as L1 sees it, without its nodes: blocks of an opaque and an EVM rollup, cut, encoded, and signed by a
//! threshold of four.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_network::TxSignerSync as _;
use alloy_primitives::{Address, B256, Bytes as AlloyBytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use baton_execution::evm::{Chain, ChainLimits, ClusterBlock, Entry, Signed};
use baton_settlement::{
    BatchSource, Certified, Contents, CutRule, Cutter, L1Origin, Part, Place, Terms, data_commitment, encode,
};
use baton_types::{
    Digest, EvmRollups, GroupKey, PrivateKey, PublicKey, Rollup, RollupId, SeedPoint, Transaction, domain,
    genesis::{
        Data,
        evm::{AllocAccount, Cadence, Evm},
    },
    hex::HexArray,
    merkle::{self, EMPTY, Heads},
    settlement::DataKind,
};
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_cryptography::{
    Hasher as _, Sha256, Signer as _,
    bls12381::{
        dkg::feldman_desmedt::deal,
        primitives::{group::Share, ops::threshold, sharing::Mode, variant::MinSig},
    },
};
use commonware_parallel::Sequential;
use commonware_utils::{N3f1, ordered::Set};
use futures::future::BoxFuture;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

pub const OPAQUE: RollupId = RollupId(1);
pub const EVM: RollupId = RollupId(2);
pub const GENESIS: Digest = commonware_cryptography::sha256::Digest([0x61; 32]);
const CHAIN_ID: u64 = 2_211;
const ETHER: u128 = 1_000_000_000_000_000_000;

/// Four members with one key.
pub struct Group {
    sharing: baton_types::Sharing,
    shares: Vec<Share>,
}

impl Group {
    pub fn deal(seed: u64) -> Self {
        let keys: Vec<_> = (0..4).map(PrivateKey::from_seed).collect();
        let players: Set<PublicKey> = Set::from_iter_dedup(keys.iter().map(PrivateKey::public_key));
        let mut rng = StdRng::seed_from_u64(seed);
        let (sharing, shares) = deal::<MinSig, _, N3f1>(&mut rng, Mode::NonZeroCounter, players).unwrap();
        let shares = keys.iter().map(|key| shares.get_value(&key.public_key()).unwrap().clone()).collect();
        Self { sharing, shares }
    }

    pub fn key(&self) -> GroupKey {
        *self.sharing.public().public()
    }

    /// By three of the four.
    pub fn sign(&self, namespace: &[u8], message: &[u8]) -> SeedPoint {
        let sign = |share| threshold::sign_message::<MinSig>(share, namespace, message);
        let partials: Vec<_> = self.shares.iter().skip(1).map(sign).collect();
        threshold::recover::<MinSig, _>(self.sharing.public(), &partials, &Sequential).unwrap()
    }
}

pub fn wallet(number: u64) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(number.to_be_bytes())).unwrap()
}

/// Sends ether to somebody new.
pub fn transfer(from: u64, nonce: u64) -> Vec<u8> {
    let to = Address::from_word(keccak256([from.to_be_bytes(), nonce.to_be_bytes()].concat()));
    raw(from, nonce, to, U256::from(1_000_000_007 * u128::from(nonce + 1)), AlloyBytes::new())
}

/// What a token's users send.
pub fn token_transfer(from: u64, nonce: u64) -> Vec<u8> {
    let to = keccak256([from.to_be_bytes(), nonce.to_be_bytes()].concat());
    let amount = U256::from(1_234_567_u64 * (nonce + 1)) * U256::from(1_000_000_000_u64);
    let mut input = vec![0xa9, 0x05, 0x9c, 0xbb];
    input.extend([[0; 12].as_slice(), &to[12..], &amount.to_be_bytes::<32>()].concat());
    raw(from, nonce, Address::repeat_byte(0x70), U256::ZERO, input.into())
}

fn raw(from: u64, nonce: u64, to: Address, value: U256, input: AlloyBytes) -> Vec<u8> {
    let gas_limit = if input.is_empty() { 21_000 } else { 65_000 };
    let mut transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: 30_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000 + u128::from(from % 7) * 100_000_000,
        to: TxKind::Call(to),
        value,
        input,
        ..TxEip1559::default()
    };
    let signature = wallet(from).sign_transaction_sync(&mut transaction).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

pub fn evm_rollup(cadence: Cadence, wallets: u64) -> Rollup {
    let mut evm = Evm::new(CHAIN_ID);
    evm.cadence = cadence;
    for number in 0..wallets {
        let account = AllocAccount { balance: 10_000 * ETHER, ..AllocAccount::default() };
        evm.alloc.insert(HexArray(wallet(number).address().0.0), account);
    }
    Rollup::evm(EVM.0, "evm", evm)
}

pub fn opaque_rollup() -> Rollup {
    Rollup::opaque(OPAQUE.0, "demo", Data::Bytes)
}

/// Blocks of one rollup.
pub struct Ordered {
    pub rollup: Rollup,
    cutter: Cutter,
    chain: Option<Chain>,
    head: Digest,
    height: u64,
    /// Forced entries taken, from the next block on.
    pub forced_cursor: u64,
    pub contents: Vec<Contents>,
}

fn block_digest(height: u64) -> Digest {
    Sha256::hash(&[b"block", &height.to_be_bytes()])
}

impl Ordered {
    pub fn new(rollup: Rollup, rule: CutRule) -> Self {
        let limits = ChainLimits { branches_max: 4, history_max: 1 };
        let chain = Chain::new(&rollup, block_digest(0), limits);
        let cutter = Cutter::new(rule, rollup.id(), 1, EMPTY, 0);
        Self { rollup, cutter, chain, head: EMPTY, height: 0, forced_cursor: 0, contents: Vec::new() }
    }

    /// The next block of the cluster, with these transactions of the rollup.
    pub fn push(&mut self, timestamp_ms: u64, payloads: &[Vec<u8>]) {
        self.height += 1;
        let valid_until = self.height + 50;
        let of = |payload: &Vec<u8>| Transaction {
            valid_until,
            bundle: None,
            payload: Bytes::from(payload.clone()),
        };
        let transactions: Vec<_> = payloads.iter().map(of).collect();
        let evm = EvmRollups::new(self.chain.is_some().then_some(self.rollup.id()));
        let ids: Vec<_> =
            transactions.iter().map(|transaction| evm.id(self.rollup.id(), transaction)).collect();
        let mut heads = Heads::from([(self.rollup.id(), self.head)]);
        if !ids.is_empty() {
            merkle::advance_heads(&mut heads, self.height, [(self.rollup.id(), &ids[..])].into_iter());
        }
        self.head = heads[&self.rollup.id()];
        let parent_seed = [u8::try_from(self.height % 251).unwrap(); 48];
        // As a proposer does, which attests what is final: the block before.
        let result = self.chain.as_ref().map(Chain::result);
        if let Some(chain) = &mut self.chain {
            let raw: Vec<_> = payloads.iter().map(|payload| &payload[..]).collect();
            let decoded = Signed::decode_all(&raw, chain.params()).into_iter();
            let block = ClusterBlock {
                digest: block_digest(self.height),
                parent: block_digest(self.height - 1),
                height: self.height,
                timestamp_ms,
                parent_seed,
                entries: decoded.map(|transaction| Entry { transaction, bundle: None }).collect(),
            };
            chain.execute(&block).unwrap();
            chain.finalize(&block.digest).unwrap();
        }
        let part = Part {
            height: self.height,
            timestamp_ms,
            parent: block_digest(self.height - 1),
            parent_seed,
            origin: L1Origin::NONE,
            forced_cursor: self.forced_cursor,
            transactions: &transactions,
            head: self.head,
            result,
        };
        self.contents.extend(self.cutter.push(&part).unwrap());
    }

    /// Number and hash of the newest sealed block, and the state root.
    pub fn block(&self) -> (u64, B256, B256) {
        let head = self.chain.as_ref().unwrap().head();
        (head.header.number, head.hash, head.header.state_root)
    }
}

/// Gives out certificates, as far as it is allowed to.
pub struct Source {
    group: Group,
    terms: BTreeMap<RollupId, Terms>,
    contents: Mutex<BTreeMap<RollupId, Vec<Contents>>>,
    signed: Mutex<BTreeMap<(RollupId, u64), Arc<Certified>>>,
    /// Times that the hatch was used, and forced entries that the inbox has taken.
    escapes: Mutex<BTreeMap<RollupId, (u64, u64)>>,
}

impl Source {
    pub fn new(group: Group, terms: impl IntoIterator<Item = Terms>) -> Arc<Self> {
        let terms = terms.into_iter().map(|terms| (terms.rollup, terms)).collect();
        Arc::new(Self {
            group,
            terms,
            contents: Mutex::default(),
            signed: Mutex::default(),
            escapes: Mutex::default(),
        })
    }

    pub fn add(&self, rollup: RollupId, contents: impl IntoIterator<Item = Contents>) {
        self.contents.lock().unwrap().entry(rollup).or_default().extend(contents);
    }

    /// As members do once L1 shows it: batches go behind it.
    pub fn escaped(&self, rollup: RollupId, to: u64) {
        let mut escapes = self.escapes.lock().unwrap();
        let (times, taken) = escapes.entry(rollup).or_default();
        (*times, *taken) = (*times + 1, to);
    }

    pub fn certify(&self, rollup: RollupId, place: Place) -> Option<Arc<Certified>> {
        let contents = self.contents.lock().unwrap();
        let (escapes, taken) = self.escapes.lock().unwrap().get(&rollup).copied().unwrap_or_default();
        let index = usize::try_from(place.index.checked_sub(escapes)?).unwrap();
        let contents = contents.get(&rollup)?.get(index)?;
        let mut signed = self.signed.lock().unwrap();
        let known = signed.get(&(rollup, place.index));
        if let Some(known) = known.filter(|known| known.batch.previous_head == place.previous_head) {
            return Some(known.clone());
        }
        let data = encode(contents);
        let terms = &self.terms[&rollup];
        let mut batch = terms.batch(place, contents, data_commitment(terms.data_kind, &data));
        batch.forced_cursor = batch.forced_cursor.max(taken);
        let signature = self.group.sign(domain::L1_BATCH, &batch.encode());
        let certified = Arc::new(Certified { batch, signature, data });
        signed.insert((rollup, place.index), certified.clone());
        Some(certified)
    }
}

impl BatchSource for Source {
    fn certified(&self, rollup: RollupId, place: Place) -> BoxFuture<'_, Option<Arc<Certified>>> {
        Box::pin(async move { self.certify(rollup, place) })
    }
}

pub const RULE: CutRule = CutRule { bytes_target: 100_000, age_max_ms: 2_000 };

/// `batches` batches of an opaque rollup.
pub fn opaque_batches(batches: usize) -> Ordered {
    let mut ordered = Ordered::new(opaque_rollup(), RULE);
    let mut time = 1_700_000_000_000;
    while ordered.contents.len() < batches {
        let payload = format!("transaction of block {time}").into_bytes();
        ordered.push(time, &[payload.clone(), [payload, vec![7; 300]].concat()]);
        ordered.push(time + 100, &[]);
        time += 500;
    }
    ordered
}

/// `batches` batches of an EVM rollup: transfers, and some that are skipped.
pub fn evm_batches(cadence: Cadence, batches: usize) -> Ordered {
    let mut ordered = Ordered::new(evm_rollup(cadence, 4), RULE);
    let mut time = 1_700_000_000_000;
    let mut nonce = 0;
    while ordered.contents.len() < batches {
        let skipped = transfer(1, nonce + 9);
        ordered.push(
            time,
            &[transfer(0, nonce), token_transfer(1, nonce), skipped, b"not a transaction".to_vec()],
        );
        ordered.push(time + 300, &[]);
        ordered.push(time + 400, &[transfer(2, nonce)]);
        nonce += 1;
        time += 700;
    }
    ordered
}

pub const KINDS: [DataKind; 3] = [DataKind::Blobs, DataKind::Calldata, DataKind::Directory];
