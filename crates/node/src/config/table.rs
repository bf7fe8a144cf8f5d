//! The one list of keys of `node.toml`.

use baton_types::{PublicKey, hex};
use std::{fmt::Write as _, net::SocketAddr};
use toml::{Table, Value};

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Relative to the file it stands in.
    Path,
    Address,
    Integer {
        min: i64,
        max: i64,
    },
    Choice(&'static [&'static str]),
    /// Directives of a log filter.
    Filter,
    /// `"*"` or a list of origins.
    Cors,
    /// Identity to address.
    Peers,
    /// Of nodes of L1.
    Urls,
    /// `"full"` or a number of blocks.
    History,
    /// Of plain HTTP.
    Url,
    /// Of a rollup.
    Name,
}

/// One key: everything about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Dotted.
    pub name: &'static str,
    pub kind: Kind,
    /// As it would stand in the file; none for an optional value.
    pub default: Option<&'static str>,
    /// Written above the key by `baton config init`.
    pub doc: &'static [&'static str],
    /// How an optional value might look.
    pub example: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static [&'static str]) -> Key {
    Key { name, kind, default: Some(default), doc, example: "" }
}

const fn optional(
    name: &'static str,
    kind: Kind,
    example: &'static str,
    doc: &'static [&'static str],
) -> Key {
    Key { name, kind, default: None, doc, example }
}

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const MIB: i64 = 1024 * 1024;

