//! Inputs that decode: golden vectors, and values of formats that have none.

use baton_consensus::{
    fuzzing::{Batch, EpochStart, Floor, JoiningMessage, LotteryMessage, Message, Offer, StatesMessage},
    settlement::{Message as BatchMessage, Position},
};
use baton_execution::{
    evm::{Piece, Prefix, Wish},
    pool::Unit,
};
use baton_node::keys::{Devnet, MemberKeys, devnet_genesis};
use baton_types::{
    Block, Bundle, Digest, Epoch, Finalization as Certified, Genesis, Header, Height, MEMBERS_MAX,
    PrivateKey, PublicKey, Rollup, RollupId, Round, Scheme, Transaction, View,
    block::payload_cfg,
    domain,
    forced::{Envelope, Fate, L1Part, News, Queue, Report, State, Taken},
    genesis::{Data, Election},
    hex,
    lottery::{Commitment, Held, LotteryPart},
    merkle::EMPTY,
    settlement::L1Address,
};
use bytes::Bytes;
use commonware_codec::{Encode, Read};
use commonware_consensus::{
    marshal::resolver::handler::Key,
    simplex::types::{
        Artifact, Certificate, Finalization, Finalize, Notarization, Notarize, Nullification, Nullify,
        Proposal, Vote,
    },
};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt::{Dealer, Info, Player, Reveal},
        primitives::{ops::threshold, sharing::Mode, variant::MinSig},
    },
};
use commonware_glue::dkg::types as dkg;
use commonware_parallel::Sequential;
use commonware_utils::{N3f1, non_empty};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use std::{fs, path::Path, sync::Arc};

/// The golden vectors: text of each file, and every string of hex in them.
pub struct Vectors {
    files: Vec<(String, String)>,
    bytes: Vec<Vec<u8>>,
}

impl Vectors {
    pub fn read() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors");
        let entries = fs::read_dir(directory).expect("the vectors can be listed");
        let mut paths: Vec<_> =
            entries.map(|entry| entry.expect("the vectors can be listed").path()).collect();
        paths.sort();
        let mut vectors = Self { files: Vec::new(), bytes: Vec::new() };
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("the vectors can be read");
            let value = serde_json::from_str(&text).expect("the vectors are JSON");
            collect_hex(&value, &mut vectors.bytes);
            vectors.files.push((name, text));
        }
        vectors.bytes.sort_by_key(Vec::len);
        vectors.bytes.dedup();
        vectors
    }

    pub fn text(&self, name: &str) -> &str {
        &self.files.iter().find(|(file, _)| file == name).expect("there is such a vector").1
    }

    /// What decodes as `T`, a few of each length.
    pub fn of<T: Read>(&self, cfg: &T::Cfg) -> Vec<Vec<u8>> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        for bytes in self.bytes.iter().filter(|bytes| hex::from_bytes::<T>(bytes, cfg).is_ok()) {
            if found.iter().rev().take_while(|other| other.len() == bytes.len()).count() < 4 {
                found.push(bytes.clone());
            }
        }
        found
    }

    /// Every string of hex that passes.
    pub fn hex_where(&self, passes: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        self.bytes.iter().filter(|bytes| passes(bytes)).cloned().collect()
    }

    pub fn genesis(&self) -> Genesis {
        Genesis::from_json(self.text("genesis.json")).expect("the genesis of the vectors is valid")
    }
}

