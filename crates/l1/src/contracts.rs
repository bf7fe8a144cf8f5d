//! The contracts of `contracts/`, read from the artifacts that are committed there.

#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::nursery, reason = "made by a macro")]

use crate::client::{Client, L1Error};
use alloy_eips::BlockId;
use alloy_primitives::Address;
use alloy_sol_types::{SolCall as _, SolValue, sol};

sol!(BatchCarrier, "../../contracts/artifacts/BatchCarrier.json");
sol!(BatchInbox, "../../contracts/artifacts/BatchInbox.json");
sol!(ClusterRegistry, "../../contracts/artifacts/ClusterRegistry.json");
sol!(ForcedQueue, "../../contracts/artifacts/ForcedQueue.json");
sol!(OpenPolicy, "../../contracts/artifacts/OpenPolicy.json");

/// A struct of one contract as that of another, where both take the same.
pub fn same<A: SolValue, B: SolValue>(value: &A) -> B
where
    B: From<<B::SolType as alloy_sol_types::SolType>::RustType>,
{
    B::abi_decode(&value.abi_encode()).expect("both are made from one struct")
}

/// The contract through which several batches go at once, as this inbox says; none where the inbox knows no such thing.
pub(crate) async fn carrier(client: &Client, inbox: Address) -> Result<Option<Address>, L1Error> {
    match client.read(inbox, &BatchInbox::carrierCall {}, BlockId::latest()).await {
        Ok(carrier) => Ok(Some(carrier).filter(|carrier| !carrier.is_zero())),
        Err(L1Error::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The batches that a transaction brings, each with its inbox, when `to` is an inbox or a carrier.
pub(crate) fn batches_in(to: Address, input: &[u8]) -> Vec<(Address, BatchInbox::postCall)> {
    if let Ok(call) = BatchInbox::postCall::abi_decode(input) {
        return vec![(to, call)];
    }
    let Ok(call) = BatchCarrier::postCall::abi_decode(input) else { return Vec::new() };
    let batch = |parcel: BatchCarrier::Parcel| {
        let BatchCarrier::Parcel { inbox, batch, certificate, data, .. } = parcel;
        (inbox, BatchInbox::postCall { b: same(&batch), certificate, data })
    };
    call.parcels.into_iter().map(batch).collect()
}
