//! The data stand in the posting transaction, and are read from there.

use super::{Backend, Carried, DaError, checked};
use crate::{Client, contracts::BatchInbox, events::Posted};
use alloy_sol_types::SolCall as _;
use baton_types::{hex, settlement::DataKind};
use futures::future::BoxFuture;
use std::sync::Arc;

/// Nodes of L1 refuse larger transactions (128 KiB, with what stands around the data).
const BYTES_MAX: usize = 126 * 1_024;

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
            if data.len() > BYTES_MAX {
                return Err(DaError::TooLong { bytes: data.len(), max: BYTES_MAX });
            }
            Ok(Carried { calldata: data.to_vec().into(), sidecar: None })
        })
    }

    fn fetch<'a>(&'a self, posted: &'a Posted) -> BoxFuture<'a, Result<Vec<u8>, DaError>> {
        Box::pin(async move {
            let commitment = &posted.batch.data_commitment;
            let sent = self.client.transaction(posted.transaction).await?;
            // Another contract may have called the inbox; then the data stand somewhere in what it was sent.
            let call = BatchInbox::postCall::abi_decode(&sent.input).map_err(|_| DaError::Missing {
                commitment: hex::encode(commitment),
                tried: format!("transaction {} does not call the inbox itself", posted.transaction),
            })?;
            checked(DataKind::Calldata, commitment, call.data.to_vec())
        })
    }
}
