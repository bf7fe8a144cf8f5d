//! The devnet on a local L1: its rollups come back from L1 alone, after a reshare, with what was forced in there, and with
//! what the hatch took when no node was left.

use crate::{
    clients::installed,
    devnet::{base_port, lines, run, signal, start},
    evm::transfer,
    storage::partitions,
    support::{Node, PATIENCE, alone, ask, eventually, load::Load},
};
use baton_l1::anvil::{Anvil, Options};
use baton_node::accounts::ACCOUNTS;
use baton_types::{
    Genesis,
    api::{DerivedHead, DerivedView, DevnetNode, DevnetView, RescuedView},
    hex,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

/// The last rung comes when the batch is in a final block of L1.
const SETTLED: Duration = Duration::from_secs(240);
/// More than the eight blocks after which anvil calls a block final.
const FINAL: &str = "0xc";
/// More than the deadline of an entry, and than the silence that opens the hatch.
const SILENCE: u64 = 1_000;
/// Pays on L1. The first four pay for the batches of the nodes.
const PAYER: &str = ACCOUNTS[4].1;

/// One of the programs that npm brings.
fn foundry(name: &str) -> PathBuf {
    installed(&format!("contracts/node_modules/@foundry-rs/{name}-linux-amd64/bin/{name}"))
}

fn send(l1: &str, to: &str, args: &[&str]) {
    let mut command = Command::new(foundry("cast"));
    command.args(["send", "--rpc-url", l1, "--private-key", PAYER, to]).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn latest(node: &Node) -> DerivedHead {
    let url = format!("http://{}", node.rpc);
    let block = ask(&url, "/rollup/evm", "eth_getBlockByNumber", json!(["latest", false]));
    let text = |name: &str| block[name].as_str().unwrap().to_owned();
    DerivedHead {
        block: u64::from_str_radix(&text("number")[2..], 16).unwrap(),
        block_hash: text("hash"),
        state_root: text("stateRoot"),
    }
}

/// A devnet's nodes as the other helpers of these tests know them; their processes are the devnet's.
fn nodes(dir: &Path, view: &DevnetView) -> Vec<Node> {
    let address = |url: &str| url.strip_prefix("http://").unwrap().parse().unwrap();
    let node = |node: &DevnetNode| {
        let (rpc, ops) = (address(&node.rpc), address(&node.ops));
        Node { dir: dir.join(format!("node-{}", node.index)), rpc, ops, p2p: rpc, process: None }
    };
    view.nodes.iter().map(node).collect()
}

fn derive(dir: &Path, l1: &str, rollup: &str) -> Output {
    let genesis = dir.join("genesis.json");
    let state = dir.join("derived").join(rollup);
    let blobs = format!("anvil:{l1}");
    run(&[
        "derive",
        "--json",
        "--rollup",
        rollup,
        "--l1",
        l1,
        "--blobs",
        &blobs,
        "--genesis",
        genesis.to_str().unwrap(),
        "--state",
        state.to_str().unwrap(),
    ])
}

#[test]
fn rollups_come_back_from_l1_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let base = base_port();
    let l1 = format!("http://127.0.0.1:{}", base + 2_000);
    let anvil = foundry("anvil");
    let options = ["--l1", "--epoch-blocks", "40", "--anvil", anvil.to_str().unwrap()];
    let (mut devnet, view) = start(dir, base, &options);
    let genesis = Genesis::from_json(&fs::read_to_string(dir.join("genesis.json")).unwrap()).unwrap();
    let evm = genesis.l1.as_ref().unwrap().rollups.iter().find(|rollup| rollup.rollup == 2).unwrap();
    let (inbox, queue) = (hex::encode(&evm.inbox.0), hex::encode(&evm.queue.0));
    let mut nodes = nodes(dir, &view);
    let url = format!("http://{}", nodes[0].rpc);
    let load = Load::on(&nodes[..1], Duration::from_millis(300));
    run(&["submit", "evm", &transfer(0), "--wait", "executed", "--timeout", "60s", "--url", &url]);

    // A member without its share asks for a new one, and gets it when the key is shared anew.
    let (victim, others) = nodes.split_last_mut().unwrap();
    signal(view.nodes[3].pid, "KILL");
    assert!(eventually(PATIENCE, || victim.readiness().is_none().then_some(())).is_some());
    partitions(victim, "secrets").iter().for_each(|partition| fs::remove_dir_all(partition).unwrap());
    victim.start(&[]);
    victim.becomes_unready("no share of the key in epoch");
    victim.becomes_ready();

    // What no node was ever handed.
    send(&l1, &queue, &["force(uint64,bytes)", "21000", &transfer(1)]);
    let forced = |node: &Node| latest(node).block >= 2;
    let taken = eventually(PATIENCE, || others.iter().all(forced).then_some(()));
    assert!(taken.is_some(), "the entry is not taken\n{}", others[0].log_text());
    let accepted = load.stop();
    assert!(!accepted.is_empty());
    let timeout = format!("{}s", SETTLED.as_secs());
    for (rollup, data) in [("evm", &transfer(2)[..]), ("demo", "last")] {
        run(&["submit", rollup, data, "--wait", "settled", "--timeout", &timeout, "--url", &url]);
    }
    let head = latest(&others[0]);
    assert!(head.block >= 3);
    for node in others.iter().chain([&*victim]) {
        let same = eventually(PATIENCE, || (latest(node) == head).then_some(()));
        assert!(same.is_some(), "{:?} instead of {head:?}", latest(node));
    }

    victim.stop();
    devnet.signal("INT");
    assert!(devnet.exits(PATIENCE).is_some(), "the devnet ignores Ctrl-C");

    // No node is left, and L1 goes on.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (log, state) = (dir.join("anvil.log"), dir.join("l1/state.json"));
    let options = Options {
        port: base + 2_000,
        chain_id: genesis.l1.as_ref().unwrap().chain_id,
        block_seconds: None,
        log: &log,
        state: Some(&state),
    };
    let chain = runtime.block_on(Anvil::start(&anvil, &options)).unwrap();
    let derived = lines::<DerivedView>(&derive(dir, &l1, "evm")).pop().unwrap().unwrap();
    assert_eq!(derived.head, Some(head.clone()));
    let demo = lines::<DerivedView>(&derive(dir, &l1, "demo"));
    let transactions: u64 = demo.iter().map(|batch| batch.as_ref().unwrap().transactions).sum();
    assert_eq!(transactions, accepted.len() as u64 + 1);

    send(&l1, &queue, &["force(uint64,bytes)", "21000", &transfer(3)]);
    ask(&l1, "/", "evm_increaseTime", json!([SILENCE]));
    send(&l1, &inbox, &["escape(uint64)", "2"]);
    ask(&l1, "/", "anvil_mine", json!([FINAL]));
    let rescued = lines::<RescuedView>(&derive(dir, &l1, "evm")).pop().unwrap().unwrap();
    assert_eq!((rescued.first_entry, rescued.last_entry, rescued.executed), (1, 1, Some(1)));
    let behind = rescued.head.unwrap();
    assert!(behind.block == head.block + 1 && behind.state_root != head.state_root);
    runtime.block_on(chain.stop());

    // The cluster is back, and orders what the hatch took.
    let (mut devnet, view) = start(dir, base, &["--l1", "--anvil", anvil.to_str().unwrap()]);
    let nodes = self::nodes(dir, &view);
    let taken =
        eventually(SETTLED, || nodes.iter().all(|node| latest(node).block > head.block).then_some(()));
    assert!(taken.is_some(), "the cluster does not order what the hatch took\n{}", nodes[0].log_text());
    let head = latest(&nodes[0]);
    assert_eq!(head.block, behind.block);
    let same = eventually(SETTLED, || {
        let derived = lines::<Value>(&derive(dir, &l1, "evm")).pop()?.unwrap();
        (derived["block_hash"] == head.block_hash).then_some(())
    });
    assert!(same.is_some(), "what is derived is not what the cluster has");
    devnet.signal("INT");
    assert!(devnet.exits(PATIENCE).is_some(), "the devnet ignores Ctrl-C");
}
