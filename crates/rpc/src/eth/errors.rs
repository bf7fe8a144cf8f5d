//! Errors in the codes and words of Ethereum's clients, which wallets and libraries look for.

use super::backend::Rejected;
use crate::dispatch::{Failure, INVALID_PARAMS, REFUSED};
use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::{Panic, Revert, SolError as _};
use baton_execution::evm::{Params, Refused, Skip};
use baton_types::receipt::{Reason, Refusal};
use revm::context::{
    TxEnv,
    result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
};
use std::{convert::Infallible, time::Duration};

/// Of EIP-7966; `data` is the hash.
const NOT_YET: i32 = 4;
/// `data` is what the contract returned.
const REVERTED: i32 = 3;
const LIMIT_EXCEEDED: i32 = -32_005;

fn failure(code: i32, message: impl Into<String>) -> Failure {
    Failure::Ethereum { code, message: message.into(), data: None }
}

pub fn plain(message: impl Into<String>) -> Failure {
    failure(REFUSED, message)
}

pub fn invalid(message: impl Into<String>) -> Failure {
    failure(INVALID_PARAMS, message)
}

pub fn limit(message: impl Into<String>) -> Failure {
    failure(LIMIT_EXCEEDED, message)
}

pub fn no_block() -> Failure {
    plain("header not found")
}

pub fn too_many_wait() -> Failure {
    let detail = "too many calls wait for a receipt; use eth_sendRawTransaction and ask for it";
    Refusal::new(Reason::Busy, detail).retry_after(1_000).into()
}

/// A transaction that was taken is in no final block after so long.
pub fn not_yet(hash: B256, patience: Duration) -> Failure {
    let ms = patience.as_millis();
    let message = format!(
        "the transaction was taken, and is in no final block after {ms} ms; ask for its receipt later"
    );
    Failure::Ethereum { code: NOT_YET, message, data: Some(hash.to_string()) }
}

/// Why a submitted transaction was not taken.
pub fn rejected(rejected: Rejected, params: &Params) -> Failure {
    match rejected {
        Rejected::Invalid(Skip::Malformed) => invalid("failed to decode signed transaction"),
        Rejected::Invalid(skip) => plain(never(skip, params)),
        Rejected::Pool(refused) => plain(pool(&refused)),
        Rejected::Skipped { skip, blocks } => plain(format!(
            "already known: it was ordered and left out ({}); sign it again with another fee or tip, or send it \
             again after {blocks} more blocks of the cluster",
            never(skip, params)
        )),
        Rejected::Node(refusal) => refusal.into(),
    }
}

fn never(skip: Skip, params: &Params) -> String {
    match skip {
        Skip::UnsupportedType => {
            "transaction type not supported: this rollup takes types 0, 1, 2 and 4".to_owned()
        }
        Skip::TooLarge => format!("oversized data: at most {} bytes", params.transaction_bytes_max),
        Skip::WrongChainId => format!("invalid chain id for signer: this rollup has {}", params.chain_id),
        Skip::Unprotected => "only replay-protected (EIP-155) transactions allowed over RPC".to_owned(),
        Skip::IntrinsicGas => "intrinsic gas too low".to_owned(),
        Skip::GasLimit => format!("exceeds block gas limit of {}", params.gas_limit),
        Skip::InitCodeSize => "max initcode size exceeded: at most 49152 bytes".to_owned(),
        Skip::TipAboveFee => "max priority fee per gas higher than max fee per gas".to_owned(),
        Skip::NoAuthorizations => "EIP-7702 transaction with empty auth list".to_owned(),
        Skip::BadSignature => "invalid sender: the signature is nobody's".to_owned(),
        Skip::NonceMax => "nonce has max value".to_owned(),
        Skip::SenderIsContract => "sender not an eoa".to_owned(),
        Skip::NonceTooLow => "nonce too low".to_owned(),
        Skip::NonceTooHigh => "nonce too high".to_owned(),
        Skip::Balance => "insufficient funds for gas * price + value".to_owned(),
        Skip::FeeBelowBase => "max fee per gas less than block base fee".to_owned(),
        other => format!("transaction cannot be executed: {other}"),
    }
}

