//! A cluster without a network: shares of one group key, certificates, and a chain of signed blocks.

use baton_types::{
    Block, Body, Digest, Finalization, GroupKey, Header, PrivateKey, PublicKey, Results, RollupId, Scheme,
    SeedPoint, Sharing, Transaction, TxId,
    block::{ElectionKind, payload_root},
    domain,
    merkle::{self, EMPTY, Heads, History},
    proof::{HistoryProof, Proof},
};
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_cryptography::{
    Digestible as _, Hasher as _, Sha256, Signer as _,
    bls12381::{
        dkg::feldman_desmedt::{Dealer, Info, Logs, Player, Reveal, deal},
        primitives::{group::Share, ops::threshold, sharing::Mode, variant::MinSig},
    },
};
use commonware_parallel::Sequential;
use commonware_storage::merkle::mmr;
use commonware_utils::{N3f1, non_empty, ordered::Set};
use rand_core::{TryCryptoRng, TryRng};
use std::{collections::BTreeMap, convert::Infallible};

/// SHA-256 in counter mode: the same stream for ever, whatever the versions of other crates.
pub struct Rng {
    seed: u64,
    counter: u64,
    block: Vec<u8>,
}

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self { seed, counter: 0, block: Vec::new() }
    }

    pub fn byte(&mut self) -> u8 {
        if let Some(byte) = self.block.pop() {
            return byte;
        }
        let input = [self.seed.to_be_bytes(), self.counter.to_be_bytes()].concat();
        self.counter += 1;
        self.block = Sha256::hash(&[&input]).0.to_vec();
        self.byte()
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.u64() % end as u64).unwrap()
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(std::array::from_fn(|_| self.byte())))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.u64())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill_with(|| self.byte());
        Ok(())
    }
}

impl TryCryptoRng for Rng {}

/// Members with shares of one group key.
pub struct Committee {
    pub sharing: Sharing,
    members: BTreeMap<PublicKey, (PrivateKey, Share)>,
}

impl Committee {
    /// One dealer makes the key for the members made from `seeds`.
    pub fn deal(rng: &mut Rng, seeds: impl IntoIterator<Item = u64>) -> Self {
        let keys: Vec<_> = seeds.into_iter().map(PrivateKey::from_seed).collect();
        let players = Set::from_iter_dedup(keys.iter().map(|key| key.public_key()));
        let (sharing, shares) = deal::<MinSig, _, N3f1>(rng, Mode::NonZeroCounter, players).unwrap();
        let members = keys
            .into_iter()
            .map(|key| {
                let share = shares.get_value(&key.public_key()).unwrap().clone();
                (key.public_key(), (key, share))
            })
            .collect();
        Self { sharing, members }
    }

    /// These members deal the same key anew to the members made from `seeds`.
    pub fn reshare(&self, rng: &mut Rng, round: u64, seeds: impl IntoIterator<Item = u64>) -> Self {
        let keys: Vec<_> = seeds.into_iter().map(PrivateKey::from_seed).collect();
        let players = Set::from_iter_dedup(keys.iter().map(|key| key.public_key()));
        let dealers = Set::from_iter_dedup(self.members.keys().cloned());
        let info = Info::<MinSig, PublicKey>::new::<N3f1>(
            b"test",
            round,
            Some(self.sharing.clone()),
            Mode::NonZeroCounter,
            Reveal::V1,
            dealers,
            players,
        )
        .unwrap();
        let mut receivers: BTreeMap<_, _> = keys
            .iter()
            .map(|key| (key.public_key(), Player::<MinSig, _>::new(info.clone(), key.clone()).unwrap()))
            .collect();
        let mut logs = Logs::<MinSig, PublicKey, N3f1>::new(info.clone());
        for (key, share) in self.members.values() {
            let (mut dealer, public, private) =
                Dealer::start::<N3f1>(&mut *rng, info.clone(), key.clone(), Some(share.clone())).unwrap();
            for (to, message) in private {
                let receiver = receivers.get_mut(&to).unwrap();
                let ack = receiver.dealer_message::<N3f1>(key.public_key(), public.clone(), message).unwrap();
                dealer.receive_player_ack(to, ack.unwrap()).unwrap();
            }
            let (from, log) = dealer.finalize::<N3f1>().check(&info).unwrap();
            logs.record(from, log);
        }
        let mut sharing = None;
        let mut members = BTreeMap::new();
        for key in keys {
            let receiver = receivers.remove(&key.public_key()).unwrap();
            let (output, share) = receiver.finalize::<N3f1>(rng, logs.clone(), &Sequential).unwrap();
            sharing = Some(output);
            members.insert(key.public_key(), (key, share));
        }
        Self { sharing: sharing.unwrap(), members }
    }

