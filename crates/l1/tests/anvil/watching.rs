//! The watcher's picture of L1 under reorgs, dishonest and silent endpoints.

use crate::{
    cluster::{EVM, OPAQUE, evm_batches, opaque_batches, transfer},
    deriving::{FINAL, post},
    world::{L1_CHAIN, World, start_anvil, until},
};
use alloy_primitives::Address;
use baton_l1::{
    Client, Watcher,
    watcher::{Depth, WatcherConfig},
};
use baton_settlement::{L1Origin, L1View as _, Standing};
use baton_types::{Digest, genesis::evm::Cadence, settlement::DataKind};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

#[tokio::test]
async fn origins_entries_and_batches_through_reorgs() {
    let world = World::new(DataKind::Calldata).await;
    world.source.add(OPAQUE, opaque_batches(2).contents);
    let mut watcher = world.watcher();
    let (board, status) = (watcher.board(), watcher.status());
    watcher.round().await;
    assert_eq!(status.borrow().trouble, None);

    world.force(EVM, b"first").await;
    world.force(EVM, b"second").await;
    let mut poster = world.poster(1, &[OPAQUE], World::config());
    while poster.round().await {}
    world.mine(3).await;
    watcher.round().await;
    let snapshot = board.snapshot();
    let (latest, eligible) = (status.borrow().latest, snapshot.eligible.unwrap());
    assert_eq!(eligible.number, latest - 2);
    assert_eq!(snapshot.standing(&eligible), Standing::Eligible);
    assert_eq!(snapshot.standing(&L1Origin { number: latest + 1, hash: eligible.hash }), Standing::Unseen);
    assert_eq!(snapshot.standing(&L1Origin { hash: Digest::from([9; 32]), ..eligible }), Standing::Other);
    let view = &snapshot.rollups[&OPAQUE];
    assert_eq!((view.latest.next_index, view.finalized.next_index), (2, 0));
    assert_eq!(world.head(OPAQUE).await.0, view.latest.head.0);
    let entries = snapshot.forced(EVM, 0, &eligible, 10).unwrap();
    assert_eq!(entries.iter().map(|entry| &entry.data[..]).collect::<Vec<_>>(), [&b"first"[..], b"second"]);

    // The entries and the batches are above the common ancestor: they are gone, and so is the origin.
    world.reorg(6).await;
    watcher.round().await;
    let snapshot = board.snapshot();
    assert_eq!(status.borrow().trouble, None);
    assert_eq!((status.borrow().reorgs, status.borrow().deepest_reorg), (1, 6));
    assert_eq!(status.borrow().beyond_finality, None);
    assert_eq!(snapshot.rollups[&OPAQUE].latest.next_index, 0);
    assert_eq!(snapshot.forced(EVM, 0, &snapshot.eligible.unwrap(), 10).unwrap().len(), 0);
    assert_eq!(snapshot.standing(&eligible), Standing::Other);

    // Again, and this time final.
    world.force(EVM, b"third").await;
    while poster.round().await {}
    world.mine(12).await;
    watcher.round().await;
    let snapshot = board.snapshot();
    assert_eq!(snapshot.rollups[&OPAQUE].finalized.next_index, 2);
    let entries = snapshot.forced(EVM, 0, &snapshot.eligible.unwrap(), 10).unwrap();
    assert_eq!(&entries[0].data[..], b"third");
    // One that starts now sees the same.
    let mut fresh = world.watcher();
    fresh.round().await;
    let other = fresh.board().snapshot();
    assert_eq!((&other.rollups, other.eligible), (&snapshot.rollups, snapshot.eligible));

    // What was final is replaced: said, and followed.
    world.reorg(11).await;
    watcher.round().await;
    watcher.round().await;
    assert!(status.borrow().beyond_finality.as_ref().unwrap().contains("was final"));
    assert_eq!(status.borrow().trouble, None);
    assert_eq!(board.snapshot().rollups[&OPAQUE].latest.next_index, world.next_index(OPAQUE).await);
}

#[tokio::test]
async fn a_gap_is_walked_and_a_large_one_skipped() {
    let world = World::new(DataKind::Calldata).await;
    let mut watcher = world.watcher();
    let (board, status) = (watcher.board(), watcher.status());
    watcher.round().await;
    world.mine(60).await;
    watcher.round().await;
    assert_eq!(board.snapshot().blocks.len(), usize::try_from(status.borrow().latest + 1).unwrap());
    world.force(OPAQUE, b"in the gap").await;
    world.mine(1_500).await;
    watcher.round().await;
    watcher.round().await;
    let snapshot = board.snapshot();
    assert_eq!(status.borrow().trouble, None);
    let entries = snapshot.forced(OPAQUE, 0, &snapshot.eligible.unwrap(), 10).unwrap();
    assert_eq!(&entries[0].data[..], b"in the gap");
}

