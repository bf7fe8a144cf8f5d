//! Decides for each epoch whether this node may vote.

use super::{
    Testimony,
    journal::{Kept, Said, said},
};
use crate::{aliases::Runtime, broken::OrEnd as _, client::Silence, shared::Shared, sync};
use baton_types::{Digest, Epoch, Scheme};
use commonware_codec::DecodeExt as _;
use commonware_consensus::{
    Epochable as _,
    simplex::types::{Attributable as _, Vote},
};
use commonware_cryptography::certificate::Scheme as _;
use commonware_p2p::utils::mux;
use commonware_parallel::Sequential;
use commonware_runtime::{
    buffer::paged::CacheRef,
    telemetry::metrics::{Counter, MetricsExt as _},
};
use commonware_storage::{
    journal::Error,
    metadata::{self, Metadata},
};
use commonware_utils::{fixed_bytes, sequence::FixedBytes};
use std::sync::Arc;
use tracing::{error, info};

const SILENT: FixedBytes<1> = fixed_bytes!("00");

pub struct Settings {
    /// Prefix of all storage partitions.
    pub prefix: String,
    pub page_cache: CacheRef,
    pub faults: usize,
    /// Whom to ask; none in scenarios that show what happens without.
    pub peers: Option<sync::Mailbox>,
}

pub struct Guard<E: Runtime> {
    context: E,
    settings: Settings,
    shared: Arc<Shared>,
    /// The last epoch in which this node must not vote.
    silent: Option<Metadata<E, FixedBytes<1>, Epoch>>,
    silent_partition: String,
    /// What the peers said, once they were asked.
    testimonies: Option<Vec<Testimony>>,
    /// The last epoch that was decided, and whether this node votes in it.
    decided: Option<(Epoch, bool)>,
    lost: Counter,
    refused: Counter,
}

impl<E: Runtime> Guard<E> {
    pub async fn open(context: E, settings: Settings, shared: Arc<Shared>) -> Self {
        let silent_partition = format!("{}-silent", settings.prefix);
        let config = metadata::Config { partition: silent_partition.clone(), codec_config: () };
        let silent = Metadata::init(context.child("silent"), config).await;
        let silent = Some(silent.read_from(&silent_partition));
        let lost = context
            .counter("lost", "epochs without a vote, because votes of this node are not on its journal");
        let refused = context.counter("refused", "votes told by members that this node did not cast");
        Self {
            context,
            settings,
            shared,
            silent,
            silent_partition,
            testimonies: None,
            decided: None,
            lost,
            refused,
        }
    }

    fn partition(&self, epoch: Epoch) -> String {
        format!("{}-orchestrator_consensus_{epoch}", self.settings.prefix)
    }

    /// Whether this node may vote in `epoch` with the share of `scheme`. Returns when enough peers have
    /// answered.
    pub async fn may_vote(&mut self, epoch: Epoch, scheme: &Scheme) -> bool {
        if let Some((decided, votes)) = self.decided
            && decided == epoch
        {
            return votes;
        }
        let votes = self.decide(epoch, scheme).await;
        self.decided = Some((epoch, votes));
        votes
    }

    async fn decide(&mut self, epoch: Epoch, scheme: &Scheme) -> bool {
        let Some(peers) = self.settings.peers.clone() else { return true };
        let silent = self.silent.as_ref().and_then(|store| store.get(&SILENT)).copied();
        if silent.is_some_and(|last| epoch <= last) {
            error!(%epoch, "votes of this node were lost in this epoch: following without voting until the next");
            self.shared.silence(Some(Silence::VotesLost));
            // A crash may have come between the record and this.
            self.forget_journal(epoch).await;
            return false;
        }
        if self.testimonies.is_none() {
            self.shared.silence(Some(Silence::AskingPeers));
            // None only while the node ends: then it says nothing.
            let Some(testimonies) = peers.votes().await else { return false };
            self.testimonies = Some(testimonies);
        }
        self.shared.silence(None);
        if self.left_behind(epoch) {
            info!(%epoch, "the others have left this epoch: not voting in it");
            self.keep_silent(epoch).await;
            return false;
        }
        let told = self.told(epoch);
        let kept = match self.journal(epoch, scheme).await {
            Ok(kept) => kept,
            Err(error) => {
                error!(%epoch, %error, "the vote journal cannot be read: following without voting until the next epoch");
                return self.lose(epoch).await;
            }
        };
        for (said, vote) in told {
            if kept.covers(&said) {
                continue;
            }
            if !self.cast(scheme, &vote) {
                self.refused.inc();
                continue;
            }
            let (view, kind, _) = said;
            error!(
                %epoch,
                view,
                ?kind,
                "peers have a vote of this node that is not on its vote journal (a lost or damaged file, or a data \
                 directory restored from a copy): following without voting until the next epoch"
            );
            return self.lose(epoch).await;
        }
        true
    }

