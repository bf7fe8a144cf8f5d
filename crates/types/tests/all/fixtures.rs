//! The one genesis, chain and proofs that all tests and vectors use. Everything follows from fixed
//! seeds.

use crate::cluster::{Chain, Committee, Rng, segment};
use baton_types::{
    Bundle, Finalization, Genesis, PrivateKey, RollupId, Segment, TxId,
    genesis::{Data, Election, KeyGeneration, KeyOrigin, Member, NetworkName, Reshare, Rollup, Timing},
    hex,
    proof::Proof,
};
use commonware_cryptography::Signer as _;
use std::net::{Ipv4Addr, SocketAddr};

pub const EPOCH_BLOCKS: u64 = 8;

pub fn committee() -> Committee {
    Committee::deal(&mut Rng::new(1), 0..4)
}

pub fn genesis(committee: &Committee) -> Genesis {
    let members = committee
        .keys()
        .zip(30_545..)
        .map(|(key, port)| Member {
            identity: hex::encode_value(&key.public_key()),
            vrf_key: hex::encode(&[0; 32]),
            commitment: None,
            p2p: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            weight: 1,
        })
        .collect();
    Genesis {
        version: 1,
        network: NetworkName { name: "vectors".to_owned(), id: 7 },
        key_generation: KeyGeneration {
            generation: 1,
            origin: KeyOrigin::Dealer,
            group_key: hex::encode_value(&committee.group_key()),
            sharing: hex::encode_value(&committee.sharing),
        },
        members,
        rollups: vec![Rollup::opaque(1, "demo", Data::Bytes), Rollup::opaque(7, "hashes", Data::Hash)],
        election: Election::RoundRobin,
        epoch_blocks: EPOCH_BLOCKS,
        reshare: Reshare::EveryEpoch,
        // Written out: a new default must not change the vectors.
        timing: Timing {
            idle_ms: 300,
            block_interval_min_ms: 30,
            leader_timeout_ms: 700,
            certification_timeout_ms: 1_200,
            drift_max_ms: 100,
        },
        block_bytes_max: 4 * 1024 * 1024,
        validity_blocks_max: 1_000,
        l1: None,
        batches: None,
    }
}

/// One leg in each of two rollups.
pub fn bundle() -> Bundle {
    let legs = [(1, b"swap A for B".to_vec()), (7, vec![9; 32])];
    Bundle::new(50, legs.into_iter().map(|(rollup, payload)| (RollupId(rollup), payload.into())).collect())
}

/// Two segments, each with a leg of [`bundle`].
pub fn segments() -> Vec<Segment> {
    let mut segments = vec![segment(1, &[b"first", b"second"]), segment(7, &[&[3; 32]])];
    for (segment, (rollup, leg)) in segments.iter_mut().zip(bundle().legs) {
        assert_eq!(segment.rollup, rollup);
        segment.transactions.push(leg);
    }
    segments
}

/// Three epochs; the transactions are in block 2, epoch 0.
pub struct World {
    pub committee: Committee,
    pub genesis: Genesis,
    pub chain: Chain,
    pub author: PrivateKey,
}

/// Height of the block with [`segments`].
pub const FILLED: usize = 2;

pub fn world(blocks: u64) -> World {
    let committee = committee();
    let genesis = genesis(&committee);
    let author = committee.keys().next().unwrap().clone();
    let mut chain = Chain::new(genesis.block().unwrap());
    for height in 1..=blocks {
        let segments = if height == FILLED as u64 { segments() } else { Vec::new() };
        chain.extend(&author, height / EPOCH_BLOCKS, segments);
    }
    World { committee, genesis, chain, author }
}

impl World {
    /// Id of the first transaction of the second rollup.
    pub fn id(&self) -> TxId {
        *self.chain.blocks[FILLED].ids().nth(3).unwrap()
    }

    pub fn certificate(&self, height: usize) -> Finalization {
        self.committee.finalize(self.chain.blocks[height].header())
    }

    /// That the transaction is final, by a certificate for the block at `certified`.
    pub fn proof(&self, certified: usize) -> Proof {
        self.chain.proof(FILLED, &self.id(), certified, self.certificate(certified))
    }
}
