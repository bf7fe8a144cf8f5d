//! `node.toml`: what is private to one node. What all nodes must agree on is in the genesis.
//!
//! A value comes from the first of: flag, environment, file, default. Everything is checked once,
//! here; an error names where the value came from, its key, the value and what is allowed.
//! [`table::KEYS`] is the one list of keys: it yields defaults, ranges, environment variables and
//! the commented file that `baton config init` writes.

pub mod table;

#[cfg(test)]
mod tests;

pub use baton_rpc::config::CONNECTION_BYTES_MAX;

use baton_consensus::History;
use baton_rpc::eth::EthLimits;
use baton_types::{PublicKey, hex};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use table::{KEYS, Key, Kind};
use thiserror::Error;
use toml::{Table, Value};

/// Settings of one node, complete and checked. Paths are absolute or relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub genesis: PathBuf,
    pub data_dir: PathBuf,
    pub keys_dir: PathBuf,
    pub worker_threads: usize,
    pub p2p: P2pConfig,
    pub rpc: RpcConfig,
    pub ops: OpsConfig,
    pub limits: LimitsConfig,
    /// Of the Ethereum API.
    pub eth: EthLimits,
    pub evm: EvmConfig,
    #[serde(default)]
    pub auditor: AuditorConfig,
    pub storage: StorageConfig,
    pub l1: L1Config,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct P2pConfig {
    pub listen: SocketAddr,
    /// Addresses that replace those of the genesis, by identity in hex.
    pub peers: BTreeMap<String, SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcConfig {
    pub listen: SocketAddr,
    pub cors: Cors,
    /// TOML file of `name = "token"`.
    #[serde(default)]
    pub tokens_file: Option<PathBuf>,
    pub connections_max: usize,
    pub client_share_percent: usize,
    pub request_bytes_max: usize,
    pub memory_bytes_max: usize,
    /// Calls in one JSON-RPC batch.
    pub batch_max: usize,
    /// Transactions in one `baton_submitBatch`.
    pub submit_max: usize,
    /// Of one connection.
    pub subscriptions_max: usize,
}

/// Which web pages may call the API from a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cors {
    /// `"*"`
    Any(Star),
    Origins(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Star {
    #[serde(rename = "*")]
    Star,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsConfig {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    pub mempool_bytes_max: usize,
    pub mempool_transactions_max: usize,
    pub client_bytes_max: usize,
    pub wait_ms_max: u64,
    pub client_transactions_max: usize,
}

/// Of the executors of EVM rollups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvmConfig {
    /// States kept of each.
    pub states: usize,
}

/// An execution client that checks what is executed here; all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditorConfig {
    pub rollup: Option<String>,
    /// Of its Engine API.
    pub url: Option<String>,
    pub jwt_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    pub history: HistoryConfig,
    pub free_bytes_min: u64,
}

/// Of a cluster that settles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L1Config {
    pub endpoints: Vec<String>,
    pub poll_ms: u64,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    pub post_after_ms: u64,
    pub backlog_ms_max: u64,
    pub directory: PathBuf,
    pub gas_fee_max_gwei: u64,
    pub blob_fee_max_gwei: u64,
    pub batch_cost_max_gwei: u64,
    pub day_cost_max_gwei: u64,
}

/// How much of the chain this node keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryConfig {
    /// `"full"`
    Full(Full),
    /// The last blocks, at least so many.
    Window { blocks: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Full {
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub format: LogFormat,
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Pretty,
    Json,
}

/// An API token; never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Flag,
    Env(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {error}; `baton config init` writes one")]
    Read { path: String, error: std::io::Error },
    #[error("{path} is not TOML: {error}")]
    Syntax { path: String, error: Box<toml::de::Error> },
    #[error("{source_name}: {key}: unknown key{hint}")]
    UnknownKey { source_name: String, key: String, hint: String },
    #[error("{source_name}: {key} = {value}: {allowed}")]
    Invalid { source_name: String, key: String, value: String, allowed: String },
    #[error("{0}")]
    Secret(#[from] crate::keys::KeyError),
}

fn invalid(source: &Source, key: &str, value: impl fmt::Display, allowed: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        source_name: source.to_string(),
        key: key.to_owned(),
        value: value.to_string(),
        allowed: allowed.into(),
    }
}

/// One value, as `baton config show` prints it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub key: &'static Key,
    /// None where a value is optional and absent.
    pub value: Option<Value>,
    pub source: Source,
}

