//! Commonware's types as this crate instantiates them.

use crate::{application::Application, election::Elector, storage::Store};
use baton_types::{Block, Digest, Directory, Finalization, PrivateKey, Scheme};
use commonware_consensus::{
    marshal::{
        core::{Actor, Mailbox},
        standard::{Inline, Standard},
    },
    types::FixedEpocher,
};
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use commonware_glue::dkg::{orchestrator, reshare, state_sync};
use commonware_runtime::{Clock, Metrics, Network, Spawner, Storage};
use rand_core::CryptoRng;

/// What a node needs of its runtime: tokio in production, the deterministic one in the simulator.
pub trait Runtime: Spawner + Metrics + CryptoRng + Clock + Storage + Network {}

impl<E: Spawner + Metrics + CryptoRng + Clock + Storage + Network> Runtime for E {}

pub(crate) type Variant = Standard<Block>;
pub(crate) type Marshal = Mailbox<Scheme, Variant>;
pub(crate) type MarshalActor<E> = Actor<
    E,
    Variant,
    commonware_cryptography::certificate::ConstantProvider<Scheme, baton_types::Epoch>,
    Store<E, Finalization>,
    Store<E, std::sync::Arc<Block>>,
    FixedEpocher,
    commonware_parallel::Sequential,
>;
pub(crate) type StateSyncPlan = state_sync::Plan<Scheme, Digest, MinSig, Directory>;
pub(crate) type ReshareMailbox = reshare::Mailbox<Block, MinSig, PrivateKey>;
pub(crate) type Automaton<E> =
    Inline<E, Scheme, reshare::Application<Application, Block, MinSig, PrivateKey>, Block, FixedEpocher>;
pub(crate) type SimplexConfig = orchestrator::SimplexConfig<Elector>;
