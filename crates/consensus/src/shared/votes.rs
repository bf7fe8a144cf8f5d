//! Who voted when, as far as this node saw: a block's votes are told with each of its rungs.

use super::{Shared, State};
use crate::client::Event;
use baton_types::{Block, Round, lottery::Indices, receipt::Rung};
use commonware_cryptography::Digested;
use std::collections::BTreeMap;

/// Views whose votes are remembered.
const VIEWS_MAX: usize = 64;

/// Members that voted for the block of a view of this epoch.
pub type Votes = BTreeMap<u64, Indices>;

impl Shared {
    /// A holder of the key voted in a view: for its block, or to leave it.
    pub fn vote(&self, round: Round, signer: usize, for_block: bool) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if round.epoch() != state.live.epoch {
            return;
        }
        if let Some(last) = state.live.last_vote_view.get_mut(signer) {
            *last = (*last).max(Some(round.view().get()));
        }
        let member = state.live.holders.get(signer).and_then(|holder| self.members.members.position(holder));
        if let Some(member) = member.filter(|_| for_block) {
            state.votes.entry(round.view().get()).or_default().insert(member);
            while state.votes.len() > VIEWS_MAX {
                state.votes.pop_first();
            }
        }
    }
}

impl State {
    pub fn event(&self, block: &Digested<Block>, rung: Rung, time_ms: u64) -> Event {
        let header = block.inner().header();
        let known = self.votes.get(&header.view).filter(|_| header.epoch == self.live.epoch.get());
        Event::Block { rung, block: block.clone(), time_ms, voters: known.copied().unwrap_or_default() }
    }
}
