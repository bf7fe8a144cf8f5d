//! From what the node knows to what the API shows. Pure.

use crate::{
    api::{Chain, Health},
    config::Limits,
};
use baton_consensus::{
    client::{BlockFound, Live, TransactionStatus},
    elections::{ElectionFound, EpochProofFound},
    evm,
    lottery::{commitment_view, election_view},
    minute::Second,
    tally::{Tally, Window},
};
use baton_execution::pool::PoolStats;
use baton_types::{
    Block, Digest, ExecutionResult, Genesis, PublicKey, RollupId, Segment, TxId,
    api::{
        BlockView, ElectionView, EpochProofView, EpochView, ExecutionSight, HeadView, MemberCounts,
        MemberSight, MempoolView, Place, ReceiptView, ResultView, RollupBlock, RollupPoolView, SecondView,
        SegmentView, StatusView, TransactionView, ValidatorView,
    },
    faults_tolerated, hex,
    merkle::{EMPTY, Heads},
    quorum,
    receipt::Receipt,
};
use commonware_codec::EncodeSize as _;
use commonware_cryptography::{Digested, Digestible as _};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

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

fn bundles(segment: &Segment) -> Vec<Option<String>> {
    segment.transactions.iter().map(|one| one.bundle.as_ref().map(ToString::to_string)).collect()
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
            valid_until: with_payloads
                .then(|| segment.transactions.iter().map(|one| one.valid_until).collect()),
            bundles: with_payloads.then(|| bundles(segment)),
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
        election: header.election.name().to_owned(),
        parent_seed: hex::encode(&header.parent_seed),
        body_root: hex::encode(&header.body_root),
        heads_root: hex::encode(&header.heads_root),
        history_root: hex::encode(&header.history_root),
        transactions: count(block.transactions()),
        bytes: count(block.encode_size()),
        heads: body
            .heads
            .iter()
            .map(|(rollup, head)| HeadView { rollup: rollup.0, head: hex::encode(head) })
            .collect(),
        results: body.results.iter().map(|(rollup, result)| execution_result(*rollup, result)).collect(),
        segments,
        certificate: found.certificate.as_ref().map(hex::encode_value),
    }
}

fn execution_result(rollup: RollupId, result: &ExecutionResult) -> ResultView {
    ResultView {
        rollup: rollup.0,
        executed_to: result.executed_to,
        number: result.number,
        hash: hex::encode(&result.hash.0),
        state_root: hex::encode(&result.state_root.0),
        base_fee: result.base_fee,
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

pub(crate) fn second(second: &Second) -> SecondView {
    let mut times = second.finality_ms.clone();
    times.sort_unstable();
    SecondView {
        time_ms: 1_000 * second.at,
        blocks: second.blocks,
        transactions: second.transactions,
        finality_ms: times.get(times.len() / 2).copied(),
    }
}

pub(crate) const fn execution(status: &evm::Status) -> ExecutionSight {
    ExecutionSight {
        rollup: status.rollup.0,
        executed_to: status.executed_to,
        number: status.number,
        stopped: status.stopped.is_some(),
    }
}

/// Every member of the genesis, whether it holds a share in this epoch or not.
pub(crate) fn validators(chain: &Chain, live: &Live, tally: &Tally) -> Vec<ValidatorView> {
    chain
        .genesis
        .members
        .iter()
        .zip(0..)
        .map(|(member, index)| {
            let last_vote_view = last_vote(live, member.identity().ok().as_ref());
            let place = usize::try_from(index).expect("members have small indices");
            let since_start = counts(&tally.since_start, place);
            ValidatorView {
                index,
                identity: member.identity.clone(),
                p2p: member.p2p.to_string(),
                weight: member.weight,
                voting: is_voting(live, last_vote_view),
                last_vote_view,
                blocks_authored: since_start.blocks_authored,
                benched: tally.benched.contains(place),
                suspended: tally.suspended.contains(place),
                epoch: counts(&tally.epoch, place),
                since_start,
                this_node: index == chain.facts.index,
            }
        })
        .collect()
}

/// Every member, as this node sees it now; `peers` are those connected to it.
pub(crate) fn sights(
    chain: &Chain,
    live: &Live,
    tally: &Tally,
    peers: Option<&BTreeSet<PublicKey>>,
) -> Vec<MemberSight> {
    let members = chain.genesis.members.iter().zip(0..);
    members
        .map(|(member, index)| {
            let identity = member.identity().ok();
            let known = identity.as_ref();
            let place = usize::try_from(index).expect("members have small indices");
            let last_vote_view = last_vote(live, known);
            MemberSight {
                index,
                connected: peers
                    .map(|peers| index == chain.facts.index || known.is_some_and(|key| peers.contains(key))),
                voting: is_voting(live, last_vote_view),
                last_vote_view,
                benched: tally.benched.contains(place),
                suspended: tally.suspended.contains(place),
                clock_ahead_ms: known.and_then(|key| live.authors_ahead.get(key)).copied(),
            }
        })
        .collect()
}

/// The last view with a vote of a member, if it holds a share in this epoch.
fn last_vote(live: &Live, member: Option<&PublicKey>) -> Option<u64> {
    let holder = live.holders.iter().position(|holder| Some(holder) == member)?;
    live.last_vote_view.get(holder).copied().flatten()
}

fn is_voting(live: &Live, last_vote_view: Option<u64>) -> bool {
    last_vote_view.is_some_and(|view| view.saturating_add(VOTING_VIEWS) >= live.view)
}

fn counts(window: &Window, member: usize) -> MemberCounts {
    let counts = window.counts.get(member).copied().unwrap_or_default();
    MemberCounts {
        from_height: window.from_height,
        blocks_authored: counts.authored,
        designations: counts.designated,
        reveals: counts.reveals,
        single_proofs: counts.single_proofs,
        turns_missed: counts.turns_missed,
        segments_benched: counts.segments_benched,
        suspensions: counts.suspensions,
    }
}

pub(crate) fn election(chain: &Chain, found: &ElectionFound) -> ElectionView {
    election_view(found.block.inner().header(), |member| chain.index_of(member), found.elected.as_ref())
}

pub(crate) fn epoch_proof(found: &EpochProofFound) -> EpochProofView {
    EpochProofView {
        epoch: found.epoch,
        member: found.member.into(),
        proof_hash: hex::encode(&found.hash),
        commitment: found.commitment.as_ref().map(commitment_view),
        bytes: count(found.proof.len()),
        proof: hex::Hex(found.proof.to_vec()),
    }
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
        election: genesis.election.kind().name().to_owned(),
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
