//! Executing one block, slice by slice.
//!
//! ```text
//! OpenBlock::open ── system calls of EIP-2935 and 4788
//!   └► execute(entries) ── a slice: what a block of the cluster brings; any number of them
//!        └► seal ── system calls of EIP-7002 and 7251, roots, header
//! ```
//!
//! An open block is a value: its clone is a branch. After each slice its state is that of an Ethereum
//! client which executed the same transactions.
//!
//! A transaction that cannot be executed is skipped: it leaves no trace in the block and gets a reason
//! that every node finds (§10.4). One that fails while it runs is executed: it pays and has a receipt.

use super::{
    changes::Changes,
    hashes::RecentHashes,
    overlay::Overlay,
    params::{Params, Prague},
    state::State,
    transaction::{Signed, Skip},
};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction as _, TxType,
    constants::EMPTY_WITHDRAWALS,
    proofs::{calculate_receipt_root, calculate_transaction_root},
};
use alloy_eips::{eip7685::Requests, eip7840::BlobParams};
use alloy_evm::{
    EthEvmFactory, Evm as _, EvmEnv, EvmFactory as _, FromRecoveredTx as _, block::SystemCaller, eth::EthEvm,
    precompiles::PrecompilesMap,
};
use alloy_primitives::{B256, Bloom, U256};
use baton_types::TxId;
use revm::{
    DatabaseCommit as _,
    context::{
        BlockEnv, CfgEnv, TxEnv,
        result::{EVMError, ExecutionResult, InvalidTransaction},
    },
    context_interface::block::BlobExcessGasAndPrice,
    inspector::NoOpInspector,
    primitives::hardfork::SpecId,
};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

/// One transaction of the ordered log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What [`Signed::decode`] says of it.
    pub transaction: Result<Arc<Signed>, Skip>,
    pub bundle: Option<TxId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// At this place in the block.
    Executed {
        index: usize,
    },
    Skipped(Skip),
}

/// What a block is told by the one before and by the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    pub parent_hash: B256,
    pub number: u64,
    /// In seconds.
    pub timestamp: u64,
    /// Keccak-256 of the seed that the cluster's block carries.
    pub prevrandao: B256,
    pub base_fee: u64,
    /// The parent of the cluster's block.
    pub parent_beacon_root: B256,
}

/// What one block of the cluster brought.
#[derive(Debug)]
pub struct Slice {
    pub transactions: Vec<Arc<Signed>>,
    pub receipts: Vec<ReceiptEnvelope>,
    pub changes: Changes,
}

#[derive(Clone, Debug)]
pub struct OpenBlock {
    pub env: Env,
    /// After the last slice.
    pub state: State,
    pub gas_used: u64,
    pub slices: Vec<Arc<Slice>>,
    transactions: usize,
    /// Of the system calls at its beginning.
    opening: Arc<Changes>,
    hashes: RecentHashes,
}

/// A block with its result.
#[derive(Debug)]
pub struct Sealed {
    pub header: Header,
    pub hash: B256,
    pub slices: Vec<Arc<Slice>>,
    pub requests: Requests,
    /// Of the whole block.
    pub changes: Changes,
    pub state: State,
}

impl Sealed {
    pub fn transactions(&self) -> impl Iterator<Item = &Arc<Signed>> {
        self.slices.iter().flat_map(|slice| &slice.transactions)
    }

    pub fn receipts(&self) -> impl Iterator<Item = &ReceiptEnvelope> {
        self.slices.iter().flat_map(|slice| &slice.receipts)
    }
}

type Machine<'a> = EthEvm<&'a mut Overlay, NoOpInspector, PrecompilesMap>;

impl OpenBlock {
    pub fn open(params: &Params, env: Env, state: State, hashes: RecentHashes) -> Self {
        let mut block = Self {
            env,
            state,
            gas_used: 0,
            slices: Vec::new(),
            transactions: 0,
            opening: Arc::default(),
            hashes,
        };
        let changes = block.system(params, |caller, machine| {
            caller
                .apply_blockhashes_contract_call(env.parent_hash, machine)
                .and_then(|()| caller.apply_beacon_root_contract_call(Some(env.parent_beacon_root), machine))
                .expect("the system contracts of block 0 take these calls");
        });
        block.opening = Arc::new(changes);
        block
    }

    fn overlay(&self) -> Overlay {
        Overlay::new(self.state.snapshot(), Some(self.hashes.clone()))
    }

