//! What must hold in any run.
//!
//! While it goes on, each member's [`Witness`](crate::witness::Witness) and
//! [`Votes`](crate::votes::Votes) hold it to its own word. At the end all accounts are compared with
//! each other and with the receipts, and the members are asked about what they ordered.

use crate::{cluster::Cluster, l1::settled, load::Ledger};
use baton_consensus::evm::Status;
use baton_types::receipt::Rung;
use commonware_runtime::{Clock as _, Supervisor as _, deterministic::Context};
use std::{collections::BTreeMap, time::Duration};

/// Transactions that every member is asked about at the end.
const ASKED: usize = 2;
/// What may become of what is ordered.
const FINAL: [Rung; 5] = [Rung::Finalized, Rung::Executed, Rung::Skipped, Rung::Posted, Rung::Settled];
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Promises that are not kept yet, in words; empty when there are none.
pub fn unsettled(cluster: &Cluster, ledger: &Ledger) -> String {
    let lowest = cluster.lowest();
    let mut open = 0;
    let mut example = None;
    for (index, member) in cluster.members.iter().enumerate().filter(|(_, m)| m.running.is_some()) {
        let witness = member.witness.lock();
        for ((id, node), promise) in &ledger.promises {
            let may_expire = promise.short || promise.rung < Rung::Replicated;
            if witness.ordered.contains_key(id)
                || (may_expire && lowest > promise.valid_until)
                || cluster.members[*node].running.is_none()
            {
                continue;
            }
            open += 1;
            example.get_or_insert((index, *id, *node, *promise));
        }
    }
    example.map_or_else(String::new, |(index, id, node, promise)| {
        format!(
            "{open} open; member {index} has not ordered {id}, promised by member {node} as {}",
            promise.rung
        )
    })
}

/// Compares what was said.
pub fn check(cluster: &Cluster, ledger: &Ledger, violations: &mut Vec<String>) {
    let mut chain = BTreeMap::new();
    let mut views = BTreeMap::new();
    for (index, member) in cluster.members.iter().enumerate() {
        if let Some(contradiction) = member.contradiction.lock().as_ref() {
            violations.push(format!("member {index} contradicts itself: {contradiction}"));
        }
        if let Some(contradiction) = member.votes.lock().contradiction() {
            violations.push(format!("member {index} contradicts itself: {contradiction}"));
        }
        let witness = member.witness.lock();
        for (height, digest) in &witness.chain {
            let first = chain.entry(*height).or_insert((index, *digest));
            if first.1 != *digest {
                violations.push(format!("members {} and {index} disagree at height {height}", first.0));
            }
        }
        for (view, digest) in &witness.notarized {
            let first = views.entry(*view).or_insert((index, *digest));
            if first.1 != *digest {
                let (epoch, view) = view;
                violations.push(format!("members {} and {index} disagree in view {epoch}/{view}", first.0));
            }
        }
        for ((id, _), promise) in &ledger.promises {
            let lost = witness.expired.contains_key(id) && !witness.ordered.contains_key(id);
            if lost && promise.rung >= Rung::Replicated && !promise.short {
                violations
                    .push(format!("{id} was promised as {} and expired on member {index}", promise.rung));
            }
        }
    }
    if ledger.forged > 0 {
        violations.push(format!("{} receipts do not verify", ledger.forged));
    }
}

/// Asks every member about some of the transactions it said were final, and checks their proofs.
pub async fn ask(context: &Context, cluster: &Cluster, violations: &mut Vec<String>) {
    for (from, to) in cluster.blocked().await {
        violations.push(format!("member {from} refuses to talk to member {to}"));
    }
    check_counts(cluster, violations);
    check_executions(cluster, violations);
    check_batches(cluster, violations);
    let group_key = cluster.genesis.group_key().expect("the genesis was checked");
    for (index, client) in cluster.running() {
        let ordered: Vec<_> = {
            let (witness, lowest) = (cluster.members[index].witness.lock(), client.live().lowest_height);
            let kept = || witness.ordered.iter().filter(|(_, height)| **height >= lowest);
            let step = (kept().count() / ASKED).max(1);
            kept().step_by(step).take(ASKED).map(|(id, height)| (*id, *height)).collect()
        };
        for (id, height) in ordered {
            let client = client.clone();
            let mut rng = context.child("proof");
            let answer = context.timeout(ANSWER, async move {
                let status = client.transaction(id).await.map_err(|refusal| refusal.to_string())?;
                let place =
                    status.place.filter(|place| place.height == height && FINAL.contains(&status.rung));
                place.ok_or_else(|| format!("it says {}", status.rung))?;
                let proof = client.proof(id).await.map_err(|refusal| refusal.to_string())?;
                proof.verify(&mut rng, &group_key).map_err(|error| error.to_string())
            });
            let answer = answer.await.unwrap_or_else(|_| Err("no answer".to_owned()));
            if let Err(error) = answer {
                violations.push(format!("member {index} had {id} final at {height}, but: {error}"));
            }
        }
    }
}

/// What goes to one place of an inbox is the same batch for all members, and the same heights have one order.
fn check_batches(cluster: &Cluster, violations: &mut Vec<String>) {
    let (mut by_place, mut by_height) = (BTreeMap::new(), BTreeMap::new());
    for (index, client) in cluster.running() {
        let Some(board) = client.batches() else { return };
        let rollups = settled(&cluster.genesis);
        for sight in rollups.iter().filter_map(|rollup| board.batches(*rollup, 0, usize::MAX)).flatten() {
            let batch = sight.batch;
            let place = (batch.rollup, batch.index, batch.previous_head);
            let heights = (batch.rollup, batch.first_height);
            let order = (batch.last_height, batch.order_root);
            if *by_height.entry(heights).or_insert(order) != order {
                violations.push(format!("member {index} has another order from {} on", batch.first_height));
            }
            if *by_place.entry(place).or_insert_with(|| batch.clone()) != batch {
                violations.push(format!("member {index} has another batch {}", batch.index));
            }
        }
    }
}

/// Members have the same blocks of EVM rollups, as far as they keep states, and go on executing unless that is what
/// was done to them.
fn check_executions(cluster: &Cluster, violations: &mut Vec<String>) {
    let mut found = BTreeMap::new();
    for (index, client) in cluster.running().filter(|(index, _)| !cluster.evm_faults.contains_key(index)) {
        for execution in client.executions() {
            let Status { rollup, number, stopped, .. } = execution.status();
            if let Some(stopped) = stopped {
                violations.push(format!("member {index} executes rollup {rollup} no more: {stopped:?}"));
            }
            let oldest = execution.heads().oldest_state;
            for past in (oldest..=number).filter_map(|number| execution.past(number)) {
                let number = past.header.number;
                let (first, hash) = found.entry((rollup, number)).or_insert((index, past.hash));
                if *hash != past.hash {
                    violations
                        .push(format!("members {first} and {index} differ in block {number} of {rollup}"));
                }
            }
        }
    }
}

/// Members that have counted the same blocks of an epoch have counted the same.
fn check_counts(cluster: &Cluster, violations: &mut Vec<String>) {
    let mut counted = BTreeMap::new();
    for (index, client) in cluster.running() {
        let window = client.tally().epoch;
        let blocks: u64 = window.counts.iter().map(|counts| counts.authored).sum();
        let (first, counts) =
            counted.entry((window.from_height, blocks)).or_insert((index, window.counts.clone()));
        if *counts != window.counts {
            violations.push(format!("members {first} and {index} count the same blocks differently"));
        }
    }
}
