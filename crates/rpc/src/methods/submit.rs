//! Submitting: from the API's parameters to units for the pool, and back to the API's results.

use super::views;
use crate::api::{Api, Caller, Chain};
use baton_consensus::client::{Submit, Submitted};
use baton_execution::pool::Unit;
use baton_types::{
    Bundle, RollupId, Transaction, TxId,
    api::{
        Ack, BatchEntry, LegSubmission, Submission, SubmitBatchParams, SubmitBatchResult, SubmitBundleParams,
        SubmitBundleResult, SubmitParams, SubmitResult,
    },
    receipt::{Reason, Receipt, Refusal},
};
use bytes::Bytes;

#[cfg(test)]
mod tests;

/// What is refused here is counted as a request, not as transactions: nobody has looked how many it holds.
pub fn admits(api: &Api) -> Result<(), Refusal> {
    api.client.admits()
}

pub async fn submit(api: Api, caller: Caller, params: SubmitParams) -> Result<SubmitResult, Refusal> {
    let SubmitParams { rollup, data, valid_until, fee_hint, ack } = params;
    let submission = Submission { rollup, data, valid_until, fee_hint };
    let offered = async {
        let unit = unit(&api.chain, submission, latest(&api))?;
        let (mut results, receipt) = offer(&api, &caller, vec![unit], ack).await?;
        let ids = results.pop().ok_or_else(lost)??;
        Ok::<_, Refusal>((ids, receipt.ok_or_else(lost)?))
    };
    let (ids, receipt) = counted(&api, offered.await)?;
    let id = ids.first().ok_or_else(lost)?.to_string();
    Ok(SubmitResult { id, receipt: views::receipt(&receipt) })
}

/// Each transaction is taken or refused for itself.
pub async fn submit_batch(
    api: Api,
    caller: Caller,
    params: SubmitBatchParams,
) -> Result<SubmitBatchResult, Refusal> {
    let (count, max) = (params.transactions.len(), api.limits.submit_transactions_max);
    if count > max {
        let detail = format!("{count} transactions in one request; at most {max}, so send several");
        let refused = Err(Refusal::new(Reason::TooLarge, detail));
        return refused.inspect_err(|refusal| api.metrics.transactions(Err(refusal.reason), count));
    }
    let latest = latest(&api);
    let mut units = Vec::with_capacity(count);
    let malformed: Vec<Option<Refusal>> = params
        .transactions
        .into_iter()
        .map(|submission| unit(&api.chain, submission, latest).map(|unit| units.push(unit)).err())
        .collect();
    let offered = units.len();
    let (results, receipt) = if units.is_empty() {
        (Vec::new(), None)
    } else {
        offer(&api, &caller, units, params.ack)
            .await
            .inspect_err(|refusal| api.metrics.transactions(Err(refusal.reason), offered))?
    };
    let transactions = entries(malformed, results);
    let mut accepted = 0;
    for entry in &transactions {
        match &entry.error {
            None => accepted += 1,
            Some(error) => api.metrics.transactions(Err(error.reason), 1),
        }
    }
    api.metrics.transactions(Ok(()), accepted);
    Ok(SubmitBatchResult { transactions, receipt: receipt.as_ref().map(views::receipt) })
}

/// Puts the outcome of the offered units where the malformed ones left room.
fn entries(malformed: Vec<Option<Refusal>>, results: Vec<Result<Vec<TxId>, Refusal>>) -> Vec<BatchEntry> {
    let mut results = results.into_iter();
    malformed
        .into_iter()
        .map(|refusal| {
            let outcome = match refusal {
                Some(refusal) => Err(refusal),
                None => results.next().unwrap_or_else(|| Err(lost())),
            };
            match outcome.map(|ids| ids.first().map(TxId::to_string)) {
                Ok(id) => BatchEntry { id, error: None },
                Err(refusal) => BatchEntry { id: None, error: Some(crate::dispatch::error_data(&refusal)) },
            }
        })
        .collect()
}