fn collect_hex(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => found.extend(hex::decode(text)),
        Value::Array(values) => values.iter().for_each(|value| collect_hex(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| collect_hex(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

pub fn encoded<T: Encode>(values: impl IntoIterator<Item = T>) -> Vec<Vec<u8>> {
    values.into_iter().map(|value| value.encode().to_vec()).collect()
}

/// Four members that hold a key, always the same.
pub struct Cluster {
    pub genesis: Genesis,
    pub keys: Vec<MemberKeys>,
}

impl Cluster {
    pub fn deal() -> Self {
        let rollups = vec![Rollup::opaque(1, "demo", Data::Bytes), Rollup::opaque(7, "hashes", Data::Hash)];
        let (genesis, keys) = devnet_genesis(Devnet { seed: Some(1), rollups, ..Devnet::local(4, 30_545) });
        Self { genesis, keys }
    }

    fn schemes(&self) -> Vec<Scheme> {
        let namespace = domain::consensus(&self.genesis.digest());
        let members = self.genesis.identities().expect("the devnet's genesis is valid");
        let sharing = self.genesis.sharing().expect("the devnet's genesis is valid");
        let scheme = |keys: &MemberKeys| {
            Scheme::signer(&namespace, members.clone(), sharing.public().clone(), keys.share.clone())
        };
        self.keys.iter().take(3).filter_map(scheme).collect()
    }

    fn proposal() -> Proposal<Digest> {
        Proposal::new(Round::new(Epoch::new(3), View::new(300)), View::new(299), EMPTY)
    }

    pub fn votes(&self) -> Vec<Vec<u8>> {
        let proposal = Self::proposal();
        let votes = self.schemes().into_iter().take(1).flat_map(|scheme| {
            [
                Notarize::sign(&scheme, proposal.clone()).map(Vote::Notarize),
                Nullify::sign::<Digest>(&scheme, proposal.round).map(Vote::Nullify),
                Finalize::sign(&scheme, proposal.clone()).map(Vote::Finalize),
            ]
        });
        encoded(votes.flatten())
    }

    pub fn certificates(&self) -> Vec<Vec<u8>> {
        let (schemes, proposal) = (self.schemes(), Self::proposal());
        let verifier = &schemes[0];
        let votes = |scheme: &Scheme| {
            let notarize = Notarize::sign(scheme, proposal.clone())?;
            let nullify = Nullify::sign::<Digest>(scheme, proposal.round)?;
            Some((notarize, nullify, Finalize::sign(scheme, proposal.clone())?))
        };
        let votes: Vec<_> = schemes.iter().filter_map(votes).collect();
        let notarize: Vec<_> = votes.iter().map(|votes| &votes.0).collect();
        let nullify: Vec<_> = votes.iter().map(|votes| &votes.1).collect();
        let finalize: Vec<_> = votes.iter().map(|votes| &votes.2).collect();
        let certificates = [
            Notarization::from_notarizes(verifier, non_empty![@notarize], &Sequential)
                .map(Certificate::Notarization),
            Nullification::from_nullifies(verifier, non_empty![@nullify], &Sequential)
                .map(Certificate::Nullification),
            Finalization::from_finalizes(verifier, non_empty![@finalize], &Sequential)
                .map(Certificate::Finalization),
        ];
        encoded(certificates.into_iter().flatten())
    }

    /// Private parts of a dealing.
    pub fn dealings(&self) -> Vec<Vec<u8>> {
        let (messages, _) = self.ceremony();
        let messages = messages.iter().map(|bytes| hex::from_bytes(bytes, &MEMBERS_MAX));
        let private = messages.filter_map(|message| match message {
            Ok(dkg::Message::<MinSig, PublicKey>::Dealer(_, private)) => Some(private),
            _ => None,
        });
        encoded(private)
    }

    /// A dealing, an acknowledgement, and the dealer's log.
    pub fn ceremony(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let members = self.genesis.identities().expect("the devnet's genesis is valid");
        let info = Info::<MinSig, PublicKey>::new::<N3f1>(
            b"fuzz",
            1,
            Some(self.genesis.sharing().expect("the devnet's genesis is valid")),
            Mode::NonZeroCounter,
            Reveal::V1,
            members.clone(),
            members,
        )
        .expect("the members deal to themselves");
        let (mut rng, from) = (StdRng::seed_from_u64(2), &self.keys[0]);
        let started =
            Dealer::start::<N3f1>(&mut rng, info.clone(), from.identity.clone(), Some(from.share.clone()));
        let (mut dealer, public, private) = started.expect("a member may deal");
        let mut messages = Vec::new();
        for (to, message) in private {
            let keys = self.keys.iter().find(|keys| keys.identity.public_key() == to);
            let receiver = keys.and_then(|keys| Player::new(info.clone(), keys.identity.clone()).ok());
            let mut receiver: Player<MinSig, _> = receiver.expect("a member may receive");
            let dealer_key = from.identity.public_key();
            let ack = receiver.dealer_message::<N3f1>(dealer_key, public.clone(), message.clone());
            let ack = ack.ok().flatten().expect("the dealing is correct");
            messages.push(dkg::Message::<MinSig, PublicKey>::Dealer(public.clone(), message));
            messages.push(dkg::Message::Ack(ack.clone()));
            dealer.receive_player_ack(to, ack).expect("the acknowledgement is correct");
        }
        let log: baton_types::Payload = dkg::Payload::DealerLog(dealer.finalize::<N3f1>());
        (encoded(messages), encoded([log]))
    }

    pub fn shares(&self) -> Vec<Vec<u8>> {
        encoded(self.keys.iter().map(|keys| keys.share.clone()))
    }
}

/// What an engine journals: votes, certificates, and whether a proposal was good.
pub fn vote_records(cluster: &Cluster) -> Vec<Vec<u8>> {
    let votes = cluster.votes().into_iter().filter_map(|bytes| hex::from_bytes(&bytes, &()).ok());
    let votes = votes.map(|vote: Vote<Scheme, Digest>| Artifact::from(vote));
    let certificates =
        cluster.certificates().into_iter().filter_map(|bytes| hex::from_bytes(&bytes, &()).ok());
    let certificates =
        certificates.map(|certificate: Certificate<Scheme, Digest>| Artifact::from(certificate));
    let judged = Artifact::Certification(Round::new(Epoch::new(3), View::new(300)), true);
    encoded(votes.chain(certificates).chain([judged]))
}

pub fn backfill_keys() -> Vec<Vec<u8>> {
    let round = Round::new(Epoch::new(3), View::new(300));
    let height = Height::new(300);
    encoded([Key::<Digest>::Block(EMPTY), Key::Finalized { height }, Key::Notarized { round }])
}

fn unit_values() -> Vec<Unit> {
    let single = |payload: &'static [u8], fee_hint| Unit::Single {
        rollup: RollupId(1),
        transaction: Transaction { valid_until: 300, bundle: None, payload: Bytes::from_static(payload) },
        fee_hint,
    };
    let legs = [(7, [9; 32].to_vec()), (1, b"a leg".to_vec()), (1, b"another".to_vec())];
    let legs = legs.into_iter().map(|(rollup, payload)| (RollupId(rollup), Bytes::from(payload)));
    vec![single(b"", 0), single(&[7; 200], u64::MAX), Unit::Bundle(Bundle::new(9, legs.collect()))]
}

pub fn units() -> Vec<Vec<u8>> {
    encoded(unit_values())
}

pub fn mempool_messages() -> Vec<Vec<u8>> {
    let batch = Batch(unit_values().into_iter().map(Arc::new).collect());
    encoded([
        Message::Units { number: 1, ack: true, batch: batch.clone() },
        Message::Units { number: u64::MAX, ack: false, batch },
        Message::Units { number: 2, ack: false, batch: Batch(Vec::new()) },
        Message::Ack { number: 300 },
    ])
}

pub fn mempool_records() -> Vec<Vec<u8>> {
    encoded([Batch(unit_values().into_iter().map(Arc::new).collect()), Batch(Vec::new())])
}

pub fn states_messages() -> Vec<Vec<u8>> {
    let (key, rollup, number) = ([7; 32].into(), RollupId(2), 9);
    let prefix = Prefix::new(key, 3).expect("a prefix");
    let wishes = vec![Wish::Header, Wish::Accounts(prefix), Wish::Slots(key, Prefix::ALL), Wish::Code(key)];
    let pieces = vec![Piece::Whole(Bytes::from_static(&[1; 90])), Piece::Split];
    encoded([
        StatesMessage::Ask { rollup, number, wishes },
        StatesMessage::Answer { rollup, number, pieces },
        StatesMessage::Answer { rollup, number, pieces: Vec::new() },
    ])
}

/// Of a genesis, and one that has everything in it.
pub fn lottery_parts() -> Vec<LotteryPart> {
    let devnet =
        Devnet { seed: Some(1), election: Election::ZkLottery, epoch_blocks: 40, ..Devnet::local(4, 30_545) };
    let genesis = devnet_genesis(devnet).0.block().expect("the devnet's genesis is valid");
    let first = genesis.body().lottery.as_deref().cloned().expect("it has the lottery's state");
    let mut full = first.clone();
    full.evidence = Bytes::from_static(&[0; 230]);
    full.held = vec![held(1), held(3)];
    let state = &mut full.state;
    state.next_context_beacon = Some(EMPTY);
    state.next_commitments = state.commitments.clone();
    state.misses = vec![0, 1, 300, u32::MAX];
    state.bench.insert(1);
    state.bench_next.insert(2);
    state.suspended.insert(3);
    state.reports[0].insert(1, [0, 2, 3].into_iter().collect());
    state.reports[3].insert(0, [1].into_iter().collect());
    vec![first, full]
}

fn held(member: u8) -> Held {
    let commitment = Commitment { root: EMPTY, proof: EMPTY };
    let sign = |holder: u8| (holder, PrivateKey::from_seed(holder.into()).sign(b"fuzz", &[member]));
    Held { member, commitment, holders: (0..3).map(sign).collect() }
}

pub fn lottery_messages(vectors: &Vectors, cluster: &Cluster) -> Vec<Vec<u8>> {
    let round = Round::new(Epoch::new(3), View::new(300));
    let evidence = Bytes::from_static(&[0; 230]);
    let leader = cluster.keys[0].identity.public_key();
    let context = baton_types::Context { round, leader, parent: (View::new(299), EMPTY) };
    let log = cluster.ceremony().1.into_iter().next();
    let payload = log.and_then(|log| hex::from_bytes(&log, &payload_cfg()).ok());
    assert!(payload.is_some(), "the dealer's log decodes");
    let Held { commitment, holders, .. } = held(1);
    let (_, signature) = holders.into_iter().next().expect("it has three");
    let proof = vectors.text("vrf-epoch-proof.json");
    let proof = Bytes::copy_from_slice(&proof.as_bytes()[..1_000]);
    encoded([
        LotteryMessage::Reveal { round, evidence: evidence.clone() },
        LotteryMessage::Designate { context: context.clone(), evidence: evidence.clone(), payload },
        LotteryMessage::Designate { context, evidence, payload: None },
        LotteryMessage::Built { round, digest: EMPTY },
        LotteryMessage::Have { round, digest: EMPTY },
        LotteryMessage::Proof { epoch: 3, proof: proof.clone() },
        LotteryMessage::Holds { epoch: 3, commitment, signature },
        LotteryMessage::Held { epoch: 3, held: held(2) },
        LotteryMessage::Want { epoch: 3, member: 2, proof: EMPTY },
        LotteryMessage::Copy { epoch: 3, member: 2, proof },
    ])
}

/// What members say of batches for L1.
pub fn batch_messages(cluster: &Cluster) -> Vec<Vec<u8>> {
    let position = Position { rollup: RollupId(7), index: 300, previous_head: EMPTY };
    let partial = threshold::sign_message::<MinSig>(&cluster.keys[1].share, domain::L1_BATCH, b"batch");
    let signature = partial.value;
    encoded([
        BatchMessage::Partial { position, epoch: 3, partial },
        BatchMessage::Want { position },
        BatchMessage::Certificate { position, signature },
    ])
}

/// What blocks say of L1: nothing, and everything.
pub fn l1_parts() -> Vec<Vec<u8>> {
    let envelope = Envelope { sender: L1Address([7; 20]), deadline: 1_700_000_000, gas: 100_000 };
    let fates = [Fate::Ordered, Fate::LeftOut(Bytes::from_static(b"left out")), Fate::TooLarge(EMPTY)];
    let queue = Queue { cursor: 3, last: Some(EMPTY), pending: vec![EMPTY; 3] };
    let news = News {
        report: 300,
        arrived: [(RollupId(1), queue.clone())].into(),
        taken: [(RollupId(1), fates.map(|fate| Taken { envelope, fate }).to_vec())].into(),
    };
    let reports = (0..4).map(|member| (member, Report { height: 9, number: 300 })).collect();
    let state = State {
        reports,
        queues: [(RollupId(1), queue), (RollupId(7), Queue::default())].into(),
        eased_until: 9,
    };
    encoded([L1Part::default(), L1Part { news, state }])
}

pub fn joining_messages(vectors: &Vectors) -> Vec<Vec<u8>> {
    let limits = vectors.genesis().limits();
    let one = |bytes: Vec<Vec<u8>>| bytes.into_iter().next().expect("there is one among the vectors");
    let certificate: Certified =
        hex::from_bytes(&one(vectors.of::<Certified>(&())), &()).expect("it decodes");
    let header: Header = hex::from_bytes(&one(vectors.of::<Header>(&())), &()).expect("it decodes");
    let block: Block = hex::from_bytes(&one(vectors.of::<Block>(&limits)), &limits).expect("it decodes");
    let floor = Floor { certificate: certificate.clone(), header };
    encoded([
        JoiningMessage::Ask,
        JoiningMessage::AskEpoch(Epoch::new(3)),
        JoiningMessage::Offer(Offer { lowest: 300, floor: None }),
        JoiningMessage::Offer(Offer { lowest: 1, floor: Some(floor) }),
        JoiningMessage::EpochStart(Box::new(EpochStart { certificate, block: Arc::new(block) })),
    ])
}

/// The ceremony material of the genesis block.
pub fn outcome(genesis: &Genesis) -> Vec<Vec<u8>> {
    let info = genesis.epoch_info().expect("the genesis is valid");
    let payload = baton_types::Payload::EpochInfo(info);
    assert!(hex::from_bytes::<baton_types::Payload>(&payload.encode(), &payload_cfg()).is_ok());
    encoded([payload])
}