/// Its blocks may have taken less than the inbox has.
#[tokio::test]
async fn what_the_hatch_took_stays_until_the_cluster_has_ordered_it() {
    let world = World::new(DataKind::Directory).await;
    let mut ordered = evm_batches(Cadence::PerBlock, 2);
    let mut watcher = world.watcher();
    let board = watcher.board();
    // Of one that was there before, and of one that starts now.
    let mut kept = async || {
        watcher.round().await;
        let mut fresh = world.watcher();
        fresh.round().await;
        let found = [&board, &fresh.board()].map(|board| board.snapshot().rollups[&EVM].forced.len());
        assert_eq!(found[0], found[1]);
        found[0]
    };
    world.force(EVM, &transfer(3, 0)).await;
    world.escape(EVM, 1).await;
    world.force(EVM, &transfer(3, 1)).await;
    world.mine(FINAL).await;
    assert_eq!(kept().await, 2);
    // Ordered before.
    post(&world, EVM, &ordered.contents).await;
    assert_eq!(kept().await, 2);
    ordered.forced_cursor = 2;
    let mut time = 1_700_000_100_000;
    ordered.push(time, &[transfer(3, 0), transfer(3, 1)]);
    while ordered.contents.len() < 4 {
        time += 500;
        ordered.push(time, &[]);
    }
    post(&world, EVM, &ordered.contents[2..]).await;
    assert_eq!(kept().await, 0);
}

#[tokio::test]
async fn finality_is_compared_after_a_restart() {
    let world = World::new(DataKind::Calldata).await;
    let file = world.folder.path().join("final.json");
    let start = || world.watcher().remembering(file.clone());
    let said = |watcher: &Watcher| {
        let status = watcher.status().borrow().clone();
        assert_eq!(status.trouble, None);
        status.beyond_finality
    };
    world.mine(20).await;
    let mut watcher = start();
    watcher.round().await;
    assert_eq!(said(&watcher), None);
    world.mine(30).await;
    let mut watcher = start();
    watcher.round().await;
    assert_eq!(said(&watcher), None);

    // What was final is replaced while the node is not there.
    let before = watcher.status().borrow().finalized;
    drop(watcher);
    world.reorg(12).await;
    let mut watcher = start();
    watcher.round().await;
    let what = said(&watcher).expect("it is seen after the restart");
    assert!(what.contains(&format!("block {before} was final as")), "{what}");
    // It was said once, so the new chain is what it knows now.
    let mut watcher = start();
    watcher.round().await;
    assert_eq!(said(&watcher), None);
    // One that remembers nothing cannot know.
    let mut watcher = world.watcher();
    watcher.round().await;
    assert_eq!(said(&watcher), None);
}

#[tokio::test]
async fn heads_come_over_a_socket() {
    let world = World::new(DataKind::Calldata).await;
    let client = Arc::new(Client::new(std::slice::from_ref(&world.anvil.ws), L1_CHAIN).unwrap());
    // Only news can be fast enough.
    let config = WatcherConfig { poll: Duration::from_secs(60), ..world.watcher_config() };
    let watcher = Watcher::new(client, config);
    let mut status = watcher.status();
    let running = watcher.start();
    let seen = |number| move |status: &baton_l1::watcher::Status| status.latest >= number;
    let begin = tokio::time::timeout(Duration::from_secs(20), status.wait_for(seen(1)))
        .await
        .unwrap()
        .unwrap()
        .latest;
    let more = async {
        loop {
            world.mine(1).await;
            let wait = status.wait_for(seen(begin + 1));
            if tokio::time::timeout(Duration::from_millis(500), wait).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), more).await.unwrap();
    running.abort();
}

const HONEST: u8 = 0;
const NO_LOGS: u8 = 1;
const CHANGED_LOGS: u8 = 2;
const SILENT: u8 = 3;
const LIMITED: u8 = 4;

/// An endpoint in front of anvil that says what it likes.
async fn proxy(upstream: String, mode: Arc<AtomicU8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let http = reqwest::Client::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let (upstream, mode, http) = (upstream.clone(), mode.clone(), http.clone());
            tokio::spawn(async move {
                let body = read_request(&mut socket).await?;
                let mode = mode.load(Ordering::Relaxed);
                if mode == SILENT {
                    return None;
                }
                if mode == LIMITED {
                    let limited = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    return socket.write_all(limited.as_bytes()).await.ok();
                }
                let request: Value = serde_json::from_slice(&body).ok()?;
                let answer = http.post(upstream).header("content-type", "application/json").body(body);
                let text = answer.send().await.ok()?.text().await.ok()?;
                let mut answer: Value = serde_json::from_str(&text).ok()?;
                if request["method"] == "eth_getLogs" {
                    lie(mode, &mut answer);
                }
                let text = answer.to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    text.len()
                );
                socket.write_all([head, text].concat().as_bytes()).await.ok()
            });
        }
    });
    url
}

