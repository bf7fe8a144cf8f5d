//! Admission rules that need no pool: everything that the genesis and the tip decide.

use super::{Unit, VALIDITY_LEAD, sizes};
use crate::{Rules, evm::Signed};
use alloy_consensus::Transaction as _;
use baton_types::{
    Bundle, Rollup, RollupId, Transaction, TxId,
    genesis::Data,
    receipt::{Reason, Refusal},
    transaction::bundle_id,
};
use std::{collections::BTreeMap, sync::Arc};

/// A unit that keeps the rules, with its ids. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(super) unit: Arc<Unit>,
    pub(super) ids: Arc<[TxId]>,
    /// Of a single transaction of an EVM rollup: decoded, with its sender.
    pub(super) signed: Option<Arc<Signed>>,
    /// Of a bundle: the gas limit of each leg, zero where nothing is executed. Empty otherwise.
    pub(super) gas: Arc<[u64]>,
}

impl Checked {
    pub fn unit(&self) -> Arc<Unit> {
        self.unit.clone()
    }

    /// One per leg, in the order of [`Unit::legs`].
    pub fn ids(&self) -> &[TxId] {
        &self.ids
    }

    /// A single transaction of an EVM rollup, decoded.
    pub fn signed(&self) -> Option<(RollupId, &Arc<Signed>)> {
        let (rollup, _) = self.unit.legs().next()?;
        Some((rollup, self.signed.as_ref()?))
    }

    /// Of a leg.
    pub(super) fn gas(&self, leg: usize) -> u64 {
        match &self.signed {
            Some(signed) => signed.envelope().gas_limit(),
            None => self.gas.get(leg).copied().unwrap_or(0),
        }
    }

    pub fn ids_shared(&self) -> Arc<[TxId]> {
        self.ids.clone()
    }
}

pub(super) fn check(rules: &Rules, unit: Unit, tip: u64) -> Result<Checked, Refusal> {
    let (mut signed, mut gas) = (None, Vec::new());
    match &unit {
        Unit::Single { rollup, transaction, .. } => {
            if transaction.bundle.is_some() {
                let detail = "a single transaction cannot belong to a bundle; submit all legs together";
                return Err(Refusal::new(Reason::BadBundle, detail));
            }
            check_payload(find(rules, *rollup)?, transaction)?;
            signed = decode(rules, *rollup, transaction)?.map(Arc::new);
        }
        Unit::Bundle(bundle) => gas = check_bundle(rules, bundle)?,
    }
    // Peers may be a few blocks ahead of this node; clients are held to the exact limit at admission.
    let latest = tip.saturating_add(rules.validity_blocks_max()).saturating_add(VALIDITY_LEAD);
    check_validity(unit.valid_until(), tip, latest)?;
    let evm = &rules.limits().evm;
    let ids: Arc<[TxId]> = match &unit {
        Unit::Single { rollup, transaction, .. } => Arc::new([evm.id(*rollup, transaction)]),
        Unit::Bundle(_) => unit.ids(evm).into(),
    };
    if repeats(&ids) {
        return Err(bad_bundle("two legs are the same; every leg must differ in rollup or payload"));
    }
    Ok(Checked { unit: Arc::new(unit), ids, signed, gas: gas.into() })
}

/// Whether a unit can still enter a block after `tip`, and `latest` bounds how long it waits.
pub(super) fn check_validity(valid_until: u64, tip: u64, latest: u64) -> Result<(), Refusal> {
    if valid_until <= tip {
        let detail = format!(
            "valid_until {valid_until} has passed; the next block has height {}",
            tip.saturating_add(1)
        );
        return Err(Refusal::new(Reason::Expired, detail));
    }
    if valid_until > latest {
        let detail = format!("valid_until {valid_until} is too far ahead; at most {latest} now");
        return Err(Refusal::new(Reason::ValidityTooLong, detail));
    }
    Ok(())
}

fn find(rules: &Rules, rollup: RollupId) -> Result<&Rollup, Refusal> {
    rules.rollup(rollup).ok_or_else(|| {
        Refusal::new(Reason::UnknownRollup, format!("rollup {rollup} is not in this cluster's genesis"))
    })
}

