//! What members send each other, and secrets as a node keeps them.

use super::{codec, loose_codec};
use crate::{
    run::Target,
    seeds::{self, Cluster, Vectors},
};
use baton_consensus::fuzzing::{Batch, Message};
use baton_execution::pool::Unit;
use baton_types::{Digest, MEMBERS_MAX, PublicKey, Scheme};
use commonware_consensus::{
    marshal::resolver::handler::Key,
    simplex::types::{Certificate, Vote},
};
use commonware_cryptography::bls12381::primitives::{group::Share, variant::MinSig};
use commonware_glue::dkg::types as dkg;

pub fn targets(vectors: &Vectors, cluster: &Cluster) -> Vec<Target> {
    let limits = vectors.genesis().limits();
    let (ceremony, _) = cluster.ceremony();
    vec![
        // Legs of a bundle are sorted when they are read.
        loose_codec::<Unit>("unit", limits, seeds::units()),
        loose_codec::<Message>("mempool-message", limits, seeds::mempool_messages()),
        loose_codec::<Batch>("mempool-record", limits, seeds::mempool_records()),
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
    ]
}