    pub fn group_key(&self) -> GroupKey {
        *self.sharing.public().public()
    }

    pub fn keys(&self) -> impl Iterator<Item = &PrivateKey> {
        self.members.values().map(|(key, _)| key)
    }

    /// The group's signature, recovered from the partial signatures of as many members as it takes.
    pub fn sign(&self, namespace: &[u8], message: &[u8]) -> SeedPoint {
        let sharing = self.sharing.public();
        let required = usize::try_from(sharing.required()).unwrap();
        let partials: Vec<_> = self
            .members
            .values()
            .take(required)
            .map(|(_, share)| threshold::sign_message::<MinSig>(share, namespace, message))
            .collect();
        threshold::recover::<MinSig, _>(sharing, &partials, &Sequential).unwrap()
    }

    /// A certificate by as many members as it takes.
    pub fn finalize(&self, header: &Header) -> Finalization {
        let namespace = domain::consensus(&header.chain);
        let players = Set::from_iter_dedup(self.members.keys().cloned());
        let proposal =
            Proposal::new(header.round(), baton_types::View::new(header.parent_view), header.digest());
        let quorum = baton_types::quorum(u32::try_from(self.members.len()).unwrap());
        let schemes: Vec<_> = self
            .members
            .values()
            .take(usize::try_from(quorum).unwrap())
            .map(|(_, share)| {
                let polynomial = self.sharing.public().clone();
                Scheme::signer(&namespace, players.clone(), polynomial, share.clone()).unwrap()
            })
            .collect();
        let votes: Vec<_> =
            schemes.iter().map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap()).collect();
        Finalization::from_finalizes(&schemes[0], non_empty![@&votes], &Sequential).unwrap()
    }
}

/// Blocks on top of each other.
pub struct Chain {
    pub blocks: Vec<Block>,
    history: mmr::mem::Mmr<Digest>,
}

impl Chain {
    pub fn new(genesis: Block) -> Self {
        let mut chain = Self { blocks: Vec::new(), history: mmr::mem::Mmr::new() };
        chain.push(genesis);
        chain
    }

    fn push(&mut self, block: Block) {
        let digest = block.digest();
        let batch = self.history.new_batch().add(&merkle::hasher(), &digest);
        let batch = batch.merkleize(&self.history, &merkle::hasher());
        self.history.apply_batch(&batch).unwrap();
        self.blocks.push(block);
    }

