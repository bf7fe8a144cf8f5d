//! What the tests of several modules need: a genesis of four with all its keys, and blocks.

use baton_execution::{Rules, pool::Limits};
use baton_types::{
    Block, Body, Digest, Finalization, Genesis, Header, PrivateKey, PublicKey, Results, Rollup, Scheme,
    block::ElectionKind,
    domain,
    genesis::{Data, Election, KeyGeneration, KeyOrigin, Member, NetworkName, Reshare, Timing},
    hex,
    merkle::{EMPTY, Heads},
};
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_cryptography::{
    Digested, Signer as _,
    bls12381::{
        dkg::feldman_desmedt::deal,
        primitives::{group::Share, sharing::Mode, variant::MinSig},
    },
};
use commonware_parallel::Sequential;
use commonware_utils::{
    N3f1, non_empty,
    ordered::{Map, Set},
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};

/// Members with all their secrets, in the order of the genesis.
pub struct Dealt {
    pub genesis: Genesis,
    pub keys: Vec<PrivateKey>,
    pub shares: Map<PublicKey, Share>,
}

impl Dealt {
    /// Four members; rollup 1 takes bytes, rollup 2 hashes.
    pub fn new() -> Self {
        let mut keys: Vec<_> = (0..4).map(PrivateKey::from_seed).collect();
        keys.sort_by_key(PrivateKey::public_key);
        let players = Set::from_iter_dedup(keys.iter().map(PrivateKey::public_key));
        let mut rng = StdRng::seed_from_u64(1);
        let (sharing, shares) =
            deal::<MinSig, _, N3f1>(&mut rng, Mode::NonZeroCounter, players).expect("four members");
        let members = keys
            .iter()
            .zip(30_000..)
            .map(|(key, port)| Member {
                identity: hex::encode_value(&key.public_key()),
                vrf_key: hex::encode(&[0; 32]),
                commitment: None,
                p2p: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                weight: 1,
            })
            .collect();
        let genesis = Genesis {
            version: 1,
            network: NetworkName { name: "test".to_owned(), id: 1 },
            key_generation: KeyGeneration {
                generation: 0,
                origin: KeyOrigin::Dealer,
                group_key: hex::encode_value(sharing.public().public()),
                sharing: hex::encode_value(&sharing),
            },
            members,
            rollups: vec![Rollup::opaque(1, "bytes", Data::Bytes), Rollup::opaque(2, "hashes", Data::Hash)],
            election: Election::RoundRobin,
            epoch_blocks: 40,
            reshare: Reshare::OnChange,
            timing: Timing::default(),
            block_bytes_max: 2 * 1024 * 1024,
            validity_blocks_max: 600,
            l1: None,
            batches: None,
        };
        genesis.check().expect("the genesis is valid");
        Self { genesis, keys, shares }
    }

    /// The certificate of a block, signed by all members, whatever it is.
    pub fn certify(&self, chain: &Digest, proposal: Proposal<Digest>) -> Finalization {
        let (members, sharing) =
            (self.genesis.identities().expect("checked"), self.genesis.sharing().expect("checked"));
        let namespace = domain::consensus(chain);
        let scheme = |key: &PrivateKey| {
            let share = self.shares.get_value(&key.public_key()).expect("every member has one").clone();
            Scheme::signer(&namespace, members.clone(), sharing.public().clone(), share).expect("its share")
        };
        let schemes: Vec<_> = self.keys.iter().map(scheme).collect();
        let votes: Vec<_> = schemes
            .iter()
            .map(|scheme| Finalize::sign(scheme, proposal.clone()).expect("it signs"))
            .collect();
        Finalization::from_finalizes(&schemes[0], non_empty![@votes.iter()], &Sequential).expect("a quorum")
    }

    pub fn rules(&self) -> Rules {
        Rules::new(&self.genesis)
    }

    pub fn limits(&self) -> Limits {
        Limits {
            bytes_max: 8 * 1024 * 1024,
            transactions_max: 10_000,
            client_transactions_max: 10_000,
            client_bytes_max: 8 * 1024 * 1024,
            wait_ms_max: 100,
            sender_transactions_max: 64,
            faults_max: 1,
            validity_blocks_max: self.genesis.validity_blocks_max,
            block_bytes_max: self.genesis.block_bytes_max,
        }
    }
}

/// A block without transactions at any height, on a parent that nobody has.
pub fn block_at(dealt: &Dealt, height: u64) -> Digested<Block> {
    let genesis = dealt.genesis.block().expect("checked");
    let author = dealt.keys[0].public_key();
    let header = Header {
        view: height,
        parent_view: height - 1,
        height,
        election: ElectionKind::RoundRobin,
        committer: author.clone(),
        author,
        ..genesis.header().clone()
    };
    let peaks = vec![EMPTY; height.count_ones() as usize];
    let body = Body {
        segments: Vec::new(),
        heads: Heads::new(),
        peaks,
        payload: None,
        lottery: None,
        results: Results::new(),
        l1: None,
    };
    Block::seal(header, body, Some(&dealt.keys[0])).digested()
}

/// Changes the leaf with this number. False when there is none.
pub fn change_leaf(value: &mut Value, at: &mut usize, digit: usize) -> bool {
    match value {
        Value::Object(fields) => fields.values_mut().any(|value| change_leaf(value, at, digit)),
        Value::Array(items) => items.iter_mut().any(|value| change_leaf(value, at, digit)),
        leaf => {
            if *at > 0 {
                *at -= 1;
                return false;
            }
            *leaf = match &*leaf {
                Value::Null => Value::from(1),
                Value::Bool(bool) => Value::from(!bool),
                Value::Number(number) => Value::from(number.as_u64().expect("unsigned") + 1),
                Value::String(text) => Value::from(flip(text, digit)),
                _ => unreachable!("a leaf"),
            };
            true
        }
    }
}

/// Another digit in hex, another letter elsewhere.
fn flip(text: &str, digit: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = if bytes.len() > 2 { 2 + digit % (bytes.len() - 2) } else { 0 };
    bytes[at] = match bytes[at] {
        b'0' => b'1',
        _ => b'0',
    };
    String::from_utf8(bytes).expect("ASCII")
}
