//! The data stand in the posting transaction, and are read from there.

use super::{Backend, Carried, DaError};
use crate::{Client, contracts::batches_in, events::Posted};
use baton_settlement::data_commitment;
use baton_types::{hex, settlement::DataKind};
use futures::future::BoxFuture;
use std::sync::Arc;

/// Nodes of L1 refuse larger transactions (128 KiB, with what stands around the data).
pub const CALLDATA_BYTES_MAX: usize = 126 * 1_024;

#[derive(Clone, Debug)]
pub struct Calldata {
    client: Arc<Client>,
}

impl Calldata {
    pub const fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

impl Backend for Calldata {
    fn kind(&self) -> DataKind {
        DataKind::Calldata
    }

    fn store<'a>(&'a self, data: &'a [u8]) -> BoxFuture<'a, Result<Carried, DaError>> {
        Box::pin(async move {
            if data.len() > CALLDATA_BYTES_MAX {
                return Err(DaError::TooLong { bytes: data.len(), max: CALLDATA_BYTES_MAX });
            }
            Ok(Carried { calldata: data.to_vec().into(), sidecar: None })
        })
    }

    fn fetch<'a>(&'a self, posted: &'a Posted) -> BoxFuture<'a, Result<Vec<u8>, DaError>> {
        Box::pin(async move {
            let commitment = &posted.batch.data_commitment;
            let sent = self.client.transaction(posted.transaction).await?;
            let of_it = |data: &Vec<u8>| data_commitment(DataKind::Calldata, data) == *commitment;
            let brought = batches_in(sent.to.unwrap_or_default(), &sent.input);
            brought.into_iter().map(|(_, call)| call.data.to_vec()).find(of_it).ok_or_else(|| {
                DaError::Missing {
                    commitment: hex::encode(commitment),
                    tried: format!("transaction {} does not have them", posted.transaction),
                }
            })
        })
    }
}
