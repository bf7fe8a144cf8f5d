//! The Engine API of an execution client, as far as one that follows needs it.

use crate::{keys, run::now_ms};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{B256, Bytes, U64, U256, hex};
use alloy_rpc_types_engine::{ExecutionPayloadV1, ExecutionPayloadV2, ExecutionPayloadV3, ForkchoiceState};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use baton_execution::evm::Signed;
use baton_rpc::eth::backend::Block;
use eyre::{WrapErr as _, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{path::Path, sync::Arc, time::Duration};
use thiserror::Error;

/// Executing one block may take a client so long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Of what a client says.
const WORDS_MAX: usize = 300;
/// The longest reply is a head with its transactions' hashes.
const REPLY_BYTES_MAX: usize = 16 * 1_024 * 1_024;

const NEW_PAYLOAD: &str = "engine_newPayloadV4";
const SET_HEAD: &str = "engine_forkchoiceUpdatedV3";

#[derive(Debug, Error)]
pub enum EngineError {
    #[error("no answer from {url} (auditor.url): {why}")]
    Unreachable { url: String, why: String },
    #[error("{url} answers {status}; does auditor.jwt_file hold the client's own secret?")]
    Unauthorized { url: String, status: u16 },
    #[error("{url}: {method}: {why}")]
    Refused { url: String, method: &'static str, why: String },
}

/// What a client says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Valid,
    Invalid {
        why: String,
    },
    /// It knows later.
    Syncing,
}

/// A block at which a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standpoint {
    pub number: u64,
    pub hash: B256,
}

/// A block for a client to execute.
pub struct Payload {
    payload: ExecutionPayloadV3,
    parent_beacon_root: B256,
    requests: Vec<Bytes>,
}

impl Payload {
    pub fn of(block: &Block, requests: Vec<Bytes>) -> Self {
        let (header, hash) = (&block.head.header, block.head.hash);
        let raw = |signed: &Arc<Signed>| Bytes::from(signed.envelope().encoded_2718());
        let payload_inner = ExecutionPayloadV1 {
            parent_hash: header.parent_hash,
            fee_recipient: header.beneficiary,
            state_root: header.state_root,
            receipts_root: header.receipts_root,
            logs_bloom: header.logs_bloom,
            prev_randao: header.mix_hash,
            block_number: header.number,
            gas_limit: header.gas_limit,
            gas_used: header.gas_used,
            timestamp: header.timestamp,
            extra_data: header.extra_data.clone(),
            base_fee_per_gas: U256::from(header.base_fee_per_gas.unwrap_or_default()),
            block_hash: hash,
            transactions: block.transactions.iter().map(raw).collect(),
        };
        Self {
            payload: ExecutionPayloadV3 {
                payload_inner: ExecutionPayloadV2 { payload_inner, withdrawals: Vec::new() },
                blob_gas_used: header.blob_gas_used.unwrap_or_default(),
                excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
            },
            parent_beacon_root: header.parent_beacon_block_root.unwrap_or_default(),
            requests,
        }
    }
}

/// The secret that node and client share: 32 bytes in hexadecimal.
pub fn read_secret(path: &Path) -> eyre::Result<[u8; 32]> {
    let text = keys::read_private(path)?;
    let bytes = hex::decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match bytes {
        Some(secret) => Ok(secret),
        None => bail!("auditor.jwt_file = {}: expected 64 hexadecimal digits", path.display()),
    }
}

pub struct Engine {
    http: reqwest::Client,
    url: String,
    secret: [u8; 32],
}

