//! Hostile input over real sockets: garbage, half-open connections, floods. The node stays within its
//! memory, tells what it refused, and serves everybody else.

use crate::support::{Cluster, Node, PATIENCE, call, eventually, http, http_on, load, load::Load};
use baton_node::transport::{Channel, max_message_size};
use baton_types::{Digest, Genesis, PrivateKey, PublicKey, domain};
use commonware_cryptography::{ChaCha20Poly1305, Signer};
use commonware_p2p::{Address, AddressableManager as _, Recipients, Sender as _, authenticated::lookup};
use commonware_runtime::{Clock as _, Network as _, Quota, Runner as _, Supervisor as _, tokio};
use commonware_stream::{
    Upgrader as _,
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, ordered::Map};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    num::NonZeroU32,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const MIB: u64 = 1024 * 1024;

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// From another address of this machine: another client. An error when the other side closes at once.
fn connect_from(last: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    use std::net::{IpAddr, Ipv4Addr};
    static RUNTIME: LazyLock<::tokio::runtime::Runtime> =
        LazyLock::new(|| ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let stream = RUNTIME.block_on(async {
        let socket = ::tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
        socket.connect(to).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
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
    // A quorum is enough to be ready.
    let all_connected = || eventually(PATIENCE, || (connected(node) == 3).then_some(())).is_some();
    assert!(all_connected(), "{} of 3 connected", connected(node));
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
    let said = connect_from(77, node.p2p).and_then(|mut foreign| foreign.read(&mut [0; 16]));
    assert_eq!(*said.as_ref().unwrap_or(&0), 0, "it is closed without a word");
    assert!(
        eventually(PATIENCE, || {
            (node.metric("network_listener_handshakes_blocked_total") > before).then_some(())
        })
        .is_some(),
        "{said:?}"
    );
    grows(node);
    assert!(all_connected(), "{} of 3 still connected", connected(node));
    drop(open);
}

fn connected(node: &Node) -> usize {
    let (_, text) = http(node.ops, "GET /metrics", "").unwrap();
    text.lines().filter(|line| line.starts_with("network_tracker_directory_connected{")).count()
}

fn transport(signer: PrivateKey) -> Cups<Sake<PrivateKey>, ChaCha20Poly1305> {
    let sake = Sake {
        signer,
        synchrony_bound: Duration::from_secs(5),
        max_handshake_age: Duration::from_secs(10),
        version: sake::Version::V1,
    };
    Cups::new(sake, cups::Version::V1)
}

/// Dials a node as a member would: this chain, or another, and this key.
fn dial(node: &Node, chain: &Digest, key: &PrivateKey, peer: PublicKey) -> Result<(), String> {
    let (dir, at) = (tempfile::tempdir().unwrap(), node.p2p);
    let config = tokio::Config::default().with_worker_threads(1).with_storage_directory(dir.path());
    let transport = transport(key.clone());
    // As the library names the handshake within it.
    let namespace = [&domain::p2p(chain)[..], b"_STREAM"].concat();
    tokio::Runner::new(config).start(|context| async move {
        let (sink, stream) = context.dial(at).await.map_err(|error| error.to_string())?;
        let child = context.child("dial");
        let dialing = async move {
            let dialed = transport.dial(child, &namespace, 1024 * 1024, peer, stream, sink).await;
            dialed.map(drop).map_err(|error| error.to_string())
        };
        let answer = context.timeout(Duration::from_secs(10), dialing).await;
        answer.unwrap_or_else(|_| Err("no answer".to_owned()))
    })
}

/// One that knows the genesis, and dials from where the members are: a key of its own does not get it in, a member's
/// does.
#[test]
fn an_unknown_key_is_not_let_in() {
    let mut cluster = Cluster::start(4);
    let all_connected = |node: &Node| eventually(PATIENCE, || (connected(node) == 3).then_some(())).is_some();
    assert!(all_connected(&cluster.nodes[0]));
    // Or the member itself would be connected already.
    cluster.nodes[3].kill();
    let node = &cluster.nodes[0];
    let (peer, chain) = (cluster.genesis.members[0].identity().unwrap(), cluster.genesis.digest());
    let member = baton_node::keys::load_identity(&cluster.nodes[3].dir.join("keys")).unwrap();
    let unknown: PrivateKey = Signer::from_seed(4_711);
    let limited = || {
        ["concurrent", "ip", "subnet"]
            .map(|which| node.metric(&format!("network_listener_handshake_{which}_rate_limited_total")))
    };
    // Once the node has noticed that the member is gone.
    let lets_in = || {
        let last = dial(node, &chain, &member, peer.clone());
        last.is_ok().then_some(())
    };
    assert!(eventually(PATIENCE, lets_in).is_some(), "a member is not let in\n{}", node.log_text());
    let other_chain = commonware_cryptography::sha256::Digest([7; 32]);
    for (what, chain, key) in [("key", &chain, &unknown), ("chain", &other_chain, &member)] {
        // What is dropped because there was too much says nothing of the key.
        let refused = eventually(PATIENCE, || {
            let before = limited();
            let dialed = dial(node, chain, key, peer.clone());
            assert!(dialed.is_err(), "let in with another {what}");
            (limited() == before).then_some(())
        });
        assert!(refused.is_some(), "{what}: only the rate was refused");
    }
    grows(node);
    cluster.nodes[3].start(&[]);
    cluster.nodes[3].becomes_ready();
    assert!(all_connected(&cluster.nodes[0]), "{} of 3 connected", connected(&cluster.nodes[0]));
}

/// A hundred times the quota of the receivers.
const FLOOD_PER_SECOND: NonZeroU32 = NZU32!(50_000);

/// Is a member to the others, and sends them acknowledgements of what nobody sent, as many as go out. How many it would have sent.
fn flood(genesis: &Genesis, key: PrivateKey, listen: SocketAddr, stop: &AtomicBool) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let config = tokio::Config::default().with_worker_threads(1).with_storage_directory(dir.path());
    let members = genesis.members.iter();
    let addresses = members.map(|member| (member.identity().unwrap(), Address::Symmetric(member.p2p)));
    let addresses = Map::from_iter_dedup(addresses);
    tokio::Runner::new(config).start(|context| async move {
        let namespace = domain::p2p(&genesis.digest());
        let (size, mailbox) = (max_message_size(genesis), NZUsize!(1_024));
        let config = lookup::Config::local(transport(key), &namespace, listen, NZUsize!(8), size, mailbox);
        let (mut network, mut oracle) = lookup::Network::new(context.child("network"), config);
        assert!(oracle.track(0, addresses).accepted());
        let mut ends = Vec::new();
        for channel in Channel::ALL {
            // The quota of a sender binds itself only, and it would have to be this one.
            let quota = if channel == Channel::Mempool {
                Quota::per_second(FLOOD_PER_SECOND)
            } else {
                channel.quota()
            };
            ends.push(network.register(channel.id(), quota));
        }
        network.start();
        let (sender, _) = &mut ends[Channel::Mempool as usize];
        let mut offered = 0;
        while !stop.load(Ordering::Relaxed) {
            for number in 0..64u64 {
                let acknowledgement = [&[2][..], &number.to_be_bytes()].concat();
                sender.send(Recipients::All, acknowledgement, false);
                offered += 1;
            }
            context.sleep(Duration::from_millis(1)).await;
        }
        offered
    })
}

/// It is read as fast as its quota says, and holds up nobody else.
#[test]
fn a_member_that_heeds_no_quota_disturbs_nobody() {
    const SECONDS: u64 = 15;
    let mut cluster = Cluster::start(4);
    cluster.nodes[3].kill();
    let key = baton_node::keys::load_identity(&cluster.nodes[3].dir.join("keys")).unwrap();
    let node = &cluster.nodes[0];
    let from = format!("{}", key.public_key());
    let counted = |name: &str| {
        let (_, text) = http(node.ops, "GET /metrics", "").unwrap();
        let channel = format!("data_{}\"", Channel::Mempool.id());
        let ours = |line: &&str| line.starts_with(name) && line.contains(&from) && line.contains(&channel);
        let line = text.lines().find(ours)?;
        line.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    let before = node.process.as_ref().unwrap().resident();
    let (genesis, listen) = (cluster.genesis.clone(), cluster.nodes[3].p2p);
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let member = std::thread::spawn(move || flood(&genesis, key, listen, &told));
    let limited = || counted("network_spawner_messages_rate_limited_total");
    assert!(eventually(PATIENCE, limited).is_some(), "nothing is limited\n{}", node.log_text());

    let load = Load::on(&cluster.nodes[..1], Duration::from_millis(100));
    let received = || counted("network_spawner_messages_received_total").unwrap();
    let (first, height, started) = (received(), node.height().unwrap(), Instant::now());
    // The time of the flood, over which its rate is counted.
    std::thread::sleep(Duration::from_secs(SECONDS));
    let (taken, time) = (received() - first, started.elapsed());
    let blocks = node.height().unwrap() - height;
    let accepted = load.stop();
    let grown = node.process.as_ref().unwrap().resident().saturating_sub(before);
    stop.store(true, Ordering::Relaxed);
    let offered = member.join().unwrap();
    println!("{offered} offered, {taken} taken in {time:?}, {blocks} blocks, {} MiB more", grown / MIB);
    let quota = u64::from(Channel::Mempool.quota().burst_size().get());
    assert!(taken <= quota * (time.as_secs() + 2), "{taken} messages taken in {time:?}");
    assert!(offered > 10 * taken, "{offered} are no flood");
    assert!(blocks > SECONDS && grown < 64 * MIB, "{blocks} blocks, {grown} bytes more");
    // It is a member still.
    cluster.nodes[3].start(&[]);
    cluster.nodes[3].becomes_ready();
    load::check(&cluster, &accepted);
}

/// Nor does a node start that has such a key itself.
#[test]
fn a_node_with_an_unknown_key_says_so() {
    let mut cluster = Cluster::prepare(4, |_| ());
    let node = &mut cluster.nodes[3];
    let keys = node.dir.join("keys");
    std::fs::remove_file(keys.join("identity.key")).unwrap();
    baton_node::keys::write_identity(&keys, &Signer::from_seed(4_711)).unwrap();
    let said = node.fails_to_start(&[]);
    assert!(said.contains("is not a member of the genesis"), "{said}");
}

/// The port for monitoring takes 64 connections, counts the others, and answers again when there is room.
#[test]
fn garbage_on_the_ops_port_disturbs_nobody() {
    const OPS_CONNECTIONS_MAX: u64 = 64;
    const TOO_MANY: u64 = 20;
    let mut cluster = Cluster::prepare(1, |_| ());
    cluster.nodes[0].start(&[]);
    cluster.nodes[0].becomes_ready();
    let node = &cluster.nodes[0];
    for (request, expect) in [
        ("GET /nothing", 404),
        ("POST /metrics", 405),
        ("DELETE /readyz", 405),
        ("GET /../../etc/passwd", 404),
    ] {
        assert_eq!(http(node.ops, request, "").unwrap().0, expect, "{request}");
    }
    let mut open = Vec::new();
    for number in 0..OPS_CONNECTIONS_MAX + TOO_MANY {
        let mut stream = connect(node.ops);
        let garbage: &[u8] = match number % 3 {
            0 => b"",
            1 => b"POST /metrics HTTP/1.1\r\ncontent-length: 99999999999\r\n",
            _ => b"GET /",
        };
        // It may be refused already.
        let _ = stream.write_all(garbage);
        open.push(stream);
    }
    grows(node);
    drop(open);
    let counted = eventually(PATIENCE, || {
        let (status, text) = http(node.ops, "GET /metrics", "").ok()?;
        let refused = |line: &str| line.strip_prefix("baton_ops_connections_refused_total ")?.parse().ok();
        (status == 200).then(|| text.lines().find_map(refused)).flatten()
    });
    assert!(counted.is_some_and(|refused: u64| refused >= TOO_MANY), "{counted:?} refused");
    assert_eq!(node.metric("baton_rpc_connections_refused_total"), 0);
    assert_eq!(node.readiness(), Some(Ok(())));
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
    let call = |method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
    };
    let unknown = format!("0x{}", "77".repeat(32));
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
        (&call("baton_election", json!({"height": 0})), (200, -32_000, json!("bad_request"))),
        (&call("baton_election", json!({"height": u64::MAX})), (200, -32_000, json!("not_found"))),
        (&call("baton_electionProof", json!({"height": u64::MAX})), (200, -32_000, json!("not_found"))),
        (&call("baton_electionProof", json!({"height": "x"})), (200, -32_602, json!("bad_request"))),
        (&call("baton_epochProof", json!({})), (200, -32_000, json!("bad_request"))),
        (&call("baton_epochProof", json!({"epoch": 0, "member": 9})), (200, -32_000, json!("bad_request"))),
        (&call("baton_epochProof", json!({"proof_hash": "0x0"})), (200, -32_000, json!("bad_request"))),
        (&call("baton_epochProof", json!({"proof_hash": unknown})), (200, -32_000, json!("not_found"))),
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
    let mut stream = connect_from(from, node.rpc).unwrap();
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

/// As many files as the system lets a process have open: this one, and the nodes that it starts.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    assert!(maximum.is_none_or(|files| files >= 2 * 6_000), "ulimit -Hn {maximum:?}: this test needs 12,000");
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Five thousand connections, five hundred subscribers that never read, and large messages that never end,
/// while a load goes on. The memory of the flooded node stays below what `rpc.memory_bytes_max` and
/// `CONNECTION_BYTES_MAX` allow.
#[test]
fn floods_stay_within_the_memory_set_aside_for_them() {
    const SUBSCRIBERS: usize = 500;
    const UNFINISHED: usize = 60;
    /// From one address: half of them is its share, and the rest is refused.
    const FROM_ONE: usize = 3_500;
    const CONNECTIONS_MAX: usize = 6_000;
    const REFUSED: usize = FROM_ONE - CONNECTIONS_MAX / 2;
    /// From others, as many each.
    const FROM_OTHERS: usize = 2_000;
    const OTHERS: [u8; 4] = [3, 4, 5, 6];
    const MEMORY: u64 = 32 * MIB;
    /// What the load itself may need more while all this goes on.
    const LOAD: u64 = 96 * MIB;
    /// Blocks that the cluster makes under the flood.
    const UNDER_FLOOD: u64 = 100;
    raise_open_files();
    let mut cluster = Cluster::prepare(4, |_| ());
    let flags = [
        format!("rpc.memory_bytes_max={MEMORY}"),
        "rpc.request_bytes_max=2097152".to_owned(),
        format!("rpc.connections_max={CONNECTIONS_MAX}"),
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|flag| ["--set", flag]).collect();
    cluster.nodes.iter_mut().for_each(|node| node.start(&flags));
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    let load = Load::start(&cluster, Duration::from_millis(100));
    let node = &cluster.nodes[0];
    let process = node.process.as_ref().unwrap();
    grows(node);
    let before = process.resident();

    let subscribe = call("baton_subscribe", json!({"topic": "blocks", "ids": true}));
    let deaf: Vec<_> = (0..SUBSCRIBERS)
        .map(|_| {
            let mut stream = websocket(node, 1);
            stream.write_all(&frame(subscribe.len(), subscribe.as_bytes())).unwrap();
            stream
        })
        .collect();
    let subscribed = || (node.metric("baton_rpc_subscriptions") == SUBSCRIBERS as u64).then_some(());
    assert!(eventually(PATIENCE, subscribed).is_some(), "{}", node.metric("baton_rpc_subscriptions"));
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
    // Some are refused, which may show as an error of the connection.
    let mut idle: Vec<_> = (0..FROM_ONE).map(|_| connect_from(2, node.rpc)).collect();
    idle.extend((0..FROM_OTHERS).map(|number| connect_from(OTHERS[number % OTHERS.len()], node.rpc)));
    let open = (FROM_ONE - REFUSED + FROM_OTHERS) as u64;
    let all_there = || (node.metric("baton_rpc_connections") >= open).then_some(());
    assert!(eventually(PATIENCE, all_there).is_some(), "{}", node.metric("baton_rpc_connections"));
    let refused = node.metric("baton_rpc_connections_refused_total");
    assert!(refused >= REFUSED as u64, "{refused} refused");

    let height = cluster.nodes[1].height().expect("a node that answers") + UNDER_FLOOD;
    let mut most = 0;
    let pressed = eventually(PATIENCE, || {
        most = most.max(process.resident());
        // Another client is served all the while.
        let status = call("baton_status", json!({}));
        let (status, answer) = http_on(&mut connect_from(9, node.rpc).unwrap(), "POST /", &status).unwrap();
        assert_eq!(status, 200, "{answer}");
        let finalized: Value = serde_json::from_str(&answer).unwrap();
        let went_on = finalized["result"]["finalized_height"].as_u64() >= Some(height);
        (went_on && node.metric("baton_rpc_connections_dropped_total") > 0).then_some(())
    });
    assert!(pressed.is_some(), "nobody was dropped for memory, or the chain stood still");
    let connections = (SUBSCRIBERS + UNFINISHED) as u64 + open;
    let allowed = MEMORY + connections * baton_node::config::CONNECTION_BYTES_MAX as u64 + LOAD;
    let grown = most.saturating_sub(before);
    println!("{} MiB more than {} MiB, {} allowed", grown / MIB, before / MIB, allowed / MIB);
    assert!(grown < allowed, "{} MiB, allowed {} MiB", grown / MIB, allowed / MIB);
    drop((deaf, unfinished, idle));

    let accepted = load.stop();
    load::check(&cluster, &accepted);
    assert_eq!(cluster.nodes[1].metric("baton_rpc_connections_refused_total"), 0);
}

/// Connections are open files. They never take those that the storage needs.
#[test]
fn connections_leave_files_for_the_node() {
    const FILES: u64 = 512;
    let mut cluster = Cluster::prepare(1, |_| ());
    let node = &mut cluster.nodes[0];
    node.start_with_files(FILES);
    node.becomes_ready();
    let node = &cluster.nodes[0];
    let said = "too few files may be open for so many connections; raise the limit";
    assert!(node.log_text().contains(said), "{}", node.log_text());
    let open: Vec<_> =
        (0..FILES).map(|number| connect_from(2 + u8::try_from(number % 3).unwrap(), node.rpc)).collect();
    let refused = || (node.metric("baton_rpc_connections_refused_total") >= FILES / 2).then_some(());
    assert!(eventually(PATIENCE, refused).is_some(), "{}", node.log_text());
    assert!(node.metric("baton_rpc_connections") <= FILES / 2);
    assert_eq!(node.metric("baton_rpc_accepts_failed_total"), 0, "{}", node.log_text());
    let finalized = || node.metric("node_marshal_finalized_height");
    let before = finalized();
    assert!(eventually(PATIENCE, || (finalized() > before + 3).then_some(())).is_some());
    drop(open);
    grows(node);
}
