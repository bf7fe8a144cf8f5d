//! Submits transactions and remembers what nodes promised about them.

use crate::wallet;
use baton_consensus::client::{Client, Submit};
use baton_execution::pool::Unit;
use baton_types::{Bundle, RollupId, Transaction, TxId, api::Ack, receipt::Rung};
use bytes::Bytes;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_utils::sync::Mutex;
use rand::Rng as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Blocks for which most transactions are valid: enough for a cluster that works.
const VALIDITY_BLOCKS: u64 = 200;
/// Blocks for which the short-lived ones are.
const SHORT_BLOCKS: u64 = 4;

/// A receipt as the submitter keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    pub rung: Rung,
    pub valid_until: u64,
    /// Valid for so short a time that it may well expire.
    pub short: bool,
}

/// What was promised, by transaction and by the node that promised it.
#[derive(Default)]
pub struct Ledger {
    pub promises: BTreeMap<(TxId, usize), Promise>,
    /// Receipts that do not verify.
    pub forged: usize,
}

impl Ledger {
    /// A node lost its disk: what no other node has on disk is lost with it.
    pub fn forget(&mut self, node: usize) {
        self.promises.retain(|(_, by), promise| *by != node || promise.rung >= Rung::Replicated);
    }
}

pub type Promises = Arc<Mutex<Ledger>>;

/// How much is submitted, until told to stop. `…_every`: one in so many batches, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub every_ms: u64,
    pub batch: usize,
    pub payload_bytes: usize,
    /// Is a bundle over two rollups.
    pub bundle_every: u64,
    /// Asks for `replicated`.
    pub replicated_every: u64,
    /// Goes to two nodes at once.
    pub twice_every: u64,
    /// Is valid for a few blocks only.
    pub short_every: u64,
    /// Comes with a transfer in each EVM rollup, for which there is no promise: it may be superseded.
    pub evm_every: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            every_ms: 50,
            batch: 5,
            payload_bytes: 64,
            bundle_every: 7,
            replicated_every: 3,
            twice_every: 0,
            short_every: 0,
            evm_every: 0,
        }
    }
}

/// Sends batches in turn to the nodes that run.
pub struct Load {
    context: Context,
    rate: Rate,
    number: u64,
    pub promises: Promises,
}

impl Load {
    pub fn new(context: Context, rate: Rate) -> Self {
        Self { context, rate, number: 0, promises: Promises::default() }
    }

    /// Submits one batch without waiting; its receipt is recorded when it comes.
    pub fn submit(&mut self, nodes: &[(usize, &Client)]) {
        let turn = usize::try_from(self.number).unwrap_or(0);
        let Some((node, client)) = nodes.get(turn % nodes.len().max(1)) else { return };
        self.number += 1;
        let short = self.every(self.rate.short_every);
        let validity = if short { SHORT_BLOCKS } else { VALIDITY_BLOCKS };
        let valid_until = client.finalized_height() + validity;
        let units = self.units(valid_until);
        let promise = Promise { rung: Rung::Pending, valid_until, short };
        self.send(*node, client, units.clone(), promise);
        if self.every(self.rate.evm_every) {
            self.transfer(turn, client, validity);
        }
        let (node, client) = nodes[(turn + 1) % nodes.len()];
        if self.every(self.rate.twice_every) && nodes.len() > 1 {
            self.send(node, client, units, promise);
        }
    }

    fn every(&self, n: u64) -> bool {
        n > 0 && self.number.is_multiple_of(n)
    }

    fn units(&self, valid_until: u64) -> Vec<Unit> {
        let mut rng = self.context.child("payload");
        let mut payload = |len| {
            let mut bytes = vec![0; len];
            rng.fill_bytes(&mut bytes);
            Bytes::from(bytes)
        };
        let len = self.rate.payload_bytes;
        if self.every(self.rate.bundle_every) {
            let legs = vec![(RollupId(1), payload(len)), (RollupId(2), payload(len))];
            return vec![Unit::Bundle(Bundle::new(valid_until, legs))];
        }
        (0..self.rate.batch)
            .map(|i| {
                let (rollup, len) = [(1, len), (1, len), (2, len), (3, 32)][i % 4];
                let transaction = Transaction { valid_until, bundle: None, payload: payload(len) };
                Unit::Single { rollup: RollupId(rollup), transaction, fee_hint: 0 }
            })
            .collect()
    }

    fn send(&self, node: usize, client: &Client, units: Vec<Unit>, promise: Promise) {
        let ack = if self.every(self.rate.replicated_every) { Ack::Replicated } else { Ack::Pending };
        let (client, promises) = (client.clone(), self.promises.clone());
        self.context.child("submit").spawn(move |_| async move {
            let submit = Submit { client: "load".into(), units, ack };
            let Ok(submitted) = client.submit(submit).await else { return };
            let Some(receipt) = submitted.receipt else { return };
            let mut ledger = promises.lock();
            if !receipt.verify() {
                ledger.forged += 1;
                return;
            }
            for id in receipt.ids {
                ledger.promises.insert((id, node), Promise { rung: receipt.rung, ..promise });
            }
        });
    }

    fn transfer(&self, turn: usize, client: &Client, validity_blocks: u64) {
        let units = wallet::next_transfers(client, turn, validity_blocks);
        let client = client.clone();
        self.context.child("transfer").spawn(move |_| async move {
            let _ = client.submit(Submit { client: "load".into(), units, ack: Ack::Pending }).await;
        });
    }

    /// Time between two submissions.
    pub async fn pause(&self) {
        self.context.sleep(Duration::from_millis(self.rate.every_ms)).await;
    }
}
