//! The default devnet settles in a directory, and its rollups are rebuilt from that alone.

use crate::{
    devnet::{base_port, lines, run, start},
    evm::transfer,
    support::{PATIENCE, Running, alone, ask, baton, eventually},
};
use baton_types::api::{BatchesResult, DerivedView, TransactionView};
use serde_json::json;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

fn derive(dir: &Path, rollup: &str) -> Command {
    let mut command = baton();
    command.args(["derive", "--json", "--rollup", rollup, "--genesis"]).arg(dir.join("genesis.json"));
    command.arg("--directory").arg(dir.join("batches"));
    command
}

#[test]
fn a_devnet_without_l1_is_rebuilt_from_its_directory() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (mut devnet, view) = start(dir.path(), base_port(), &[]);
    let urls: Vec<_> = view.nodes.iter().map(|node| node.rpc.as_str()).collect();
    let following = derive(dir.path(), "demo").arg("--follow").stdout(Stdio::piped()).spawn().map(Running);
    let mut following = following.unwrap();

    for (rollup, data) in [("demo", "hello".to_owned()), ("evm", transfer(0))] {
        let output = run(&[
            "submit",
            rollup,
            &data,
            "--wait",
            "posted",
            "--timeout",
            "90s",
            "--json",
            "--url",
            urls[1],
        ]);
        let last = lines::<TransactionView>(&output).pop().unwrap().unwrap();
        assert_eq!(last.rung.name(), "posted");
    }
    let mut line = String::new();
    BufReader::new(following.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let followed: DerivedView = serde_json::from_str(&line).unwrap();
    assert_eq!((followed.index, followed.transactions), (0, 1));

    // Each node sees what the first one wrote, and none calls it settled.
    for url in &urls {
        let posted = || {
            let found = ask(url, "/", "baton_batches", json!({ "rollup": "demo" }));
            let found: BatchesResult = serde_json::from_value(found).unwrap();
            let batch = found.batches.into_iter().next()?;
            assert!(!batch.settled && batch.l1_block.is_none() && found.forced.is_none());
            assert_eq!(batch.order_root, followed.order_root);
            batch.posted.then_some(())
        };
        assert!(eventually(PATIENCE, posted).is_some(), "{url} does not see the batch");
    }

    let output = derive(dir.path(), "evm").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let derived = lines::<DerivedView>(&output).pop().unwrap().unwrap();
    let head = derived.head.unwrap();
    assert!(derived.transactions == 1 && head.block >= 1);
    for url in &urls {
        let block = ask(url, "/", "eth_getBlockByNumber", json!([format!("{:#x}", head.block), false]));
        assert_eq!((&block["hash"], &block["stateRoot"]), (&json!(head.block_hash), &json!(head.state_root)));
    }

    // Nothing is final on L1 here, so a block that is executed is `finalized` before its batch is written.
    run(&["submit", "evm", &transfer(1), "--wait", "finalized", "--url", urls[0]]);
    let number = |tag: &str| ask(urls[0], "/", "eth_getBlockByNumber", json!([tag, false]))["number"].clone();
    let next = json!(format!("{:#x}", head.block + 1));
    assert!(eventually(PATIENCE, || (number("latest") == next).then_some(())).is_some());
    assert_eq!(number("finalized"), next);

    // A changed byte, at the end of the data, is refused with the file's name.
    let file = dir.path().join("batches/2/0000000000.batch");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let refused = derive(dir.path(), "evm").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains(&file.display().to_string()) && error.contains("its data are not"), "{error}");

    devnet.signal("INT");
    assert!(devnet.exits(PATIENCE).is_some(), "the devnet ignores Ctrl-C");
}
