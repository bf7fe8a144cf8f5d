//! From what the node knows to what the API shows. Pure.

use crate::{
    api::{Chain, Health},
    config::Limits,
};
use baton_consensus::client::{BlockFound, Live, TransactionStatus};
use baton_execution::pool::PoolStats;
use baton_types::{
    Block, Digest, Genesis, RollupId, Segment, TxId,
    api::{
        BlockView, EpochView, MempoolView, Place, ReceiptView, RollupBlock, RollupPoolView, SegmentView,
        StatusView, TransactionView, ValidatorView,
    },
    block::ElectionKind,
    faults_tolerated, hex,
    merkle::{EMPTY, Heads},
    quorum,
    receipt::Receipt,
};
use commonware_codec::EncodeSize as _;
use commonware_cryptography::{Digested, Digestible as _};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::{borrow::Cow, sync::Arc};

#[cfg(test)]
mod tests;

/// A member counts as voting when this node saw a vote of it within so many views.
const VOTING_VIEWS: u64 = 16;

pub(crate) fn digest(block: &Digested<Block>) -> Digest {
    block.digest()
}

pub(crate) fn block_hash(block: &Digested<Block>) -> String {
    hex::encode(&block.digest())
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn short_count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

const fn election_name(kind: ElectionKind) -> &'static str {
    match kind {
        ElectionKind::Genesis => "genesis",
        ElectionKind::RoundRobin => "round-robin",
        ElectionKind::ThresholdLottery => "threshold-lottery",
        ElectionKind::ZkLottery => "zk-lottery",
        ElectionKind::StakeWeighted => "stake-weighted",
    }
}

pub(crate) fn receipt(receipt: &Receipt) -> ReceiptView {
    ReceiptView {
        chain: hex::encode(&receipt.chain),
        node: hex::encode_value(&receipt.node),
        rung: receipt.rung,
        time_ms: receipt.time_ms,
        ids: receipt.ids.iter().map(TxId::to_string).collect(),
        signature: hex::encode_value(&receipt.signature),
    }
}

pub(crate) fn transaction(id: TxId, status: &TransactionStatus) -> TransactionView {
    TransactionView {
        id: id.to_string(),
        rung: status.rung,
        place: status.place.as_ref().map(|place| Place {
            rollup: place.rollup.0,
            height: place.height,
            block: hex::encode(&place.block),
            index: place.index,
        }),
        times_ms: status.times_ms.clone(),
        reason: status.reason,
    }
}

fn head(heads: &Heads, rollup: RollupId) -> String {
    hex::encode(heads.get(&rollup).unwrap_or(&EMPTY))
}

fn payloads(segment: &Segment) -> Vec<hex::Hex> {
    segment.transactions.iter().map(|transaction| hex::Hex(transaction.payload.to_vec())).collect()
}

fn id_strings(ids: &[TxId]) -> Vec<String> {
    ids.iter().map(TxId::to_string).collect()
}

pub(crate) fn block(chain: &Chain, found: &BlockFound, with_payloads: bool) -> BlockView {
    let block = found.block.inner();
    let (header, body) = (block.header(), block.body());
    let segments = body
        .segments
        .iter()
        .zip(block.segment_ids())
        .map(|(segment, (rollup, ids))| SegmentView {
            rollup: rollup.0,
            head: head(&body.heads, rollup),
            ids: id_strings(ids),
            payloads: with_payloads.then(|| payloads(segment)),
        })
        .collect();
    BlockView {
        hash: block_hash(&found.block),
        rung: found.rung,
        height: header.height,
        epoch: header.epoch,
        view: header.view,
        parent: hex::encode(&header.parent),
        timestamp_ms: header.timestamp_ms,
        committer: chain.index_of(&header.committer),
        author: chain.index_of(&header.author),
        election: election_name(header.election).to_owned(),
        parent_seed: hex::encode(&header.parent_seed),
        body_root: hex::encode(&header.body_root),
        heads_root: hex::encode(&header.heads_root),
        history_root: hex::encode(&header.history_root),
        transactions: count(block.transactions()),
        bytes: count(block.encode_size()),
        segments,
        certificate: found.certificate.as_ref().map(hex::encode_value),
    }
}

