//! An executor that shares nothing with the tested one but the virtual machine: flat maps, a state root
//! built anew for every block, and alloy's own block executor.

use crate::evm::{Params, Signed, state::system_contracts};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, proofs, transaction::Recovered};
use alloy_eips::eip7840::BlobParams;
use alloy_evm::{
    EvmEnv, EvmFactory as _,
    block::{BlockExecutor as _, BlockExecutorFactory as _},
    eth::{
        EthBlockExecutionCtx, EthBlockExecutorFactory, EthEvmFactory, receipt_builder::AlloyReceiptBuilder,
        spec::EthExecutorSpec,
    },
};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B256, Bloom, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use baton_types::Rollup;
use revm::{
    bytecode::Bytecode,
    database::{CacheDB, EmptyDB, State as RevmState, states::bundle_state::BundleRetention},
    state::AccountInfo,
};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OracleAccount {
    pub nonce: u64,
    pub balance: U256,
    pub code: Bytes,
    pub storage: BTreeMap<B256, U256>,
}

/// Every account, in the open.
#[derive(Clone, Debug, Default)]
pub struct Oracle(pub BTreeMap<Address, OracleAccount>);

#[derive(Clone, Copy, Debug)]
struct Fork;

impl EthereumHardforks for Fork {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        match fork {
            EthereumHardfork::Dao => ForkCondition::Never,
            EthereumHardfork::Shanghai | EthereumHardfork::Cancun | EthereumHardfork::Prague => {
                ForkCondition::Timestamp(0)
            }
            fork if fork > EthereumHardfork::Prague => ForkCondition::Never,
            _ => ForkCondition::Block(0),
        }
    }
}

impl EthExecutorSpec for Fork {
    fn deposit_contract_address(&self) -> Option<Address> {
        None
    }
}

impl Oracle {
    pub fn genesis(rollup: &Rollup) -> Self {
        let mut accounts = BTreeMap::new();
        for (address, account) in &rollup.evm.as_ref().unwrap().alloc {
            let storage = account.storage.iter();
            accounts.insert(
                Address::from(address.0),
                OracleAccount {
                    nonce: account.nonce,
                    balance: U256::from(account.balance),
                    code: account.code.clone().map(|code| code.0.into()).unwrap_or_default(),
                    storage: storage
                        .map(|(key, value)| (key.0.into(), U256::from_be_bytes(value.0)))
                        .collect(),
                },
            );
        }
        for (address, code) in system_contracts() {
            accounts.insert(address, OracleAccount { nonce: 1, code, ..OracleAccount::default() });
        }
        Self(accounts)
    }

    pub fn root(&self) -> B256 {
        state_root_unhashed(self.0.iter().map(|(address, account)| {
            let storage_root = if account.storage.is_empty() {
                EMPTY_ROOT_HASH
            } else {
                storage_root_unhashed(account.storage.iter().map(|(key, value)| (*key, *value)))
            };
            let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
            let OracleAccount { nonce, balance, .. } = *account;
            (*address, TrieAccount { nonce, balance, storage_root, code_hash })
        }))
    }

    fn database(&self) -> CacheDB<EmptyDB> {
        let mut database = CacheDB::new(EmptyDB::default());
        for (address, account) in &self.0 {
            let code = Bytecode::new_raw(account.code.clone());
            let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
            let OracleAccount { nonce, balance, .. } = *account;
            let info = AccountInfo { nonce, balance, code_hash, code: Some(code), ..AccountInfo::default() };
            database.insert_account_info(*address, info);
            for (key, value) in &account.storage {
                database.insert_account_storage(*address, U256::from_be_bytes(key.0), *value).unwrap();
            }
        }
        database
    }

    /// Executes exactly these transactions under the header that `made` claims, and says what the header
    /// has to be. `hashes` are those of all blocks before, from block 0.
    pub fn execute(
        &mut self,
        params: &Params,
        made: &Header,
        hashes: &[B256],
        transactions: &[Arc<Signed>],
    ) -> Header {
        let factory =
            EthBlockExecutorFactory::new(AlloyReceiptBuilder::default(), Fork, EthEvmFactory::default());
        let mut database = self.database();
        for (number, hash) in (0_u64..).zip(hashes) {
            database.cache.block_hashes.insert(U256::from(number), *hash);
        }
        let mut state = RevmState::builder().with_database_ref(&database).with_bundle_update().build();
        let env = EvmEnv::for_eth_block(made, Fork, params.chain_id, Some(BlobParams::prague()));
        let context = EthBlockExecutionCtx {
            parent_hash: made.parent_hash,
            parent_beacon_block_root: made.parent_beacon_block_root,
            ommers: &[],
            withdrawals: Some(Vec::new().into()),
            extra_data: Bytes::new(),
            tx_count_hint: None,
            slot_number: None,
        };
        let machine = factory.evm_factory().create_evm(&mut state, env);
        let mut executor = factory.create_executor(machine, context);
        executor.apply_pre_execution_changes().unwrap();
        for signed in transactions {
            let recovered = Recovered::new_unchecked(signed.envelope().clone(), signed.sender());
            executor.execute_transaction(&recovered).unwrap();
        }
        let result = executor.apply_post_execution_changes().unwrap();
        state.merge_transitions(BundleRetention::Reverts);
        let bundle = state.take_bundle();
        for (address, account) in &bundle.state {
            let Some(info) = &account.info else {
                self.0.remove(address);
                continue;
            };
            let entry = self.0.entry(*address).or_default();
            if account.status.was_destroyed() {
                entry.storage.clear();
            }
            (entry.nonce, entry.balance) = (info.nonce, info.balance);
            if info.code_hash == KECCAK256_EMPTY {
                entry.code = Bytes::new();
            } else if let Some(code) = &info.code {
                entry.code = code.original_bytes();
            }
            for (slot, value) in &account.storage {
                let key = B256::from(*slot);
                if value.present_value.is_zero() {
                    entry.storage.remove(&key);
                } else {
                    entry.storage.insert(key, value.present_value);
                }
            }
        }
        let envelopes: Vec<_> = transactions.iter().map(|signed| signed.envelope().clone()).collect();
        Header {
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: Address::repeat_byte(0xfe),
            state_root: self.root(),
            transactions_root: proofs::calculate_transaction_root(&envelopes),
            receipts_root: proofs::calculate_receipt_root(&result.receipts),
            logs_bloom: result
                .receipts
                .iter()
                .fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom()),
            gas_used: result.gas_used,
            gas_limit: params.gas_limit,
            withdrawals_root: Some(EMPTY_ROOT_HASH),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            requests_hash: Some(result.requests.requests_hash()),
            parent_hash: *hashes.last().unwrap(),
            number: made.number,
            timestamp: made.timestamp,
            mix_hash: made.mix_hash,
            base_fee_per_gas: made.base_fee_per_gas,
            parent_beacon_block_root: made.parent_beacon_block_root,
            difficulty: U256::ZERO,
            ..Header::default()
        }
    }
}
