//! What members send each other, and secrets as a node keeps them.

use super::{codec, loose_codec};
use crate::{
    run::Target,
    seeds::{self, Cluster, Vectors},
};
use baton_consensus::{
    fuzzing::{Batch, Message, StatesMessage},
    settlement::Message as BatchMessage,
};
use baton_execution::pool::Unit;
use baton_types::{
    Digest, MEMBERS_MAX, PublicKey, Scheme,
    forced::{L1Part, Limits},
};
use commonware_consensus::{
    marshal::resolver::handler::Key,
    simplex::types::{Certificate, Vote},
};
use commonware_cryptography::bls12381::primitives::{group::Share, variant::MinSig};
use commonware_glue::dkg::types as dkg;

/// Small, so that an input that announces much is seen by the memory it takes.
const L1_LIMITS: Limits = Limits { rollups: 2, entries_max: 4, bytes_max: 1_024 };

pub fn targets(vectors: &Vectors, cluster: &Cluster) -> Vec<Target> {
    let limits = vectors.genesis().limits();
    let (ceremony, _) = cluster.ceremony();
    vec![
        // Legs of a bundle are sorted when they are read.
        loose_codec::<Unit>("unit", limits, seeds::units()),
        loose_codec::<Message>("mempool-message", limits, seeds::mempool_messages()),
        loose_codec::<Batch>("mempool-record", limits, seeds::mempool_records()),
        codec::<StatesMessage>("states-message", (), seeds::states_messages()),
        codec::<Vote<Scheme, Digest>>("vote", (), cluster.votes()),
        Target {
            cost: 20,
            ..codec::<Certificate<Scheme, Digest>>("certificate", (), cluster.certificates())
        },
        codec::<Key<Digest>>("backfill-request", (), seeds::backfill_keys()),
        Target {
            cost: 100,
            ..codec::<dkg::Message<MinSig, PublicKey>>("ceremony-message", MEMBERS_MAX, ceremony)
        },
        codec::<Share>("share", (), cluster.shares()),
        Target { cost: 20, ..codec::<BatchMessage>("batch-message", (), seeds::batch_messages(cluster)) },
        codec::<L1Part>("l1-part", L1_LIMITS, seeds::l1_parts()),
    ]
}
