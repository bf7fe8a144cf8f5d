//! Methods that only read.

use super::views::{self, GenesisView};
use crate::{
    api::{Api, Caller, PeersSource},
    dispatch::NoParams,
    openrpc::Document,
};
use alloy_primitives::{Address, U256};
use baton_consensus::{
    client::{BlockId, Live},
    evm::Question,
};
use baton_execution::evm::proof::SLOTS_MAX;
use baton_types::{
    Digest, Rollup, TxId,
    api::{
        BlockParams, BlockProofParams, BlockProofResult, BlockRef, BlockView, ClusterView, EpochView,
        EvmProofParams, EvmProofResult, MempoolView, ProofResult, RollupBlocksParams, RollupBlocksResult,
        SecondView, StatusView, TransactionParams, TransactionView, ValidatorView,
    },
    hex,
    receipt::{Reason, Refusal},
};

#[doc(hidden)]
pub fn parse_id(text: &str) -> Result<TxId, Refusal> {
    hex::decode_array(text)
        .map(TxId)
        .map_err(|error| Refusal::new(Reason::BadRequest, format!("id: {error}")))
}

pub async fn transaction(api: Api, _: Caller, params: TransactionParams) -> Result<TransactionView, Refusal> {
    let id = parse_id(&params.id)?;
    Ok(views::transaction(id, &api.client.transaction(id).await?))
}

pub async fn proof(api: Api, _: Caller, params: TransactionParams) -> Result<ProofResult, Refusal> {
    let proof = api.client.proof(parse_id(&params.id)?).await?;
    Ok(ProofResult::from(&proof))
}

pub async fn block(api: Api, _: Caller, params: BlockParams) -> Result<BlockView, Refusal> {
    let found = api.client.block(block_id(&params.block)?).await?;
    Ok(views::block(&api.chain, &found, params.payloads))
}

pub async fn block_proof(api: Api, _: Caller, params: BlockProofParams) -> Result<BlockProofResult, Refusal> {
    Ok(BlockProofResult::from(&api.client.block_proof(block_id(&params.block)?).await?))
}

pub async fn evm_proof(api: Api, _: Caller, params: EvmProofParams) -> Result<EvmProofResult, Refusal> {
    let rollup = match &params.rollup {
        Some(rollup) => api.chain.rollup(rollup)?.id(),
        None => {
            let first = api.client.executions().next().map(|execution| execution.id);
            first.ok_or_else(|| Refusal::new(Reason::BadRequest, "this cluster has no EVM rollup"))?
        }
    };
    Ok(EvmProofResult::from(&api.client.evm_proof(rollup, &question(&params)?).await?))
}

#[doc(hidden)]
pub fn question(params: &EvmProofParams) -> Result<Question, Refusal> {
    let refused = |detail: String| Refusal::new(Reason::BadRequest, detail);
    match (&params.account, &params.transaction) {
        (Some(account), None) => {
            if params.slots.len() > SLOTS_MAX {
                return Err(refused(format!("slots: {} of them; at most {SLOTS_MAX}", params.slots.len())));
            }
            let address =
                hex::decode_array::<20>(account).map_err(|error| refused(format!("account: {error}")))?;
            let slot = |slot: &String| {
                let bytes =
                    hex::decode_array::<32>(slot).map_err(|error| refused(format!("slots: {error}")))?;
                Ok(U256::from_be_bytes(bytes))
            };
            let slots = params.slots.iter().map(slot).collect::<Result<_, _>>()?;
            Ok(Question::Account { address: Address::from(address), slots })
        }
        (None, Some(transaction)) if params.slots.is_empty() => Ok(Question::Receipt(parse_id(transaction)?)),
        _ => Err(refused("expected either account, with slots or without, or transaction".to_owned())),
    }
}

#[doc(hidden)]
pub fn block_id(block: &BlockRef) -> Result<BlockId, Refusal> {
    match block {
        BlockRef::Height(height) => Ok(BlockId::Height(*height)),
        BlockRef::Text(text) if text == "latest" => Ok(BlockId::Latest),
        BlockRef::Text(text) => {
            let digest: Digest = hex::decode_value(text, &()).map_err(|error| {
                let detail = format!("block: expected a height, \"latest\" or a hash of 32 bytes: {error}");
                Refusal::new(Reason::BadRequest, detail)
            })?;
            Ok(BlockId::Digest(digest))
        }
    }
}