/// All legs are taken or none.
pub async fn submit_bundle(
    api: Api,
    caller: Caller,
    params: SubmitBundleParams,
) -> Result<SubmitBundleResult, Refusal> {
    let offered = async {
        let (bundle, order) = bundle(&api.chain, params.legs, params.valid_until.unwrap_or(latest(&api)))?;
        let id = bundle.id;
        let (mut results, receipt) = offer(&api, &caller, vec![Unit::Bundle(bundle)], params.ack).await?;
        let ids = results.pop().ok_or_else(lost)??;
        Ok::<_, Refusal>((id, order, ids, receipt.ok_or_else(lost)?))
    };
    let (bundle, order, ids, receipt) = counted(&api, offered.await)?;
    let ids = order.iter().map(|&at| ids.get(at).map(TxId::to_string).ok_or_else(lost));
    Ok(SubmitBundleResult {
        bundle: bundle.to_string(),
        ids: ids.collect::<Result<_, _>>()?,
        receipt: views::receipt(&receipt),
    })
}

fn counted<T>(api: &Api, result: Result<T, Refusal>) -> Result<T, Refusal> {
    api.metrics.transactions(result.as_ref().map(|_| ()).map_err(|refusal| refusal.reason), 1);
    result
}

type Outcome = (Vec<Result<Vec<TxId>, Refusal>>, Option<Receipt>);

/// The one place that hands units to consensus.
async fn offer(api: &Api, caller: &Caller, units: Vec<Unit>, ack: Ack) -> Result<Outcome, Refusal> {
    let submit = Submit { client: caller.key.clone(), units, ack };
    let Submitted { results, receipt } = api.client.submit(submit).await?;
    Ok((results, receipt))
}

/// As late as the chain allows; what a transaction is valid until when it does not say.
fn latest(api: &Api) -> u64 {
    api.client.finalized_height().saturating_add(api.chain.genesis.validity_blocks_max)
}

#[doc(hidden)]
pub fn unit(chain: &Chain, submission: Submission, latest: u64) -> Result<Unit, Refusal> {
    let rollup = chain.rollup(&submission.rollup)?.id();
    let fee_hint = submission.fee_hint.as_deref().map_or(Ok(0), fee_hint)?;
    let transaction = Transaction {
        valid_until: submission.valid_until.unwrap_or(latest),
        bundle: None,
        payload: Bytes::from(submission.data.0),
    };
    Ok(Unit::Single { rollup, transaction, fee_hint })
}

fn fee_hint(text: &str) -> Result<u64, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| {
        let text: String = text.chars().take(32).collect();
        let detail = format!("fee_hint {text:?}; expected a decimal string from 0 to {}", u64::MAX);
        Refusal::new(Reason::BadRequest, detail)
    })
}

/// The bundle, whose legs stand in block order, and where each leg of the request stands in it.
#[doc(hidden)]
pub fn bundle(
    chain: &Chain,
    legs: Vec<LegSubmission>,
    valid_until: u64,
) -> Result<(Bundle, Vec<usize>), Refusal> {
    if !(1..=Bundle::LEGS_MAX).contains(&legs.len()) {
        let detail = format!("{} legs; 1 to {} are allowed", legs.len(), Bundle::LEGS_MAX);
        return Err(Refusal::new(Reason::BadBundle, detail));
    }
    let mut numbered = legs
        .into_iter()
        .enumerate()
        .map(|(at, leg)| Ok((at, (chain.rollup(&leg.rollup)?.id(), Bytes::from(leg.data.0)))))
        .collect::<Result<Vec<(usize, (RollupId, Bytes))>, Refusal>>()?;
    numbered.sort_by_key(|(_, (rollup, _))| *rollup);
    let mut order = vec![0; numbered.len()];
    for (place, (at, _)) in numbered.iter().enumerate() {
        order[*at] = place;
    }
    let legs = numbered.into_iter().map(|(_, leg)| leg).collect();
    Ok((Bundle::new(valid_until, legs), order))
}

fn lost() -> Refusal {
    Refusal::new(Reason::Internal, "the node gave no outcome for this transaction; look it up by its id")
}
