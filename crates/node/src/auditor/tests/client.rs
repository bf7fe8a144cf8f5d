//! An unmodified `@ethereumjs/client` on the loopback interface, without peers.

use super::*;
use alloy_primitives::{Address, U256, hex};
use baton_rpc::eth::testing::{STORE, contract, create, delegation, deploy, legacy, with_access_list, words};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

const PROGRAM: &str = "../rpc/tests/clients/node_modules/@ethereumjs/client/dist/esm/bin/cli.js";

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Ends with the returned child. The URL of its Engine API, and the secret.
fn start(dir: &Path) -> (Child, String, [u8; 32]) {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    assert!(program.exists(), "{} is missing; `cargo xtask clients` installs it", program.display());
    let genesis = genesis::client_genesis(&facts(SLOTTED, Ordering::PriorityFee)).unwrap();
    fs::write(dir.join("genesis.json"), genesis.to_string()).unwrap();
    let jwt = dir.join("jwt.hex");
    fs::write(&jwt, hex::encode_prefixed(SECRET)).unwrap();
    fs::set_permissions(&jwt, fs::Permissions::from_mode(0o600)).unwrap();
    let (engine, p2p) = (free_port(), free_port());
    let child = Command::new("node")
        .arg(program)
        .arg("--gethGenesis")
        .arg(dir.join("genesis.json"))
        .arg("--dataDir")
        .arg(dir.join("data"))
        .arg("--jwtSecret")
        .arg(&jwt)
        .args(["--rpcEngine", "--rpcEngineAddr", "127.0.0.1", "--rpcEnginePort", &engine])
        .args(["--isSingleNode", "--maxPeers", "0", "--minPeers", "0", "--port", &p2p])
        .args(["--discDns", "false", "--discV4", "false", "--extIP", "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(fs::File::create(dir.join("log")).unwrap())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("node is installed");
    (child, format!("http://127.0.0.1:{engine}"), engine::read_secret(&jwt).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_finds_the_same_and_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (_child, url, secret) = start(dir.path());
    let chain = Lone::new(SLOTTED);
    let auditor = Auditor::new("evm".to_owned(), chain.clone(), Engine::new(&url, secret).unwrap());
    let board = auditor.board();
    let running = tokio::spawn(auditor.run());
    let log = || fs::read_to_string(dir.path().join("log")).unwrap_or_default();

    let send = |who: usize, nonce| alloy_consensus::TxEip1559 {
        value: U256::from(7),
        ..call(nonce, Address::repeat_byte(u8::try_from(who).unwrap()))
    };
    let mut block = 0;
    let mut seal = |transactions: Vec<Bytes>| {
        transactions.into_iter().for_each(|raw| submit(&chain, raw));
        // Two blocks of the cluster are parts of one of the rollup.
        chain.propose(300);
        chain.propose(300);
        chain.advance();
        block += 1;
        block
    };
    seal((0..3).map(|who| rich(who).raw(send(who, 0))).collect());
    seal(vec![rich(0).raw(create(1, deploy(STORE)))]);
    let deployed = rich(0).address.create(1);
    let store = |nonce, to| alloy_consensus::TxEip1559 { input: words(&[1, 42]), ..call(nonce, to) };
    seal(vec![
        rich(0).raw(store(2, deployed)),
        rich(1).raw(store(1, contract(2))),
        rich(2).raw(call(1, contract(3))),
    ]);
    // One of each type; the account that delegates runs the code that the transaction calls.
    let authority = rich(4);
    let mixed = seal(vec![
        rich(0).raw(legacy(3, Address::repeat_byte(4), 5)),
        rich(1).raw(with_access_list(2, contract(0))),
        rich(2).raw(store(2, contract(0))),
        rich(3).raw(delegation(0, authority.address, vec![authority.authorize(0, contract(0))])),
    ]);
    let newest = seal(Vec::new());
    let sealed = newest - 1;
    let block = chain.block(mixed).await.unwrap().unwrap();
    let mut kinds: Vec<_> =
        block.receipts.iter().map(|receipt| (u8::from(receipt.tx_type()), receipt.status())).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [(0, true), (1, true), (2, true), (4, true)]);
    let audit = until(&board, |audit| {
        audit.number >= sealed
            || audit.standing != Standing::Agrees && !matches!(audit.standing, Standing::Waits(_))
    })
    .await;
    assert_eq!((audit.number, audit.standing), (sealed, Standing::Agrees), "{}", log());

    // A wrong secret is told as such, and asked again.
    let wrong = Engine::new(&url, [8; 32]).unwrap();
    let error = wrong.head().await.unwrap_err().to_string();
    assert!(error.contains("auditor.jwt_file"), "{error}");

    chain.damage(sealed + 1);
    seal(vec![rich(1).raw(send(1, 3))]);
    seal(Vec::new());
    let audit = until(&board, |audit| matches!(audit.standing, Standing::Differs(_))).await;
    let Standing::Differs(difference) = audit.standing else { unreachable!() };
    let block = chain.block(sealed + 1).await.unwrap().unwrap();
    assert_eq!((difference.number, difference.own_root), (sealed + 1, block.head.header.state_root));
    assert_eq!(
        difference.client_root,
        Some(block.head.header.state_root ^ B256::with_last_byte(1)),
        "{}",
        difference.why
    );
    running.await.unwrap();
}
