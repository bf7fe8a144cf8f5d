//! Methods that only read.

use super::views::{self, GenesisView};
use crate::{
    api::{Api, Caller},
    dispatch::NoParams,
    openrpc::Document,
};
use baton_consensus::client::BlockId;
use baton_types::{
    Digest, Rollup, TxId,
    api::{
        BlockParams, BlockRef, BlockView, EpochView, MempoolView, ProofResult, RollupBlocksParams,
        RollupBlocksResult, StatusView, TransactionParams, TransactionView, ValidatorView,
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
    Ok(api.chain.genesis.rollups.clone())
}

pub async fn mempool(api: Api, _: Caller, _: NoParams) -> Result<MempoolView, Refusal> {
    Ok(views::mempool(&api.client.mempool()))
}

pub async fn validators(api: Api, _: Caller, _: NoParams) -> Result<Vec<ValidatorView>, Refusal> {
    Ok(views::validators(&api.chain, &api.client.live()))
}

pub async fn epoch(api: Api, _: Caller, _: NoParams) -> Result<EpochView, Refusal> {
    Ok(views::epoch(&api.chain, &api.client.live()))
}

pub async fn status(api: Api, _: Caller, _: NoParams) -> Result<StatusView, Refusal> {
    let uptime_ms = u64::try_from(api.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let health = api.health.borrow().clone();
    let waiting = api.client.mempool().transactions;
    Ok(views::status(&api.chain, &api.client.live(), &health, uptime_ms, waiting))
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