    pub fn tip(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    /// Adds a block by `author`, in `epoch`, with the given transactions.
    pub fn extend(&mut self, author: &PrivateKey, epoch: u64, segments: Vec<baton_types::Segment>) -> &Block {
        let parent = self.tip();
        let history = parent.history_after().unwrap();
        let body = Body {
            heads: heads_after(parent, &segments),
            segments,
            peaks: history.peaks,
            payload: None,
            lottery: None,
            results: Results::new(),
            l1: None,
        };
        let same_epoch = parent.header().epoch == epoch;
        let header = Header {
            epoch,
            view: if same_epoch { parent.header().view + 1 } else { 1 },
            parent_view: if same_epoch { parent.header().view } else { 0 },
            height: parent.header().height + 1,
            parent: parent.digest(),
            timestamp_ms: parent.header().timestamp_ms + 20,
            ..header(parent.header().chain, author)
        };
        self.push(Block::seal(header, body, Some(author)));
        self.tip()
    }

    /// Proves the transaction `id` of the block at `height` with a certificate for the block at `certified`.
    pub fn proof(&self, height: usize, id: &TxId, certified: usize, certificate: Finalization) -> Proof {
        let block = &self.blocks[height];
        let (rollup, index) = block.position(id).unwrap();
        let position = u32::try_from(block.ids().position(|other| other == id).unwrap()).unwrap();
        let history = (certified != height).then(|| HistoryProof {
            certified: self.blocks[certified].header().clone(),
            proof: self.history_proof(height, certified),
        });
        Proof {
            rollup,
            id: *id,
            index,
            position,
            path: merkle::transactions(block.segment_ids()).proof(position).unwrap(),
            header: block.header().clone(),
            history,
            certificate,
        }
    }

    /// Place of the header at `height` among those before `certified`.
    fn history_proof(&self, height: usize, certified: usize) -> mmr::Proof<Digest> {
        let mut range = mmr::mem::Mmr::new();
        let mut batch = range.new_batch();
        for block in &self.blocks[..certified] {
            batch = batch.add(&merkle::hasher(), &block.digest());
        }
        let batch = batch.merkleize(&range, &merkle::hasher());
        range.apply_batch(&batch).unwrap();
        range.proof(&merkle::hasher(), mmr::Location::new(height as u64), 0).unwrap()
    }

    /// The accumulator over all blocks, kept apart from the one in the blocks.
    pub fn history(&self) -> (u64, Digest) {
        (*self.history.leaves(), self.history.root(&merkle::hasher(), 0).unwrap())
    }
}

/// A header with nothing but its chain and its author.
pub fn header(chain: Digest, author: &PrivateKey) -> Header {
    Header {
        chain,
        epoch: 0,
        view: 1,
        parent_view: 0,
        height: 1,
        parent: EMPTY,
        timestamp_ms: 0,
        committer: author.public_key(),
        author: author.public_key(),
        election: ElectionKind::RoundRobin,
        reveal: [0; 32],
        reveal_evidence: EMPTY,
        parent_seed: [0; 48],
        body_root: EMPTY,
        heads_root: EMPTY,
        history_root: EMPTY,
        results_root: EMPTY,
        l1_number: 0,
        l1_hash: EMPTY,
        forced_root: EMPTY,
        members_root: EMPTY,
        bench_report: [0; 32],
        payload_root: payload_root(None),
        protocol_signal: 0,
    }
}

fn heads_after(parent: &Block, segments: &[baton_types::Segment]) -> Heads {
    let mut heads = parent.body().heads.clone();
    let ids: Vec<(RollupId, Vec<TxId>)> = segments
        .iter()
        .map(|segment| {
            (segment.rollup, segment.transactions.iter().map(|tx| tx.id(segment.rollup)).collect())
        })
        .collect();
    let height = parent.header().height + 1;
    merkle::advance_heads(&mut heads, height, ids.iter().map(|(rollup, ids)| (*rollup, &ids[..])));
    heads
}

/// A segment of plain transactions.
pub fn segment(rollup: u32, payloads: &[&'static [u8]]) -> baton_types::Segment {
    let transactions = payloads
        .iter()
        .map(|payload| Transaction {
            valid_until: 100,
            bundle: None,
            payload: bytes::Bytes::from_static(payload),
        })
        .collect();
    baton_types::Segment { rollup: RollupId(rollup), transactions }
}

/// What [`Chain::history`] must agree with.
pub fn history_of(block: &Block) -> History {
    block.history_after().unwrap()
}