/// A checked configuration, with the source of every value.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: NodeConfig,
    pub settings: Vec<Setting>,
}

/// Merges flags, environment, file and defaults, and checks the result.
///
/// `flags` are pairs of a dotted key and its value as text. Relative paths of the file are relative
/// to the file; all others to the working directory.
pub fn load(
    file: Option<&Path>,
    flags: &[(String, String)],
    env: impl Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigError> {
    for (name, _) in flags {
        if table::find(name).is_none() {
            return Err(unknown("flag", name));
        }
    }
    let base = file.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let in_file = match file {
        Some(path) => read_file(path)?,
        None => BTreeMap::new(),
    };
    let mut settings = Vec::with_capacity(KEYS.len());
    for key in KEYS {
        let flag = flags.iter().rev().find(|(name, _)| name == key.name).map(|(_, text)| text.clone());
        let (value, source) = if let Some(text) = flag {
            (
                Some(key.from_text(&text).map_err(|why| invalid(&Source::Flag, key.name, &text, why))?),
                Source::Flag,
            )
        } else if let Some(text) = env(&key.env()) {
            let source = Source::Env(key.env());
            let value = key.from_text(&text).map_err(|why| invalid(&source, key.name, &text, why))?;
            (Some(value), source)
        } else if let Some(value) = in_file.get(key.name) {
            (Some(value.clone()), Source::File(file.unwrap_or(base).to_owned()))
        } else {
            (key.default_value(), Source::Default)
        };
        if let Some(value) = &value {
            key.check(value).map_err(|why| invalid(&source, key.name, value, why))?;
        }
        let from_file = matches!(source, Source::File(_) | Source::Default);
        let value = value.map(|value| if from_file { resolve(key, value, base) } else { value });
        settings.push(Setting { key, value, source });
    }
    let config = build(&settings);
    check_together(&config, &settings)?;
    Ok(Loaded { config, settings })
}

/// The file's values by dotted key.
fn read_file(path: &Path) -> Result<BTreeMap<String, Value>, ConfigError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: name.clone(), error })?;
    let table: Table = toml::from_str(&text)
        .map_err(|error| ConfigError::Syntax { path: name.clone(), error: Box::new(error) })?;
    let mut values = BTreeMap::new();
    flatten("", table, &mut values);
    match values.keys().find(|key| table::find(key).is_none()) {
        Some(key) => Err(unknown(&name, key)),
        None => Ok(values),
    }
}

/// Descends into sections, but not into values that are tables themselves.
fn flatten(prefix: &str, table: Table, values: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) if table::find(&key).is_none() && table::is_section(&key) => {
                flatten(&key, inner, values);
            }
            value => {
                values.insert(key, value);
            }
        }
    }
}

fn unknown(source: &str, key: &str) -> ConfigError {
    let hint = match table::nearest(key) {
        Some(known) => format!("; did you mean {known}?"),
        None => "; `baton config init` writes all keys with their meaning".to_owned(),
    };
    ConfigError::UnknownKey { source_name: source.to_owned(), key: key.to_owned(), hint }
}

fn resolve(key: &Key, value: Value, base: &Path) -> Value {
    match (&key.kind, value) {
        (Kind::Path, Value::String(path)) => Value::String(base.join(path).display().to_string()),
        (_, value) => value,
    }
}

