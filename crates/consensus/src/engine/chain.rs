//! The chain as far as it is here, and where this node goes on.

use super::{MAILBOX, PENDING_ACKS, REPAIR_MAX, StartError, VIEW_RETENTION, base::Base};
use crate::{
    aliases::{Marshal, MarshalActor, Runtime, StateSyncPlan},
    storage::{self, Archives, History, HistoryError, REPLAY_BUFFER, WRITE_BUFFER},
    sync,
};
use baton_types::{Block, Digest, Epoch, EpochInfo, Scheme, block::payload_cfg};
use commonware_consensus::{
    marshal::{self, Start},
    types::ViewDelta,
};
use commonware_cryptography::{Digested, certificate::ConstantProvider};
use commonware_glue::dkg::state_sync;
use commonware_parallel::Sequential;
use commonware_utils::NZU64;
use std::num::NonZeroU64;

pub(super) struct Chain {
    pub marshal: Marshal,
    /// Blocks that are removed together; none where nothing is ever removed.
    pub section: Option<NonZeroU64>,
    /// The last height that is processed.
    pub processed: Option<u64>,
    /// The lowest height from which every block is here. None when this node is about to join at a floor.
    pub lowest: Option<u64>,
    /// Who holds the key in the epoch of the floor: the block that says so is not here.
    pub info: Option<EpochInfo>,
    pub state_sync: StateSyncPlan,
}

impl Chain {
    /// Opens what is here, and the part that runs on it. A node that keeps a window asks where to join; one that has nothing yet asks until
    /// f + 1 members have answered.
    pub async fn open<E: Runtime>(
        context: &E,
        base: &Base,
        sync: &sync::Mailbox,
    ) -> Result<(MarshalActor<E>, Self), StartError> {
        let genesis = base.genesis.block().map_err(StartError::Genesis)?.digested();
        let (mut actor, mut chain) = Self::open_at(context, base, Start::Genesis(genesis)).await?;
        let mut record = sync::Record::open(context.child("joined"), &base.prefix).await;
        let floor = match base.history {
            History::Window { blocks: window } if base.members.len() > 1 => {
                let standing = sync::Standing { processed: chain.processed, window };
                sync::decide(context, sync, &mut record, base.first_epoch()?, standing).await
            }
            _ => None,
        };
        if let Some(joined) = &floor {
            drop((actor, chain));
            base.shared.joining(joined.height);
            let floor = Start::Floor(joined.sync.floor.clone());
            (actor, chain) = Self::open_at(context, base, floor).await?;
            chain.lowest = None;
        }
        let source = sync::Source { marshal: chain.marshal.clone(), shared: base.shared.clone() };
        sync.attach(source).await;
        chain.state_sync = state_sync_plan(context, base, floor).await;
        chain.info = record.get().map(|joined| joined.sync.info);
        Ok((actor, chain))
    }

    async fn open_at<E: Runtime>(
        context: &E,
        base: &Base,
        start: Start<Scheme, Digest, Digested<Block>>,
    ) -> Result<(MarshalActor<E>, Self), HistoryError> {
        let storage = storage::Config {
            prefix: base.prefix.clone(),
            history: base.history,
            limits: base.limits,
            page_cache: base.cache.clone(),
        };
        let archives = Archives::open(context, &storage).await?;
        let ranges = archives.ranges();
        let Archives { finalizations, blocks, section } = archives;
        let config = marshal::Config {
            provider: ConstantProvider::new(base.verifier.clone()),
            epocher: base.epocher.clone(),
            start,
            partition_prefix: format!("{}-marshal", base.prefix),
            mailbox_size: MAILBOX,
            // In an epoch shorter than this it would keep the blocks of that many epochs.
            view_retention: VIEW_RETENTION.min(ViewDelta::new(base.epoch_blocks.get() / 2)),
            prunable_items_per_section: NZU64!(64),
            page_cache: base.cache.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: base.limits,
            max_repair: REPAIR_MAX,
            max_pending_acks: PENDING_ACKS,
            strategy: Sequential,
        };
        let (actor, marshal, floor) =
            MarshalActor::init(context.child("marshal"), finalizations, blocks, config).await;
        let processed = floor.processed();
        let anchor = processed.map_or(0, |processed| processed.anchor().get());
        let lowest = ranges.into_iter().find(|(first, last)| (*first..=*last).contains(&anchor));
        let chain = Self {
            marshal,
            section,
            processed: processed.map(|processed| processed.height().get()),
            lowest: Some(lowest.map_or(anchor, |(first, _)| first)),
            info: None,
            state_sync: state_sync::Plan::disabled(),
        };
        Ok((actor, chain))
    }

    /// The epoch of the last block that is processed.
    pub fn epoch(&self, base: &Base) -> Epoch {
        Epoch::new(self.processed.unwrap_or(0) / base.epoch_blocks)
    }
}

async fn state_sync_plan<E: Runtime>(context: &E, base: &Base, floor: Option<sync::Joined>) -> StateSyncPlan {
    if base.history == History::Full {
        return state_sync::Plan::disabled();
    }
    let (max_participants, max_supported_mode) = payload_cfg();
    let config =
        state_sync::Config { partition_prefix: base.prefix.clone(), max_participants, max_supported_mode };
    state_sync::Plan::init(context.child("state_sync"), config, floor.map(|joined| joined.sync)).await
}
