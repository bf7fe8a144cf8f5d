//! Of which rollups a proposer claims results, and of which it does not for a while.
//!
//! Voters whose executor of one rollup is slow or stuck let a view with a claim of it pass, and nothing says which
//! rollup it was. So what was claimed in a view that failed is on trial: a block claims one such rollup at most,
//! beside those in good standing, and when its view fails too, that one is at fault. It is claimed less and less
//! often, and holds up no other.

use baton_types::{RollupId, Round};
use std::collections::BTreeMap;

/// A claim that found no quorum is not made again for up to two to this power of blocks.
const STRIKES_MAX: u32 = 6;

/// What this node claims.
#[derive(Default)]
pub struct Claims {
    last: Option<Claimed>,
    /// Rollups with whose claims a view failed, until a claim is certified.
    trials: BTreeMap<RollupId, Trial>,
}

struct Claimed {
    round: Round,
    parent_height: u64,
    rollups: Vec<RollupId>,
}

#[derive(Default)]
struct Trial {
    strikes: u32,
    withheld_below: u64,
}

impl Claims {
    /// Whether a block on a parent at this height may claim something new of a rollup.
    pub fn may(&self, rollup: RollupId, parent_height: u64) -> bool {
        self.trials.get(&rollup).is_none_or(|trial| parent_height >= trial.withheld_below)
    }

    /// Of which of the rollups that have something new a block of this round claims it.
    pub fn choose(&mut self, round: Round, parent_height: u64, mut news: Vec<RollupId>) -> Vec<RollupId> {
        news.retain(|rollup| self.may(*rollup, parent_height));
        // Whose turn came first.
        let tried = news.iter().filter_map(|id| Some((self.trials.get(id)?.withheld_below, *id))).min();
        news.retain(|id| !self.trials.contains_key(id) || tried.is_some_and(|(_, tried)| tried == *id));
        self.last = Some(Claimed { round, parent_height, rollups: news.clone() });
        news
    }

    /// A view is over. When own claims went with it, other nodes may be behind: the next ones come later.
    pub fn passed(&mut self, round: Round, certified: bool) {
        let Some(Claimed { parent_height, mut rollups, .. }) =
            self.last.take_if(|claimed| claimed.round == round)
        else {
            return;
        };
        if certified {
            self.trials.retain(|rollup, _| !rollups.contains(rollup));
            return;
        }
        if rollups.iter().any(|rollup| self.trials.contains_key(rollup)) {
            rollups.retain(|rollup| self.trials.contains_key(rollup));
        }
        for rollup in rollups {
            let trial = self.trials.entry(rollup).or_default();
            trial.strikes = (trial.strikes + 1).min(STRIKES_MAX);
            trial.withheld_below = parent_height + (1 << trial.strikes);
        }
    }
}

#[cfg(test)]
mod tests;
