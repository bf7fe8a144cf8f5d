//! What one transaction carries.

use crate::{
    bls,
    contracts::{BatchCarrier, BatchInbox, same},
    da::{Backend, CALLDATA_BYTES_MAX, Carried},
    events::{address, given},
    transaction::{Draft, Fees},
};
use alloy_eips::eip7594::BlobTransactionSidecarEip7594;
use alloy_primitives::{Address, TxKind, U256};
use alloy_sol_types::SolCall as _;
use baton_settlement::{
    BatchSource, Certified, Place, Terms,
    blobs::{self, BLOBS_MAX},
};
use baton_types::{RollupId, settlement::DataKind};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// A batch, with what its transaction has for it.
#[derive(Clone)]
pub(super) struct Parcel {
    pub rollup: RollupId,
    pub place: Place,
    inbox: Address,
    certified: Arc<Certified>,
    carried: Carried,
}

impl Parcel {
    async fn new(
        terms: &Terms,
        place: Place,
        certified: Arc<Certified>,
        backend: &dyn Backend,
    ) -> Result<Self, String> {
        let carried = backend.store(&certified.data).await.map_err(|error| error.to_string())?;
        Ok(Self { rollup: terms.rollup, place, inbox: address(&terms.inbox), certified, carried })
    }

    /// Behind it.
    fn next(&self) -> Place {
        Place { index: self.place.index + 1, previous_head: self.certified.batch.head() }
    }

    fn blobs(&self) -> usize {
        self.carried.sidecar.as_ref().map_or(0, |sidecar| sidecar.blobs.len())
    }
}

/// Batches of one transaction, those of a rollup in their order.
#[derive(Default)]
pub(super) struct Load {
    pub parcels: Vec<Parcel>,
}

impl Load {
    pub fn rollups(&self) -> BTreeSet<RollupId> {
        self.parcels.iter().map(|parcel| parcel.rollup).collect()
    }

    /// The inbox and the place of the first batch. There has to be one.
    pub fn first(&self) -> (Address, Place) {
        (self.parcels[0].inbox, self.parcels[0].place)
    }

    /// The first batch of each rollup, each by itself.
    pub fn firsts(&self) -> Vec<Self> {
        let mut seen = BTreeSet::new();
        let firsts = self.parcels.iter().filter(|parcel| seen.insert(parcel.rollup));
        firsts.map(|parcel| Self { parcels: vec![parcel.clone()] }).collect()
    }

    fn has_room_for(&self, kind: DataKind, bytes: usize) -> bool {
        // Each brings some hundred bytes more.
        let bytes_of = |parcel: &Parcel| parcel.certified.data.len() + 1_024;
        match kind {
            DataKind::Blobs => {
                self.parcels.iter().map(Parcel::blobs).sum::<usize>() + blobs::count(bytes) <= BLOBS_MAX
            }
            DataKind::Calldata => {
                self.parcels.iter().map(bytes_of).sum::<usize>() + bytes <= CALLDATA_BYTES_MAX
            }
            DataKind::Directory => true,
        }
    }

    /// The transaction, without nonce, gas and fees. A load of several needs a `carrier`.
    pub fn draft(&self, carrier: Option<Address>) -> Draft {
        let (to, input) = match &self.parcels[..] {
            [parcel] => {
                let call = BatchInbox::postCall {
                    b: given(&parcel.certified.batch),
                    certificate: bls::signature(&parcel.certified.signature),
                    data: parcel.carried.calldata.clone(),
                };
                (parcel.inbox, call.abi_encode())
            }
            parcels => {
                let mut first_blob = 0;
                let parcels = parcels.iter().map(|parcel| {
                    let blobs = parcel.blobs();
                    first_blob += blobs;
                    BatchCarrier::Parcel {
                        inbox: parcel.inbox,
                        batch: same(&given(&parcel.certified.batch)),
                        certificate: bls::signature(&parcel.certified.signature),
                        firstBlob: U256::from(first_blob - blobs),
                        blobs: U256::from(blobs),
                        data: parcel.carried.calldata.clone(),
                    }
                });
                (
                    carrier.unwrap_or_default(),
                    BatchCarrier::postCall { parcels: parcels.collect() }.abi_encode(),
                )
            }
        };
        let fees = Fees { gas: 0, tip: 0, blob: 0 };
        Draft { nonce: 0, to: TxKind::Call(to), input: input.into(), gas: 0, fees, sidecar: self.sidecar() }
    }

    /// Of all blobs, in their order.
    fn sidecar(&self) -> Option<Box<BlobTransactionSidecarEip7594>> {
        let mut sidecars = self.parcels.iter().filter_map(|parcel| parcel.carried.sidecar.clone());
        let mut all = sidecars.next()?;
        for sidecar in sidecars {
            all.blobs.extend(sidecar.blobs);
            all.commitments.extend(sidecar.commitments);
            all.cell_proofs.extend(sidecar.cell_proofs);
        }
        Some(all)
    }
}

/// What came of loading.
#[derive(Default)]
pub(super) struct Loaded {
    pub load: Load,
    /// Where its rollups go on, by their number in the list.
    pub behind: Vec<(usize, Place)>,
    /// Batches that cannot be carried, and why.
    pub refused: Vec<(RollupId, String)>,
}

/// Fills transactions.
#[derive(Clone)]
pub(super) struct Loader {
    pub source: Arc<dyn BatchSource>,
    pub rollups: Arc<[(Terms, Arc<dyn Backend>)]>,
}

impl Loader {
    /// The next batch of each of these rollups, then those behind them, up to `batches` and as long as they fit. Those that
    /// are `ready` are not made again.
    pub async fn load(&self, places: Vec<(usize, Place)>, mut ready: Vec<Parcel>, batches: usize) -> Loaded {
        let mut loaded = Loaded::default();
        let mut open = VecDeque::from(places);
        while let Some((number, place)) = open.pop_front() {
            let (terms, backend) = &self.rollups[number];
            let certified = match self.source.certified(terms.rollup, place).await {
                Some(certified) if loaded.load.parcels.len() < batches => certified,
                _ => {
                    loaded.behind.push((number, place));
                    continue;
                }
            };
            if !loaded.load.parcels.is_empty()
                && !loaded.load.has_room_for(backend.kind(), certified.data.len())
            {
                loaded.behind.push((number, place));
                continue;
            }
            let same = |parcel: &Parcel| parcel.rollup == terms.rollup && parcel.place == place;
            let parcel = match ready.iter().position(same) {
                Some(at) => Ok(ready.swap_remove(at)),
                None => Parcel::new(terms, place, certified, &**backend).await,
            };
            match parcel {
                Ok(parcel) => {
                    open.push_back((number, parcel.next()));
                    loaded.load.parcels.push(parcel);
                }
                Err(reason) => loaded.refused.push((terms.rollup, reason)),
            }
        }
        loaded
    }
}
