//! Hostile input over real sockets: garbage, half-open connections, floods. The node stays within its
//! memory, tells what it refused, and serves everybody else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};
use support::{Cluster, Node, eventually, free_ports, http, http_on, load, load::Load};

const MIB: u64 = 1024 * 1024;

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// From another address of this machine: another client.
fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    use std::net::{IpAddr, Ipv4Addr};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0)).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn grows(node: &Node) {
    let now = node.height().unwrap();
    node.reaches(now + 3);
}

/// What anybody who can reach the p2p port may send.
#[test]
fn garbage_on_the_p2p_port_disturbs_nobody() {
    let cluster = Cluster::start(4);
    let node = &cluster.nodes[0];
    let mut open = Vec::new();
    for round in 0..60u8 {
        let mut stream = connect(node.p2p);
        let garbage: Vec<u8> = match round % 4 {
            // Half-open: nothing ever comes.
            0 => Vec::new(),
            1 => vec![0xff; 4_096],
            2 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            // The length of a huge message, and no message.
            _ => u32::MAX.to_be_bytes().to_vec(),
        };
        // It may be closed already.
        let _ = stream.write_all(&garbage);
        open.push(stream);
    }
    // From an address that no member has: dropped before any handshake.
    let before = node.metric("network_listener_handshakes_blocked_total");
    let mut foreign = connect_from(77, node.p2p);
    assert_eq!(foreign.read(&mut [0; 16]).unwrap_or(0), 0, "it is closed without a word");
    assert!(
        eventually(Duration::from_secs(5), || {
            (node.metric("network_listener_handshakes_blocked_total") > before).then_some(())
        })
        .is_some()
    );
    grows(node);
    assert_eq!(connected(node), 3);
    drop(open);
}

fn connected(node: &Node) -> usize {
    let (_, text) = http(node.ops, "GET /metrics", "").unwrap();
    text.lines().filter(|line| line.starts_with("network_tracker_directory_connected{")).count()
}

/// A node that knows the genesis and is no member dials with a key of its own.
#[test]
fn an_unknown_key_is_not_let_in() {
    let cluster = Cluster::start(4);
    // The same chain with another identity: as much as an outsider can have.
    let outsider = cluster.dir.path().join("outsider");
    support::copy_dir(&cluster.nodes[3].dir, &outsider);
    std::fs::remove_dir_all(outsider.join("data")).unwrap();
    let identity = outsider.join("keys/identity.key");
    std::fs::remove_file(&identity).unwrap();
    let key: baton_types::PrivateKey = commonware_cryptography::Signer::from_seed(4_711);
    baton_node::keys::write_identity(&outsider.join("keys"), &key).unwrap();
    let [rpc, ops, p2p] = free_ports::<3>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut outsider = Node { dir: outsider, rpc, ops, p2p, process: None };
    let (rpc, ops, p2p) = (rpc.to_string(), ops.to_string(), p2p.to_string());
    let flags = ["--rpc-listen", &rpc, "--ops-listen", &ops, "--p2p-listen", &p2p];
    let said = outsider.fails_to_start(&flags);
    assert!(said.contains("is not a member of the genesis"), "{said}");
    grows(&cluster.nodes[0]);
}

#[test]
fn requests_of_every_wrong_kind_get_an_answer() {
    let mut cluster = Cluster::prepare(1, |_| ());
    cluster.nodes[0].start(&[
        "--set",
        "rpc.request_bytes_max=65536",
        "--set",
        "rpc.memory_bytes_max=1048576",
    ]);
    cluster.nodes[0].becomes_ready();
    let node = &cluster.nodes[0];
    let post = |body: &str| http(node.rpc, "POST /", body).unwrap();
    let error = |body: &str| {
        let (status, answer) = post(body);
        let mut answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{status}: {answer}"));
        // A batch gets an answer per call.
        if answer.is_array() {
            answer = answer[0].take();
        }
        (
            status,
            answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{status}: {answer}")),
            answer["error"]["data"]["reason"].clone(),
        )
    };
    let submit = |params: Value| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "baton_submit", "params": params}).to_string()
    };
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for (body, expect) in [
        ("{", (200, -32_700, json!("bad_request"))),
        ("\u{0}\u{1}", (200, -32_700, json!("bad_request"))),
        ("[]", (200, -32_600, json!("bad_request"))),
        ("{}", (200, -32_600, json!("bad_request"))),
        (&deep, (200, -32_600, json!("bad_request"))),
        (&submit(json!({"rollup": 1, "data": 7})), (200, -32_602, json!("bad_request"))),
        (&submit(json!({"rollup": [], "data": "0x00"})), (200, -32_602, json!("bad_request"))),
        (&submit(json!({"rollup": "demo", "data": "0x0"})), (200, -32_602, json!("bad_request"))),
        (
            &submit(json!({"rollup": "demo", "data": "0x00", "valid_until": -1})),
            (200, -32_602, json!("bad_request")),
        ),
        (&submit(json!({"rollup": "nobody", "data": "0x00"})), (200, -32_000, json!("unknown_rollup"))),
        (&submit(json!({"rollup": u32::MAX, "data": "0x00"})), (200, -32_000, json!("unknown_rollup"))),
        (&submit(json!({"rollup": "demo", "data": "0x"})), (200, -32_000, json!("empty"))),
        (&" ".repeat(65_537), (413, -32_000, json!("too_large"))),
    ] {
        let head: String = body.chars().take(60).collect();
        assert_eq!(error(body), expect, "{head}");
    }
    // Nothing that is HTTP, and HTTP that never ends.
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        let mut stream = connect(node.rpc);
        stream.write_all(garbage).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut endless = connect(node.rpc);
    let mut sent = 0;
    while endless.write_all(&[b'x'; 4_096]).is_ok() {
        sent += 4_096;
        // What the kernel buffers on the way is not the node.
        assert!(sent < 64 * 1024 * 1024, "a head has no end");
    }
    assert_eq!(node.call("baton_status", json!({})).unwrap()["ready"], true);
}

