//! The programs that people point at an Ethereum chain, against the rollup `evm` of a real cluster: the scripts
//! that crates/rpc runs against its executor alone.

use crate::support::{Cluster, Node};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Seconds for one script.
const PATIENCE: &str = "120";

pub fn installed(path: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    assert!(path.exists(), "{} is missing; `cargo xtask clients` installs it", path.display());
    path
}

fn run(script: &str, node: &Node, arguments: &[PathBuf]) {
    installed("crates/rpc/tests/clients/node_modules/viem/package.json");
    let output = Command::new("timeout")
        .args([PATIENCE, "node"])
        .arg(installed("crates/rpc/tests/clients").join(script))
        .arg(format!("http://{}/rollup/evm", node.rpc))
        .arg(format!("ws://{}/rollup/evm", node.rpc))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, problems) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && said.contains("checks passed"),
        "{script}: {said}\n{problems}\n{}",
        node.log_text()
    );
}

#[test]
fn wallets_and_libraries_use_a_cluster() {
    let cluster = Cluster::start(4);
    let cast = installed("contracts/node_modules/@foundry-rs/cast-linux-amd64/bin/cast");
    // One after the other, because they share accounts; each asks another node.
    run("viem.mjs", &cluster.nodes[0], &[]);
    run("ethers.mjs", &cluster.nodes[1], &[]);
    run("cast.mjs", &cluster.nodes[2], &[cast]);
}
