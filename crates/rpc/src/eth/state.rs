//! Accounts, and the rollup itself.

use super::{Methods, Rollup, errors};
use crate::{api::Caller, dispatch::Failure};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof, SyncInfo, SyncStatus};
use alloy_serde::JsonStorageKey;
use baton_execution::evm::AccountProof;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Slots in one `eth_getProof`.
const PROOF_SLOTS_MAX: usize = 1_024;

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with(
            "eth_chainId",
            "The chain id, in every signature.",
            |rollup: Arc<Rollup>, _, _: Nothing| async move { Ok(U64::from(rollup.params().chain_id)) },
        )
        .with(
            "net_version",
            "The chain id, as a decimal string.",
            |rollup: Arc<Rollup>, _, _: Nothing| async move { Ok(rollup.params().chain_id.to_string()) },
        )
        .with("net_listening", "True.", |_, _, _: Nothing| async move { Ok(true) })
        .with("web3_clientVersion", "This program.", |rollup: Arc<Rollup>, _, _: Nothing| async move {
            Ok(format!("baton/v{}", rollup.version))
        })
        .with("web3_sha3", "Keccak-256 of bytes.", |_, _, params: BytesParams| async move {
            Ok(keccak256(params.bytes))
        })
        .with("eth_accounts", "None: a node signs nothing.", |_, _, _: Nothing| async move {
            Ok(Vec::<Address>::new())
        })
        .with("eth_syncing", "False, or how far this node is.", syncing)
        .with("eth_getBalance", "An account's balance in wei.", balance)
        .with("eth_getTransactionCount", "An account's next nonce.", transaction_count)
        .with("eth_getCode", "An account's code.", code)
        .with("eth_getStorageAt", "One slot of an account's storage.", storage_at)
        .with(
            "eth_getProof",
            "An account and slots of it with proofs against the state root (EIP-1186).",
            proof,
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BytesParams {
    #[schemars(with = "String")]
    bytes: Bytes,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AccountParams {
    #[schemars(with = "String")]
    address: Address,
    /// A number, a tag, a hash, or an object with `blockNumber` or `blockHash`; `latest` by default.
    #[serde(default)]
    #[schemars(with = "Value")]
    block: Option<BlockId>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StorageParams {
    #[schemars(with = "String")]
    address: Address,
    #[schemars(with = "String")]
    slot: JsonStorageKey,
    /// As in `eth_getBalance`.
    #[serde(default)]
    #[schemars(with = "Value")]
    block: Option<BlockId>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProofParams {
    #[schemars(with = "String")]
    address: Address,
    #[schemars(with = "Vec<String>")]
    slots: Vec<JsonStorageKey>,
    /// As in `eth_getBalance`.
    #[serde(default)]
    #[schemars(with = "Value")]
    block: Option<BlockId>,
}

async fn syncing(rollup: Arc<Rollup>, _: Caller, _: Nothing) -> Result<SyncStatus, Failure> {
    let heads = rollup.backend.heads();
    if !heads.syncing {
        return Ok(SyncStatus::None);
    }
    let latest = U256::from(heads.latest.header.number);
    // Nobody knows how many blocks of the rollup the cluster's blocks will make.
    let info = SyncInfo { current_block: latest, highest_block: latest, ..SyncInfo::default() };
    Ok(SyncStatus::Info(Box::new(info)))
}

async fn balance(rollup: Arc<Rollup>, _: Caller, params: AccountParams) -> Result<U256, Failure> {
    let scene = rollup.scene(params.block.unwrap_or_default()).await?;
    Ok(scene.state.account(&params.address).map_or(U256::ZERO, |facts| facts.balance))
}

async fn transaction_count(rollup: Arc<Rollup>, _: Caller, params: AccountParams) -> Result<U64, Failure> {
    let block = params.block.unwrap_or_default();
    // Wallets that ask for `latest` get the next nonce too, and not one that waits already.
    let nonce = match block {
        BlockId::Number(BlockNumberOrTag::Latest | BlockNumberOrTag::Pending) => {
            rollup.backend.next_nonce(params.address).await?
        }
        _ => rollup.scene(block).await?.nonce(&params.address),
    };
    Ok(U64::from(nonce))
}

async fn code(rollup: Arc<Rollup>, _: Caller, params: AccountParams) -> Result<Bytes, Failure> {
    let state = rollup.scene(params.block.unwrap_or_default()).await?.state;
    let code_hash = state.account(&params.address).map_or(KECCAK256_EMPTY, |facts| facts.code_hash);
    Ok(state.code(&code_hash).map(|code| code.original_bytes()).unwrap_or_default())
}

async fn storage_at(rollup: Arc<Rollup>, _: Caller, params: StorageParams) -> Result<B256, Failure> {
    let state = rollup.scene(params.block.unwrap_or_default()).await?.state;
    Ok(state.storage(&params.address, params.slot.as_b256().into()).into())
}

async fn proof(
    rollup: Arc<Rollup>,
    _: Caller,
    params: ProofParams,
) -> Result<EIP1186AccountProofResponse, Failure> {
    let ProofParams { address, slots, block } = params;
    if slots.len() > PROOF_SLOTS_MAX {
        let detail =
            format!("slots: {} of them; at most {PROOF_SLOTS_MAX}, so ask several times", slots.len());
        return Err(errors::invalid(detail));
    }
    let state = rollup.scene(block.unwrap_or_default()).await?.state;
    rollup
        .heavy(move |_| {
            let keys: Vec<U256> = slots.iter().map(|slot| slot.as_b256().into()).collect();
            Ok(shown(state.prove(address, &keys), slots))
        })
        .await
}

/// `keys` as they were asked for.
fn shown(proof: AccountProof, keys: Vec<JsonStorageKey>) -> EIP1186AccountProofResponse {
    let slots = proof.slots.into_iter().zip(keys);
    EIP1186AccountProofResponse {
        address: proof.address,
        balance: proof.facts.balance,
        code_hash: proof.facts.code_hash,
        nonce: proof.facts.nonce,
        storage_hash: proof.storage_root,
        account_proof: proof.nodes,
        storage_proof: slots
            .map(|(slot, key)| EIP1186StorageProof::new(key, slot.value, slot.nodes))
            .collect(),
    }
}
