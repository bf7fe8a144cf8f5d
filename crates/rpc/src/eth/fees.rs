//! What gas costs, and what to offer.
//!
//! The tip suggested is what it took lately to enter blocks that were nearly full. Where there was room, or
//! where the rollup is ordered by arrival, the least is enough. The price suggested to those who name one for
//! base fee and tip together leaves room for the base fee to rise while they sign and send: with several
//! blocks a second it may rise several times.

use super::{Methods, Rollup, errors, views};
use crate::{api::Caller, dispatch::Failure};
use alloy_consensus::Transaction as _;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U128};
use alloy_rpc_types_eth::FeeHistory;
use baton_types::genesis::Ordering;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};

/// The least tip suggested, in wei per gas.
const TIP_MIN: u128 = 1_000_000;
/// The most.
const TIP_MAX: u128 = 500_000_000_000;
/// Blocks that suggestions look back on.
const BLOCKS: u64 = 20;
/// Of each of them, the lowest tips.
const LOWEST: usize = 3;
/// Which of those is suggested.
const PERCENTILE: usize = 60;
/// Above this much of its gas limit a block counts as full.
const FULL_PERCENT: u64 = 90;
/// How long a suggested price is to hold.
const HOLD_SECONDS: u64 = 2;
/// But it is at most so many times the present base fee.
const RISE_MAX: u128 = 3;
const HISTORY_BLOCKS_MAX: u64 = 1_024;
const PERCENTILES_MAX: usize = 100;

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods
        .with(
            "eth_gasPrice",
            "A price per gas that will do: base fee, room for it to rise, and tip.",
            gas_price,
        )
        .with("eth_maxPriorityFeePerGas", "A tip per gas that will do.", tip)
        .with("eth_feeHistory", "Base fees, use and tips of past blocks, and the next base fee.", history)
        .with("eth_blobBaseFee", "One: there are no blobs.", |_, _, _: super::state::Nothing| async move {
            Ok(U64::from(1))
        })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryParams {
    #[schemars(with = "String")]
    count: U64,
    #[schemars(with = "String")]
    newest: BlockNumberOrTag,
    /// Of each block's tips, weighted by gas; rising, 0 to 100.
    #[serde(default)]
    percentiles: Option<Vec<f64>>,
}

/// The suggestions made of one block are good until the next.
#[derive(Default)]
pub struct Suggestions(Mutex<Option<(u64, Suggestion)>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suggestion {
    tip: u128,
    /// Base fees that a price should survive.
    rises: u64,
}

async fn gas_price(rollup: Arc<Rollup>, _: Caller, _: super::state::Nothing) -> Result<U128, Failure> {
    let suggestion = rollup.suggestion().await?;
    let next = rollup.params().next_base_fee(&rollup.backend.heads().latest.header);
    let price = risen(next.into(), rollup.params().base_fee.max_change_denominator, suggestion.rises);
    Ok(U128::from(price.saturating_add(suggestion.tip)))
}

async fn tip(rollup: Arc<Rollup>, _: Caller, _: super::state::Nothing) -> Result<U128, Failure> {
    Ok(U128::from(rollup.suggestion().await?.tip))
}

/// The base fee after so many full blocks.
fn risen(base_fee: u128, denominator: u128, rises: u64) -> u128 {
    let most = base_fee.saturating_mul(RISE_MAX);
    let mut price = base_fee;
    for _ in 0..rises {
        price = price.saturating_add((price / denominator.max(1)).max(1));
        if price >= most {
            return most;
        }
    }
    price
}

impl Rollup {
    async fn suggestion(&self) -> Result<Suggestion, Failure> {
        let latest = self.latest();
        let known = *self.suggestions.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, suggestion)) = known
            && number == latest
        {
            return Ok(suggestion);
        }
        let suggestion = Suggestion { tip: self.look_back(latest).await?, rises: self.rises(latest).await? };
        *self.suggestions.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((latest, suggestion));
        Ok(suggestion)
    }

    async fn look_back(&self, latest: u64) -> Result<u128, Failure> {
        if self.params().ordering != Ordering::PriorityFee {
            return Ok(TIP_MIN);
        }
        let oldest = self.backend.heads().oldest;
        let mut seen = Vec::new();
        for number in latest.saturating_sub(BLOCKS - 1).max(oldest)..=latest {
            let Some(block) = self.backend.block(number).await? else { continue };
            let header = &block.head.header;
            if header.gas_used < header.gas_limit / 100 * FULL_PERCENT {
                seen.extend([TIP_MIN; LOWEST]);
                continue;
            }
            let base_fee = header.base_fee_per_gas.unwrap_or_default();
            let envelopes = block.transactions.iter().map(|signed| signed.envelope());
            let mut tips: Vec<_> =
                envelopes.filter_map(|envelope| envelope.effective_tip_per_gas(base_fee)).collect();
            tips.sort_unstable();
            seen.extend(tips.into_iter().take(LOWEST));
        }
        seen.sort_unstable();
        let chosen = seen.get(seen.len().saturating_sub(1) * PERCENTILE / 100);
        Ok(chosen.copied().unwrap_or(TIP_MIN).clamp(TIP_MIN, TIP_MAX))
    }

    /// How often the base fee may rise while a price is to hold: as often as there are blocks in that time,
    /// where the last ones were above their aim.
    async fn rises(&self, latest: u64) -> Result<u64, Failure> {
        let first = latest.saturating_sub(BLOCKS - 1).max(self.backend.heads().oldest);
        let (mut used, mut aim, mut since, mut count) = (0_u128, 0_u128, None, 0);
        for number in first..=latest {
            let Some(head) = self.backend.header(number).await? else { continue };
            used += u128::from(head.header.gas_used);
            aim += u128::from(head.header.gas_limit) / self.params().base_fee.elasticity_multiplier.max(1);
            since.get_or_insert(head.header.timestamp);
            count += 1;
        }
        let now = self.backend.heads().latest.header.timestamp;
        let seconds = now.saturating_sub(since.unwrap_or(now)).max(1);
        let expected = (count * HOLD_SECONDS).div_ceil(seconds);
        Ok(if used > aim { expected } else { 1 })
    }
}

