//! One real cluster of four processes, from first start to the last Ctrl-C.

use crate::support::{PATIENCE, Running, alone, baton, eventually};
use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_primitives::B256;
use baton_types::{
    api::{ClusterView, DevnetView, ElectionView, StatusView, SubmitResult, TransactionView, ValidatorView},
    hex::HexArray,
};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

const NODES: u16 = 4;
/// A base port with all ports free; apart from those `bench` picks.
pub fn base_port() -> u16 {
    let free = |base: u16| {
        [0, 1_000, 2_000, 22_000]
            .into_iter()
            .flat_map(|offset| (0..NODES).map(move |index| base + offset + index))
            .all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
    };
    (0..60).map(|step| 12_000 + 16 * step).find(|base| free(*base)).expect("free ports")
}

pub fn signal(pid: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
}

/// With more options of `baton devnet`.
pub fn start(dir: &Path, base: u16, options: &[&str]) -> (Running, DevnetView) {
    let mut child = baton()
        .args(["devnet", "--json", "--dir"])
        .arg(dir)
        .args(["--nodes", &NODES.to_string(), "--base-port", &base.to_string()])
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let running = Running(child);
    let view: DevnetView = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    assert_eq!(view.nodes.len(), usize::from(NODES));
    (running, view)
}

pub fn run(args: &[&str]) -> Output {
    let output = baton().args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

pub fn lines<T: DeserializeOwned>(output: &Output) -> Vec<Result<T, String>> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
}

fn status(url: &str) -> Option<StatusView> {
    let output = baton().args(["status", "--json", "--url", url]).output().unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// Gone, or at most waiting for its parent to notice.
fn gone(pid: u32) -> Option<()> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) if !stat.contains(") Z ") => None,
        _ => Some(()),
    }
}

/// Ten of them, each with its key and rich in block 0.
fn accounts(view: &DevnetView) {
    let evm =
        view.rollups.iter().find_map(|rollup| rollup.evm.as_ref()).expect("the devnet has the rollup evm");
    let mut addresses = BTreeSet::new();
    for account in &view.accounts {
        let (key, hash): (B256, _) = (account.key.parse().unwrap(), B256::repeat_byte(7));
        let signer = sign_message(key, hash).unwrap().recover_address_from_prehash(&hash).unwrap();
        assert_eq!(format!("{signer:#x}"), account.address);
        assert_eq!(evm.alloc[&HexArray(signer.0.0)].balance, 10_000 * 1_000_000_000_000_000_000);
        addresses.insert(signer);
    }
    assert_eq!(addresses.len(), 10);
}

fn submit_and_prove(dir: &Path, view: &DevnetView) -> String {
    let url = &view.nodes[1].rpc;
    let output = run(&["submit", "demo", "hello", "--wait", "finalized", "--json", "--url", url]);
    let id = lines::<SubmitResult>(&output).remove(0).unwrap().id;
    let last = lines::<TransactionView>(&output).remove(1).unwrap();
    assert_eq!((last.id.as_str(), last.rung.name()), (id.as_str(), "finalized"));
    // A proof may need a later block, which comes by itself.
    let proof = dir.join("proof.json");
    let proof = proof.to_str().unwrap();
    run(&["proof", &id, "--out", proof, "--url", url]);
    let verified = run(&["verify", proof, "--group-key", &view.group_key]);
    assert!(String::from_utf8_lossy(&verified.stdout).contains(&format!("transaction {id} is final")));
    // A proof of something else.
    let text = std::fs::read_to_string(proof).unwrap();
    let other = text.replacen(&id, &format!("0x{}", "11".repeat(32)), 1);
    std::fs::write(proof, other).unwrap();
    let refused = baton().args(["verify", proof, "--group-key", &view.group_key]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("does not hold"));
    id
}

/// How a block's author was drawn, checked without a node; and the same with a lie in it.
fn prove_an_election(dir: &Path, view: &DevnetView) {
    let (url, key) = (view.nodes[2].rpc.as_str(), view.group_key.as_str());
    let path = dir.join("election.json");
    let file = path.to_str().unwrap();
    let final_there = |status: StatusView| (status.finalized_height >= 3).then_some(());
    eventually(PATIENCE, || status(url).and_then(final_there)).expect("block 3 is final");
    let shown = run(&["election", "3", "--out", file, "--json", "--url", url]);
    let shown = lines::<ElectionView>(&shown).remove(0).unwrap();
    assert_eq!((shown.height, shown.election.as_str()), (3, "zk-lottery"));
    let genesis = dir.join("genesis.json");
    let genesis = genesis.to_str().unwrap();
    let verified = run(&["verify", file, "--group-key", key, "--genesis", genesis, "--json"]);
    assert_eq!(lines::<ElectionView>(&verified).remove(0).unwrap(), shown);

    let sound: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut lie = sound.clone();
    let evidence = sound["evidence"].as_str().unwrap();
    let last = if evidence.ends_with('0') { "1" } else { "0" };
    lie["evidence"] = format!("{}{last}", &evidence[..evidence.len() - 1]).into();
    std::fs::write(&path, lie.to_string()).unwrap();
    let refused = baton().args(["verify", file, "--group-key", key]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("evidence"), "{refused:?}");

    let members = lines::<ValidatorView>(&run(&["validators", "--json", "--url", url]));
    let authored: u64 = members.into_iter().map(|member| member.unwrap().epoch.blocks_authored).sum();
    assert!(authored >= 3, "{authored} blocks have authors");
}