    fn machine<'a>(&self, params: &Params, overlay: &'a mut Overlay) -> Machine<'a> {
        EthEvmFactory::default().create_evm(overlay, environment(params, &self.env))
    }

    fn system<T>(
        &mut self,
        params: &Params,
        calls: impl FnOnce(&mut SystemCaller<Prague>, &mut Machine<'_>) -> T,
    ) -> Changes
    where
        T: Sized,
    {
        let mut overlay = self.overlay();
        calls(&mut SystemCaller::new(Prague), &mut self.machine(params, &mut overlay));
        self.absorb(&overlay)
    }

    fn absorb(&mut self, overlay: &Overlay) -> Changes {
        let changes = overlay.changes();
        self.state.apply(&changes).expect("made from this very state");
        changes
    }

    /// Executes what can be executed, in this order; one outcome per entry.
    pub fn execute(&mut self, params: &Params, entries: &[Entry]) -> Vec<Outcome> {
        let mut overlay = self.overlay();
        let mut run = Run {
            block: self,
            params,
            slice: Slice { transactions: Vec::new(), receipts: Vec::new(), changes: Changes::default() },
            gas_used: self.gas_used,
        };
        let outcomes = run.all(&mut overlay, entries);
        let Run { mut slice, gas_used, .. } = run;
        if !slice.transactions.is_empty() {
            self.gas_used = gas_used;
            self.transactions += slice.transactions.len();
            slice.changes = self.absorb(&overlay);
            self.slices.push(Arc::new(slice));
        }
        outcomes
    }

    pub const fn is_empty(&self) -> bool {
        self.transactions == 0
    }

    pub fn seal(mut self, params: &Params) -> Sealed {
        let mut requests = Requests::default();
        let closing = self.system(params, |caller, machine| {
            requests = caller
                .apply_post_execution_changes(machine)
                .expect("the system contracts of block 0 take these calls");
        });
        let mut changes = (*self.opening).clone();
        self.slices.iter().for_each(|slice| changes.merge(slice.changes.clone()));
        changes.merge(closing);
        let envelopes: Vec<_> = self
            .slices
            .iter()
            .flat_map(|slice| &slice.transactions)
            .map(|signed| signed.envelope())
            .collect();
        let receipts: Vec<_> = self.slices.iter().flat_map(|slice| &slice.receipts).collect();
        let logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        let header = Header {
            parent_hash: self.env.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: params.fee_recipient,
            state_root: self.state.root(),
            transactions_root: calculate_transaction_root(&envelopes),
            receipts_root: calculate_receipt_root(&receipts),
            logs_bloom,
            difficulty: U256::ZERO,
            number: self.env.number,
            gas_limit: params.gas_limit,
            gas_used: self.gas_used,
            timestamp: self.env.timestamp,
            mix_hash: self.env.prevrandao,
            base_fee_per_gas: Some(self.env.base_fee),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(self.env.parent_beacon_root),
            requests_hash: Some(requests.requests_hash()),
            ..Header::default()
        };
        let hash = header.hash_slow();
        Sealed { header, hash, slices: self.slices, requests, changes, state: self.state }
    }
}

/// What code sees of its block and of the chain.
pub(super) fn environment(params: &Params, env: &Env) -> EvmEnv {
    let config = CfgEnv::new_with_spec(SpecId::PRAGUE).with_chain_id(params.chain_id);
    let blob_gasprice = BlobParams::prague().calc_blob_fee(0);
    let block = BlockEnv {
        number: U256::from(env.number),
        beneficiary: params.fee_recipient,
        timestamp: U256::from(env.timestamp),
        gas_limit: params.gas_limit,
        basefee: env.base_fee,
        difficulty: U256::ZERO,
        prevrandao: Some(env.prevrandao),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice }),
        ..BlockEnv::default()
    };
    EvmEnv::new(config, block)
}

/// The execution of one slice.
struct Run<'a> {
    block: &'a OpenBlock,
    params: &'a Params,
    slice: Slice,
    gas_used: u64,
}

