//! One real cluster of four processes, from first start to the last Ctrl-C.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use baton_types::api::{DevnetView, StatusView, SubmitResult, TransactionView};
use serde::de::DeserializeOwned;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

const NODES: u16 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

fn baton() -> Command {
    Command::new(env!("CARGO_BIN_EXE_baton"))
}

/// A base port with all ports free; apart from those `bench` picks.
fn base_port() -> u16 {
    let free = |base: u16| {
        [0, 1_000, 22_000]
            .into_iter()
            .flat_map(|offset| (0..NODES).map(move |index| base + offset + index))
            .all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
    };
    (0..60).map(|step| 12_000 + 16 * step).find(|base| free(*base)).expect("free ports")
}

/// A program that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }

    fn exits(&mut self, within: Duration) -> bool {
        eventually(within, || self.0.try_wait().unwrap()).is_some()
    }
}

fn signal(pid: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
}

fn eventually<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            found => return found,
        }
    }
}

fn start(dir: &Path, base: u16) -> (Running, DevnetView) {
    let mut child = baton()
        .args(["devnet", "--json", "--dir"])
        .arg(dir)
        .args(["--nodes", &NODES.to_string(), "--base-port", &base.to_string()])
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

fn run(args: &[&str]) -> Output {
    let output = baton().args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

fn lines<T: DeserializeOwned>(output: &Output) -> Vec<Result<T, String>> {
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
    assert!(load.exits(PATIENCE), "bench does not end");
    let mut report = String::new();
    load.0.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert!(load.0.try_wait().unwrap().unwrap().success(), "{report}");
    assert!(report.contains("each exactly once"), "{report}");
}

#[test]
fn a_cluster_lives_loses_a_node_and_goes_without_trace() {
    let dir = tempfile::tempdir().unwrap();
    let base = base_port();
    let (mut devnet, view) = start(dir.path(), base);
    let id = submit_and_prove(dir.path(), &view);
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
    assert!(node.exits(PATIENCE), "the node ignores SIGTERM");

    // Ctrl-C leaves nothing behind, and the state stays.
    devnet.signal("INT");
    assert!(devnet.exits(PATIENCE), "the devnet ignores Ctrl-C");
    for node in &view.nodes {
        assert!(gone(node.pid).is_some(), "process {} of node {} is left", node.pid, node.index);
    }
    let (mut devnet, again) = start(dir.path(), base);
    assert_eq!((&again.chain, &again.group_key), (&view.chain, &view.group_key));
    assert!(status(&again.nodes[0].rpc).unwrap().finalized_height >= goal, "the second start lost blocks");
    run(&["tx", &id, "--url", &again.nodes[2].rpc]);

    // A supervisor that dies without a word takes its nodes along.
    devnet.signal("KILL");
    assert!(devnet.exits(PATIENCE));
    for node in &again.nodes {
        assert!(
            eventually(PATIENCE, || gone(node.pid)).is_some(),
            "node {} outlives its supervisor",
            node.index
        );
    }
}
