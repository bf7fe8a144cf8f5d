//! Encoding batches off the actor's task: compression and commitments to blobs take tens of milliseconds, the first
//! commitment more than a second.

use crate::aliases::Runtime;
use baton_settlement::{Contents, data_commitment, encode};
use baton_types::{Digest, RollupId, settlement::DataKind};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Contents with their encoding.
pub struct Encoded {
    pub rollup: RollupId,
    /// Of the cutter that made them.
    pub life: u64,
    pub contents: Contents,
    pub data: Bytes,
    pub data_commitment: Digest,
}

/// Encodes on a thread of its own. There is one at a time for each rollup, so the channel has room.
pub fn start<E: Runtime>(
    context: &E,
    life: u64,
    kind: DataKind,
    contents: Contents,
    done: mpsc::Sender<Encoded>,
) {
    let rollup = contents.rollup;
    context.child("encoder").dedicated().spawn(move |_| async move {
        let data = encode(&contents);
        let data_commitment = data_commitment(kind, &data);
        let _ = done.send(Encoded { rollup, life, contents, data, data_commitment }).await;
    });
}
