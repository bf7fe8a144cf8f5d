//! Who leads a view, behind one enum: each strategy type of its own would instantiate the whole
//! consensus stack once more.
//!
//! | election | leader of a view |
//! |---|---|
//! | `threshold-lottery` | drawn by the group's seed of the view before |
//! | `stake-weighted` | likewise, in proportion to weights: a 256-bit number modulo their sum, so a member's chance differs from its share by less than 2^-128 |
//! | `round-robin` | in turn |
//! | `zk-lottery` | the committer, in turn among members that are not suspended; it proposes the block of the author it draws (module `lottery`) |

use baton_types::{Genesis, PublicKey, Scheme, domain, genesis, lottery::Rotation};
use commonware_codec::Encode as _;
use commonware_consensus::{
    simplex::elector::{
        self, Config, Dynamic, Input, Random, RandomElector, RandomVersion, RoundRobin, RoundRobinElector,
        Terms,
    },
    types::{Participant, Round},
};
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_utils::{ordered::Set, sync::Mutex};
use std::{collections::BTreeMap, sync::Arc};

/// Epochs whose rotation is remembered.
const ROTATIONS_MAX: usize = 4;

/// Who commits in turn, by epoch: known from the last block of the epoch before.
#[derive(Clone, Default)]
pub struct Rotations(Arc<Mutex<BTreeMap<u64, Rotation>>>);

impl Rotations {
    pub fn set(&self, epoch: u64, rotation: Rotation) {
        let mut rotations = self.0.lock();
        rotations.insert(epoch, rotation);
        while rotations.len() > ROTATIONS_MAX {
            rotations.pop_first();
        }
    }

    pub fn get(&self, epoch: u64) -> Option<Rotation> {
        self.0.lock().get(&epoch).cloned()
    }
}

/// Chosen in the genesis.
#[derive(Clone)]
pub struct Elector {
    election: genesis::Election,
    /// By member, in ascending order of identity.
    weights: Arc<[u64]>,
    rotations: Rotations,
}

impl Elector {
    pub fn new(genesis: &Genesis, rotations: Rotations) -> Self {
        let weights = genesis.members.iter().map(|member| member.weight).collect();
        Self { election: genesis.election, weights, rotations }
    }
}

#[derive(Clone)]
pub enum Elected {
    Lottery(RandomElector<Scheme, Sha256>),
    RoundRobin(RoundRobinElector<Scheme>),
    Weighted(Arc<[u64]>),
    Committers { rotations: Rotations, all: Rotation },
}

impl Config<Scheme> for Elector {
    type Elector = Elected;

    fn build(self, members: &Set<PublicKey>) -> Elected {
        match self.election {
            genesis::Election::ThresholdLottery => {
                Elected::Lottery(Config::<Scheme>::build(Random::<Sha256>::new(RandomVersion::V1), members))
            }
            genesis::Election::RoundRobin => {
                Elected::RoundRobin(Config::<Scheme>::build(RoundRobin::<Sha256>::default(), members))
            }
            genesis::Election::StakeWeighted => Elected::Weighted(self.weights),
            genesis::Election::ZkLottery => Elected::Committers {
                rotations: self.rotations,
                all: Rotation { members: (0..members.len()).collect() },
            },
        }
    }
}

impl elector::Elector<Scheme> for Elected {
    type Mode = Dynamic;

    fn terms(&self) -> Terms {
        match self {
            Self::Lottery(elector) => elector.terms(),
            Self::RoundRobin(elector) => elector.terms(),
            Self::Weighted(_) | Self::Committers { .. } => Terms::rotating(),
        }
    }

    fn elect(&self, round: Round, input: Input<'_, Scheme, Self>) -> Participant {
        match self {
            Self::Lottery(elector) => elector.elect(round, input),
            Self::RoundRobin(elector) => elector.elect(round, ()),
            Self::Weighted(weights) => {
                // The first view of an epoch has no seed yet.
                let seed = input.map_or_else(Vec::new, |certificate| {
                    certificate
                        .get()
                        .expect("a verified certificate decodes")
                        .seed_signature
                        .encode()
                        .to_vec()
                });
                participant(weighted(weights, round, &seed))
            }
            Self::Committers { rotations, all } => {
                let (epoch, view) = (round.epoch().get(), round.view().get());
                let rotation = rotations.get(epoch);
                participant(rotation.as_ref().unwrap_or(all).committer(epoch, view))
            }
        }
    }
}

fn participant(index: usize) -> Participant {
    Participant::new(u32::try_from(index).expect("members have indices below 128"))
}

/// A member drawn in proportion to its weight.
fn weighted(weights: &[u64], round: Round, seed: &[u8]) -> usize {
    let mut hasher = Sha256::default();
    hasher.update(domain::STAKE_DRAW);
    hasher.update(&round.encode());
    hasher.update(seed);
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    // Weights are bounded so that a remainder times 256 fits.
    let mut ticket =
        hasher.finalize().1.iter().fold(0, |rest, byte| (rest * 256 + u128::from(*byte)) % total.max(1));
    for (member, weight) in weights.iter().enumerate() {
        let weight = u128::from(*weight);
        if ticket < weight {
            return member;
        }
        ticket -= weight;
    }
    0
}

#[cfg(test)]
mod tests;
