//! How proposers are chosen, and what a genesis needs for it.

use super::{Genesis, Invalid, invalid};
use crate::{block::ElectionKind, hex, lottery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Election {
    /// Drawn by the group's seed signature of the view before.
    ThresholdLottery,
    /// In turn.
    RoundRobin,
    /// Members commit in turn to values made with a hash-based zero-knowledge function, and the value draws
    /// who proposes.
    ZkLottery,
    /// As the threshold lottery, in proportion to the members' weights.
    StakeWeighted,
}

impl Election {
    pub const ALL: [Self; 4] =
        [Self::ZkLottery, Self::ThresholdLottery, Self::StakeWeighted, Self::RoundRobin];

    /// As it stands in a genesis.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThresholdLottery => "threshold-lottery",
            Self::RoundRobin => "round-robin",
            Self::ZkLottery => "zk-lottery",
            Self::StakeWeighted => "stake-weighted",
        }
    }

    pub const fn kind(self) -> ElectionKind {
        match self {
            Self::ThresholdLottery => ElectionKind::ThresholdLottery,
            Self::RoundRobin => ElectionKind::RoundRobin,
            Self::ZkLottery => ElectionKind::ZkLottery,
            Self::StakeWeighted => ElectionKind::StakeWeighted,
        }
    }
}

impl FromStr for Election {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|election| election.name() == name).ok_or_else(|| {
            format!("unknown election {name:?}; one of {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

impl Genesis {
    pub(super) fn check_election(&self) -> Result<(), Invalid> {
        let zero = hex::encode(&[0; 32]);
        let mut keys = BTreeSet::new();
        for (index, member) in self.members.iter().enumerate() {
            let lottery = self.election == Election::ZkLottery;
            if lottery == (member.vrf_key == zero) {
                let allowed = if lottery {
                    "the member's key, as `baton vrf keygen` prints it: election is zk-lottery"
                } else {
                    "zero: only election zk-lottery uses it"
                };
                return Err(invalid(format!("members[{index}].vrf_key"), &member.vrf_key, allowed));
            }
            // Who holds another's key knows what that one will reveal.
            if lottery && !keys.insert(hex::decode_array::<32>(&member.vrf_key).ok()) {
                let allowed = "used once: every member makes its own";
                return Err(invalid(format!("members[{index}].vrf_key"), &member.vrf_key, allowed));
            }
            if let Some(commitment) = &member.commitment {
                let key = format!("members[{index}].commitment");
                if !lottery {
                    return Err(invalid(key, commitment, "none: only election zk-lottery uses it"));
                }
                hex::decode_array::<32>(commitment).map_err(|error| invalid(key, commitment, error))?;
            }
            let (most, reason) = match self.election {
                Election::StakeWeighted => (Self::WEIGHT_MAX, "election is stake-weighted"),
                _ => (1, "only election stake-weighted draws by weight"),
            };
            if !(1..=most).contains(&member.weight) {
                let allowed =
                    if most == 1 { format!("1: {reason}") } else { format!("1 to {most}: {reason}") };
                return Err(invalid(format!("members[{index}].weight"), member.weight, allowed));
            }
        }
        let (least, most) = self.lottery_epoch_blocks();
        if self.election == Election::ZkLottery && !(least..=most).contains(&self.epoch_blocks) {
            let allowed = format!(
                "{least} to {most}: election zk-lottery prepares the next epoch in each, and one proof covers \
                 {} turns of a member",
                lottery::TURNS_MAX
            );
            return Err(invalid("epoch_blocks", self.epoch_blocks, allowed));
        }
        Ok(())
    }

    /// The shortest and the longest epoch of election zk-lottery with these members.
    ///
    /// Shorter, and no block is left between the context beacon and the close for all commitments. Longer, and
    /// one proof does not cover the turns of an epoch with the margin that failing views need.
    pub fn lottery_epoch_blocks(&self) -> (u64, u64) {
        let n = self.members.len() as u64;
        ((4 * n).max(16), lottery::TURNS_MAX * n / lottery::TURNS_PER_BLOCK)
    }
}
