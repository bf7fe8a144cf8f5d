//! Calls that change nothing: their result, the gas they need, the access list that suits them.

use super::{Methods, Rollup, errors};
use crate::{api::Caller, dispatch::Failure};
use alloy_eips::{BlockId, BlockNumberOrTag, eip2930::AccessListResult};
use alloy_primitives::{Address, Bytes, TxKind, U64, U256};
use alloy_rpc_types_eth::{
    TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use baton_execution::evm::{AccountChange, Changes, Params, Ran, Rules, Scene, State};
use revm::context::{
    TxEnv,
    result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
};
use revm_inspectors::access_list::AccessListInspector;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Accounts and slots that one call may have changed before it.
const OVERRIDES_MAX: usize = 10_000;
/// An access list that still changes after so many runs is given as it is.
const ACCESS_LIST_RUNS_MAX: usize = 8;
/// A plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// What a call with value gives the called one on top.
const STIPEND_GAS: u64 = 2_300;
/// An estimate is not more than this many thousandths above the least that suffices.
const ESTIMATE_ERROR_PER_MILLE: u64 = 15;

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with("eth_call", "What a call returns, on the state at a block.", call)
        .with("eth_estimateGas", "A gas limit that suffices.", estimate_gas)
        .with(
            "eth_createAccessList",
            "The access list that a call would use, and its gas with it.",
            access_list,
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallParams {
    #[schemars(with = "Map<String, Value>")]
    transaction: Box<TransactionRequest>,
    /// As in `eth_getBalance`; for estimates `pending` by default.
    #[serde(default)]
    #[schemars(with = "Value")]
    block: Option<BlockId>,
    /// By address: `balance`, `nonce`, `code`, `state` or `stateDiff` to pretend.
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    overrides: Option<StateOverride>,
}

async fn call(rollup: Arc<Rollup>, _: Caller, params: CallParams) -> Result<Bytes, Failure> {
    let (scene, asked) = rollup.asked(params, BlockNumberOrTag::Latest).await?;
    rollup
        .heavy(move |rollup| {
            let result = asked.done(&scene, asked.run(rollup.params(), &scene))?;
            match result {
                ExecutionResult::Success { output, .. } => Ok(output.into_data()),
                failed => Err(errors::ended(&failed)),
            }
        })
        .await
}

async fn estimate_gas(rollup: Arc<Rollup>, _: Caller, params: CallParams) -> Result<U64, Failure> {
    let (scene, asked) = rollup.asked(params, BlockNumberOrTag::Pending).await?;
    rollup.heavy(move |rollup| estimate(rollup.params(), &scene, asked).map(U64::from)).await
}

async fn access_list(
    rollup: Arc<Rollup>,
    _: Caller,
    params: CallParams,
) -> Result<AccessListResult, Failure> {
    let (scene, mut asked) = rollup.asked(params, BlockNumberOrTag::Latest).await?;
    rollup
        .heavy(move |rollup| {
            let params = rollup.params();
            for _ in 1..ACCESS_LIST_RUNS_MAX {
                let mut inspector = AccessListInspector::new(asked.transaction.access_list.clone());
                let ran = scene.inspect(params, asked.transaction.clone(), asked.rules, &mut inspector);
                asked.done(&scene, ran.map(|executed| executed.result))?;
                let found = inspector.into_access_list();
                if found == asked.transaction.access_list {
                    break;
                }
                asked.transaction.access_list = found;
                asked.typed();
            }
            let result = asked.done(&scene, asked.run(params, &scene))?;
            let error = match &result {
                ExecutionResult::Success { .. } => None,
                ExecutionResult::Revert { .. } => Some("execution reverted".to_owned()),
                ExecutionResult::Halt { reason, .. } => Some(errors::halted(reason)),
            };
            let (access_list, gas_used) = (asked.transaction.access_list, U256::from(result.tx_gas_used()));
            Ok(AccessListResult { access_list, gas_used, error })
        })
        .await
}

impl Rollup {
    async fn asked(&self, params: CallParams, default: BlockNumberOrTag) -> Result<(Scene, Asked), Failure> {
        let CallParams { transaction, block, overrides } = params;
        let scene = self.scene(block.unwrap_or(default.into())).await?;
        let scene = match overrides {
            Some(overrides) if !overrides.is_empty() => {
                let changes = changes(&scene.state, overrides)?;
                scene.with(&changes).map_err(|misfit| errors::invalid(format!("overrides: {misfit}")))?
            }
            _ => scene,
        };
        let asked = Asked::new(self.params(), &scene, *transaction, self.limits.eth.call_gas_max)?;
        Ok((scene, asked))
    }
}

/// A call that can be made, several times.
pub struct Asked {
    pub transaction: TxEnv,
    pub rules: Rules,
}

impl Asked {
    pub fn new(
        params: &Params,
        scene: &Scene,
        request: TransactionRequest,
        gas_max: u64,
    ) -> Result<Self, Failure> {
        check(params, &request)?;
        let gas_price = request.gas_price.or(request.max_fee_per_gas).unwrap_or_default();
        let tip = request.max_fee_per_gas.map(|_| request.max_priority_fee_per_gas.unwrap_or_default());
        let rules = if gas_price == 0 { Rules::FreeCall } else { Rules::Call };
        let from = request.from.unwrap_or_default();
        let value = request.value.unwrap_or_default();
        let mut gas_limit = gas_max.min(params.gas_limit);
        if gas_price > 0 {
            gas_limit = gas_limit.min(affordable(scene, &from, value, gas_price));
        }
        let mut transaction = TxEnv {
            caller: from,
            kind: request.to.unwrap_or(TxKind::Create),
            value,
            gas_limit: request.gas.map_or(gas_limit, |gas| gas.min(gas_max).min(params.gas_limit)),
            gas_price,
            gas_priority_fee: tip.filter(|_| gas_price > 0),
            chain_id: Some(params.chain_id),
            access_list: request.access_list.unwrap_or_default(),
            data: request.input.into_input().unwrap_or_default(),
            ..TxEnv::default()
        };
        transaction.set_signed_authorization(request.authorization_list.unwrap_or_default());
        let mut asked = Self { transaction, rules };
        asked.typed();
        Ok(asked)
    }

    /// The type follows from what there is.
    fn typed(&mut self) {
        let transaction = &mut self.transaction;
        transaction.tx_type = if !transaction.authorization_list.is_empty() {
            4
        } else if transaction.gas_priority_fee.is_some() {
            2
        } else {
            u8::from(!transaction.access_list.is_empty())
        };
    }

    fn run(&self, params: &Params, scene: &Scene) -> Ran {
        scene.run(params, self.transaction.clone(), self.rules)
    }

    /// The result, when the run could begin.
    pub fn done(&self, scene: &Scene, ran: Ran) -> Result<ExecutionResult, Failure> {
        ran.map_err(|error| errors::refused(&error, &self.transaction, scene.env.base_fee))
    }
}

fn check(params: &Params, request: &TransactionRequest) -> Result<(), Failure> {
    let (input, data) = (&request.input.input, &request.input.data);
    let problem = if input.is_some() && data.is_some() && input != data {
        "transaction: data and input are both there and differ; send input".to_owned()
    } else if request.gas_price.is_some()
        && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
    {
        "transaction: both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".to_owned()
    } else if let Some(have) = request.chain_id.filter(|id| *id != params.chain_id) {
        format!("transaction: chainId does not match this rollup's (have={have}, want={})", params.chain_id)
    } else if request.blob_versioned_hashes.is_some() || request.max_fee_per_blob_gas.is_some() {
        "transaction: blobs are not supported by this rollup".to_owned()
    } else if request.authorization_list.is_some() && !matches!(request.to, Some(TxKind::Call(_))) {
        "transaction: with an authorizationList it needs a to".to_owned()
    } else {
        return Ok(());
    };
    Err(errors::invalid(problem))
}

/// The gas that the balance pays for.
fn affordable(scene: &Scene, from: &Address, value: U256, gas_price: u128) -> u64 {
    let balance = scene.state.account(from).map_or(U256::ZERO, |facts| facts.balance);
    let gas = balance.saturating_sub(value) / U256::from(gas_price);
    // With nothing left the run says what is missing.
    u64::try_from(gas).unwrap_or(u64::MAX).max(TRANSFER_GAS)
}

/// Whether a gas limit suffices, and with which result.
fn suffices(
    params: &Params,
    scene: &Scene,
    asked: &Asked,
    gas: u64,
) -> Result<Option<ExecutionResult>, Failure> {
    let transaction = TxEnv { gas_limit: gas, ..asked.transaction.clone() };
    match scene.run(params, transaction, asked.rules) {
        Err(EVMError::Transaction(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        )) => Ok(None),
        ran => asked.done(scene, ran).map(Some),
    }
}

/// The least gas limit that suffices, or a little more.
pub fn estimate(params: &Params, scene: &Scene, asked: Asked) -> Result<u64, Failure> {
    let enough = |gas| {
        let result = suffices(params, scene, &asked, gas)?;
        Ok::<_, Failure>(result.is_some_and(|result| result.is_success()))
    };
    if is_transfer(scene, &asked.transaction) && enough(TRANSFER_GAS)? {
        return Ok(TRANSFER_GAS);
    }
    let mut high = asked.transaction.gas_limit;
    let too_little = || errors::plain(format!("gas required exceeds allowance ({high})"));
    let (spent, used) = match suffices(params, scene, &asked, high)? {
        Some(ExecutionResult::Success { gas, .. }) => (gas.total_gas_spent(), gas.tx_gas_used()),
        None | Some(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. }) => {
            return Err(too_little());
        }
        Some(failed) => return Err(errors::ended(&failed)),
    };
    // With less than it used, even after what was given back, it cannot end.
    let mut low = used.saturating_sub(1);
    // Most calls need what they spent and a little for what they must leave to their callers.
    let likely = spent.saturating_add(STIPEND_GAS).saturating_mul(64) / 63;
    if likely < high {
        if enough(likely)? { high = likely } else { low = likely }
    }
    while low + 1 < high {
        if (high - low) * 1_000 < high * ESTIMATE_ERROR_PER_MILLE {
            break;
        }
        // Most need little more than the lower bound.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        if enough(middle)? { high = middle } else { low = middle }
    }
    Ok(high)
}

/// Value for somebody without code.
fn is_transfer(scene: &Scene, transaction: &TxEnv) -> bool {
    let TxKind::Call(to) = transaction.kind else { return false };
    let code =
        scene.state.account(&to).is_some_and(|facts| facts.code_hash != alloy_primitives::KECCAK256_EMPTY);
    transaction.data.is_empty() && transaction.tx_type != 4 && transaction.access_list.is_empty() && !code
}

/// What to pretend.
fn changes(state: &State, overrides: StateOverride) -> Result<Changes, Failure> {
    let slots = |account: &AccountOverride| {
        account.state.as_ref().map_or(0, |slots| slots.len())
            + account.state_diff.as_ref().map_or(0, |slots| slots.len())
    };
    let count: usize = overrides.values().map(|account| 1 + slots(account)).sum();
    if count > OVERRIDES_MAX {
        let detail = format!("overrides: {count} accounts and slots; at most {OVERRIDES_MAX}");
        return Err(errors::invalid(detail));
    }
    let mut changes = Changes::default();
    for (address, account) in overrides {
        let refused = |problem| Err(errors::invalid(format!("overrides.{address}: {problem}")));
        if account.move_precompile_to.is_some() {
            return refused("movePrecompileToAddress is not supported");
        }
        if account.state.is_some() && account.state_diff.is_some() {
            return refused("both state and stateDiff are there; send one");
        }
        let mut facts = state.account(&address).copied().unwrap_or_default();
        facts.balance = account.balance.unwrap_or(facts.balance);
        facts.nonce = account.nonce.unwrap_or(facts.nonce);
        if let Some(code) = account.code {
            facts.code_hash = alloy_primitives::keccak256(&code);
            changes.codes.insert(facts.code_hash, code);
        }
        let wiped = account.state.is_some();
        let slots = account.state.or(account.state_diff).unwrap_or_default();
        let slots = slots.into_iter().map(|(slot, value)| (slot.into(), value.into())).collect();
        changes.accounts.insert(address, AccountChange { facts: Some(facts), wiped, slots });
    }
    Ok(changes)
}
