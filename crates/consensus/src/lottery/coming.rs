//! What a node has to prepare: its commitment for the next epoch, as the finalized chain has it or lacks it.

use super::{Lottery, State};
use baton_types::{Digest, lottery::Commitment};
use baton_vrf::{Context, EpochProof, Refused};
use commonware_cryptography::sha256;

/// The epoch to come, as the last finalized block has it.
pub(super) struct Coming {
    pub epoch: u64,
    pub beacon: Digest,
    pub commitments: Vec<Option<Commitment>>,
}

impl Lottery {
    pub(super) fn come(&self, height: u64, epoch: u64, state: &State) {
        let mut memory = self.0.state.lock();
        if height < memory.height {
            return;
        }
        (memory.height, memory.epoch) = (height, epoch);
        memory.coming = state.next_context_beacon.map(|beacon| Coming {
            epoch: epoch + 1,
            beacon,
            commitments: state.next_commitments.clone(),
        });
    }

    /// The epoch that this node should commit to now, and its context beacon.
    pub(super) fn due(&self) -> Option<(u64, Digest)> {
        let memory = self.0.state.lock();
        let open = |epoch| memory.height < self.0.rules.close(epoch);
        let committed =
            |commitments: &[Option<Commitment>]| commitments.get(self.0.me).is_some_and(Option::is_some);
        if let Some(coming) = &memory.coming {
            let due = open(memory.epoch) && !committed(&coming.commitments);
            return due.then_some((coming.epoch, coming.beacon));
        }
        // The chain has the commitments of epoch 0 already; what the others lack is their proof.
        let first = memory.epochs.get(&0).filter(|first| open(0) && committed(&first.commitments));
        first.map(|_| (0, self.0.base))
    }

    /// Commitments that the chain has for the current epoch and the next, by epoch and member.
    pub(super) fn on_chain(&self) -> Vec<(u64, u8, Commitment)> {
        let memory = self.0.state.lock();
        let current = memory.epochs.get(&memory.epoch).map(|view| (memory.epoch, &view.commitments));
        let coming = memory.coming.as_ref().map(|coming| (coming.epoch, &coming.commitments));
        let both = current.into_iter().chain(coming);
        let listed = both.flat_map(|(epoch, commitments)| {
            let members = (0u8..).zip(commitments);
            members.filter_map(move |(member, entry)| Some((epoch, member, (*entry)?)))
        });
        listed.collect()
    }

    /// The epoch of the last finalized block.
    pub(super) fn current(&self) -> u64 {
        self.0.state.lock().epoch
    }

    /// What proofs for `epoch` are made over, if that is the current epoch or the next and known here.
    pub(super) fn proven_over(&self, epoch: u64) -> Option<Context> {
        let memory = self.0.state.lock();
        if let Some(coming) = memory.coming.as_ref().filter(|coming| coming.epoch == epoch) {
            return Some(self.context(epoch, &coming.beacon));
        }
        memory.epochs.get(&epoch).filter(|_| epoch == memory.epoch).map(|view| view.context)
    }

    /// What `bytes` commit `member` to, if they prove it.
    pub(super) fn proven(&self, member: u8, context: &Context, bytes: &[u8]) -> Result<Commitment, Refused> {
        let key = self.0.keys.get(usize::from(member)).ok_or(Refused::Root)?;
        let found = EpochProof::from_bytes(bytes)?.verify(key, context, self.0.rounds)?;
        Ok(Commitment { root: sha256::Digest(found.root), proof: sha256::Digest(found.proof_hash) })
    }
}
