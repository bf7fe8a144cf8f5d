//! States of EVM rollups: on disk, from other members, and proven to who knows the group key alone.

use crate::state_sync::{Setup, WINDOW, World, lowest_of_all, on_change, tip};
use alloy_primitives::{Address, U256};
use baton_consensus::{
    Client,
    evm::{Fault, Question, Status},
};
use baton_node::evm_proof::Subject;
use baton_sim::{
    Damage,
    byzantine::Behaviour,
    cluster::Cluster,
    wallet::{EVM, address, with_evm, with_slots},
};
use baton_types::{Genesis, receipt::Reason};
use rand::{SeedableRng as _, rngs::StdRng};

fn per_block(genesis: &mut Genesis) {
    on_change(genesis);
    with_evm(genesis);
}

fn slotted(genesis: &mut Genesis) {
    on_change(genesis);
    with_slots(genesis);
}

fn status(client: &Client) -> Status {
    client.execution(EVM).expect("the genesis has it").status()
}

/// Whether a member executes as far as there are blocks.
fn keeps_up(cluster: &Cluster, index: usize) -> bool {
    cluster.members[index].client().is_some_and(|client| {
        let Status { executed_to, stopped, fetching, .. } = status(client);
        stopped.is_none() && !fetching && executed_to + 5 > tip(cluster)
    })
}

impl World {
    async fn executes(&mut self, index: usize) {
        self.until("it executes", |cluster| keeps_up(cluster, index)).await;
    }

    /// Two members have the same states and blocks, as far as both have them. Returns the newest such block.
    async fn agree(&self, one: usize, other: usize) -> u64 {
        let [one, other] = [one, other].map(|index| self.client(index).execution(EVM).expect("there"));
        let newest = one.status().number.min(other.status().number);
        let mut compared = 0;
        for number in newest.saturating_sub(20)..=newest {
            if let (Some(a), Some(b)) = (one.past(number), other.past(number)) {
                assert_eq!((a.hash, a.state.root()), (b.hash, b.state.root()), "block {number}");
                compared += 1;
            }
        }
        assert!(compared > 0, "nothing to compare up to block {newest}");
        newest
    }
}

/// Its blocks are gone everywhere: it fetches the state, executes on, and after a restart goes on from its own disk.
fn joins(setup: Setup) {
    let lies = setup.hostile.contains_key(&1);
    setup.run(async |world| {
        world.until("all prune", |cluster| lowest_of_all(cluster) > 0).await;
        // Who is asked first is drawn.
        for attempt in 0.. {
            world.cluster.wipe(3);
            world.blocks(5).await;
            world.restart(3).await;
            world.executes(3).await;
            assert!(world.client(3).live().lowest_height > 0);
            assert!(world.cluster.metric(3, "evm_states_asked", "") > 0, "it fetched nothing");
            let forged = world.cluster.metric(3, "evm_states_forged", "");
            if lies && forged == 0 {
                assert!(attempt < 10, "nobody asked the liar");
                continue;
            }
            assert_eq!(forged > 0, lies);
            break;
        }
        let joined = world.agree(0, 3).await;
        world.blocks(20).await;
        world.executes(3).await;
        assert!(world.agree(0, 3).await > joined, "it does not go on");
        world.cluster.crash(3);
        world.restart(3).await;
        world.executes(3).await;
        assert_eq!(world.cluster.metric(3, "evm_states_asked", ""), 0, "it had a state on its disk");
        world.agree(0, 3).await;
    });
}

#[test]
fn a_member_that_joins_a_pruned_cluster_executes() {
    joins(Setup::new(31, per_block));
}

#[test]
fn false_pieces_of_a_state_are_refused() {
    let hostile = [(1, Behaviour::FalseStates)].into();
    joins(Setup { hostile, ..Setup::new(32, slotted) });
}

/// Blocks that an executor has not yet executed and recorded stay, whatever the window is.
#[test]
fn pruning_waits_for_an_executor() {
    Setup::new(33, per_block).run_twice(async |world| {
        world.blocks(20).await;
        world.cluster.evm_faults.insert(1, (EVM, Fault::Wedge { height: 30 }));
        world.cluster.crash(1);
        world.restart(1).await;
        world
            .until("the others prune", |cluster| {
                let lowest = |index: usize| {
                    cluster.members[index].client().map_or(0, |client| client.live().lowest_height)
                };
                lowest(0) > 40 && lowest(2) > 40
            })
            .await;
        let (stuck, live) = (status(&world.client(1)).executed_to, world.client(1).live());
        assert!(stuck <= 30 && live.lowest_height <= stuck + 1, "{live:?}");
        assert!(live.finalized_height > WINDOW);
        world.cluster.evm_faults.clear();
        world.cluster.crash(1);
        world.restart(1).await;
        world.executes(1).await;
        assert_eq!(world.cluster.metric(1, "evm_states_asked", ""), 0, "it had all it needs");
        world.agree(0, 1).await;
        world
            .until("it prunes, too", |cluster| {
                cluster.members[1].client().is_some_and(|client| client.live().lowest_height > 30)
            })
            .await;
    });
}