/// The board on a terminal of its own, and as lines.
fn watch(view: &DevnetView) {
    let url = view.nodes[0].rpc.as_str();
    let mut lines =
        baton().args(["top", "--json", "--url", url]).stdout(Stdio::piped()).spawn().map(Running).unwrap();
    let mut line = String::new();
    BufReader::new(lines.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let seen: ClusterView = serde_json::from_str(&line).unwrap();
    assert_eq!((seen.status.chain.as_str(), seen.members.len()), (view.chain.as_str(), usize::from(NODES)));
    drop(lines);

    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut top =
        baton().args(["top", "--url", url]).stdin(end()).stdout(end()).spawn().map(Running).unwrap();
    let mut terminal = File::from(terminal);
    let shown = Arc::new(Mutex::new(String::new()));
    let (screen, note) = (terminal.try_clone().unwrap(), shown.clone());
    let reading = std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        let mut screen = screen;
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            note.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
    // Words of the board, and of blocks that came by.
    let drawn = || {
        ["newest", "voting", "finalized"]
            .iter()
            .all(|word| shown.lock().unwrap().contains(word))
            .then_some(())
    };
    assert!(eventually(PATIENCE, drawn).is_some(), "{}", shown.lock().unwrap());
    terminal.write_all(b"q").unwrap();
    assert!(top.exits(PATIENCE).is_some_and(|status| status.success()), "q does not end it");
    // With the last end closed, reading ends.
    drop(terminal);
    reading.join().unwrap();
}

/// Loads the first three nodes while the fourth is killed; `bench` checks that nothing was lost.
fn kill_under_load(view: &DevnetView) {
    let urls: Vec<_> = view.nodes[..3].iter().map(|node| node.rpc.as_str()).collect();
    let mut load = baton()
        .args(["bench", "--rate", "400", "--batch", "20", "--warmup", "0s", "--seconds", "6s", "--urls"])
        .arg(urls.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let busy =
        || status(urls[0]).filter(|status| status.finalized_height > 0 && status.mempool_transactions > 0);
    eventually(Duration::from_secs(2), busy);
    signal(view.nodes[3].pid, "KILL");
    assert!(load.exits(PATIENCE).is_some(), "bench does not end");
    let mut report = String::new();
    load.0.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert!(load.0.try_wait().unwrap().unwrap().success(), "{report}");
    assert!(report.contains("each exactly once"), "{report}");
}

#[test]
fn a_cluster_lives_loses_a_node_and_goes_without_trace() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let base = base_port();
    let (mut devnet, view) = start(dir.path(), base, &[]);
    accounts(&view);
    let id = submit_and_prove(dir.path(), &view);
    prove_an_election(dir.path(), &view);
    watch(&view);
    kill_under_load(&view);

    // The node comes back by itself and has what it missed.
    let goal = status(&view.nodes[0].rpc).unwrap().finalized_height;
    let mut node = baton()
        .args(["node", "--config"])
        .arg(dir.path().join("node-3/node.toml"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .unwrap();
    let caught_up =
        || status(&view.nodes[3].rpc).filter(|status| status.ready && status.finalized_height >= goal);
    assert!(eventually(PATIENCE, caught_up).is_some(), "node 3 does not catch up with {goal}");
    run(&["tx", &id, "--url", &view.nodes[3].rpc]);
    node.signal("TERM");
    assert!(node.exits(PATIENCE).is_some(), "the node ignores SIGTERM");

    // Ctrl-C leaves nothing behind, and the state stays.
    devnet.signal("INT");
    assert!(devnet.exits(PATIENCE).is_some(), "the devnet ignores Ctrl-C");
    for node in &view.nodes {
        assert!(gone(node.pid).is_some(), "process {} of node {} is left", node.pid, node.index);
    }
    let (mut devnet, again) = start(dir.path(), base, &[]);
    assert_eq!((&again.chain, &again.group_key), (&view.chain, &view.group_key));
    assert!(status(&again.nodes[0].rpc).unwrap().finalized_height >= goal, "the second start lost blocks");
    run(&["tx", &id, "--url", &again.nodes[2].rpc]);

    // A supervisor that dies without a word takes its nodes along.
    devnet.signal("KILL");
    assert!(devnet.exits(PATIENCE).is_some());
    for node in &again.nodes {
        assert!(
            eventually(PATIENCE, || gone(node.pid)).is_some(),
            "node {} outlives its supervisor",
            node.index
        );
    }
}