/// In the order of the file: keys without a section first.
pub const KEYS: &[Key] = &[
    key(
        "genesis",
        Kind::Path,
        "\"genesis.json\"",
        &["The genesis of the chain, the same file on every node."],
    ),
    key(
        "data_dir",
        Kind::Path,
        "\"data\"",
        &["Blocks, certificates, votes and the key share. One directory, one process."],
    ),
    key(
        "keys_dir",
        Kind::Path,
        "\"keys\"",
        &[
            "identity.key, and share.key until the node has imported it.",
            "Neither may be readable by group or others.",
        ],
    ),
    key("worker_threads", integer(1, 256), "2", &["Threads that run the node."]),
    key("p2p.listen", Kind::Address, "\"0.0.0.0:30545\"", &["Where the other members reach this node."]),
    key(
        "p2p.peers",
        Kind::Peers,
        "{}",
        &[
            "Where this node reaches a member, instead of the address in the genesis:",
            "{ \"0x<identity>\" = \"10.0.0.2:30545\" }",
        ],
    ),
    key("rpc.listen", Kind::Address, "\"127.0.0.1:8545\"", &["JSON-RPC over HTTP and WebSocket."]),
    key(
        "rpc.cors",
        Kind::Cors,
        "[]",
        &["Origins whose web pages may call the API: a list of origins, or \"*\" for all."],
    ),
    optional(
        "rpc.tokens_file",
        Kind::Path,
        "\"tokens.toml\"",
        &[
            "API tokens, one line each: name = \"token\". Limits then apply per token.",
            "Not readable by group or others.",
        ],
    ),
    key(
        "rpc.connections_max",
        integer(1, 100_000),
        "1024",
        &["Connections at once. At most half of the files that the process may have open."],
    ),
    key(
        "rpc.client_share_percent",
        integer(1, 100),
        "50",
        &[
            "What one client may have of all connections, requests, their memory and subscriptions.",
            "A client is an address or, for requests, a token. Behind a proxy all clients have its address:",
            "give them tokens and set 100.",
        ],
    ),
    key(
        "rpc.request_bytes_max",
        integer(4_096, 256 * MIB),
        "8388608",
        &["Largest request body or WebSocket message, in bytes."],
    ),
    key(
        "rpc.memory_bytes_max",
        integer(MIB, 64 * 1024 * MIB),
        "268435456",
        &[
            "Memory for what clients send and do not get answered yet, and for what they are sent and do not",
            "read: half for each, for all clients together, in bytes. Each connection takes up to 40 KiB more.",
        ],
    ),
    key("rpc.batch_max", integer(1, 10_000), "100", &["Calls in one JSON-RPC batch."]),
    key("rpc.submit_max", integer(1, 1_000_000), "10000", &["Transactions in one baton_submitBatch."]),
    key("rpc.subscriptions_max", integer(1, 10_000), "64", &["Subscriptions of one connection."]),
    key(
        "ops.listen",
        Kind::Address,
        "\"127.0.0.1:9545\"",
        &["/livez, /readyz and /metrics. Keep it private."],
    ),
    key(
        "limits.mempool_bytes_max",
        integer(MIB, 64 * 1024 * MIB),
        "268435456",
        &["Payloads waiting on this node, in bytes."],
    ),
    key(
        "limits.mempool_transactions_max",
        integer(1, 100_000_000),
        "1000000",
        &["Transactions waiting on this node."],
    ),
    key(
        "limits.client_bytes_max",
        integer(1, 64 * 1024 * MIB),
        "67108864",
        &["Payloads waiting from one client (an address or a token), in bytes."],
    ),
    key(
        "limits.client_transactions_max",
        integer(1, 100_000_000),
        "200000",
        &["Transactions waiting from one client."],
    ),
    key(
        "limits.wait_ms_max",
        integer(1, 3_600_000),
        "100",
        &[
            "How long transactions may wait to be ordered. While as many wait as the cluster orders in this time,",
            "new ones are refused with busy. On a slow network it is three times the shortest wait, if that is",
            "longer. More orders a little more per second, later.",
        ],
    ),
    key(
        "eth.call_gas_max",
        integer(21_000, 1_000_000_000_000),
        "50000000",
        &["Ethereum API: gas of one call, or of one step of an estimate."],
    ),
    key(
        "eth.calls_max",
        integer(1, 1_024),
        "4",
        &["Calls, estimates, proofs and traces of one rollup at the same time. Others wait."],
    ),
    key("eth.logs_blocks_max", integer(1, 10_000_000), "10000", &["Blocks that one query of logs looks at."]),
    key("eth.logs_max", integer(1, 10_000_000), "20000", &["Logs in one answer."]),
    key("eth.filters_max", integer(1, 1_000_000), "1024", &["Filters of one rollup."]),
    key(
        "eth.filter_idle_ms",
        integer(100, 86_400_000),
        "300000",
        &["A filter that is not asked for so long is gone."],
    ),
    key(
        "eth.trace_bytes_max",
        integer(1_024, 1024 * MIB),
        "33554432",
        &["What one trace may record, in bytes."],
    ),
    key(
        "evm.states",
        integer(256, 1_000_000),
        "256",
        &[
            "Blocks of an EVM rollup after which the state can still be asked for, by eth_call, eth_getBalance,",
            "eth_getProof and debug_traceTransaction. Kept in memory: up to 2 KiB for each account and each slot",
            "that a block changed. After a start they begin anew.",
        ],
    ),
    optional(
        "auditor.rollup",
        Kind::Name,
        "\"evm\"",
        &[
            "A rollup that an execution client executes once more, to compare: a slotted one with Ethereum's",
            "base fee. All three keys of this section, or none. `baton config client-genesis` writes what the",
            "client starts from.",
        ],
    ),
    optional("auditor.url", Kind::Url, "\"http://127.0.0.1:8551\"", &["The client's Engine API."]),
    optional(
        "auditor.jwt_file",
        Kind::Path,
        "\"jwt.hex\"",
        &[
            "The secret that the client was started with: 64 hexadecimal digits.",
            "Not readable by group or others.",
        ],
    ),
    key(
        "storage.history",
        Kind::History,
        "\"full\"",
        &[
            "\"full\" keeps every block; { blocks = N } the last N, at least. N is at least twice the sum of",
            "validity_blocks_max and epoch_blocks of the genesis. A node that keeps N blocks and lacks those",
            "its peers no longer have joins at a recent one. A window does not become full again.",
        ],
    ),
    key(
        "storage.free_bytes_min",
        integer(0, 1024 * 1024 * MIB),
        "1073741824",
        &[
            "With less than this free on the disk of data_dir, in bytes, the node is not ready and says why.",
            "It goes on until the disk is full, and then stops.",
        ],
    ),
    key(
        "l1.endpoints",
        Kind::Urls,
        "[]",
        &[
            "Nodes of L1, http(s):// or ws(s)://; for a genesis with a section l1. With several the next is asked",
            "when one fails, and a block that they do not agree on is no origin. Without any, this node orders as",
            "the others do and sees nothing of L1.",
        ],
    ),
    key("l1.poll_ms", integer(50, 60_000), "2000", &["How often L1 is asked for news."]),
    Key {
        name: "l1.key_file",
        kind: Kind::Path,
        default: None,
        doc: &[
            "The key that pays for batches on L1: hex, or an encrypted keystore in JSON. Not readable by group or",
            "others. Without it this node posts nothing; one of the cluster has to.",
        ],
        example: "\"l1.key\"",
    },
    Key {
        name: "l1.password_file",
        kind: Kind::Path,
        default: None,
        doc: &["The password of an encrypted l1.key_file. Not readable by group or others."],
        example: "\"l1.password\"",
    },
    key(
        "l1.post_after_ms",
        integer(0, 3_600_000),
        "0",
        &[
            "How long this node lets others post a batch first. Give nodes different times: two that post at once",
            "pay twice, and do no other harm.",
        ],
    ),
    key(
        "l1.backlog_ms_max",
        integer(60_000, 2_592_000_000),
        "7200000",
        &[
            "When the oldest batch of a rollup that L1 does not have is older, clients of this node get no more of that",
            "rollup in until L1 has caught up. Far above what posting takes, so that it only happens when nobody posts.",
        ],
    ),
    key(
        "l1.directory",
        Kind::Path,
        "\"batches\"",
        &[
            "Where the data of batches are put when the genesis says directory, and whole batches when it has a",
            "section batches.",
        ],
    ),
    key(
        "l1.gas_fee_max_gwei",
        integer(1, 1_000_000),
        "500",
        &["Most to offer per gas; above, batches wait."],
    ),
    key("l1.blob_fee_max_gwei", integer(1, 1_000_000), "500", &["Most to offer per blob gas."]),
    key(
        "l1.batch_cost_max_gwei",
        integer(1, 1_000_000_000_000),
        "200000000",
        &["Most that one batch may cost; above, batches wait and the node is not ready."],
    ),
    key(
        "l1.day_cost_max_gwei",
        integer(1, 1_000_000_000_000),
        "2000000000",
        &["Most that all batches may cost in 24 hours, counted from the start of the node."],
    ),
    key(
        "log.format",
        Kind::Choice(&["pretty", "json"]),
        "\"pretty\"",
        &["pretty or json, on standard error."],
    ),
    key(
        "log.filter",
        Kind::Filter,
        "\"info\"",
        &["error, warn, info, debug, trace; per module as in \"info,baton_consensus=debug\"."],
    ),
];

