use super::*;
use crate::{
    api::{Caller, Health},
    config::{Cors, Limits},
    dispatch::{NoParams, Table},
    metrics::Dropped,
    server::ops::{CONNECTIONS_MAX, Ops, serve_ops},
    session,
};
use futures::{SinkExt as _, StreamExt as _};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

#[derive(Deserialize, JsonSchema)]
struct Bytes {
    bytes: usize,
}

fn table() -> Table<()> {
    Table::default()
        .with("who", "", |(), caller: Caller, _: NoParams| async move { Ok(caller.key.to_string()) })
        .with("never", "", |(), _, _: NoParams| std::future::pending::<Result<(), Refusal>>())
        .with("flood", "", |(), caller: Caller, params: Bytes| async move {
            let (session, starts) = session::of(&caller)?;
            session.subscribe(starts, session::Style::Baton, move |feed| async move {
                let text = format!("\"{}\"", "x".repeat(params.bytes));
                loop {
                    feed.send(&[&text]).await?;
                }
            })
        })
}

struct Running {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

async fn start(config: ServerConfig) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let table = Arc::new(table());
    let metrics = Arc::new(Metrics::new(table.methods().iter().map(|method| method.name)));
    let dispatcher = Dispatcher::new(table, config.limits.clone(), metrics.clone());
    let rollup = |(): &(), name: &str| match name {
        "demo" => Ok(()),
        _ => Err(Refusal::new(Reason::UnknownRollup, "only demo")),
    };
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move { stopped.await.unwrap_or(()) };
    let serving = tokio::spawn(serve_over(listener, (), dispatcher, rollup, config, shutdown));
    Running { address, metrics, stop, serving }
}

async fn started(limits: Limits) -> Running {
    start(ServerConfig { limits, ..ServerConfig::default() }).await
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Running {
    async fn request(&self, head: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        read_reply(stream).await
    }

    async fn post(&self, body: &str) -> Reply {
        self.request("POST /", body).await
    }

    async fn websocket(&self) -> WebSocketStream<TcpStream> {
        self.websocket_from("/", None).await.unwrap()
    }

    async fn websocket_from(
        &self,
        path: &str,
        origin: Option<&str>,
    ) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
    }

    async fn until(&self, condition: impl Fn(&Metrics) -> bool) {
        let wait = async {
            while !condition(&self.metrics) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "not in time:\n{}", self.metrics.text());
    }
}

