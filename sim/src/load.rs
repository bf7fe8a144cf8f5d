//! Submits transactions and remembers what nodes promised about them.

use baton_consensus::client::{Client, Submit};
use baton_execution::pool::Unit;
use baton_types::{Bundle, RollupId, Transaction, TxId, api::Ack, receipt::Rung};
use bytes::Bytes;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_utils::sync::Mutex;
use rand::Rng as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A receipt as the submitter keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The node that signed it.
    pub node: usize,
    pub rung: Rung,
}

pub type Promises = Arc<Mutex<BTreeMap<TxId, Promise>>>;

/// How much is submitted, until told to stop.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub every_ms: u64,
    pub batch: usize,
    /// One in so many batches is a bundle over two rollups; 0 for none.
    pub bundle_every: u64,
    /// One in so many batches asks for `replicated`; 0 for none.
    pub replicated_every: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { every_ms: 50, batch: 5, bundle_every: 7, replicated_every: 3 }
    }
}

/// Submits one batch to `client` without waiting, and records its receipt when it comes.
pub fn submit(context: &Context, node: usize, client: Client, number: u64, rate: Rate, promises: &Promises) {
    let mut rng = context.child("payload");
    let valid_until = client.live().finalized_height + 200;
    let every = |n: u64| n > 0 && number.is_multiple_of(n);
    let mut payload = || {
        let mut bytes = vec![0; 64];
        rng.fill_bytes(&mut bytes);
        Bytes::from(bytes)
    };
    let units = if every(rate.bundle_every) {
        vec![Unit::Bundle(Bundle::new(valid_until, vec![(RollupId(1), payload()), (RollupId(2), payload())]))]
    } else {
        (0..rate.batch)
            .map(|i| {
                let rollup = RollupId(if i % 3 == 2 { 2 } else { 1 });
                let transaction = Transaction { valid_until, bundle: None, payload: payload() };
                Unit::Single { rollup, transaction, fee_hint: 0 }
            })
            .collect()
    };
    let ack = if every(rate.replicated_every) { Ack::Replicated } else { Ack::Pending };
    let promises = promises.clone();
    context.child("submit").spawn(move |_| async move {
        let submit = Submit { client: "load".into(), units, ack };
        let Ok(submitted) = client.submit(submit).await else { return };
        let Some(receipt) = submitted.receipt else { return };
        assert!(receipt.verify(), "a receipt's signature must verify");
        let mut promises = promises.lock();
        for id in receipt.ids {
            promises.insert(id, Promise { node, rung: receipt.rung });
        }
    });
}

/// Time between two submissions.
pub async fn pause(context: &Context, rate: Rate) {
    context.sleep(Duration::from_millis(rate.every_ms)).await;
}
