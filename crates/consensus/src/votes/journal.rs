//! What a vote journal says this node has said.

use crate::{
    aliases::Runtime,
    storage::{REPLAY_BUFFER, WRITE_BUFFER},
};
use baton_types::{Digest, Scheme};
use commonware_consensus::{
    Viewable as _,
    simplex::types::{Artifact, Vote},
};
use commonware_cryptography::certificate::Verifier as _;
use commonware_runtime::{ReadOptions, buffer::paged::CacheRef};
use commonware_storage::journal::{
    Error,
    segmented::variable::{Config, Journal},
};
use std::collections::BTreeSet;

/// One vote, without its signature.
pub type Said = (u64, Kind, Option<Digest>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Notarize,
    Nullify,
    Finalize,
}

pub fn said(vote: &Vote<Scheme, Digest>) -> Said {
    let view = vote.view().get();
    match vote {
        Vote::Notarize(vote) => (view, Kind::Notarize, Some(vote.proposal.payload)),
        Vote::Nullify(_) => (view, Kind::Nullify, None),
        Vote::Finalize(vote) => (view, Kind::Finalize, Some(vote.proposal.payload)),
    }
}

#[derive(Debug, Default)]
pub struct Kept {
    said: BTreeSet<Said>,
    /// The lowest view with anything on the journal.
    oldest: Option<u64>,
    /// The highest view with a finalization on it.
    finalized: u64,
}

impl Kept {
    /// Reads the journal as the engine will a moment later.
    pub async fn read<E: Runtime>(
        context: E,
        partition: String,
        scheme: &Scheme,
        page_cache: &CacheRef,
    ) -> Result<Self, Error> {
        let config = Config {
            partition,
            compression: None,
            codec_config: scheme.certificate_codec_config(),
            page_cache: page_cache.clone(),
            write_buffer: WRITE_BUFFER,
        };
        let journal = Journal::<_, Artifact<Scheme, Digest>>::init(context, config).await?;
        let mut kept = Self::default();
        let mut replay = journal.replay(0, 0, REPLAY_BUFFER, ReadOptions::DONT_CACHE).await?;
        while let Some(item) = replay.next().await {
            let (_, _, _, artifact) = item?;
            kept.add(artifact);
        }
        replay.finish()?;
        Ok(kept)
    }

    pub fn add(&mut self, artifact: Artifact<Scheme, Digest>) {
        let view = artifact.view().get();
        self.oldest = Some(self.oldest.map_or(view, |oldest| oldest.min(view)));
        match artifact {
            Artifact::Notarize(vote) => drop(self.said.insert(said(&Vote::Notarize(vote)))),
            Artifact::Nullify(vote) => drop(self.said.insert(said(&Vote::Nullify(vote)))),
            Artifact::Finalize(vote) => drop(self.said.insert(said(&Vote::Finalize(vote)))),
            Artifact::Finalization(_) => self.finalized = self.finalized.max(view),
            Artifact::Notarization(_) | Artifact::Nullification(_) | Artifact::Certification(..) => {}
        }
    }

    pub fn has_voted(&self) -> bool {
        !self.said.is_empty()
    }

    /// Whether the engine will know of this vote, or never vote in its view again.
    pub fn covers(&self, vote: &Said) -> bool {
        let pruned = self.oldest.is_some_and(|oldest| vote.0 < oldest) && vote.0 <= self.finalized;
        pruned || self.said.contains(vote)
    }
}