async fn read_reply(mut stream: TcpStream) -> Reply {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn call(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

async fn next_json(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        match socket.next().await.expect("an open connection").unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => (),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn posts_are_answered_on_every_path() {
    let server = started(Limits::default()).await;
    for path in ["/", "/rollup/demo"] {
        let reply = server.request(&format!("POST {path}"), &call("who", json!({}))).await;
        assert_eq!(reply.status, 200);
        assert!(reply.head.contains("content-type: application/json"));
        assert_eq!(reply.json(), json!({"jsonrpc": "2.0", "id": 1, "result": "127.0.0.1"}));
    }
    let reply = server.request("POST /rollup/none", &call("who", json!({}))).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"]["data"], json!({"reason": "unknown_rollup", "detail": "only demo"}));
    assert_eq!(server.post(r#"{"jsonrpc":"2.0","method":"who"}"#).await.status, 204);
    assert_eq!(server.post("{").await.json()["error"]["code"], -32_700);
}

#[tokio::test]
async fn other_requests_are_told_where_the_api_is() {
    let server = started(Limits::default()).await;
    for (head, status) in [("GET /", 200), ("GET /nothing", 404), ("PUT /", 405)] {
        let reply = server.request(head, "").await;
        assert_eq!((reply.status, reply.body.as_str()), (status, ABOUT), "{head}");
    }
}

#[tokio::test]
async fn subscriptions_need_a_websocket() {
    let server = started(Limits::default()).await;
    let reply = server.post(&call("flood", json!([1]))).await.json();
    assert_eq!(reply["error"]["data"]["reason"], "bad_request");
    assert!(reply["error"]["message"].as_str().unwrap().contains("ws://"));
}

#[tokio::test]
async fn bodies_are_limited() {
    let server = started(Limits { request_bytes_max: 1_024, ..Limits::default() }).await;
    let reply = server.post(&" ".repeat(1_025)).await;
    assert_eq!(reply.status, 413);
    assert_eq!(reply.json()["error"]["data"]["reason"], "too_large");
    assert_eq!(reply.json()["error"]["code"], -32_000);

    // Without a declared length the limit holds just as well.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1_024));
    let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(read_reply(stream).await.status, 413);

    let body = call("who", json!({}));
    let padded = format!("{}{body}", " ".repeat(1_024 - body.len()));
    assert_eq!(server.post(&padded).await.status, 200);
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let server = started(Limits { request_timeout_ms: 100, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_reply(stream).await.status, 408);
}

#[tokio::test]
async fn requests_in_progress_are_limited() {
    let server = started(Limits { requests_max: 1, ..Limits::default() }).await;
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    let body = call("never", json!({}));
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stuck.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    server.until(|metrics| metrics.in_flight.load(Relaxed) == 1).await;
    let reply = server.post(&call("who", json!({}))).await;
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("retry-after: 1"));
    assert_eq!(reply.json()["error"]["data"]["reason"], "busy");
    // A client that hangs up frees its place.
    drop(stuck);
    server.until(|metrics| metrics.in_flight.load(Relaxed) == 0).await;
    assert_eq!(server.post(&call("who", json!({}))).await.status, 200);
}

#[tokio::test]
async fn connections_are_limited() {
    let server = started(Limits { connections_max: 2, client_share_percent: 100, ..Limits::default() }).await;
    let open = (TcpStream::connect(server.address).await.unwrap(), server.websocket().await);
    server.until(|metrics| metrics.connections.load(Relaxed) == 2).await;
    let reply = server.post(&call("who", json!({}))).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, "this node serves 2 connections already; retry, or use another node\n");
    assert_eq!(server.metrics.connections_refused.load(Relaxed), 1);
    drop(open);
    server.until(|metrics| metrics.connections.load(Relaxed) == 0).await;
    assert_eq!(server.post(&call("who", json!({}))).await.status, 200);
}

/// Loopback has many addresses; each is a client of its own.
async fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn no_client_takes_all_connections() {
    let server = started(Limits { connections_max: 4, ..Limits::default() }).await;
    let open = [connect_from(1, server.address).await, connect_from(1, server.address).await];
    server.until(|metrics| metrics.connections.load(Relaxed) == 2).await;
    let reply = read_reply(connect_from(1, server.address).await).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, "2 connections from this address are open; close one, or use another node\n");
    assert_eq!(server.metrics.connections_refused.load(Relaxed), 1);
    let mut other = connect_from(2, server.address).await;
    let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    other.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_reply(other).await.status, 200);
    drop(open);
}

#[tokio::test]
async fn no_client_takes_all_requests_or_their_memory() {
    let limits =
        Limits { requests_max: 4, request_bytes_max: 4_096, requests_bytes_max: 8_192, ..Limits::default() };
    let server = started(limits).await;
    let body = call("never", json!({}));
    let stuck =
        |length: usize| format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    let mut first = connect_from(1, server.address).await;
    first.write_all(stuck(body.len()).as_bytes()).await.unwrap();
    server.until(|metrics| metrics.in_flight.load(Relaxed) == 1).await;
    // Most of a body that never comes takes the rest of this client's memory.
    let mut second = connect_from(1, server.address).await;
    second.write_all(stuck(4_000).as_bytes()).await.unwrap();
    let refused = async |last: u8| {
        let mut stream = connect_from(last, server.address).await;
        let body = call("who", json!({}));
        let length = body.len();
        let head =
            format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        read_reply(stream).await
    };
    while refused(1).await.status == 200 {}
    let reply = refused(1).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.json()["error"]["data"]["reason"], "client_limit");
    assert_eq!(refused(2).await.status, 200);
}

#[tokio::test]
async fn a_head_or_message_that_trickles_in_is_cut_off() {
    let server = started(Limits { request_timeout_ms: 100, ..Limits::default() }).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let mut socket = server.websocket().await;
    let trickle = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while slow.write_all(b"P").await.is_ok() {
            ticks.tick().await;
        }
    };
    trickle.await;
    assert_eq!(server.metrics.dropped_so_far(Dropped::Slow), 1);
    // Pongs between the frames of a message do not stop its clock.
    let frame = |opcode: OpCode, data: &'static [u8]| Message::Frame(Frame::message(data, opcode, false));
    let mut next = frame(OpCode::Data(Data::Text), b"{");
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while socket.send(next).await.is_ok() && socket.send(Message::Pong(bytes::Bytes::new())).await.is_ok() {
        next = frame(OpCode::Data(Data::Continue), b" ");
        ticks.tick().await;
    }
    assert_eq!(server.metrics.dropped_so_far(Dropped::Slow), 2);
}