#[derive(Deserialize)]
struct Reply {
    result: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadStatus {
    status: String,
    #[serde(default)]
    validation_error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForkchoiceUpdated {
    payload_status: PayloadStatus,
}

#[derive(Deserialize)]
struct Head {
    number: U64,
    hash: B256,
}

impl PayloadStatus {
    fn says(self) -> Result<Status, String> {
        match self.status.as_str() {
            "VALID" => Ok(Status::Valid),
            "INVALID" | "INVALID_BLOCK_HASH" => {
                let why = self.validation_error.unwrap_or_else(|| "INVALID, without a reason".to_owned());
                Ok(Status::Invalid { why })
            }
            "SYNCING" | "ACCEPTED" => Ok(Status::Syncing),
            other => Err(format!("a status {other:?}")),
        }
    }
}

/// The result in a reply that came with this status of HTTP.
fn read_reply<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, String> {
    let reply: Reply =
        serde_json::from_slice(body).map_err(|error| format!("{status}: no JSON-RPC answer: {error}"))?;
    match (reply.error, reply.result) {
        (Some(error), _) => Err(error.to_string()),
        (None, result) => serde_json::from_value(result.unwrap_or_default())
            .map_err(|error| format!("unexpected result: {error}")),
    }
}

/// Reads an answer; the error is what it says, or why it cannot be read.
pub type Reader = fn(&[u8]) -> Result<(), String>;

/// A reply, read as each of the three calls reads it; for whoever throws bytes at them.
#[doc(hidden)]
pub const READERS: [Reader; 3] = [
    |body| read_reply::<Head>(200, body).map(drop),
    |body| read_reply::<PayloadStatus>(200, body)?.says().map(drop),
    |body| read_reply::<ForkchoiceUpdated>(200, body)?.payload_status.says().map(drop),
];

impl Engine {
    pub fn new(url: &str, secret: [u8; 32]) -> eyre::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
        let http = http.wrap_err("cannot set up an HTTP client")?;
        Ok(Self { http, url: url.to_owned(), secret })
    }

    /// Where the client stands.
    pub async fn head(&self) -> Result<Standpoint, EngineError> {
        let Head { number, hash } = self.call("eth_getBlockByNumber", json!(["latest", false])).await?;
        Ok(Standpoint { number: number.to(), hash })
    }

    /// Has a block executed.
    pub async fn new_payload(&self, payload: &Payload) -> Result<Status, EngineError> {
        let Payload { payload, parent_beacon_root, requests } = payload;
        let none: [B256; 0] = [];
        let params = json!([payload, none, parent_beacon_root, requests]);
        let status: PayloadStatus = self.call(NEW_PAYLOAD, params).await?;
        status.says().map_err(|why| self.refused(NEW_PAYLOAD, &why))
    }

    /// Makes a block the head, and final.
    pub async fn set_head(&self, hash: B256) -> Result<Status, EngineError> {
        let params = json!([ForkchoiceState::same_hash(hash), Value::Null]);
        let updated: ForkchoiceUpdated = self.call(SET_HEAD, params).await?;
        updated.payload_status.says().map_err(|why| self.refused(SET_HEAD, &why))
    }

    async fn call<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, EngineError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let unreachable = |error: reqwest::Error| EngineError::Unreachable {
            url: self.url.clone(),
            why: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        };
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", token(&self.secret, now_ms() / 1_000)))
            .body(body);
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) {
            return Err(EngineError::Unauthorized { url: self.url.clone(), status });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > REPLY_BYTES_MAX {
                let why =
                    format!("it answers more than {REPLY_BYTES_MAX} bytes; is auditor.url an Engine API?");
                return Err(self.refused(method, &why));
            }
            body.extend_from_slice(&chunk);
        }
        read_reply(status, &body).map_err(|why| self.refused(method, &why))
    }

    fn refused(&self, method: &'static str, why: &str) -> EngineError {
        let why = why.chars().take(WORDS_MAX).collect();
        EngineError::Refused { url: self.url.clone(), method, why }
    }
}

/// A JSON web token (HS256) that says when it was made; clients take it for a minute.
fn token(secret: &[u8; 32], seconds: u64) -> String {
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed =
        format!("{}.{}", encoded(json!({"alg": "HS256", "typ": "JWT"})), encoded(json!({"iat": seconds})));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with another program: node's crypto.createHmac.
    #[test]
    fn tokens_are_signed() {
        assert_eq!(
            token(&[7; 32], 1_700_000_000),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDB9.\
             q7vdxvYJozZ6UoScEnMgFSivYb-nzMGBXN-k-GD5t_8"
        );
    }
}
