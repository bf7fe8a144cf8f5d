//! Code run on a state without changing it: what calls, estimates and traces stand on.
//!
//! ```text
//! final block ─► Scene::after ──┐
//! open block ──► Scene::within ─┼─► with(changes) ─► run or inspect ─► result
//! its parent ──► Scene::before ─┘    as often as you like, none sees another
//! ```
//!
//! BLOCKHASH is answered from the state itself, where every block writes its parent's hash (EIP-2935).

use super::{
    block::{Entry, Env, OpenBlock, environment},
    chain::Past,
    changes::Changes,
    hashes::{self, RecentHashes},
    overlay::{Overlay, account_info},
    params::Params,
    state::{Misfit, State},
    transaction::Signed,
};
use alloy_consensus::Header;
use alloy_eips::eip7685::Requests;
use alloy_evm::{EthEvmFactory, Evm as _, EvmEnv, EvmFactory as _, FromRecoveredTx as _, eth::EthEvmContext};
use alloy_primitives::{Address, B256, U256};
use revm::{
    DatabaseRef, Inspector,
    bytecode::Bytecode,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, ResultAndState},
    },
    state::AccountInfo,
};
use std::{convert::Infallible, sync::Arc};

/// The result of a run, or why it could not begin.
pub type Ran = Result<ExecutionResult, EVMError<Infallible>>;

/// What inspectors look at.
pub type SceneContext = EthEvmContext<Overlay>;

/// A state, and the block that code run on it believes to be in.
#[derive(Clone, Debug)]
pub struct Scene {
    pub env: Env,
    pub state: State,
}

/// How far a run is held to the rules of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// All of them.
    Signed,
    /// A question: contracts may ask, and whatever nonce it says is right.
    Call,
    /// Gas costs nothing besides; the base fee then reads zero.
    FreeCall,
}

impl Scene {
    /// After a final block, within it.
    pub fn after(past: &Past) -> Self {
        Self { env: env(&past.header), state: past.state.snapshot() }
    }

    /// After the last slice of a block that goes on.
    pub fn within(block: &OpenBlock) -> Self {
        Self { env: block.env, state: block.state.snapshot() }
    }

    /// In the block of `header`, which follows `parent`, after its first transactions.
    pub fn before(params: &Params, parent: &Past, header: &Header, first: &[Arc<Signed>]) -> Self {
        Self::within(&again(params, parent, header, first))
    }

    /// What the system contracts asked for at the end of the block of `header`, of which nodes keep the hash
    /// alone (EIP-7685).
    pub fn requests(
        params: &Params,
        parent: &Past,
        header: &Header,
        transactions: &[Arc<Signed>],
    ) -> Requests {
        again(params, parent, header, transactions).seal(params).requests
    }

    /// As if these changes had been made.
    pub fn with(mut self, changes: &Changes) -> Result<Self, Misfit> {
        self.state.apply(changes)?;
        Ok(self)
    }

    pub fn nonce(&self, address: &Address) -> u64 {
        self.state.account(address).map_or(0, |facts| facts.nonce)
    }

    /// The transaction as it was signed.
    pub fn signed(signed: &Signed) -> TxEnv {
        TxEnv::from_recovered_tx(signed.envelope(), signed.sender())
    }

    pub fn run(&self, params: &Params, transaction: TxEnv, rules: Rules) -> Ran {
        let (env, transaction) = self.ready(params, transaction, rules);
        let mut machine = EthEvmFactory::default().create_evm(self.overlay(), env);
        machine.transact_raw(transaction).map(|executed| executed.result)
    }

    /// The same, several times as slow, under the eyes of an inspector; with what it read and wrote.
    pub fn inspect<I: Inspector<SceneContext>>(
        &self,
        params: &Params,
        transaction: TxEnv,
        rules: Rules,
        inspector: &mut I,
    ) -> Result<ResultAndState, EVMError<Infallible>> {
        let (env, transaction) = self.ready(params, transaction, rules);
        let mut machine = EthEvmFactory::default().create_evm_with_inspector(self.overlay(), env, inspector);
        machine.transact_raw(transaction)
    }

    fn ready(&self, params: &Params, mut transaction: TxEnv, rules: Rules) -> (EvmEnv, TxEnv) {
        let mut env = environment(params, &self.env);
        if rules != Rules::Signed {
            env.cfg_env.disable_eip3607 = true;
            transaction.nonce = self.nonce(&transaction.caller);
        }
        if rules == Rules::FreeCall {
            env.block_env.basefee = 0;
        }
        (env, transaction)
    }

    fn overlay(&self) -> Overlay {
        Overlay::new(self.state.snapshot(), None)
    }
}

/// A block that was made before, after its first transactions.
fn again(params: &Params, parent: &Past, header: &Header, first: &[Arc<Signed>]) -> OpenBlock {
    let mut hashes = RecentHashes::from_state(&parent.state, parent.header.number);
    hashes.push(parent.header.number, parent.hash);
    let mut block = OpenBlock::open(params, env(header), parent.state.snapshot(), hashes);
    let entries: Vec<_> =
        first.iter().map(|signed| Entry { transaction: Ok(Arc::clone(signed)), bundle: None }).collect();
    block.execute(params, &entries);
    block
}

/// The state before anything is run.
impl DatabaseRef for Scene {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.state.account(&address).copied().map(account_info))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.state.code(&code_hash).cloned().unwrap_or_default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.state.storage(&address, slot))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        Ok(hashes::in_state(&self.state, number))
    }
}

fn env(header: &Header) -> Env {
    Env {
        parent_hash: header.parent_hash,
        number: header.number,
        timestamp: header.timestamp,
        prevrandao: header.mix_hash,
        base_fee: header.base_fee_per_gas.unwrap_or_default(),
        parent_beacon_root: header.parent_beacon_block_root.unwrap_or(B256::ZERO),
    }
}

#[cfg(test)]
mod tests;
