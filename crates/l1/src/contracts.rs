//! The contracts of `contracts/`, read from the artifacts that are committed there.

#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::nursery, reason = "made by a macro")]

use crate::client::{Client, L1Error};
use alloy_eips::BlockId;
use alloy_primitives::Address;
use alloy_sol_types::{SolCall as _, SolValue, abi::AbiDecoderConfig, sol};

sol!(BatchCarrier, "../../contracts/artifacts/BatchCarrier.json");
sol!(BatchInbox, "../../contracts/artifacts/BatchInbox.json");
sol!(ClusterRegistry, "../../contracts/artifacts/ClusterRegistry.json");
sol!(ForcedQueue, "../../contracts/artifacts/ForcedQueue.json");
sol!(OpenPolicy, "../../contracts/artifacts/OpenPolicy.json");

/// What a byte of a call may take once it is decoded: an honest one is there once, in one of two forms.
const MEMORY_PER_BYTE_MAX: usize = 4;

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
pub fn batches_in(to: Address, input: &[u8]) -> Vec<(Address, BatchInbox::postCall)> {
    // Parcels may share their bytes in the encoding: without a limit each would be a copy of them.
    let config = AbiDecoderConfig::new().memory_limit(input.len().saturating_mul(MEMORY_PER_BYTE_MAX));
    if let Ok(call) = BatchInbox::postCall::abi_decode_with_config(input, config) {
        return vec![(to, call)];
    }
    let Ok(call) = BatchCarrier::postCall::abi_decode_with_config(input, config) else { return Vec::new() };
    let batch = |parcel: BatchCarrier::Parcel| {
        let BatchCarrier::Parcel { inbox, batch, certificate, data, .. } = parcel;
        (inbox, BatchInbox::postCall { b: same(&batch), certificate, data })
    };
    call.parcels.into_iter().map(batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, Bytes};

    fn batch(index: u64) -> BatchCarrier::Batch {
        BatchCarrier::Batch {
            keyGeneration: 0,
            index,
            firstHeight: 1,
            lastHeight: 10,
            slot: 7,
            orderRoot: B256::repeat_byte(1),
            dataKind: 1,
            dataCommitment: B256::repeat_byte(2),
            forcedCursor: 0,
            claimedStateRoot: B256::ZERO,
        }
    }

    fn parcels(count: u64, data: &[u8]) -> Vec<u8> {
        let parcel = |index| BatchCarrier::Parcel {
            inbox: Address::repeat_byte(9),
            batch: batch(index),
            certificate: vec![3u8; 96].into(),
            firstBlob: Default::default(),
            blobs: Default::default(),
            data: Bytes::copy_from_slice(data),
        };
        BatchCarrier::postCall { parcels: (0..count).map(parcel).collect() }.abi_encode()
    }

    #[test]
    fn batches_of_both_contracts() {
        let to = Address::repeat_byte(8);
        let found = batches_in(to, &parcels(3, b"data"));
        assert_eq!(found.iter().map(|(_, call)| call.b.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(
            found
                .iter()
                .all(|(inbox, call)| *inbox == Address::repeat_byte(9) && call.data[..] == b"data"[..])
        );
        let alone = BatchInbox::postCall {
            b: same(&batch(5)),
            certificate: vec![3u8; 96].into(),
            data: Bytes::new(),
        };
        let found = batches_in(to, &alone.abi_encode());
        assert!(found.len() == 1 && found[0].0 == to && found[0].1.b.index == 5);
        assert!(batches_in(to, b"").is_empty());
    }

    /// A thousand parcels that are one and the same place in the call.
    #[test]
    fn parcels_that_share_their_bytes_are_refused() {
        const WORD: usize = 32;
        let mut call = parcels(1, &[7; 50_000]);
        let count = 4 + WORD;
        let more = 1_000;
        call[count + WORD - 2..count + WORD].copy_from_slice(&1_000u16.to_be_bytes());
        // Offsets count from behind the number of parcels.
        let mut offset = [0; WORD];
        offset[WORD - 4..].copy_from_slice(&u32::try_from(more * WORD).unwrap().to_be_bytes());
        call.splice(count + WORD..count + 2 * WORD, offset.repeat(more));
        assert!(BatchCarrier::postCall::abi_decode(&call).is_ok_and(|call| call.parcels.len() == more));
        assert!(batches_in(Address::ZERO, &call).is_empty());
    }
}
