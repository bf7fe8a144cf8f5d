//! Real nodes as processes, for tests: files, ports, signals, calls over plain sockets, and a load that
//! remembers what was accepted.

pub mod disk;
pub mod load;

use baton_node::{
    config::table,
    keys::{Devnet, commit, devnet_genesis},
};
use baton_types::Genesis;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes on a machine that has other things to do as well.
pub const PATIENCE: Duration = Duration::from_secs(120);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

pub fn baton() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
    command.env("RUST_BACKTRACE", "0").env_remove("BATON_URL").env_remove("BATON_CONFIG");
    command
}

/// Looks until there is something to see; none when time is over.
pub fn eventually<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            found => return found,
        }
    }
}

/// Ports nobody has now, and which this program gives to nobody else. Below what systems hand out.
pub fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 64).unwrap() * 128;
    [(); N].map(|()| {
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (0..4_000)
            .map(|_| 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed) - 20_000) % 10_000)
            .find(|port| free(*port))
            .expect("a free port")
    })
}

/// A process that does not outlive the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be stopped; both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(status.unwrap().success(), "kill -{name}");
    }

    pub fn exits(&mut self, within: Duration) -> Option<ExitStatus> {
        eventually(within, || self.0.try_wait().unwrap())
    }

    /// Memory it has, in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1_024
    }
}

/// A cluster at a time: what it does in a second must not hang on what another test does.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cluster's files, and its nodes as far as they run.
pub struct Cluster {
    pub dir: tempfile::TempDir,
    pub genesis: Genesis,
    pub nodes: Vec<Node>,
    // Last, so that the next cluster starts when the nodes have ended.
    _alone: MutexGuard<'static, ()>,
}

pub struct Node {
    pub dir: PathBuf,
    pub rpc: SocketAddr,
    pub ops: SocketAddr,
    pub p2p: SocketAddr,
    pub process: Option<Running>,
}

impl Cluster {
    /// Files and keys of `nodes` members. `change` may set what the genesis leaves open.
    pub fn prepare(nodes: u16, change: impl FnOnce(&mut Genesis)) -> Self {
        let alone = alone();
        let dir = tempfile::tempdir().unwrap();
        let (mut genesis, keys) = devnet_genesis(Devnet { epoch_blocks: 100, ..Devnet::local(nodes, 1) });
        let mut made = Vec::new();
        for (index, (member, keys)) in genesis.members.iter_mut().zip(&keys).enumerate() {
            let [rpc, ops, p2p] = free_ports::<3>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            member.p2p = p2p;
            let node = dir.path().join(format!("node-{index}"));
            fs::create_dir(&node).unwrap();
            keys.write(&node.join("keys")).unwrap();
            let quoted = |text: &str| format!("\"{text}\"");
            let default = |name: &str| table::find(name).unwrap().default.unwrap().to_owned();
            let text = table::render(&[
                ("genesis", quoted("../genesis.json")),
                ("p2p.listen", quoted(&p2p.to_string())),
                ("rpc.listen", quoted(&rpc.to_string())),
                ("ops.listen", quoted(&ops.to_string())),
                ("limits.client_bytes_max", default("limits.mempool_bytes_max")),
                ("limits.client_transactions_max", default("limits.mempool_transactions_max")),
            ]);
            fs::write(node.join("node.toml"), text).unwrap();
            made.push(Node { dir: node, rpc, ops, p2p, process: None });
        }
        // A test is slower than a cluster: what it gave in must not expire while nodes are down.
        genesis.validity_blocks_max = 20_000;
        change(&mut genesis);
        // The commitments are made over all the rest.
        commit(&mut genesis, &keys);
        genesis.check().unwrap();
        fs::write(dir.path().join("genesis.json"), genesis.to_json()).unwrap();
        Self { dir, genesis, nodes: made, _alone: alone }
    }

    /// Starts all nodes and waits until they finalize.
    pub fn start(nodes: u16) -> Self {
        let mut cluster = Self::prepare(nodes, |_| ());
        cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
        cluster.nodes.iter_mut().for_each(Node::becomes_ready);
        cluster
    }

    /// The highest finalized height that a running node tells.
    pub fn height(&self) -> u64 {
        self.nodes.iter().filter_map(Node::height).max().expect("a node that answers")
    }
}

impl Node {
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = baton();
        command.args(["node", "--config"]).arg(self.dir.join("node.toml")).args(flags);
        command
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn start(&mut self, flags: &[&str]) {
        self.spawn(self.command(flags));
    }

    fn spawn(&mut self, mut command: Command) {
        let log = fs::File::create(self.log()).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.process = Some(Running(child));
    }

