//! Against an Engine API that says what it is told to, and against a real client.

#[cfg(feature = "clients")]
mod client;

use super::*;
use axum::{Router, http::HeaderMap, routing::post};
use baton_rpc::eth::testing::{Lone, call, facts, rich};
use baton_types::genesis::{Ordering, evm::BaseFee};
use futures::FutureExt as _;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use tokio::{net::TcpListener, task::JoinHandle};

const SLOTTED: Cadence = Cadence::Slotted { ms: 1_000 };
const SECRET: [u8; 32] = [7; 32];

/// Blocks 1 to `count`, with a transfer each.
fn chain(count: u64) -> Arc<Lone> {
    let chain = Lone::new(SLOTTED);
    for nonce in 0..count {
        transfer(&chain, nonce);
        chain.advance();
    }
    // The first block of the cluster in a later slot seals.
    chain.advance();
    chain
}

fn transfer(chain: &Lone, nonce: u64) {
    let raw = rich(0).raw(call(nonce, alloy_primitives::Address::repeat_byte(9)));
    submit(chain, raw);
}

/// Everything here is ready at once.
fn submit(chain: &Lone, raw: Bytes) {
    let sent = chain.submit("test".into(), raw).now_or_never().unwrap();
    sent.expect("the pool takes it");
}

/// Answers every call with what `says` gives as its result.
async fn serve(says: impl Fn(&str) -> Value + Clone + Send + Sync + 'static) -> String {
    let handler = move |headers: HeaderMap, body: String| {
        let says = says.clone();
        async move {
            let call: Value = serde_json::from_str(&body).unwrap();
            let bearer = headers["authorization"].to_str().unwrap();
            assert_eq!(bearer.strip_prefix("Bearer ").unwrap().split('.').count(), 3);
            json!({"jsonrpc": "2.0", "id": call["id"], "result": says(call["method"].as_str().unwrap())})
                .to_string()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(handler))).await });
    url
}

/// More than a reply may be, from somebody who is no Engine API.
#[tokio::test]
async fn a_reply_is_read_up_to_its_limit() {
    let url = serve(|_| json!({"number": "0x1", "hash": B256::ZERO, "more": "x".repeat(16 << 20)})).await;
    let error = Engine::new(&url, SECRET).unwrap().head().await.unwrap_err().to_string();
    assert!(error.contains(&url) && error.contains("more than 16777216 bytes"), "{error}");
    assert!(error.contains("auditor.url"), "{error}");
    let url = serve(|_| json!({"number": "0x1", "hash": B256::ZERO, "more": "x".repeat(15 << 20)})).await;
    assert_eq!(Engine::new(&url, SECRET).unwrap().head().await.unwrap().number, 1);
}

fn audit(chain: &Arc<Lone>, url: &str) -> (Arc<Board>, JoinHandle<()>) {
    let auditor = Auditor::new("evm".to_owned(), chain.clone(), Engine::new(url, SECRET).unwrap());
    (auditor.board(), tokio::spawn(auditor.run()))
}

async fn until(board: &Board, expected: impl Fn(&Audit) -> bool) -> Audit {
    let found = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let audit = board.audit();
            if expected(&audit) {
                return audit;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{:?}", board.audit()))
}

fn at(chain: &Lone, number: u64) -> Value {
    let block = chain.block(number).now_or_never().unwrap().unwrap().unwrap();
    json!({"number": format!("{number:#x}"), "hash": block.head.hash})
}

fn status(status: &str) -> Value {
    json!({"status": status, "latestValidHash": null, "validationError": null})
}

#[tokio::test]
async fn a_client_that_wants_time_gets_it() {
    let chain = chain(3);
    let genesis = at(&chain, 0);
    let asked = Arc::new(AtomicU32::new(0));
    let url = serve(move |method| match method {
        "eth_getBlockByNumber" => genesis.clone(),
        "engine_newPayloadV4" => status("SYNCING"),
        _ if asked.fetch_add(1, Relaxed) % 3 < 2 => {
            json!({"payloadStatus": status("SYNCING"), "payloadId": null})
        }
        _ => json!({"payloadStatus": status("VALID"), "payloadId": null}),
    });
    // SYNCING from the first, VALID twice in a row only with the third round.
    let (board, _) = audit(&chain, &url.await);
    let audit = until(&board, |audit| audit.number == 3).await;
    assert_eq!(audit.standing, Standing::Agrees);
}

#[tokio::test]
async fn a_difference_names_both_roots() {
    let chain = chain(2);
    let (first, theirs) = (at(&chain, 1), B256::repeat_byte(0x44));
    let url = serve(move |method| match method {
        "eth_getBlockByNumber" => first.clone(),
        _ => {
            json!({"status": "INVALID", "validationError": format!("invalid stateRoot, got {theirs}, wanted …")})
        }
    });
    let (board, running) = audit(&chain, &url.await);
    let audit = until(&board, |audit| matches!(audit.standing, Standing::Differs(_))).await;
    let Standing::Differs(difference) = audit.standing else { unreachable!() };
    let own = chain.block(2).await.unwrap().unwrap().head.header.state_root;
    assert_eq!((difference.number, difference.own_root, difference.client_root), (2, own, Some(theirs)));
    running.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_asked_is_asked_again() {
    let chain = chain(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (board, _) = audit(&chain, &url);
    let audit = until(&board, |audit| matches!(audit.standing, Standing::Waits(_))).await;
    let Standing::Waits(why) = audit.standing else { unreachable!() };
    assert!(why.contains("auditor.url") && why.contains(&url), "{why}");
}

#[tokio::test]
async fn a_client_of_another_chain_is_left_alone() {
    let chain = chain(1);
    let other = json!({"number": "0x0", "hash": B256::repeat_byte(5)});
    let url = serve(move |_| other.clone()).await;
    let (board, running) = audit(&chain, &url);
    running.await.unwrap();
    let Standing::Stopped(why) = board.audit().standing else { panic!("{:?}", board.audit()) };
    assert!(why.contains("client-genesis"), "{why}");
}

#[test]
fn rollups_that_no_client_can_follow() {
    let fine = facts(SLOTTED, Ordering::PriorityFee);
    check_rules(&fine).unwrap();
    let per_block = facts(Cadence::PerBlock, Ordering::PriorityFee);
    assert!(check_rules(&per_block).unwrap_err().to_string().contains("slotted"));
    let mut slow = fine.clone();
    if let Some(evm) = &mut slow.evm {
        evm.base_fee = BaseFee { denominator: 96, ..evm.base_fee };
    }
    let error = genesis::client_genesis(&slow).unwrap_err().to_string();
    assert!(error.contains("denominator 96"), "{error}");
    let opaque = Rollup::opaque(1, "demo", baton_types::genesis::Data::Bytes);
    assert!(check_rules(&opaque).unwrap_err().to_string().contains("not of kind evm"));
    // The four system contracts beside the accounts.
    let genesis = genesis::client_genesis(&fine).unwrap();
    let accounts = fine.evm.as_ref().unwrap().alloc.len();
    assert_eq!(genesis["alloc"].as_object().unwrap().len(), accounts + 4);
}