/// Stops early, after at least one block, when the payloads fill a reply.
pub async fn rollup_blocks(
    api: Api,
    _: Caller,
    params: RollupBlocksParams,
) -> Result<RollupBlocksResult, Refusal> {
    let rollup = api.chain.rollup(&params.rollup)?.id();
    let tip = api.client.finalized_height();
    let limit = views::blocks_limit(params.limit, &api.limits);
    // In hex a payload takes two characters per byte.
    let bytes_max = api.limits.response_bytes_max / 4;
    let (mut bytes, mut blocks, mut next_height) = (0, Vec::new(), params.from_height);
    for height in (params.from_height..=tip).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        let block = api.client.finalized(height).await?;
        if let Some(block) = views::rollup_block(rollup, &block) {
            bytes += block.payloads.iter().map(|payload| payload.0.len() + 64).sum::<usize>();
            blocks.push(block);
        }
        next_height = height + 1;
        if bytes > bytes_max {
            break;
        }
    }
    Ok(RollupBlocksResult { blocks, next_height })
}

pub async fn rollups(api: Api, _: Caller, _: NoParams) -> Result<Vec<Rollup>, Refusal> {
    let mut rollups = api.chain.genesis.rollups.clone();
    // Accounts of block 0 may be many megabytes; they are in the genesis file.
    rollups.iter_mut().filter_map(|rollup| rollup.evm.as_mut()).for_each(|evm| evm.alloc.clear());
    Ok(rollups)
}

pub async fn mempool(api: Api, _: Caller, _: NoParams) -> Result<MempoolView, Refusal> {
    Ok(views::mempool(&api.client.mempool()))
}

pub async fn last_minute(api: Api, _: Caller, _: NoParams) -> Result<Vec<SecondView>, Refusal> {
    Ok(api.client.last_minute().seconds().map(views::second).collect())
}

pub async fn validators(api: Api, _: Caller, _: NoParams) -> Result<Vec<ValidatorView>, Refusal> {
    Ok(views::validators(&api.chain, &api.client.live(), &api.client.tally()))
}

pub async fn epoch(api: Api, _: Caller, _: NoParams) -> Result<EpochView, Refusal> {
    Ok(views::epoch(&api.chain, &api.client.live()))
}

pub async fn status(api: Api, _: Caller, _: NoParams) -> Result<StatusView, Refusal> {
    let waiting = api.client.mempool().transactions;
    Ok(status_view(&api, &api.client.live(), waiting))
}

fn status_view(api: &Api, live: &Live, waiting: u64) -> StatusView {
    let uptime_ms = u64::try_from(api.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let health = api.health.borrow().clone();
    views::status(&api.chain, live, &health, uptime_ms, waiting)
}

/// What the topic `cluster` tells; `peers` as of the last look.
pub(crate) fn cluster_view(api: &Api, peers: &PeersSource) -> ClusterView {
    let (live, mempool) = (api.client.live(), views::mempool(&api.client.mempool()));
    ClusterView {
        time_ms: api.client.now_ms(),
        status: status_view(api, &live, mempool.transactions),
        executions: api.client.executions().map(|execution| views::execution(&execution.status())).collect(),
        members: views::sights(&api.chain, &live, &api.client.tally(), peers.borrow().as_ref()),
        mempool,
    }
}

pub async fn genesis(api: Api, _: Caller, _: NoParams) -> Result<GenesisView, Refusal> {
    Ok(GenesisView(api.chain.genesis.clone()))
}

pub async fn discover(_: Api, _: Caller, _: NoParams) -> Result<Document, Refusal> {
    Ok(Document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_named_by_height_hash_or_latest() {
        fn check(json: &str, expect: Result<BlockId, &str>) {
            let block: BlockRef = serde_json::from_str(json).unwrap();
            let got = block_id(&block).map_err(|refusal| refusal.detail);
            match (got, expect) {
                (Ok(got), Ok(expect)) => assert_eq!(got, expect),
                (Err(got), Err(expect)) => assert!(got.contains(expect), "{got}"),
                (got, expect) => panic!("{got:?} instead of {expect:?}"),
            }
        }
        check("7", Ok(BlockId::Height(7)));
        check("\"latest\"", Ok(BlockId::Latest));
        let digest = baton_types::merkle::EMPTY;
        check(&format!("\"0x{}\"", "00".repeat(32)), Ok(BlockId::Digest(digest)));
        check("\"newest\"", Err("a height, \"latest\" or a hash"));
        check("\"0x00\"", Err("a height, \"latest\" or a hash"));
    }
}
