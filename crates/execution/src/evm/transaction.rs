//! Raw signed transactions: decoding, the checks that need no state, and who signed.
//!
//! Recovering the signer is more than nine tenths of the work of a transfer. It is done once per node, by
//! any thread, and the result goes with the transaction from then on.

use super::params::Params;
use crate::parallel;
use alloy_consensus::{Transaction as _, TxEnvelope, TxType, transaction::SignerRecoverable as _};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, B256, U256};
use baton_types::receipt::{Reason, Refusal};
use revm::{
    context_interface::cfg::gas::{InitialAndFloorGas, calculate_initial_tx_gas},
    primitives::{eip3860::MAX_INITCODE_SIZE, hardfork::SpecId},
};
use std::{fmt, sync::Arc};

/// Why a transaction was not executed. Neither the numbers nor the names ever change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Skip {
    /// Not one whole transaction in its one encoding.
    Malformed = 1,
    /// Blobs, or a type that does not exist.
    UnsupportedType = 2,
    TooLarge = 3,
    WrongChainId = 4,
    /// Without a chain id, so that it would count on every chain.
    Unprotected = 5,
    /// The gas limit does not even pay for the transaction's bytes.
    IntrinsicGas = 6,
    /// The gas limit is above that of any block.
    GasLimit = 7,
    InitCodeSize = 8,
    TipAboveFee = 9,
    NoAuthorizations = 10,
    BadSignature = 11,
    /// No nonce comes after it.
    NonceMax = 12,
    NonceTooLow = 20,
    NonceTooHigh = 21,
    Balance = 22,
    FeeBelowBase = 23,
    /// The rest of this block's gas is less than its gas limit.
    BlockGas = 24,
    /// Contracts cannot sign (EIP-3607).
    SenderIsContract = 25,
    /// Another leg of its bundle would be skipped, or the legs do not stand together.
    Bundle = 26,
    /// Refused by the virtual machine for a reason that has no number of its own.
    Unexecutable = 27,
}

impl Skip {
    pub const ALL: [Self; 20] = [
        Self::Malformed,
        Self::UnsupportedType,
        Self::TooLarge,
        Self::WrongChainId,
        Self::Unprotected,
        Self::IntrinsicGas,
        Self::GasLimit,
        Self::InitCodeSize,
        Self::TipAboveFee,
        Self::NoAuthorizations,
        Self::BadSignature,
        Self::NonceMax,
        Self::NonceTooLow,
        Self::NonceTooHigh,
        Self::Balance,
        Self::FeeBelowBase,
        Self::BlockGas,
        Self::SenderIsContract,
        Self::Bundle,
        Self::Unexecutable,
    ];

    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|skip| skip.code() == code)
    }

    /// As the ladder and the API say it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::Malformed,
            Self::UnsupportedType => Reason::UnsupportedType,
            Self::TooLarge => Reason::TooLarge,
            Self::WrongChainId => Reason::WrongChainId,
            Self::Unprotected => Reason::Unprotected,
            Self::IntrinsicGas => Reason::IntrinsicGas,
            Self::GasLimit => Reason::GasLimit,
            Self::InitCodeSize => Reason::InitCodeSize,
            Self::TipAboveFee => Reason::TipAboveFee,
            Self::NoAuthorizations => Reason::NoAuthorizations,
            Self::BadSignature => Reason::BadSignature,
            Self::NonceMax => Reason::NonceMax,
            Self::NonceTooLow => Reason::NonceTooLow,
            Self::NonceTooHigh => Reason::NonceTooHigh,
            Self::Balance => Reason::Balance,
            Self::FeeBelowBase => Reason::FeeBelowBase,
            Self::BlockGas => Reason::BlockGas,
            Self::SenderIsContract => Reason::SenderIsContract,
            Self::Bundle => Reason::Bundle,
            Self::Unexecutable => Reason::Unexecutable,
        }
    }

    /// Of a transaction that can never be executed.
    pub fn refusal(self, params: &Params) -> Refusal {
        let Params { chain_id, gas_limit, transaction_bytes_max, .. } = params;
        let detail = match self {
            Self::Malformed => {
                "send the bytes of one raw signed transaction (EIP-2718), and nothing else".to_owned()
            }
            Self::UnsupportedType => {
                "types 0 (with a chain id), 1, 2 and 4 are taken; blobs are not".to_owned()
            }
            Self::TooLarge => {
                format!("this rollup takes at most {transaction_bytes_max} bytes per transaction")
            }
            Self::WrongChainId => format!("it is signed for another chain; sign it for chain id {chain_id}"),
            Self::Unprotected => {
                format!("it is signed without a chain id (before EIP-155); sign it for chain id {chain_id}")
            }
            Self::IntrinsicGas => "its gas limit does not pay for its bytes; estimate the gas".to_owned(),
            Self::GasLimit => format!("its gas limit is above a block's, which is {gas_limit}"),
            Self::InitCodeSize => format!("init code has at most {MAX_INITCODE_SIZE} bytes (EIP-3860)"),
            Self::TipAboveFee => "maxPriorityFeePerGas is above maxFeePerGas".to_owned(),
            Self::NoAuthorizations => "type 4 needs at least one authorization (EIP-7702)".to_owned(),
            Self::BadSignature => "its signature has no signer, or is in the second form (EIP-2)".to_owned(),
            Self::NonceMax => "no nonce can come after it (EIP-2681)".to_owned(),
            _ => "it cannot be executed".to_owned(),
        };
        Refusal::new(self.reason(), detail)
    }

    /// For the API and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnsupportedType => "unsupported_type",
            Self::TooLarge => "too_large",
            Self::WrongChainId => "wrong_chain_id",
            Self::Unprotected => "unprotected",
            Self::IntrinsicGas => "intrinsic_gas",
            Self::GasLimit => "gas_limit",
            Self::InitCodeSize => "init_code_size",
            Self::TipAboveFee => "tip_above_fee",
            Self::NoAuthorizations => "no_authorizations",
            Self::BadSignature => "bad_signature",
            Self::NonceMax => "nonce_max",
            Self::NonceTooLow => "nonce_too_low",
            Self::NonceTooHigh => "nonce_too_high",
            Self::Balance => "balance",
            Self::FeeBelowBase => "fee_below_base",
            Self::BlockGas => "block_gas",
            Self::SenderIsContract => "sender_is_contract",
            Self::Bundle => "bundle",
            Self::Unexecutable => "unexecutable",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A transaction that passed every check that needs no state, with its signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    envelope: TxEnvelope,
    sender: Address,
    bytes: usize,
}

