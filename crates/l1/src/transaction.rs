//! Transactions on L1: fees, and signing one.

use crate::client::{Client, L1Error};
use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, Signed, TxEip1559, TxEip4844, TxEip4844Variant,
    TxEip4844WithSidecar, TxEnvelope,
};
use alloy_eips::{
    eip2718::Encodable2718 as _,
    eip4844::DATA_GAS_PER_BLOB,
    eip7594::{BlobTransactionSidecarEip7594, BlobTransactionSidecarVariant},
};
use alloy_network::TxSignerSync as _;
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256};
use alloy_rpc_types_eth::BlockNumberOrTag;
use alloy_signer_local::PrivateKeySigner;

/// What a transaction offers, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    pub gas: u128,
    pub tip: u128,
    /// Per blob gas.
    pub blob: u128,
}

impl Fees {
    /// Enough for several full blocks of L1 in a row.
    pub async fn market(client: &Client, blobs: bool) -> Result<Self, L1Error> {
        let latest = client.header(BlockNumberOrTag::Latest).await?;
        let base = u128::from(latest.inner.base_fee_per_gas.unwrap_or_default());
        let tip = client.tip().await?.max(1);
        let blob = if blobs { client.blob_base_fee().await?.saturating_mul(2).max(1) } else { 0 };
        Ok(Self { gas: base.saturating_mul(2).saturating_add(tip), tip, blob })
    }

    /// What nodes of L1 ask for to replace a transaction: a tenth more, and twice as much when it has blobs.
    #[must_use]
    pub fn raised(&self, blobs: bool) -> Self {
        let raise = |fee: u128| {
            if blobs { fee.saturating_mul(2) } else { fee.saturating_add(fee / 8).saturating_add(1) }
        };
        Self { gas: raise(self.gas), tip: raise(self.tip), blob: raise(self.blob) }
    }

    #[must_use]
    pub fn at_least(&self, other: &Self) -> Self {
        Self { gas: self.gas.max(other.gas), tip: self.tip.max(other.tip), blob: self.blob.max(other.blob) }
    }
}

/// A transaction that is not signed yet.
#[derive(Clone, Debug)]
pub struct Draft {
    pub nonce: u64,
    pub to: TxKind,
    pub input: Bytes,
    pub gas: u64,
    pub fees: Fees,
    pub sidecar: Option<Box<BlobTransactionSidecarEip7594>>,
}

impl Draft {
    /// The most it can cost.
    pub fn cost_max(&self) -> U256 {
        let blobs = self.sidecar.as_ref().map_or(0, |sidecar| sidecar.blobs.len() as u64);
        U256::from(self.gas) * U256::from(self.fees.gas)
            + U256::from(blobs * DATA_GAS_PER_BLOB) * U256::from(self.fees.blob)
    }

    /// Hash and bytes of the signed transaction.
    pub fn sign(self, signer: &PrivateKeySigner, chain_id: u64) -> Result<(B256, Vec<u8>), String> {
        let Self { nonce, to, input, gas, fees, sidecar } = self;
        let envelope: TxEnvelope = match (sidecar, to) {
            (None, to) => {
                let transaction = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit: gas,
                    max_fee_per_gas: fees.gas,
                    max_priority_fee_per_gas: fees.tip,
                    to,
                    input,
                    ..TxEip1559::default()
                };
                EthereumTxEnvelope::Eip1559(signed(signer, transaction)?)
            }
            (Some(_), TxKind::Create) => {
                return Err("a transaction with blobs creates no contract".to_owned());
            }
            (Some(sidecar), TxKind::Call(to)) => {
                let transaction = TxEip4844 {
                    chain_id,
                    nonce,
                    gas_limit: gas,
                    max_fee_per_gas: fees.gas,
                    max_priority_fee_per_gas: fees.tip,
                    to,
                    input,
                    blob_versioned_hashes: sidecar.versioned_hashes().collect(),
                    max_fee_per_blob_gas: fees.blob,
                    ..TxEip4844::default()
                };
                let sidecar = BlobTransactionSidecarVariant::Eip7594(*sidecar);
                let transaction = TxEip4844WithSidecar::from_tx_and_sidecar(transaction, sidecar);
                let transaction = TxEip4844Variant::TxEip4844WithSidecar(transaction);
                EthereumTxEnvelope::Eip4844(signed(signer, transaction)?)
            }
        };
        Ok((*envelope.tx_hash(), envelope.encoded_2718()))
    }
}

fn signed<T: SignableTransaction<Signature>>(
    signer: &PrivateKeySigner,
    mut transaction: T,
) -> Result<Signed<T>, String> {
    let signature = signer.sign_transaction_sync(&mut transaction).map_err(|error| error.to_string())?;
    Ok(transaction.into_signed(signature))
}