impl Run<'_> {
    fn all(&mut self, overlay: &mut Overlay, entries: &[Entry]) -> Vec<Outcome> {
        let mut machine = self.block.machine(self.params, overlay);
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut sizes = BTreeMap::<TxId, usize>::new();
        entries.iter().filter_map(|entry| entry.bundle).for_each(|id| *sizes.entry(id).or_default() += 1);
        for legs in entries.chunk_by(|a, b| a.bundle.is_some() && a.bundle == b.bundle) {
            let before = outcomes.len();
            match legs[0].bundle {
                None => outcomes.push(self.one(&mut machine, &legs[0])),
                Some(id) if sizes[&id] == legs.len() => self.bundle(&mut machine, legs, &mut outcomes),
                // Its legs do not stand together.
                Some(_) => outcomes.resize(before + legs.len(), Outcome::Skipped(Skip::Bundle)),
            }
            if outcomes[before..].iter().any(|outcome| matches!(outcome, Outcome::Skipped(_))) {
                // The machine keeps what a refused transaction made it load; a new one knows the overlay only.
                machine = self.block.machine(self.params, machine.into_db());
            }
        }
        outcomes
    }

    /// All legs or none.
    fn bundle(&mut self, machine: &mut Machine<'_>, legs: &[Entry], outcomes: &mut Vec<Outcome>) {
        let (before, gas_used) = (outcomes.len(), self.gas_used);
        let transactions = self.slice.transactions.len();
        machine.db_mut().begin();
        for leg in legs {
            let outcome = self.one(machine, leg);
            outcomes.push(outcome);
            if matches!(outcome, Outcome::Skipped(_)) {
                machine.db_mut().take_back();
                self.gas_used = gas_used;
                self.slice.transactions.truncate(transactions);
                self.slice.receipts.truncate(transactions);
                outcomes[before..].iter_mut().for_each(|outcome| {
                    if matches!(outcome, Outcome::Executed { .. }) {
                        *outcome = Outcome::Skipped(Skip::Bundle);
                    }
                });
                outcomes.resize(before + legs.len(), Outcome::Skipped(Skip::Bundle));
                return;
            }
        }
        machine.db_mut().keep();
    }

    fn one(&mut self, machine: &mut Machine<'_>, entry: &Entry) -> Outcome {
        match entry
            .transaction
            .as_ref()
            .map_err(|skip| *skip)
            .and_then(|signed| self.try_one(machine, signed))
        {
            Ok(index) => Outcome::Executed { index },
            Err(skip) => Outcome::Skipped(skip),
        }
    }

    fn try_one(&mut self, machine: &mut Machine<'_>, signed: &Arc<Signed>) -> Result<usize, Skip> {
        let envelope = signed.envelope();
        if envelope.gas_limit() > self.params.gas_limit - self.gas_used {
            return Err(Skip::BlockGas);
        }
        let transaction = TxEnv::from_recovered_tx(envelope, signed.sender());
        let executed = machine.transact_raw(transaction).map_err(|error| refused(&error))?;
        machine.db_mut().commit(executed.state);
        self.gas_used += executed.result.tx_gas_used();
        self.slice.receipts.push(receipt(envelope.tx_type(), executed.result, self.gas_used));
        self.slice.transactions.push(Arc::clone(signed));
        Ok(self.block.transactions + self.slice.transactions.len() - 1)
    }
}

fn receipt(kind: TxType, result: ExecutionResult, cumulative_gas_used: u64) -> ReceiptEnvelope {
    let status = Eip658Value::Eip658(result.is_success());
    let receipt = Receipt { status, cumulative_gas_used, logs: result.into_logs() }.with_bloom();
    match kind {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}

const fn refused(error: &EVMError<Infallible>) -> Skip {
    match error {
        EVMError::Transaction(error) => skip(error),
        EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_) => Skip::Unexecutable,
        EVMError::Database(never) => match *never {},
    }
}

/// Most of these cannot pass [`Signed::decode`]; they keep their numbers anyway.
const fn skip(error: &InvalidTransaction) -> Skip {
    match error {
        InvalidTransaction::NonceTooLow { .. } => Skip::NonceTooLow,
        InvalidTransaction::NonceTooHigh { .. } => Skip::NonceTooHigh,
        InvalidTransaction::NonceOverflowInTransaction => Skip::NonceMax,
        InvalidTransaction::LackOfFundForMaxFee { .. } | InvalidTransaction::OverflowPaymentInTransaction => {
            Skip::Balance
        }
        InvalidTransaction::GasPriceLessThanBasefee => Skip::FeeBelowBase,
        InvalidTransaction::CallerGasLimitMoreThanBlock => Skip::BlockGas,
        InvalidTransaction::RejectCallerWithCode => Skip::SenderIsContract,
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => Skip::TipAboveFee,
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
        | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => Skip::IntrinsicGas,
        InvalidTransaction::CreateInitCodeSizeLimit => Skip::InitCodeSize,
        InvalidTransaction::InvalidChainId => Skip::WrongChainId,
        InvalidTransaction::MissingChainId => Skip::Unprotected,
        InvalidTransaction::EmptyAuthorizationList => Skip::NoAuthorizations,
        _ => Skip::Unexecutable,
    }
}

#[cfg(test)]
mod tests;
