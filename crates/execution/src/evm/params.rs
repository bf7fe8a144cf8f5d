//! What execution needs to know of an EVM rollup's genesis.

use alloy_consensus::{Header, constants::EMPTY_WITHDRAWALS};
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B256, U256};
use baton_types::{
    Rollup,
    genesis::{
        Ordering,
        evm::{Cadence, Evm},
    },
};

#[derive(Clone, Debug)]
pub struct Params {
    pub chain_id: u64,
    pub gas_limit: u64,
    pub base_fee: BaseFeeParams,
    pub base_fee_start: u64,
    pub fee_recipient: Address,
    pub cadence: Cadence,
    pub ordering: Ordering,
    /// Longest raw transaction.
    pub transaction_bytes_max: usize,
}

impl Params {
    /// None when the rollup is of another kind.
    pub fn new(rollup: &Rollup) -> Option<Self> {
        let Evm { chain_id, gas_limit, base_fee, fee_recipient, cadence, .. } = **rollup.evm.as_ref()?;
        Some(Self {
            chain_id,
            gas_limit,
            base_fee: BaseFeeParams::new(base_fee.denominator.into(), base_fee.elasticity.into()),
            base_fee_start: base_fee.start,
            fee_recipient: Address::from(fee_recipient.0),
            cadence,
            ordering: rollup.ordering,
            transaction_bytes_max: rollup.transaction_bytes_max,
        })
    }

    /// Block 0 on top of nothing.
    pub fn genesis_header(&self, state_root: B256) -> Header {
        Header {
            state_root,
            gas_limit: self.gas_limit,
            base_fee_per_gas: Some(self.base_fee_start),
            difficulty: U256::ZERO,
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }

    /// Of the block after `parent` (EIP-1559).
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        let base_fee = parent.base_fee_per_gas.unwrap_or(self.base_fee_start);
        calc_next_block_base_fee(parent.gas_used, parent.gas_limit, base_fee, self.base_fee)
    }

    /// The most that it can be one block after it was `base_fee`.
    pub fn risen(&self, base_fee: u64) -> u64 {
        calc_next_block_base_fee(self.gas_limit, self.gas_limit, base_fee, self.base_fee)
    }
}

/// Prague and nothing after it, from block 0.
#[derive(Clone, Copy, Debug)]
pub struct Prague;

impl EthereumHardforks for Prague {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        if fork <= EthereumHardfork::Prague && fork != EthereumHardfork::Dao {
            ForkCondition::Timestamp(0)
        } else {
            ForkCondition::Never
        }
    }
}