/// Blocks of the rollup go with those of the cluster that they were made of, and what is gone is said to be.
#[test]
fn old_blocks_of_a_rollup_are_pruned() {
    /// The newest are in memory, and readable from there.
    const IN_MEMORY: u64 = 128;
    Setup::new(36, per_block).run(async |world| {
        let execution = |cluster: &Cluster| {
            cluster.members[0].client().expect("it runs").execution(EVM).expect("the genesis has it")
        };
        let oldest = |cluster: &Cluster| execution(cluster).heads().oldest_block;
        assert_eq!(oldest(&world.cluster), 1);
        for _ in 0..2 {
            let before = oldest(&world.cluster);
            let gone = |cluster: &Cluster| {
                oldest(cluster) > before && execution(cluster).status().number >= before + IN_MEMORY
            };
            world.until("it prunes", gone).await;
            let execution = execution(&world.cluster);
            let now = execution.heads().oldest_block;
            let refusal = execution.block(before).await.expect_err("it is gone");
            assert_eq!(refusal.reason, Reason::Pruned, "{refusal}");
            assert!(refusal.detail.contains(&format!("from {now} on")), "{refusal}");
            assert_eq!(execution.number_at(1).await.expect_err("it is gone").reason, Reason::Pruned);
            let stored = execution.block(now).await.expect("readable").expect("it is kept");
            assert_eq!(execution.number_at(stored.record.through_height).await, Ok(Some(now)));
        }
    });
}

/// A bit is flipped, or all are gone: the one before is taken, or the state is fetched.
#[test]
fn damaged_states_on_disk_are_passed_over() {
    Setup::new(34, per_block).run(async |world| {
        world.until("all prune", |cluster| lowest_of_all(cluster) > 0).await;
        for damage in [Damage::Flip, Damage::Gone] {
            world.cluster.crash(2);
            world.cluster.members[2].disk.rot("-evm-4-checkpoints", damage);
            world.restart(2).await;
            world.executes(2).await;
            world.agree(0, 2).await;
            world.blocks(12).await;
        }
        assert!(!world.cluster.members[2].ended());
    });
}

#[test]
fn accounts_slots_and_receipts_are_proven() {
    Setup::new(35, per_block).run(async |world| {
        world
            .until("something is executed", |cluster| {
                cluster.running().all(|(_, client)| status(client).number > 20)
            })
            .await;
        let client = world.client(0);
        let execution = client.execution(EVM).expect("there");
        let block = execution.block(12).await.expect("readable").expect("final");
        let transaction = block.transactions[0].clone();
        let id = baton_types::TxId(transaction.hash().0);
        let history = "0x0000F90827F1C53a10cb7A02335B175320002935".parse().expect("an address");
        let account = |address, slots: &[u64]| Question::Account {
            address,
            slots: slots.iter().map(|slot| U256::from(*slot)).collect(),
        };
        let absent = Address::repeat_byte(0x77);
        let group_key = world.cluster.genesis.group_key().expect("checked");
        for question in [
            account(address(0), &[]),
            account(history, &[3, 8_000]),
            account(absent, &[]),
            Question::Receipt(id),
        ] {
            let proof = client.evm_proof(EVM, &question).await.unwrap_or_else(|refusal| panic!("{refusal}"));
            let header = proof.verify(&mut StdRng::seed_from_u64(1), &group_key).expect("it holds").clone();
            match &proof.subject {
                Subject::Account(proven) => {
                    let past = execution.past(header.number).expect("its state is kept");
                    assert_eq!(
                        past.state.account(&proven.address).copied().unwrap_or_default(),
                        proven.facts
                    );
                }
                Subject::Receipt(receipt) => {
                    assert_eq!((receipt.hash(), header.number), (transaction.hash(), 12));
                    assert!(receipt.success());
                }
            }
        }
    });
}