impl Signed {
    /// Decodes a raw transaction and recovers its signer.
    pub fn decode(raw: &[u8], params: &Params) -> Result<Self, Skip> {
        if raw.len() > params.transaction_bytes_max {
            return Err(Skip::TooLarge);
        }
        match raw.first() {
            // The encoding of a list: a transaction without a type.
            Some(0xc0..) | Some(1 | 2 | 4) => {}
            Some(0 | 3 | 5..=0x7f) => return Err(Skip::UnsupportedType),
            _ => return Err(Skip::Malformed),
        }
        let envelope = TxEnvelope::decode_2718_exact(raw).map_err(|_| Skip::Malformed)?;
        if envelope.encoded_2718() != raw {
            return Err(Skip::Malformed);
        }
        check(&envelope, params)?;
        // Refuses the second form of every signature (EIP-2).
        let sender = envelope.recover_signer().map_err(|_| Skip::BadSignature)?;
        Ok(Self { envelope, sender, bytes: raw.len() })
    }

    /// As [`Self::decode`] for many, on as many cores as there are.
    pub fn decode_all(raw: &[&[u8]], params: &Params) -> Vec<Result<Arc<Self>, Skip>> {
        parallel::map(raw, |raw| Self::decode(raw, params).map(Arc::new))
    }

    /// A transaction that this node has decoded before, with the signer it found then.
    pub fn known(raw: &[u8], sender: Address) -> Option<Self> {
        let envelope = TxEnvelope::decode_2718_exact(raw).ok()?;
        (envelope.encoded_2718() == raw).then_some(Self { envelope, sender, bytes: raw.len() })
    }

    pub const fn envelope(&self) -> &TxEnvelope {
        &self.envelope
    }

    pub const fn sender(&self) -> Address {
        self.sender
    }

    pub fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }

    /// Of the raw transaction.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The most it can take from its sender.
    pub fn cost_max(&self) -> U256 {
        let gas = U256::from(self.envelope.gas_limit()) * U256::from(self.envelope.max_fee_per_gas());
        gas.saturating_add(self.envelope.value())
    }
}

fn check(envelope: &TxEnvelope, params: &Params) -> Result<(), Skip> {
    match envelope.chain_id() {
        None => return Err(Skip::Unprotected),
        Some(id) if id != params.chain_id => return Err(Skip::WrongChainId),
        Some(_) => {}
    }
    if envelope.nonce() == u64::MAX {
        return Err(Skip::NonceMax);
    }
    if envelope.max_priority_fee_per_gas().is_some_and(|tip| tip > envelope.max_fee_per_gas()) {
        return Err(Skip::TipAboveFee);
    }
    if envelope.is_create() && envelope.input().len() > MAX_INITCODE_SIZE {
        return Err(Skip::InitCodeSize);
    }
    let authorizations = envelope.authorization_list().map_or(0, <[_]>::len);
    if envelope.tx_type() == TxType::Eip7702 && authorizations == 0 {
        return Err(Skip::NoAuthorizations);
    }
    if envelope.gas_limit() > params.gas_limit {
        return Err(Skip::GasLimit);
    }
    let (accounts, slots) = envelope
        .access_list()
        .map_or((0, 0), |list| (list.len(), list.iter().map(|item| item.storage_keys.len()).sum::<usize>()));
    let gas: InitialAndFloorGas = calculate_initial_tx_gas(
        SpecId::PRAGUE,
        envelope.input(),
        envelope.is_create(),
        accounts as u64,
        slots as u64,
        authorizations as u64,
        None,
    );
    if gas.initial_total_gas().max(gas.floor_gas()) > envelope.gas_limit() {
        return Err(Skip::IntrinsicGas);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