const HEAD: &str = "\
# Settings of one Baton node. Every key stands here with its default.
# Precedence: flag, then environment (BATON_ and the key in capitals, dots as underscores), then
# this file, then the default. Relative paths start at this file.
";

pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

pub fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The known key that a mistyped one probably meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|key| (distance(key.name, name), key.name))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map(|(_, known)| known)
}

/// Edits that turn one text into the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[to.len()]
}

/// The whole file with defaults, or with `values` in their place.
pub fn render(values: &[(&str, String)]) -> String {
    let mut out = HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        let (own, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if own != section {
            section = own;
            let _ = writeln!(out, "\n[{section}]");
        } else {
            out.push('\n');
        }
        for line in key.doc {
            let _ = writeln!(out, "# {line}");
        }
        let given =
            values.iter().find(|(key_name, _)| *key_name == key.name).map(|(_, value)| value.as_str());
        let _ = match (given, key.default) {
            (Some(value), _) => writeln!(out, "{name} = {value}"),
            (None, Some(default)) => writeln!(out, "{name} = {default}"),
            (None, None) => writeln!(out, "# {name} = {}", key.example),
        };
    }
    out
}

impl Key {
    /// The environment variable.
    pub fn env(&self) -> String {
        format!("BATON_{}", self.name.replace('.', "_").to_uppercase())
    }

    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|text| literal(text).expect("defaults are TOML"))
    }

    /// A value given as text, by flag or environment.
    pub fn from_text(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Integer { .. } => text.parse().map(Value::Integer).map_err(|_| self.allowed()),
            Kind::Urls => {
                let urls = text.split(',').filter(|url| !url.is_empty());
                Ok(Value::Array(urls.map(|url| Value::String(url.trim().to_owned())).collect()))
            }
            Kind::Cors if text != "*" => {
                let origins = text.split(',').filter(|origin| !origin.is_empty());
                Ok(Value::Array(origins.map(|origin| Value::String(origin.trim().to_owned())).collect()))
            }
            Kind::Peers => {
                let mut peers = Table::new();
                for pair in text.split(',').filter(|pair| !pair.is_empty()) {
                    let (identity, address) = pair.split_once('=').ok_or_else(|| self.allowed())?;
                    peers.insert(identity.trim().to_owned(), Value::String(address.trim().to_owned()));
                }
                Ok(Value::Table(peers))
            }
            Kind::History if text != "full" => {
                let blocks = text.parse().map_err(|_| self.allowed())?;
                Ok(Value::Table([("blocks".to_owned(), Value::Integer(blocks))].into_iter().collect()))
            }
            _ => Ok(Value::String(text.to_owned())),
        }
    }

    /// Whether the value can stand; if not, what is allowed.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let fine = match (self.kind, value) {
            (Kind::Path, Value::String(path)) => !path.is_empty(),
            (Kind::Address, Value::String(address)) => address.parse::<SocketAddr>().is_ok(),
            (Kind::Integer { min, max }, Value::Integer(value)) => (min..=max).contains(value),
            (Kind::Url, Value::String(url)) => {
                url.strip_prefix("http://").is_some_and(|rest| rest.contains(|c: char| c.is_alphanumeric()))
            }
            (Kind::Name, Value::String(name)) => !name.is_empty(),
            (Kind::Choice(choices), Value::String(choice)) => choices.contains(&choice.as_str()),
            (Kind::Filter, Value::String(filter)) => tracing_subscriber::EnvFilter::try_new(filter).is_ok(),
            (Kind::Cors, Value::String(star)) => star == "*",
            (Kind::Cors, Value::Array(origins)) => {
                origins.iter().all(|origin| origin.as_str().is_some_and(|origin| origin.contains("://")))
            }
            (Kind::Urls, Value::Array(urls)) => urls.iter().all(|url| {
                let schemes = ["http://", "https://", "ws://", "wss://"];
                url.as_str().is_some_and(|url| schemes.iter().any(|scheme| url.starts_with(scheme)))
            }),
            (Kind::History, Value::String(full)) => full == "full",
            (Kind::History, Value::Table(window)) => {
                window.len() == 1 && window.get("blocks").and_then(Value::as_integer).is_some_and(|n| n > 0)
            }
            (Kind::Peers, Value::Table(peers)) => peers.iter().all(|(identity, address)| {
                hex::decode_value::<PublicKey>(identity, &()).is_ok()
                    && address.as_str().is_some_and(|address| address.parse::<SocketAddr>().is_ok())
            }),
            _ => false,
        };
        if fine { Ok(()) } else { Err(self.allowed()) }
    }

    fn allowed(&self) -> String {
        match self.kind {
            Kind::Path => "a path".to_owned(),
            Kind::Address => "an address and port, such as \"127.0.0.1:8545\"".to_owned(),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Url => {
                "an address such as \"http://127.0.0.1:8551\"; for TLS put a proxy in between".to_owned()
            }
            Kind::Name => "the name of a rollup of the genesis".to_owned(),
            Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
            Kind::Filter => "a log filter, such as \"info\" or \"info,baton_consensus=debug\"".to_owned(),
            Kind::Cors => "\"*\" or a list of origins, such as [\"https://example.org\"]".to_owned(),
            Kind::History => {
                "\"full\" or { blocks = N } (as flag or in the environment: full or N)".to_owned()
            }
            Kind::Urls => "a list of URLs with http://, https://, ws:// or wss://".to_owned(),
            Kind::Peers => "identities with addresses: { \"0x<64 digits>\" = \"10.0.0.2:30545\" }".to_owned(),
        }
    }
}

fn literal(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    table.remove("value")
}