#[tokio::test]
async fn memory_that_others_wait_for_is_taken_from_who_does_not_read() {
    // Half a minute before its writes would stall.
    let limits = Limits { queue_bytes_max: 64 * 1_024, ..Limits::default() };
    let server = started(limits).await;
    let mut deaf = server.websocket().await;
    deaf.send(Message::text(call("flood", json!([10_000])))).await.unwrap();
    server.until(|metrics| metrics.subscriptions.load(Relaxed) == 1).await;
    server.until(|metrics| metrics.dropped_so_far(Dropped::Pressed) == 1).await;
    let mut other = server.websocket().await;
    other.send(Message::text(call("who", json!([])))).await.unwrap();
    assert_eq!(next_json(&mut other).await["result"], "127.0.0.1");
    drop(deaf);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = started(Limits { idle_timeout_ms: 100, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    // Nobody polls it, so it answers no pings.
    let _deaf = server.websocket().await;
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    server.until(|metrics| metrics.connections.load(Relaxed) == 0).await;
}

#[tokio::test]
async fn whoever_answers_pings_stays() {
    let server = started(Limits { idle_timeout_ms: 1_000, ..Limits::default() }).await;
    let mut socket = server.websocket().await;
    let mut pings = 0;
    // More pings than fit in the idle time.
    while pings < 8 {
        let message = socket.next().await.expect("an open connection").unwrap();
        assert!(matches!(message, Message::Ping(_)), "{message:?}");
        pings += 1;
    }
    assert_eq!(server.metrics.websockets.load(Relaxed), 1);
}

#[tokio::test]
async fn pages_are_told_whether_they_may_read() {
    let origins = vec!["https://wallet.example".to_owned()];
    let listed = start(ServerConfig { cors: Cors::Origins(origins), ..ServerConfig::default() }).await;
    let any = start(ServerConfig { cors: Cors::Any, ..ServerConfig::default() }).await;
    let own = started(Limits::default()).await;
    for (server, origin, expect) in [
        (&listed, "https://wallet.example", Some("https://wallet.example")),
        (&listed, "https://other.example", None),
        (&any, "https://other.example", Some("*")),
        (&own, "https://other.example", None),
    ] {
        for head in ["OPTIONS /", "POST /", "POST /rollup/none"] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let request = format!(
                "{head} HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let reply = read_reply(stream).await;
            let allowed = expect.map(|origin| format!("access-control-allow-origin: {origin}\r\n"));
            let got = format!("{}\r\n", reply.head);
            match allowed {
                Some(header) => assert!(got.contains(&header), "{head} {origin}: {got}"),
                None => assert!(!got.contains("access-control-allow-origin"), "{head} {origin}: {got}"),
            }
            if head.starts_with("OPTIONS") {
                assert_eq!(reply.status, 204);
            }
        }
    }
    assert!(any.websocket_from("/", Some("https://other.example")).await.is_ok());
    assert!(own.websocket_from("/", Some("https://other.example")).await.is_err());
    assert!(own.websocket_from("/", Some(&format!("http://{}", own.address))).await.is_ok());
}

#[tokio::test]
async fn websockets_answer_calls_and_batches() {
    let server = started(Limits::default()).await;
    let mut socket = server.websocket_from("/rollup/demo", None).await.unwrap();
    assert!(server.websocket_from("/rollup/none", None).await.is_err());
    socket.send(Message::text(call("who", json!([])))).await.unwrap();
    assert_eq!(next_json(&mut socket).await["result"], "127.0.0.1");
    socket.send(Message::binary(call("who", json!([])))).await.unwrap();
    assert_eq!(next_json(&mut socket).await["result"], "127.0.0.1");
    let batch = format!("[{0},{0}]", call("who", json!([])));
    socket.send(Message::text(batch)).await.unwrap();
    assert_eq!(next_json(&mut socket).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_slow_call_does_not_hold_up_the_next() {
    let server = started(Limits { connection_requests_max: 2, ..Limits::default() }).await;
    let mut socket = server.websocket().await;
    socket.send(Message::text(call("never", json!([])))).await.unwrap();
    socket.send(Message::text(call("who", json!([])))).await.unwrap();
    assert_eq!(next_json(&mut socket).await["result"], "127.0.0.1");
}

#[tokio::test]
async fn messages_are_limited() {
    let server = started(Limits { request_bytes_max: 1_024, ..Limits::default() }).await;
    let mut socket = server.websocket().await;
    socket.send(Message::text(" ".repeat(1_025))).await.unwrap();
    server.until(|metrics| metrics.websockets.load(Relaxed) == 0).await;
}

#[tokio::test]
async fn the_reply_comes_before_the_notifications() {
    let server = started(Limits::default()).await;
    let mut socket = server.websocket().await;
    socket.send(Message::text(call("flood", json!([10])))).await.unwrap();
    assert_eq!(next_json(&mut socket).await["result"], 1);
    let notification = next_json(&mut socket).await;
    assert_eq!(notification["method"], "baton_subscription");
    assert_eq!(notification["params"], json!({"subscription": 1, "result": "xxxxxxxxxx"}));
    drop(socket);
    server.until(|metrics| metrics.subscriptions.load(Relaxed) == 0).await;
}

/// Memory stays bounded while the peer does not read, and the peer is dropped when it never does.
#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    const MESSAGE: usize = 10_000;
    let limits =
        Limits { connection_queue_bytes_max: 64 * 1_024, stall_timeout_ms: 1_000, ..Limits::default() };
    let server = started(limits).await;
    let mut socket = server.websocket().await;
    socket.send(Message::text(call("flood", json!([MESSAGE])))).await.unwrap();
    server.until(|metrics| metrics.subscriptions.load(Relaxed) == 1).await;
    // The queue fills, and what the system buffers; then nothing more is made.
    server.until(|metrics| metrics.websockets.load(Relaxed) == 0).await;
    server
        .until(|metrics| metrics.subscriptions.load(Relaxed) == 0 && metrics.connections.load(Relaxed) == 0)
        .await;
    let made = usize::try_from(server.metrics.notifications.load(Relaxed)).unwrap() * MESSAGE;
    assert!(made < 64 * 1_024 * 1_024, "{made} bytes were made for a client that reads nothing");
    drop(socket);
}

#[tokio::test]
async fn stopping_says_goodbye_and_frees_the_port() {
    let server = started(Limits::default()).await;
    let mut socket = server.websocket().await;
    let keep_alive = TcpStream::connect(server.address).await.unwrap();
    server.until(|metrics| metrics.connections.load(Relaxed) == 2).await;
    server.stop.send(()).unwrap();
    let last = socket.next().await.unwrap().unwrap();
    assert!(matches!(last, Message::Close(Some(_))), "{last:?}");
    drop((socket, keep_alive));
    server.serving.await.unwrap().unwrap();
    assert!(TcpListener::bind(server.address).await.is_ok());
}

#[tokio::test]
async fn ops_endpoints_tell_health_and_metrics() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (health, source) = watch::channel(Health::not_ready("catching up: 12 blocks behind"));
    let ops = Ops { health: source, metrics: Arc::new(|| "baton_up 1\n".to_owned()) };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve_ops(listener, ops, async move { stopped.await.unwrap_or(()) }));
    let get = |path: &'static str| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let reply = read_reply(stream).await;
        (reply.status, reply.body)
    };
    assert_eq!(get("/livez").await, (200, "alive\n".to_owned()));
    assert_eq!(get("/readyz").await, (503, "catching up: 12 blocks behind\n".to_owned()));
    health.send_replace(Health::ready());
    assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, text) = get("/metrics").await;
    assert!(status == 200 && text.starts_with("baton_up 1\n"), "{text}");
    assert!(text.contains("\nbaton_ops_connections_refused_total 0\n"), "{text}");
    assert_eq!(get("/").await.0, 404);
    // Of too many at once the rest is refused, and counted.
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX + 3 {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    let refusal = read_reply(open.pop().unwrap()).await;
    assert_eq!(refusal.status, 503, "{}", refusal.body);
    drop(open);
    let refused = loop {
        let (status, text) = get("/metrics").await;
        if status == 200 {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let count = refused.lines().find_map(|line| line.strip_prefix("baton_ops_connections_refused_total "));
    assert!(count.and_then(|count| count.parse().ok()).is_some_and(|count: u64| count >= 3), "{refused}");
    drop(stop);
    serving.await.unwrap().unwrap();
}

/// Head and body of the answer to a GET.
async fn get(running: &Running, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    (String::from_utf8(reply[..end].to_vec()).unwrap().to_lowercase(), reply[end + 4..].to_vec())
}

#[tokio::test]
async fn browsers_get_the_explorer_and_programs_a_line_of_text() {
    let running = started(Limits::default()).await;
    let files = [
        ("/", "text/html"),
        ("/explorer/app.js", "text/javascript"),
        ("/explorer/app.css", "text/css"),
        ("/explorer/verify.js", "text/javascript"),
        ("/explorer/wallet.js", "text/javascript"),
        ("/explorer/icon.svg", "image/svg+xml"),
    ];
    for (path, kind) in files {
        let (head, body) = get(&running, path, "accept: text/html,*/*;q=0.8\r\n").await;
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        for line in [
            &format!("content-type: {kind}"),
            "content-encoding: gzip",
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(line), "{path}: no {line} in {head}");
        }
        assert_eq!(body[..2], [0x1f, 0x8b], "{path} is compressed");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let (again, body) =
            get(&running, path, &format!("accept: text/html\r\nif-none-match: {tag}\r\n")).await;
        assert!(again.starts_with("http/1.1 304") && body.is_empty(), "{path}: {again}");
    }
    let (head, body) = get(&running, "/", "accept: */*\r\n").await;
    assert!(head.contains("text/plain") && body == ABOUT.as_bytes(), "{head}");
    let (head, _) = get(&running, "/explorer/none.js", "").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
}