fn check_payload(rollup: &Rollup, transaction: &Transaction) -> Result<(), Refusal> {
    let bytes = transaction.payload.len();
    if bytes == 0 {
        return Err(Refusal::new(Reason::Empty, "the payload is empty; send at least one byte"));
    }
    if rollup.data == Data::Hash && bytes != 32 {
        let detail = format!("{bytes} bytes; rollup {} takes hashes of exactly 32 bytes", rollup.name);
        return Err(Refusal::new(Reason::NotAHash, detail));
    }
    let max = rollup.transaction_bytes_max;
    if bytes > max {
        let detail = format!("{bytes} bytes; rollup {} takes at most {max} per transaction", rollup.name);
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    Ok(())
}

/// What an EVM rollup can never execute is not worth a place in a block.
fn decode(rules: &Rules, rollup: RollupId, transaction: &Transaction) -> Result<Option<Signed>, Refusal> {
    let Some(params) = rules.evm(rollup) else { return Ok(None) };
    Signed::decode(&transaction.payload, params).map(Some).map_err(|skip| skip.refusal(params))
}

/// The gas limit of each leg.
fn check_bundle(rules: &Rules, bundle: &Bundle) -> Result<Vec<u64>, Refusal> {
    let (legs, mut gas) = (&bundle.legs, Vec::new());
    if !(1..=Bundle::LEGS_MAX).contains(&legs.len()) {
        return Err(bad_bundle(format!("{} legs; 1 to {} are allowed", legs.len(), Bundle::LEGS_MAX)));
    }
    for (rollup, transaction) in legs {
        check_payload(find(rules, *rollup)?, transaction)?;
        let signed = decode(rules, *rollup, transaction)?;
        gas.push(signed.map_or(0, |signed| signed.envelope().gas_limit()));
    }
    let valid_until = legs.first().map_or(0, |(_, transaction)| transaction.valid_until);
    let id = bundle_id(valid_until, legs.iter().map(|(rollup, leg)| (*rollup, &leg.payload[..])));
    let bound = |leg: &Transaction| leg.bundle == Some(id) && leg.valid_until == valid_until;
    if bundle.id != id
        || !legs.iter().all(|(_, leg)| bound(leg))
        || !legs.is_sorted_by_key(|(rollup, _)| *rollup)
    {
        return Err(bad_bundle("the bundle's id does not bind its legs; make it with Bundle::new"));
    }
    check_bundle_size(rules, bundle)?;
    check_bundle_gas(rules, bundle, &gas)?;
    Ok(gas)
}

/// As with bytes: an otherwise empty block must have the gas for it.
fn check_bundle_gas(rules: &Rules, bundle: &Bundle, gas: &[u64]) -> Result<(), Refusal> {
    let mut sums = BTreeMap::<RollupId, u64>::new();
    for ((rollup, _), gas) in bundle.legs.iter().zip(gas) {
        let sum = sums.entry(*rollup).or_default();
        *sum = sum.saturating_add(*gas);
    }
    for (rollup, sum) in sums {
        let Some(params) = rules.evm(rollup) else { continue };
        if sum > params.gas_limit {
            let (name, max) = (&find(rules, rollup)?.name, params.gas_limit);
            return Err(bad_bundle(format!("its legs in {name} may take {sum} gas; a block has {max}")));
        }
    }
    Ok(())
}

/// A bundle enters one block whole, so an otherwise empty block must have room for it.
fn check_bundle_size(rules: &Rules, bundle: &Bundle) -> Result<(), Refusal> {
    let mut total = sizes::BLOCK_OVERHEAD;
    for legs in bundle.legs.chunk_by(|(left, _), (right, _)| left == right) {
        let Some((rollup, _)) = legs.first() else { continue };
        let rollup = find(rules, *rollup)?;
        let segment = sizes::SEGMENT_OVERHEAD + legs.iter().map(|(_, leg)| sizes::leg(leg)).sum::<usize>();
        if segment > rollup.block_bytes_max {
            let (name, max) = (&rollup.name, rollup.block_bytes_max);
            return Err(bad_bundle(format!(
                "its legs in {name} take {segment} bytes of a block; at most {max}"
            )));
        }
        let payloads: usize = legs.iter().map(|(_, leg)| leg.payload.len()).sum();
        if payloads > rollup.mempool_bytes_max {
            let (name, max) = (&rollup.name, rollup.mempool_bytes_max);
            return Err(bad_bundle(format!(
                "{payloads} bytes of payload in {name}; its mempool holds {max}"
            )));
        }
        total += segment;
    }
    let max = rules.limits().block_bytes_max;
    if total > max {
        return Err(bad_bundle(format!("it takes {total} bytes of a block; at most {max}")));
    }
    Ok(())
}

fn bad_bundle(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::BadBundle, detail)
}

/// At most [`Bundle::LEGS_MAX`] ids, so comparing all pairs is quickest.
fn repeats(ids: &[TxId]) -> bool {
    ids.iter().enumerate().any(|(index, id)| ids[..index].contains(id))
}