fn websocket(node: &Node, from: u8) -> TcpStream {
    let mut stream = connect_from(from, node.rpc);
    let head = "GET / HTTP/1.1\r\nhost: node\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 1_024];
    let read = stream.read(&mut answer).unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer[..read]));
    stream
}

/// A masked text frame: its head alone when `sent` is less than what it announces.
fn frame(announced: usize, text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 127];
    frame.extend_from_slice(&u64::try_from(announced).unwrap().to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text);
    frame
}

/// Thousands of connections, hundreds of subscribers that never read, and large messages that never
/// end, while a load goes on. What the flood costs stays below what `rpc.memory_bytes_max` allows.
#[test]
fn floods_stay_within_the_memory_set_aside_for_them() {
    const SUBSCRIBERS: usize = 200;
    const CONNECTIONS: usize = 1_500;
    const UNFINISHED: usize = 60;
    const MEMORY: u64 = 32 * MIB;
    let mut cluster = Cluster::prepare(4, |_| ());
    let memory = format!("rpc.memory_bytes_max={MEMORY}");
    let flags = ["--set", &memory, "--set", "rpc.request_bytes_max=2097152"];
    cluster.nodes.iter_mut().for_each(|node| node.start(&flags));
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    let load = Load::start(&cluster, Duration::from_millis(100));
    let node = &cluster.nodes[0];
    let process = node.process.as_ref().unwrap();
    grows(node);
    let before = process.resident();

    let subscribe =
        br#"{"jsonrpc":"2.0","id":1,"method":"baton_subscribe","params":{"topic":"blocks","ids":true}}"#;
    let deaf: Vec<_> = (0..SUBSCRIBERS)
        .map(|_| {
            let mut stream = websocket(node, 1);
            stream.write_all(&frame(subscribe.len(), subscribe)).unwrap();
            stream
        })
        .collect();
    let subscribed = || (node.metric("baton_rpc_subscriptions") == SUBSCRIBERS as u64).then_some(());
    assert!(
        eventually(Duration::from_secs(20), subscribed).is_some(),
        "{}",
        node.metric("baton_rpc_subscriptions")
    );
    // Each sends most of the largest message, and the rest never.
    let part = vec![b' '; 1_500_000];
    let unfinished: Vec<_> = (0..UNFINISHED)
        .map(|_| {
            let mut stream = websocket(node, 1);
            stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
            // Those for which no memory is left are closed meanwhile.
            let _ = stream.write_all(&frame(2_000_000, &part));
            stream
        })
        .collect();
    let started = Instant::now();
    let idle: Vec<_> = (0..CONNECTIONS).filter_map(|_| TcpStream::connect(node.rpc).ok()).collect();
    let mut most = 0;
    while started.elapsed() < Duration::from_secs(12) {
        most = most.max(process.resident());
        // Another client is served all the while.
        let (status, answer) =
            http_on(&mut connect_from(9, node.rpc), "POST /", &call("baton_status")).unwrap();
        assert_eq!(status, 200, "{answer}");
        thread::sleep(Duration::from_millis(300));
    }
    let refused = node.metric("baton_rpc_connections_refused_total");
    assert!(refused >= (CONNECTIONS / 2) as u64, "{refused} refused");
    assert!(node.metric("baton_rpc_connections_dropped_total") > 0, "nobody was dropped for memory");
    // What the load itself needs grows as well; the rest is for connections.
    let allowed = before + MEMORY + 96 * MIB;
    println!("resident: {} MiB before, {} MiB at most, {refused} refused", before / MIB, most / MIB);
    assert!(most < allowed, "{} MiB, allowed {} MiB", most / MIB, allowed / MIB);
    drop((deaf, unfinished, idle));

    let accepted = load.stop();
    load::check(&cluster, &accepted);
    assert_eq!(cluster.nodes[1].metric("baton_rpc_connections_refused_total"), 0);
}

fn call(method: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).to_string()
}