async fn history(rollup: Arc<Rollup>, _: Caller, params: HistoryParams) -> Result<FeeHistory, Failure> {
    let percentiles = params.percentiles.unwrap_or_default();
    check(&percentiles)?;
    let latest = rollup.latest();
    let newest = match rollup.at(params.newest.into()).await? {
        Some(super::At::Final(number)) => number,
        Some(super::At::Pending) => latest,
        None => {
            let asked = params.newest;
            return Err(errors::plain(format!(
                "request beyond head block: requested {asked}, head {latest}"
            )));
        }
    };
    let count = params.count.to::<u64>().min(HISTORY_BLOCKS_MAX).min(newest + 1);
    let oldest = (newest + 1 - count).max(rollup.backend.heads().oldest.min(newest));
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    if count == 0 {
        return Ok(history);
    }
    let mut rewards = Vec::new();
    for number in oldest..=newest {
        let head = rollup.backend.header(number).await?.ok_or_else(errors::no_block)?;
        let header = &head.header;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit as f64);
        history.blob_gas_used_ratio.push(0.0);
        if !percentiles.is_empty() {
            let block = rollup.backend.block(number).await?.ok_or_else(errors::no_block)?;
            rewards.push(reward(&block, &percentiles));
        }
        if number == newest {
            history.base_fee_per_gas.push(rollup.params().next_base_fee(header).into());
        }
    }
    history.base_fee_per_blob_gas = vec![1; history.base_fee_per_gas.len()];
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    Ok(history)
}

fn check(percentiles: &[f64]) -> Result<(), Failure> {
    let problem = if percentiles.len() > PERCENTILES_MAX {
        format!("{} of them; at most {PERCENTILES_MAX}", percentiles.len())
    } else if let Some(wrong) = percentiles.iter().find(|percentile| !(0.0..=100.0).contains(*percentile)) {
        format!("{wrong}; 0 to 100 are allowed")
    } else if let Some(pair) = percentiles.windows(2).find(|pair| pair[0] > pair[1]) {
        format!("{} stands before {}; they have to rise", pair[0], pair[1])
    } else {
        return Ok(());
    };
    Err(errors::invalid(format!("invalid reward percentile: percentiles: {problem}")))
}

/// The tips at these shares of the block's gas.
fn reward(block: &super::Block, percentiles: &[f64]) -> Vec<u128> {
    let header = &block.head.header;
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let receipts = views::Within::sealed(block).gas_used();
    let envelopes = block.transactions.iter().map(|signed| signed.envelope());
    let mut tips: Vec<(u128, u64)> = envelopes
        .zip(receipts)
        .map(|(envelope, gas)| (envelope.effective_tip_per_gas(base_fee).unwrap_or_default(), gas))
        .collect();
    tips.sort_unstable();
    let (mut at, mut sum) = (0, tips.first().map_or(0, |(_, gas)| *gas));
    let mut rewards = Vec::with_capacity(percentiles.len());
    for percentile in percentiles {
        let wanted = header.gas_used as f64 * percentile / 100.0;
        while (sum as f64) < wanted && at + 1 < tips.len() {
            at += 1;
            sum += tips[at].1;
        }
        rewards.push(tips.get(at).map_or(0, |(tip, _)| *tip));
    }
    rewards
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn prices_rise_as_the_base_fee_would() {
        assert_eq!(risen(1_000, 8, 0), 1_000);
        assert_eq!(risen(1_000, 8, 2), 1_265);
        assert_eq!(risen(1_000, 8, 1_000), 3_000);
        assert_eq!(risen(0, 8, 5), 0);
        assert_eq!(risen(1_000, 0, 1), 2_000);
    }

    #[test]
    fn percentiles_are_checked() {
        assert_eq!(check(&[0.0, 50.0, 50.0, 100.0]), Ok(()));
        for wrong in [vec![-1.0], vec![100.5], vec![f64::NAN], vec![2.0, 1.0], vec![1.0; 101]] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
    }
}