fn pool(refused: &Refused) -> String {
    match refused {
        Refused::Duplicate => "already known".to_owned(),
        Refused::NonceTooLow { nonce, next } => {
            format!("nonce too low: next nonce {next}, tx nonce {nonce}")
        }
        Refused::NonceTooFar { nonce, next, slots } => {
            format!("nonce too high: next nonce {next}, tx nonce {nonce}, at most {slots} may wait")
        }
        Refused::Underpriced { nonce, fee, tip } => format!(
            "replacement transaction underpriced: to replace nonce {nonce} offer at least {fee} per gas and a \
             tip of {tip}"
        ),
        Refused::Balance { balance, cost } => format!(
            "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
            cost.saturating_sub(*balance)
        ),
        Refused::SenderIsContract => "sender not an eoa".to_owned(),
        Refused::Full => "txpool is full: try again later or offer a higher tip".to_owned(),
    }
}

/// Why a run did not end well.
pub fn ended(result: &ExecutionResult) -> Failure {
    match result {
        ExecutionResult::Revert { output, .. } => {
            let message = reason(output).map_or_else(
                || "execution reverted".to_owned(),
                |reason| format!("execution reverted: {reason}"),
            );
            Failure::Ethereum { code: REVERTED, message, data: Some(hex::encode_prefixed(output)) }
        }
        ExecutionResult::Halt { reason, .. } => plain(halted(reason)),
        ExecutionResult::Success { .. } => plain("the run succeeded"),
    }
}

/// As the contract says it, where it does.
fn reason(output: &[u8]) -> Option<String> {
    if let Ok(revert) = Revert::abi_decode(output) {
        return Some(revert.reason);
    }
    let kind = Panic::abi_decode(output).ok()?.kind()?;
    Some(kind.as_str().to_owned())
}

pub fn halted(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => "invalid opcode".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".to_owned()
        }
        HaltReason::OutOfFunds => "insufficient balance for transfer".to_owned(),
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
        HaltReason::NonceOverflow => "nonce uint64 overflow".to_owned(),
        other => other.to_string(),
    }
}

/// Why a run could not begin.
pub fn refused(error: &EVMError<Infallible>, transaction: &TxEnv, base_fee: u64) -> Failure {
    match error {
        EVMError::Transaction(error) => plain(unfit(error, transaction, base_fee)),
        EVMError::Header(error) => plain(error.to_string()),
        EVMError::Custom(message) => limit(message),
        EVMError::CustomAny(error) => plain(error.to_string()),
        EVMError::Database(never) => match *never {},
    }
}

fn unfit(error: &InvalidTransaction, transaction: &TxEnv, base_fee: u64) -> String {
    let who: Address = transaction.caller;
    match error {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => insufficient(who, **balance, **fee),
        InvalidTransaction::OverflowPaymentInTransaction => insufficient(who, U256::ZERO, U256::MAX),
        InvalidTransaction::GasPriceLessThanBasefee => format!(
            "max fee per gas less than block base fee: address {who}, maxFeePerGas: {}, baseFee: {base_fee}",
            transaction.gas_price
        ),
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => format!(
            "max priority fee per gas higher than max fee per gas: address {who}, maxPriorityFeePerGas: {}, \
             maxFeePerGas: {}",
            transaction.gas_priority_fee.unwrap_or_default(),
            transaction.gas_price
        ),
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        InvalidTransaction::CreateInitCodeSizeLimit => {
            "max initcode size exceeded: at most 49152 bytes".to_owned()
        }
        InvalidTransaction::EmptyAuthorizationList => "EIP-7702 transaction with empty auth list".to_owned(),
        InvalidTransaction::NonceOverflowInTransaction => "nonce has max value".to_owned(),
        other => other.to_string(),
    }
}

fn insufficient(who: Address, have: U256, want: U256) -> String {
    format!("insufficient funds for gas * price + value: address {who} have {have} want {want}")
}
