use crate::output::{Outcome, Output};
use baton_node::{
    auditor,
    config::{self, Loaded, table},
    keys,
};
use baton_types::{Genesis, hex};
use clap::Subcommand;
use eyre::{WrapErr as _, bail, eyre};
use serde::Serialize;
use std::{fs, io::Write as _, path::PathBuf};

/// Write, check and explain node.toml.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  baton config init node.toml
  baton config check --config node.toml
  baton config show --config node.toml";

const CLIENT_EXAMPLES: &str = "\
The rollup has blocks in slots and Ethereum's base fee; others no client can follow. The node then drives
the client by its Engine API: section [auditor] of node.toml.

Examples:
  baton config client-genesis > client.json
  baton config client-genesis --genesis /etc/baton/genesis.json --rollup evm > client.json
  ethereumjs --gethGenesis client.json --rpc --rpcAddr 127.0.0.1 --rpcEngine --rpcEngineAddr 127.0.0.1 \\
    --jwtSecret jwt.hex --isSingleNode --maxPeers 0 --minPeers 0 --discDns false --discV4 false";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a file with every key, its meaning and its default.
    #[command(after_help = "Examples:\n  baton config init\n  baton config init /etc/baton/node.toml")]
    Init {
        /// The file to write; never replaced.
        #[arg(default_value = "node.toml")]
        file: PathBuf,
    },
    /// Check a file, the genesis and the keys it names.
    #[command(after_help = "Examples:\n  baton config check --config /etc/baton/node.toml")]
    Check(Settings),
    /// Print every value and where it came from.
    #[command(after_help = "Examples:\n  baton config show\n  baton config show --config node.toml --json")]
    Show(Settings),
    /// Print what an execution client of Ethereum starts from, to follow a rollup (geth's genesis.json).
    #[command(after_help = CLIENT_EXAMPLES)]
    ClientGenesis {
        /// Genesis of the chain.
        #[arg(long, value_name = "FILE", default_value = "genesis.json")]
        genesis: PathBuf,
        /// Name of the rollup.
        #[arg(long, default_value = "evm")]
        rollup: String,
    },
}

/// Where settings come from: a file, and flags that beat it.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// Settings of the node.
    #[arg(
        long,
        env = "BATON_CONFIG",
        value_name = "FILE",
        default_value = "node.toml",
        hide_env_values = true
    )]
    config: PathBuf,
    /// Genesis of the chain.
    #[arg(long, value_name = "FILE")]
    genesis: Option<String>,
    /// Blocks, certificates, votes and the key share.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where identity.key is.
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<String>,
    /// Address of the members' network.
    #[arg(long, value_name = "ADDRESS")]
    p2p_listen: Option<String>,
    /// Address of the API.
    #[arg(long, value_name = "ADDRESS")]
    rpc_listen: Option<String>,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// Threads that run the node.
    #[arg(long, value_name = "N")]
    worker_threads: Option<String>,
    /// pretty or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Such as info, or info,baton_consensus=debug.
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// Any other key, such as rpc.cors='*'. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
        None => Err("expected KEY=VALUE, such as log.filter=debug".to_owned()),
    }
}

impl Settings {
    pub fn load(&self) -> eyre::Result<Loaded> {
        let named = [
            ("genesis", &self.genesis),
            ("data_dir", &self.data_dir),
            ("keys_dir", &self.keys_dir),
            ("p2p.listen", &self.p2p_listen),
            ("rpc.listen", &self.rpc_listen),
            ("ops.listen", &self.ops_listen),
            ("worker_threads", &self.worker_threads),
            ("log.format", &self.log_format),
            ("log.filter", &self.log_filter),
        ];
        let mut flags = self.set.clone();
        flags.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
        Ok(config::load(Some(&self.config), &flags, |name| std::env::var(name).ok())?)
    }
}

pub fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    match args.command {
        Command::Init { file } => init(&file, output),
        Command::Check(settings) => check(&settings, output),
        Command::Show(settings) => show(&settings, output),
        Command::ClientGenesis { genesis, rollup } => client_genesis(&genesis, &rollup),
    }
}

fn client_genesis(path: &PathBuf, name: &str) -> eyre::Result<Outcome> {
    let text = fs::read_to_string(path).wrap_err_with(|| format!("--genesis {}", path.display()))?;
    let genesis = Genesis::from_json(&text).wrap_err_with(|| path.display().to_string())?;
    let rollup = genesis.find_rollup(name).ok_or_else(|| {
        let names: Vec<_> = genesis.rollups.iter().map(|rollup| rollup.name.as_str()).collect();
        eyre!("--rollup {name}: the genesis has {}", names.join(", "))
    })?;
    let client = auditor::genesis::client_genesis(rollup)?;
    crate::output::write_line(&serde_json::to_string_pretty(&client).wrap_err("the client's genesis")?);
    Ok(Outcome::Done)
}

fn init(path: &PathBuf, output: Output) -> eyre::Result<Outcome> {
    #[derive(Serialize)]
    struct Written<'a> {
        file: &'a PathBuf,
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .wrap_err_with(|| format!("cannot create {}; move an existing one away first", path.display()))?;
    file.write_all(table::render(&[]).as_bytes())
        .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    output.line(format!("wrote {}; `baton config check` tells what it still needs", path.display()));
    output.object(&Written { file: path });
    Ok(Outcome::Done)
}

fn check(settings: &Settings, output: Output) -> eyre::Result<Outcome> {
    #[derive(Serialize)]
    struct Checked {
        chain: String,
        identity: String,
        index: usize,
        members: usize,
        share_waiting: bool,
    }
    let config = settings.load()?.config;
    config.load_tokens()?;
    let path = config.genesis.display().to_string();
    let text =
        fs::read_to_string(&config.genesis).wrap_err_with(|| format!("genesis = {path}: cannot read it"))?;
    let genesis = Genesis::from_json(&text).wrap_err(path)?;
    let identity = keys::load_identity(&config.keys_dir)?;
    let share = keys::take_share(&config.keys_dir)?;
    let identity = hex::encode_value(&baton_types::PublicKey::from(identity));
    let index = genesis.members.iter().position(|member| member.identity == identity).ok_or_else(|| {
        eyre!("keys_dir = {}: identity {identity} is no member of this genesis", config.keys_dir.display())
    })?;
    if share.is_none() && !config.data_dir.exists() {
        bail!(
            "keys_dir = {}: no share.key, and no data in {}; a member's first start needs its share",
            config.keys_dir.display(),
            config.data_dir.display()
        );
    }
    let checked = Checked {
        chain: hex::encode(&genesis.digest()),
        identity,
        index,
        members: genesis.members.len(),
        share_waiting: share.is_some(),
    };
    output.line(format!("fine: member {index} of {} on chain {}", checked.members, checked.chain));
    output.object(&checked);
    Ok(Outcome::Done)
}

fn show(settings: &Settings, output: Output) -> eyre::Result<Outcome> {
    #[derive(Serialize)]
    struct Shown<'a> {
        key: &'a str,
        value: Option<&'a toml::Value>,
        source: String,
    }
    let loaded = settings.load()?;
    for setting in &loaded.settings {
        let (key, source) = (setting.key.name, setting.source.to_string());
        let value = setting.value.as_ref();
        let text = value.map_or_else(|| "(none)".to_owned(), ToString::to_string);
        output.line(format!("{key:32} {text:32} {source}"));
        output.object(&Shown { key, value, source });
    }
    Ok(Outcome::Done)
}
