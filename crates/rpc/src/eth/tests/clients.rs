//! The libraries that dapps are made with, and cast, against a served rollup: over HTTP and WebSocket, with
//! a block every 50 ms when something waits.

use super::*;
use crate::{config::ServerConfig, server::serve_over};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::{net::TcpListener, process::Command};

pub fn installed(path: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing; `cargo xtask clients` installs it", path.display());
    path
}

async fn run(script: &str, arguments: &[PathBuf]) {
    let node = Node::per_block();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let at = |rollup: &Arc<Rollup>, name: &str| {
        let refusal = Refusal::new(Reason::UnknownRollup, "only evm");
        if name == rollup.name() { Ok(rollup.clone()) } else { Err(refusal) }
    };
    let chain = node.chain.clone();
    let cluster = tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_millis(50));
        loop {
            clock.tick().await;
            chain.propose(50);
            chain.finalize();
        }
    });
    let serving = serve_over(
        listener,
        node.rollup.clone(),
        node.dispatcher,
        at,
        ServerConfig::default(),
        std::future::pending(),
    );
    let serving = tokio::spawn(serving);
    installed("tests/clients/node_modules/viem/package.json");
    let output = Command::new("node")
        .arg(installed("tests/clients").join(script))
        .arg(format!("http://{address}/rollup/evm"))
        .arg(format!("ws://{address}/rollup/evm"))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(Duration::from_secs(240), output).await.expect("the script hangs").unwrap();
    serving.abort();
    cluster.abort();
    let (said, problems) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {said}\n{problems}");
    assert!(said.contains("checks passed"), "{script}: {said}\n{problems}");
}

#[tokio::test(flavor = "multi_thread")]
async fn viem() {
    run("viem.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ethers() {
    run("ethers.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cast() {
    let program = installed("../../contracts/node_modules/@foundry-rs/cast-linux-amd64/bin/cast");
    run("cast.mjs", &[program]).await;
}
