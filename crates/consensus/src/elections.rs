//! What a running node tells about elections: how a block's author was drawn, the proof of it, and the
//! proofs of whole epochs that it holds. Everything is read from finalized blocks when it is asked for.

use crate::{Client, lottery::Elected};
use baton_types::{
    Block, Digest, Genesis,
    block::ElectionKind,
    election::ElectionProof,
    lottery::{Commitment, LotteryPart},
    merkle::EMPTY,
    receipt::{Reason, Refusal},
};
use baton_vrf::EpochProof;
use bytes::Bytes;
use commonware_cryptography::Digested;

/// A finalized block, and under zk-lottery how its author was drawn.
pub struct ElectionFound {
    pub block: Digested<Block>,
    pub elected: Option<Elected>,
}

/// Which proof of an epoch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochProofId {
    Of { epoch: u64, member: u8 },
    Hash(Digest),
}

/// A member's proof of an epoch that this node holds and has verified.
pub struct EpochProofFound {
    pub epoch: u64,
    pub member: u8,
    pub hash: Digest,
    /// On chain, as far as finalized blocks tell.
    pub commitment: Option<Commitment>,
    pub proof: Bytes,
}

impl Client {
    /// How the author of the finalized block at `height` came to build it; by default of the last one.
    pub async fn election(&self, height: Option<u64>) -> Result<ElectionFound, Refusal> {
        let height = height.unwrap_or_else(|| self.finalized_height());
        let block = self.elected(height).await?;
        if block.inner().header().election != ElectionKind::ZkLottery {
            return Ok(ElectionFound { block, elected: None });
        }
        let parent = self.parent(height).await?;
        let elected = self.shared.lottery().and_then(|lottery| {
            let before = lottery.before(parent.inner(), block.inner().header().epoch)?;
            lottery.check(&before, block.inner()).ok()
        });
        if elected.is_none() {
            let detail = format!("this node cannot follow the election of block {height}; report it");
            return Err(Refusal::new(Reason::Internal, detail));
        }
        Ok(ElectionFound { block, elected })
    }

    /// Proof of the election at `height`, for whoever knows the group key; `genesis` is this chain's.
    pub async fn election_proof(
        &self,
        height: Option<u64>,
        genesis: &Genesis,
    ) -> Result<ElectionProof, Refusal> {
        let height = height.unwrap_or_else(|| self.finalized_height());
        let block = self.elected(height).await?;
        let header = block.inner().header().clone();
        let Some(evidence) = part(&block).map(|part| part.evidence.clone()) else {
            let name = header.election.name();
            let detail = format!("block {height} was made by election {name}; only zk-lottery has a proof");
            return Err(Refusal::new(Reason::BadRequest, detail));
        };
        let parent = self.parent(height).await?;
        let Some(LotteryPart { held, state, .. }) = part(&parent).cloned() else {
            return Err(Refusal::new(Reason::Internal, "the parent has no lottery state; report it"));
        };
        let (history, certificate) = self.ledger.finality(block).await?;
        let parent = parent.inner().header().clone();
        let genesis = genesis.clone();
        Ok(ElectionProof { genesis, header, evidence, parent, held, state, history, certificate })
    }

    async fn elected(&self, height: u64) -> Result<Digested<Block>, Refusal> {
        if height == 0 {
            let detail = "block 0 is the genesis, which nobody was elected for; ask for height 1 or more";
            return Err(Refusal::new(Reason::BadRequest, detail));
        }
        self.finalized(height).await
    }

    /// A block is judged by the state in its parent.
    async fn parent(&self, height: u64) -> Result<Digested<Block>, Refusal> {
        self.finalized(height - 1).await
    }

    /// A member's proof of an epoch, if this node holds it.
    pub async fn epoch_proof(&self, id: EpochProofId) -> Result<EpochProofFound, Refusal> {
        let Some(lottery) = self.shared.lottery() else {
            let detail = "this cluster's election is not zk-lottery, so members prove nothing";
            return Err(Refusal::new(Reason::NotFound, detail));
        };
        let last = self.finalized(self.finalized_height()).await?;
        let on_chain = |epoch: u64, member: u8| {
            let state = &part(&last)?.state;
            let now = last.inner().header().epoch;
            let commitments = match epoch.checked_sub(now) {
                Some(0) => &state.commitments,
                Some(1) => &state.next_commitments,
                _ => return None,
            };
            commitments.get(usize::from(member)).copied().flatten()
        };
        let members = u8::try_from(lottery.rules().members.len()).expect("clusters are small");
        let epoch = last.inner().header().epoch;
        let wanted: Vec<(u64, u8)> = match id {
            EpochProofId::Of { epoch, member } => vec![(epoch, member)],
            EpochProofId::Hash(_) => (epoch.saturating_sub(1)..=epoch + 1)
                .flat_map(|epoch| (0..members).map(move |member| (epoch, member)))
                .collect(),
        };
        for (epoch, member) in wanted {
            let commitment = on_chain(epoch, member);
            // Looked at only where it may be the one: the chain has most hashes.
            if let (EpochProofId::Hash(hash), Some(commitment)) = (id, commitment)
                && commitment.proof != EMPTY
                && commitment.proof != hash
            {
                continue;
            }
            let Some(proof) = lottery.proof(epoch, member).await else { continue };
            let Ok(decoded) = EpochProof::from_bytes(&proof) else { continue };
            let hash = commonware_cryptography::sha256::Digest(decoded.hash());
            if matches!(id, EpochProofId::Hash(wanted) if wanted != hash) {
                continue;
            }
            return Ok(EpochProofFound { epoch, member, hash, commitment, proof });
        }
        let detail = match id {
            EpochProofId::Of { epoch, member } => format!(
                "this node does not hold the proof of member {member} for epoch {epoch}; nodes hold those of the \
                 present epoch and of its neighbours, ask another"
            ),
            EpochProofId::Hash(hash) => {
                format!(
                    "this node holds no epoch's proof with hash {}; ask another",
                    baton_types::hex::encode(&hash)
                )
            }
        };
        Err(Refusal::new(Reason::NotFound, detail))
    }
}

fn part(block: &Digested<Block>) -> Option<&LotteryPart> {
    block.inner().body().lottery.as_deref()
}