    /// Starts it with so many files that it may have open at most.
    pub fn start_with_files(&mut self, files: u64) {
        let node = self.command(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()]);
        command.arg(node.get_program()).args(node.get_args());
        self.spawn(command);
    }

    /// Runs it until it ends by itself; what it said last.
    pub fn fails_to_start(&mut self, flags: &[&str]) -> String {
        self.start(flags);
        let status = self.process.as_mut().unwrap().exits(PATIENCE);
        let log = self.log_text();
        let status = status.unwrap_or_else(|| panic!("it hangs:\n{log}"));
        self.process = None;
        assert_eq!(status.code(), Some(1), "{status}:\n{log}");
        last_words(&log)
    }

    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal("TERM");
        assert!(process.exits(PATIENCE).expect("it ignores SIGTERM").success(), "{}", self.log_text());
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().0.id()
    }

    /// None when nobody answers.
    pub fn readiness(&self) -> Option<Result<(), String>> {
        let (status, body) = http(self.ops, "GET /readyz", "").ok()?;
        Some(if status == 200 { Ok(()) } else { Err(body.trim().to_owned()) })
    }

    pub fn becomes_ready(&mut self) {
        let mut last = String::new();
        let ready = eventually(PATIENCE, || {
            let ended = self.process.as_mut().unwrap().0.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", self.log_text());
            match self.readiness() {
                Some(Ok(())) => Some(()),
                Some(Err(reason)) => {
                    last = reason;
                    None
                }
                None => None,
            }
        });
        assert!(ready.is_some(), "not ready: {last}\n{}", self.log_text());
    }

    /// Waits for a reason that contains `expect`.
    pub fn becomes_unready(&self, expect: &str) {
        let mut last = None;
        let seen = eventually(PATIENCE, || {
            last = self.readiness();
            matches!(&last, Some(Err(reason)) if reason.contains(expect)).then_some(())
        });
        assert!(seen.is_some(), "{expect:?}, but {last:?}\n{}", self.log_text());
    }

    pub fn call(&self, method: &str, params: Value) -> Option<Value> {
        let (_, answer) = http(self.rpc, "POST /", &call(method, params)).ok()?;
        let mut answer: Value = serde_json::from_str(&answer).ok()?;
        answer.get_mut("result").map(Value::take)
    }

    pub fn height(&self) -> Option<u64> {
        self.call("baton_status", json!({}))?["finalized_height"].as_u64()
    }

    pub fn reaches(&self, height: u64) {
        let reached = eventually(PATIENCE, || self.height().filter(|now| *now >= height));
        assert!(reached.is_some(), "at {:?} instead of {height}\n{}", self.height(), self.log_text());
    }

    /// Waits for so many more blocks; the height that it has then.
    pub fn advances(&self, blocks: u64) -> u64 {
        let height = self.height().expect("a node that answers") + blocks;
        self.reaches(height);
        height
    }

    /// The sum of a counter over its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let (_, text) = http(self.ops, "GET /metrics", "").unwrap();
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            (key == name || key.starts_with(&format!("{name}{{"))).then(|| value.parse::<u64>().ok())?
        });
        values.sum()
    }

    /// Calls of a method with this outcome.
    pub fn requests(&self, method: &str, outcome: &str) -> u64 {
        let labels = format!("method=\"{method}\",outcome=\"{outcome}\"");
        self.metric(&format!("baton_rpc_requests_total{{{labels}}}"))
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn storage(&self) -> PathBuf {
        self.data().join("storage")
    }
}

/// The one message a node ends with.
pub fn last_words(log: &str) -> String {
    let errors: Vec<_> = log.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "one message is expected:\n{log}");
    assert!(!log.contains("panicked at"), "a raw panic:\n{log}");
    errors[0].to_owned()
}

/// One request on a connection of its own: status and body.
pub fn http(to: SocketAddr, head: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&to, CALL_TIMEOUT)?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    http_on(&mut stream, head, body)
}

pub fn http_on(stream: &mut TcpStream, head: &str, body: &str) -> std::io::Result<(u16, String)> {
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, format!("no answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok((status, body.to_owned()))
}

/// A JSON-RPC request.
pub fn call(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// What a method answers at a path of `url`.
pub fn ask(url: &str, path: &str, method: &str, params: Value) -> Value {
    let to = url.strip_prefix("http://").unwrap().parse().unwrap();
    let (_, answer) = http(to, &format!("POST {path}"), &call(method, params)).unwrap();
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer["result"].take()
}

/// Copies a directory with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