    async fn journal(&self, epoch: Epoch, scheme: &Scheme) -> Result<Kept, Error> {
        let context = self.context.child("journal").with_attribute("epoch", epoch);
        Kept::read(context, self.partition(epoch), scheme, &self.settings.page_cache).await
    }

    /// This node has no share in `epoch`. If it has voted there once, it stays silent there: the engine of a
    /// node without a share cannot read such votes back, so they have to go.
    pub async fn abstain(&mut self, epoch: Epoch, scheme: &Scheme) {
        if self.journal(epoch, scheme).await.is_ok_and(|kept| !kept.has_voted()) {
            return;
        }
        info!(%epoch, "this node has voted in this epoch, with a share it has no more: silent in it");
        self.keep_silent(epoch).await;
    }

    /// Whether more members than may be faulty say that they are in a later epoch.
    fn left_behind(&self, epoch: Epoch) -> bool {
        let later = self.testimonies.iter().flatten().filter(|testimony| testimony.epoch > epoch).count();
        later > self.settings.faults
    }

    /// The votes in `epoch` that members say they have from this node.
    ///
    /// All of them, also several of one proposal: a liar that signs what this node said would otherwise take
    /// the place of the vote that counts.
    fn told(&self, epoch: Epoch) -> Vec<(Said, Vote<Scheme, Digest>)> {
        let mut told = Vec::new();
        for message in self.testimonies.iter().flatten().flat_map(|testimony| &testimony.votes) {
            let vote = mux::parse(message.clone().into())
                .ok()
                .and_then(|(_, vote)| Vote::<Scheme, Digest>::decode(vote).ok());
            match vote {
                Some(vote) if vote.epoch() == epoch => told.push((said(&vote), vote)),
                Some(_) => {}
                None => drop(self.refused.inc()),
            }
        }
        told
    }

    /// Whether `vote` is signed with the share of `scheme`.
    fn cast(&mut self, scheme: &Scheme, vote: &Vote<Scheme, Digest>) -> bool {
        let signer = match vote {
            Vote::Notarize(vote) => vote.signer(),
            Vote::Nullify(vote) => vote.signer(),
            Vote::Finalize(vote) => vote.signer(),
        };
        if scheme.me().and_then(|member| member.signer()) != Some(signer) {
            return false;
        }
        let rng = &mut self.context;
        match vote {
            Vote::Notarize(vote) => vote.verify(rng, scheme, &Sequential),
            Vote::Nullify(vote) => vote.verify::<_, Digest>(rng, scheme, &Sequential),
            Vote::Finalize(vote) => vote.verify(rng, scheme, &Sequential),
        }
    }

    async fn lose(&mut self, epoch: Epoch) -> bool {
        self.lost.inc();
        self.shared.silence(Some(Silence::VotesLost));
        self.keep_silent(epoch).await;
        false
    }

    async fn keep_silent(&mut self, epoch: Epoch) {
        let store = self.silent.take().expect("a write that fails stops the process");
        let last = store.get(&SILENT).map_or(epoch, |last| epoch.max(*last));
        self.silent = Some(store.put_sync(SILENT, last).await.written_to(&self.silent_partition));
        self.forget_journal(epoch).await;
    }

    async fn forget_journal(&self, epoch: Epoch) {
        // There is one where this node has voted.
        let _ = self.context.remove(&self.partition(epoch), None).await;
    }
}
