//! Inputs that decode: golden vectors, and values of formats that have none.

use baton_consensus::fuzzing::{Batch, Message};
use baton_execution::pool::Unit;
use baton_node::keys::{Devnet, MemberKeys, devnet_genesis};
use baton_types::{
    Bundle, Digest, Epoch, Genesis, Height, PublicKey, Rollup, RollupId, Round, Scheme, Transaction, View,
    block::payload_cfg, domain, genesis::Data, hex, merkle::EMPTY,
};
use bytes::Bytes;
use commonware_codec::{Encode, Read};
use commonware_consensus::{
    marshal::resolver::handler::Key,
    simplex::types::{
        Certificate, Finalization, Finalize, Notarization, Notarize, Nullification, Nullify, Proposal, Vote,
    },
};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt::{Dealer, Info, Player, Reveal},
        primitives::{sharing::Mode, variant::MinSig},
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

fn encoded<T: Encode>(values: impl IntoIterator<Item = T>) -> Vec<Vec<u8>> {
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

/// The ceremony material of the genesis block.
pub fn outcome(genesis: &Genesis) -> Vec<Vec<u8>> {
    let info = genesis.epoch_info().expect("the genesis is valid");
    let payload = baton_types::Payload::EpochInfo(info);
    assert!(hex::from_bytes::<baton_types::Payload>(&payload.encode(), &payload_cfg()).is_ok());
    encoded([payload])
}