/// The rollup's part of a block; none when it has no transactions there.
pub(crate) fn rollup_block(rollup: RollupId, block: &Digested<Block>) -> Option<RollupBlock> {
    let inner = block.inner();
    let body = inner.body();
    let (segment, (_, ids)) =
        body.segments.iter().zip(inner.segment_ids()).find(|(segment, _)| segment.rollup == rollup)?;
    Some(RollupBlock {
        height: inner.header().height,
        block: block_hash(block),
        timestamp_ms: inner.header().timestamp_ms,
        head: head(&body.heads, rollup),
        ids: id_strings(ids),
        payloads: payloads(segment),
    })
}

pub(crate) fn mempool(stats: &PoolStats) -> MempoolView {
    MempoolView {
        transactions: stats.transactions,
        bytes: stats.bytes,
        bytes_max: stats.bytes_max,
        rollups: stats
            .rollups
            .iter()
            .map(|rollup| RollupPoolView {
                rollup: rollup.id.0,
                transactions: rollup.transactions,
                bytes: rollup.bytes,
                bytes_max: rollup.bytes_max,
            })
            .collect(),
    }
}

/// Every member of the genesis, whether it holds a share in this epoch or not.
pub(crate) fn validators(chain: &Chain, live: &Live) -> Vec<ValidatorView> {
    chain
        .genesis
        .members
        .iter()
        .zip(0..)
        .map(|(member, index)| {
            let identity = member.identity().ok();
            let holder =
                identity.as_ref().and_then(|key| live.holders.iter().position(|holder| holder == key));
            let last_vote_view = holder.and_then(|holder| live.last_vote_view.get(holder).copied().flatten());
            let authored = identity.as_ref().and_then(|key| live.blocks_authored.get(key));
            ValidatorView {
                index,
                identity: member.identity.clone(),
                p2p: member.p2p.to_string(),
                weight: member.weight,
                voting: last_vote_view.is_some_and(|view| view.saturating_add(VOTING_VIEWS) >= live.view),
                last_vote_view,
                blocks_authored: authored.copied().unwrap_or(0),
                this_node: index == chain.facts.index,
            }
        })
        .collect()
}

/// How many hold a share; before the first epoch is known, those of the genesis.
fn holders(chain: &Chain, live: &Live) -> u32 {
    let count = if live.holders.is_empty() { chain.genesis.members.len() } else { live.holders.len() };
    short_count(count)
}

pub(crate) fn epoch(chain: &Chain, live: &Live) -> EpochView {
    let genesis = &chain.genesis;
    let (epoch, holders) = (live.epoch.get(), holders(chain, live));
    let first_height = epoch.saturating_mul(genesis.epoch_blocks);
    EpochView {
        epoch,
        first_height,
        last_height: first_height.saturating_add(genesis.epoch_blocks - 1),
        group_key: genesis.key_generation.group_key.clone(),
        election: election_name(genesis.election.kind()).to_owned(),
        holders,
        quorum: quorum(holders),
        faults: faults_tolerated(holders),
    }
}

pub(crate) fn status(
    chain: &Chain,
    live: &Live,
    health: &Health,
    uptime_ms: u64,
    mempool_transactions: u64,
) -> StatusView {
    let genesis = &chain.genesis;
    let holders = holders(chain, live);
    StatusView {
        version: chain.facts.version.clone(),
        network: genesis.network.name.clone(),
        network_id: genesis.network.id,
        chain: hex::encode(&chain.digest),
        group_key: genesis.key_generation.group_key.clone(),
        index: chain.facts.index,
        identity: hex::encode_value(&chain.facts.identity),
        members: short_count(genesis.members.len()),
        quorum: quorum(holders),
        faults: faults_tolerated(holders),
        ready: health.ready,
        reason: health.reason.clone(),
        epoch: live.epoch.get(),
        view: live.view,
        lowest_height: live.lowest_height,
        finalized_height: live.finalized_height,
        finalized_hash: hex::encode(&live.finalized_digest),
        finalized_time_ms: live.finalized_time_ms,
        uptime_ms,
        mempool_transactions,
    }
}

/// The genesis as it is hashed.
#[derive(Clone, Debug)]
pub struct GenesisView(pub Arc<Genesis>);

impl Serialize for GenesisView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for GenesisView {
    fn schema_name() -> Cow<'static, str> {
        "Genesis".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "The genesis; its digest identifies the chain. The specification lists its fields."
        })
    }
}

/// How many blocks a request may look at.
pub(crate) fn blocks_limit(asked: Option<u64>, limits: &Limits) -> u64 {
    const DEFAULT: u64 = 100;
    asked.unwrap_or(DEFAULT).clamp(1, limits.rollup_blocks_max)
}