fn lie(mode: u8, answer: &mut Value) {
    match mode {
        NO_LOGS => answer["result"] = json!([]),
        CHANGED_LOGS => {
            for log in answer["result"].as_array_mut().unwrap() {
                let data = log["data"].as_str().unwrap().to_owned();
                // The deadline of an entry, which the hash covers.
                let digit = if &data[65..66] == "f" { "e" } else { "f" };
                log["data"] = json!(format!("{}{digit}{}", &data[..65], &data[66..]));
            }
        }
        _ => {}
    }
}

async fn read_request(socket: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let read = socket.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())?;
        if bytes.len() >= end + 4 + length {
            return Some(bytes[end + 4..].to_vec());
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_lies_is_found_and_left() {
    let world = World::new(DataKind::Calldata).await;
    for mode in [NO_LOGS, CHANGED_LOGS] {
        let honest = proxy(world.anvil.url.clone(), Arc::new(AtomicU8::new(HONEST))).await;
        let mode_now = Arc::new(AtomicU8::new(HONEST));
        let changing = proxy(world.anvil.url.clone(), mode_now.clone()).await;
        let client = Arc::new(Client::new(&[changing, honest], L1_CHAIN).unwrap());
        let mut watcher = Watcher::new(client.clone(), world.watcher_config());
        let (board, status) = (watcher.board(), watcher.status());
        watcher.round().await;
        let before = client.endpoint().to_owned();
        let known = board.snapshot().rollups[&OPAQUE].forced.len();
        world.force(OPAQUE, b"left out").await;
        mode_now.store(mode, Ordering::Relaxed);
        watcher.round().await;
        assert!(status.borrow().trouble.is_some(), "the lie is seen");
        assert_eq!(board.snapshot().rollups[&OPAQUE].forced.len(), known, "and believed by nobody");
        assert_ne!(client.endpoint(), before);
        watcher.round().await;
        assert_eq!(status.borrow().trouble, None);
        assert_eq!(board.snapshot().rollups[&OPAQUE].forced.len(), known + 1);
    }
}

#[tokio::test]
async fn endpoints_that_do_not_agree_give_no_origin() {
    let world = World::new(DataKind::Calldata).await;
    // Another L1 of the same number, with other blocks.
    let folder = tempfile::tempdir().unwrap();
    let other = start_anvil(folder.path()).await;
    let mine = Client::new(std::slice::from_ref(&other.url), L1_CHAIN).unwrap();
    world.mine(5).await;
    let _: Value = mine.ask("anvil_mine", json!(["0x20"])).await.unwrap();
    let client = Arc::new(Client::new(&[world.anvil.url.clone(), other.url.clone()], L1_CHAIN).unwrap());
    let mut watcher = Watcher::new(client, world.watcher_config());
    watcher.round().await;
    assert!(watcher.status().borrow().disagreement.as_ref().unwrap().contains(&other.url));
    assert_eq!(watcher.board().snapshot().eligible, None);
    // Alone it is believed.
    let mut alone = world.watcher();
    alone.round().await;
    assert!(alone.board().snapshot().eligible.is_some());
}

#[tokio::test]
async fn failing_endpoints_are_passed_over() {
    let world = World::new(DataKind::Calldata).await;
    let wrong_chain = Client::new(std::slice::from_ref(&world.anvil.url), 5).unwrap();
    let error = wrong_chain.balance(Address::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("not 5"), "{error}");
    let closed = "http://127.0.0.1:9/key-in-the-path".to_owned();
    let mode = Arc::new(AtomicU8::new(SILENT));
    let bad = proxy(world.anvil.url.clone(), mode.clone()).await;
    let client = Client::new(&[closed, bad.clone(), world.anvil.url.clone()], L1_CHAIN).unwrap();
    client.balance(Address::ZERO).await.unwrap();
    assert!(client.endpoint().ends_with(&world.anvil.url["http://127.0.0.1".len()..]));

    mode.store(LIMITED, Ordering::Relaxed);
    let limited = Client::new(&[bad], L1_CHAIN).unwrap();
    let error = limited.balance(Address::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("429"), "{error}");
    let error = limited.balance(Address::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("rests"), "{error}");
    mode.store(HONEST, Ordering::Relaxed);
    until("it has rested", async || limited.balance(Address::ZERO).await.is_ok()).await;
}

#[tokio::test]
async fn one_that_stands_still_is_left() {
    let world = World::new(DataKind::Calldata).await;
    let same = proxy(world.anvil.url.clone(), Arc::new(AtomicU8::new(HONEST))).await;
    let client = Arc::new(Client::new(&[same, world.anvil.url.clone()], L1_CHAIN).unwrap());
    let config =
        WatcherConfig { still_after: Duration::ZERO, depth: Depth::Finalized, ..world.watcher_config() };
    let mut watcher = Watcher::new(client.clone(), config);
    watcher.round().await;
    let before = client.endpoint().to_owned();
    watcher.round().await;
    assert_ne!(client.endpoint(), before);
}
