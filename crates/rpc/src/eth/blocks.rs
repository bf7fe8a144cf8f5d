//! Blocks, transactions, receipts.

use super::{
    At, Methods, Rollup,
    state::Nothing,
    views::{self, Within},
};
use crate::{api::Caller, dispatch::Failure};
use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718 as _};
use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::{Index, Transaction, TransactionReceipt};
use baton_execution::evm::Signed;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with("eth_blockNumber", "Number of the newest final block.", |rollup: Arc<Rollup>, _, _: Nothing| async move {
            Ok(U64::from(rollup.latest()))
        })
        .with("eth_getBlockByNumber", "A block, with hashes of its transactions or the whole of them.", by_number)
        .with("eth_getBlockByHash", "A block, with hashes of its transactions or the whole of them.", by_hash)
        .with(
            "eth_getBlockTransactionCountByNumber",
            "How many transactions a block has.",
            |rollup: Arc<Rollup>, _, params: NumberParams| async move { rollup.count(params.block.into()).await },
        )
        .with(
            "eth_getBlockTransactionCountByHash",
            "How many transactions a block has.",
            |rollup: Arc<Rollup>, _, params: HashParams| async move { rollup.count(params.hash.into()).await },
        )
        .with("eth_getBlockReceipts", "The receipts of all transactions of a block.", receipts)
        .with("eth_getTransactionByHash", "A transaction, waiting or in a final block.", transaction)
        .with(
            "eth_getTransactionByBlockNumberAndIndex",
            "A transaction by its place.",
            |rollup: Arc<Rollup>, _, params: NumberIndexParams| async move { rollup.nth(params.block.into(), params.index).await },
        )
        .with(
            "eth_getTransactionByBlockHashAndIndex",
            "A transaction by its place.",
            |rollup: Arc<Rollup>, _, params: HashIndexParams| async move { rollup.nth(params.hash.into(), params.index).await },
        )
        .with("eth_getRawTransactionByHash", "A transaction as it was signed.", raw)
        .with(
            "eth_getTransactionReceipt",
            "The receipt of a transaction in a final block; it never changes.",
            |rollup: Arc<Rollup>, _, params: HashParams| async move { rollup.receipt(params.hash).await },
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NumberParams {
    #[schemars(with = "String")]
    block: BlockNumberOrTag,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HashParams {
    #[schemars(with = "String")]
    hash: B256,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByNumberParams {
    #[schemars(with = "String")]
    block: BlockNumberOrTag,
    /// Transactions as a whole.
    #[serde(default)]
    full: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByHashParams {
    #[schemars(with = "String")]
    hash: B256,
    /// Transactions as a whole.
    #[serde(default)]
    full: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NumberIndexParams {
    #[schemars(with = "String")]
    block: BlockNumberOrTag,
    #[schemars(with = "String")]
    index: Index,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HashIndexParams {
    #[schemars(with = "String")]
    hash: B256,
    #[schemars(with = "String")]
    index: Index,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BlockParams {
    /// A number, a tag, a hash, or an object with `blockNumber` or `blockHash`.
    #[schemars(with = "Value")]
    block: BlockId,
}

async fn by_number(rollup: Arc<Rollup>, _: Caller, params: ByNumberParams) -> Result<Value, Failure> {
    rollup.view(params.block.into(), params.full.unwrap_or(false)).await
}

async fn by_hash(rollup: Arc<Rollup>, _: Caller, params: ByHashParams) -> Result<Value, Failure> {
    rollup.view(params.hash.into(), params.full.unwrap_or(false)).await
}

impl Rollup {
    /// Null when there is no such block.
    async fn view(&self, block: BlockId, full: bool) -> Result<Value, Failure> {
        let Some((block, at)) = self.whole(block).await? else { return Ok(Value::Null) };
        let view = serde_json::to_value(within(&block, at).block(full));
        let mut view = view.expect("views of blocks have a JSON form");
        if at == At::Pending {
            // It has none before it ends.
            view["hash"] = Value::Null;
        }
        Ok(view)
    }

    async fn count(&self, block: BlockId) -> Result<Option<U64>, Failure> {
        Ok(self.whole(block).await?.map(|(block, _)| U64::from(block.transactions.len())))
    }

    async fn nth(&self, block: BlockId, index: Index) -> Result<Option<Transaction>, Failure> {
        Ok(self.whole(block).await?.and_then(|(block, at)| within(&block, at).transaction(index.into())))
    }
}

fn within(block: &super::Block, at: At) -> Within<'_> {
    match at {
        At::Final(_) => Within::sealed(block),
        At::Pending => Within::open(block),
    }
}

async fn receipts(
    rollup: Arc<Rollup>,
    _: Caller,
    params: BlockParams,
) -> Result<Option<Vec<TransactionReceipt>>, Failure> {
    Ok(rollup.whole(params.block).await?.map(|(block, at)| within(&block, at).receipts()))
}

/// A transaction that this node knows.
enum Found {
    Final(Arc<super::Block>, usize),
    Waiting(Arc<Signed>),
}

impl Rollup {
    async fn find(&self, hash: B256) -> Result<Option<Found>, Failure> {
        if let Some(found) = self.find_final(hash).await? {
            return Ok(Some(found));
        }
        match self.backend.waiting(hash).await? {
            Some(signed) => Ok(Some(Found::Waiting(signed))),
            // It may have become final between the two questions.
            None => self.find_final(hash).await,
        }
    }

    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, Failure> {
        Ok(self.find_final(hash).await?.and_then(|found| match found {
            Found::Final(block, index) => Within::sealed(&block).receipt(index),
            Found::Waiting(_) => None,
        }))
    }

    async fn find_final(&self, hash: B256) -> Result<Option<Found>, Failure> {
        let Some(place) = self.backend.place(hash).await? else { return Ok(None) };
        Ok(self.backend.block(place.number).await?.map(|block| Found::Final(block, place.index)))
    }
}

async fn transaction(
    rollup: Arc<Rollup>,
    _: Caller,
    params: HashParams,
) -> Result<Option<Transaction>, Failure> {
    Ok(rollup.find(params.hash).await?.and_then(|found| match found {
        Found::Final(block, index) => Within::sealed(&block).transaction(index),
        Found::Waiting(signed) => Some(views::waiting(&signed)),
    }))
}

async fn raw(rollup: Arc<Rollup>, _: Caller, params: HashParams) -> Result<Option<Bytes>, Failure> {
    let signed = rollup.find(params.hash).await?.and_then(|found| match found {
        Found::Final(block, index) => block.transactions.get(index).cloned(),
        Found::Waiting(signed) => Some(signed),
    });
    Ok(signed.map(|signed| signed.envelope().encoded_2718().into()))
}
