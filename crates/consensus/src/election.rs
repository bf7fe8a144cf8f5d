//! Who leads a view, behind one enum: each strategy type of its own would instantiate the whole
//! consensus stack once more.

use baton_types::{PublicKey, Scheme, genesis::Election};
use commonware_consensus::{
    simplex::elector::{
        self, Config, Dynamic, Input, Random, RandomElector, RandomVersion, RoundRobin, RoundRobinElector,
        Terms,
    },
    types::{Participant, Round},
};
use commonware_cryptography::Sha256;
use commonware_utils::ordered::Set;

/// Chosen in the genesis.
#[derive(Clone, Copy, Debug)]
pub struct Elector(pub Election);

#[derive(Clone)]
pub enum Elected {
    Lottery(RandomElector<Scheme, Sha256>),
    RoundRobin(RoundRobinElector<Scheme>),
}

impl Config<Scheme> for Elector {
    type Elector = Elected;

    fn build(self, members: &Set<PublicKey>) -> Elected {
        match self.0 {
            Election::ThresholdLottery => {
                Elected::Lottery(Config::<Scheme>::build(Random::<Sha256>::new(RandomVersion::V1), members))
            }
            Election::RoundRobin => {
                Elected::RoundRobin(Config::<Scheme>::build(RoundRobin::<Sha256>::default(), members))
            }
        }
    }
}

impl elector::Elector<Scheme> for Elected {
    type Mode = Dynamic;

    fn terms(&self) -> Terms {
        match self {
            Self::Lottery(elector) => elector.terms(),
            Self::RoundRobin(elector) => elector.terms(),
        }
    }

    fn elect(&self, round: Round, input: Input<'_, Scheme, Self>) -> Participant {
        match self {
            Self::Lottery(elector) => elector.elect(round, input),
            Self::RoundRobin(elector) => elector.elect(round, ()),
        }
    }
}