fn build(settings: &[Setting]) -> NodeConfig {
    let mut root = Table::new();
    for setting in settings {
        let Some(value) = &setting.value else { continue };
        match setting.key.name.split_once('.') {
            None => {
                root.insert(setting.key.name.to_owned(), value.clone());
            }
            Some((section, name)) => {
                let entry = root.entry(section).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = entry {
                    section.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
    root.try_into().expect("the table of keys checks every value and covers every field")
}

/// What no value can be judged on alone.
fn check_together(config: &NodeConfig, settings: &[Setting]) -> Result<(), ConfigError> {
    let source = |name: &str| {
        settings
            .iter()
            .find(|setting| setting.key.name == name)
            .map_or(&Source::Default, |setting| &setting.source)
    };
    let listeners = [
        ("p2p.listen", config.p2p.listen),
        ("rpc.listen", config.rpc.listen),
        ("ops.listen", config.ops.listen),
    ];
    for (index, (key, address)) in listeners.iter().enumerate() {
        if let Some((other, _)) =
            listeners[..index].iter().find(|(_, taken)| address.port() != 0 && taken == address)
        {
            return Err(invalid(
                source(key),
                key,
                address,
                format!("an address of its own; {other} has this one"),
            ));
        }
    }
    let (request, memory) = (config.rpc.request_bytes_max, config.rpc.memory_bytes_max);
    if memory / 4 < request {
        let allowed = format!("at least four times rpc.request_bytes_max ({request})");
        return Err(invalid(source("rpc.memory_bytes_max"), "rpc.memory_bytes_max", memory, allowed));
    }
    let AuditorConfig { rollup, url, jwt_file } = &config.auditor;
    let auditor = [
        ("auditor.rollup", rollup.is_some()),
        ("auditor.url", url.is_some()),
        ("auditor.jwt_file", jwt_file.is_some()),
    ];
    if let (Some((given, _)), Some((missing, _))) =
        (auditor.iter().find(|(_, given)| *given), auditor.iter().find(|(_, given)| !given))
    {
        let allowed = format!("a value, because {given} has one: the auditor needs all three, or none");
        return Err(invalid(source(missing), missing, "none", allowed));
    }
    let limits = &config.limits;
    for (key, value, key_max, max) in [
        (
            "limits.client_bytes_max",
            limits.client_bytes_max,
            "limits.mempool_bytes_max",
            limits.mempool_bytes_max,
        ),
        (
            "limits.client_transactions_max",
            limits.client_transactions_max,
            "limits.mempool_transactions_max",
            limits.mempool_transactions_max,
        ),
    ] {
        if value > max {
            return Err(invalid(source(key), key, value, format!("at most {key_max} ({max})")));
        }
    }
    Ok(())
}

impl NodeConfig {
    /// Addresses that replace those of the genesis.
    pub fn peers(&self) -> BTreeMap<PublicKey, SocketAddr> {
        self.p2p
            .peers
            .iter()
            .map(|(identity, address)| {
                let identity = hex::decode_value(identity, &()).expect("checked when loaded");
                (identity, *address)
            })
            .collect()
    }

    /// API tokens by name; empty when none are configured.
    pub fn load_tokens(&self) -> Result<BTreeMap<String, Token>, ConfigError> {
        let Some(path) = &self.rpc.tokens_file else { return Ok(BTreeMap::new()) };
        let text = crate::keys::read_private(path)?;
        let name = path.display().to_string();
        let tokens: BTreeMap<String, Token> = toml::from_str(&text).map_err(|_| ConfigError::Invalid {
            source_name: name.clone(),
            key: "(file)".to_owned(),
            value: "…".to_owned(),
            allowed: "one line per token: name = \"token\"".to_owned(),
        })?;
        for (client, token) in &tokens {
            if token.0.len() < 16 {
                return Err(ConfigError::Invalid {
                    source_name: name,
                    key: client.clone(),
                    value: format!("{} characters", token.0.len()),
                    allowed: "16 characters or more".to_owned(),
                });
            }
        }
        Ok(tokens)
    }
}

impl HistoryConfig {
    pub const fn history(&self) -> History {
        match self {
            Self::Full(_) => History::Full,
            Self::Window { blocks } => History::Window { blocks: *blocks },
        }
    }
}

impl Cors {
    /// Allowed origins; none means all.
    pub fn origins(&self) -> Option<&[String]> {
        match self {
            Self::Any(_) => None,
            Self::Origins(origins) => Some(origins),
        }
    }
}
