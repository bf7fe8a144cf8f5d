//! Files and ports of a devnet.
//!
//! ```text
//! DIR/genesis.json      written last: with it, the directory is complete
//! DIR/node-0/node.toml  keys/  data/  log
//! DIR/batches/          what the cluster certified, when the genesis has batches or says directory
//! ```
//! From base port B, node i has RPC on B+i, ops on B+1000+i, p2p on B+22000+i. A local L1 has B+2000.

use super::l1;
use baton_node::{
    config::table,
    keys::{self, Devnet},
};
use baton_types::genesis::{
    Batches, Data, Election, Genesis, Rollup,
    evm::{Address, AllocAccount},
};
use eyre::{WrapErr as _, bail, eyre};
use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

pub const NODES_MAX: u16 = 16;
pub const BASE_PORT: u16 = 8545;
const OPS: u16 = 1_000;
const L1: u16 = 2_000;
const P2P: u16 = 22_000;
const L1_KEY: &str = "l1.key";
/// Nodes that post to L1: each proves the blobs of what it is to post, and all of them share one machine.
const POSTERS: u16 = 4;
const POST_AFTER_MS: u64 = 10_000;
const BATCHES_DIR: &str = "batches";
/// Nothing waits for these batches. Large ones cost a busy cluster least, and an idle one makes none.
const BATCHES: Batches = Batches { bytes_target: 1024 * 1024, age_ms_max: 5_000 };

/// What the user asked for; none where the default, or what the directory says, will do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub nodes: Option<u16>,
    pub base_port: Option<u16>,
    pub seed: Option<u64>,
    /// Besides `demo` and `evm`.
    pub rollups: Vec<(String, Data)>,
    pub election: Option<Election>,
    pub epoch_blocks: Option<u64>,
    pub block_interval_min_ms: Option<u64>,
    /// Most that a block has of any rollup that is not an EVM rollup.
    pub opaque_block_bytes_max: Option<usize>,
    /// A local L1 to settle on.
    pub l1: Option<l1::Wanted>,
    /// Without it, a directory.
    pub batches: bool,
    /// More accounts of block 0 of `evm`.
    pub evm_alloc: BTreeMap<Address, AllocAccount>,
}

/// A prepared directory.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    genesis: Genesis,
    ports: Ports,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports {
    base: u16,
    nodes: u16,
}

impl Ports {
    fn new(base: u16, nodes: u16) -> eyre::Result<Self> {
        let max = u16::MAX - P2P - nodes + 1;
        if !(1_024..=max).contains(&base) {
            bail!("--base-port {base}: 1024 to {max}, because p2p listens {P2P} above it");
        }
        Ok(Self { base, nodes })
    }

    const fn rpc(self, index: u16) -> u16 {
        self.base + index
    }

    const fn ops(self, index: u16) -> u16 {
        self.base + OPS + index
    }

    const fn p2p(self, index: u16) -> u16 {
        self.base + P2P + index
    }

    fn refuse_occupied(self, remedy: &str) -> eyre::Result<()> {
        match self.occupied() {
            None => Ok(()),
            Some((port, role)) => bail!(
                "port {port} ({role}) is taken: stop what listens there (another devnet?), or choose {remedy}"
            ),
        }
    }

    /// The first port that something else listens on, with what it is wanted for.
    fn occupied(self) -> Option<(u16, String)> {
        (0..self.nodes)
            .flat_map(|index| {
                [(self.rpc(index), "RPC"), (self.ops(index), "ops"), (self.p2p(index), "p2p")]
                    .map(|(port, role)| (port, format!("{role} of node {index}")))
            })
            .find(|(port, _)| TcpListener::bind(local(*port)).is_err())
    }
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A base port whose ports are all free now.
pub fn free_base_port(nodes: u16) -> eyre::Result<u16> {
    // Below what systems hand out for outgoing connections, p2p included; not always the same first
    // choice, so that two programs looking at the same moment seldom meet.
    let offset = u16::try_from(std::process::id() % 16).unwrap_or(0);
    (0..16)
        .map(|step| 10_048 + NODES_MAX * ((offset + step) % 16))
        .chain((0..24).map(|step| 18_000 + NODES_MAX * step))
        .find(|base| Ports { base: *base, nodes }.occupied().is_none())
        .ok_or_else(|| eyre!("no free ports from 10048 or 18000 on; stop other devnets first"))
}

impl Layout {
    /// Reads the directory, or fills it when it holds no devnet. Refuses ports that are taken.
    pub fn prepare(dir: &Path, options: Options) -> eyre::Result<Self> {
        fs::create_dir_all(dir).wrap_err_with(|| format!("cannot create {}", dir.display()))?;
        // Children run elsewhere if the caller changes directory; their paths must hold anyway.
        let dir = dir.canonicalize().wrap_err_with(|| format!("cannot resolve {}", dir.display()))?;
        let path = dir.join("genesis.json");
        if path.exists() { Self::open(dir, &options) } else { Self::create(dir, options) }
    }

    fn open(dir: PathBuf, options: &Options) -> eyre::Result<Self> {
        let path = dir.join("genesis.json");
        let text = fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        let genesis = Genesis::from_json(&text).wrap_err_with(|| path.display().to_string())?;
        let nodes = u16::try_from(genesis.members.len()).wrap_err("too many members")?;
        let base = genesis.members.first().and_then(|member| member.p2p.port().checked_sub(P2P));
        let base = base.ok_or_else(|| eyre!("{} is not the genesis of a devnet", path.display()))?;
        for (flag, wanted, has) in
            [("--nodes", options.nodes, nodes), ("--base-port", options.base_port, base)]
        {
            if wanted.is_some_and(|wanted| wanted != has) {
                bail!(
                    "{flag} {}: the devnet in {} has {has}; leave the flag out, or choose another --dir",
                    wanted.unwrap_or_default(),
                    dir.display()
                );
            }
        }
        let fixed = [
            ("--seed", options.seed.is_some()),
            ("--rollup", options.rollups.iter().any(|(name, _)| genesis.find_rollup(name).is_none())),
            ("--election", options.election.is_some_and(|election| election != genesis.election)),
            ("--l1", options.l1.is_some() && genesis.l1.is_none()),
            (
                "--l1-data",
                options
                    .l1
                    .as_ref()
                    .zip(genesis.l1.as_ref())
                    .is_some_and(|(wanted, l1)| wanted.data != l1.data),
            ),
            ("--epoch-blocks", options.epoch_blocks.is_some_and(|blocks| blocks != genesis.epoch_blocks)),
            (
                "--block-interval",
                options.block_interval_min_ms.is_some_and(|ms| ms != genesis.timing.block_interval_min_ms),
            ),
        ];
        if let Some((flag, _)) = fixed.iter().find(|(_, differs)| *differs) {
            bail!("{flag}: the devnet in {} has a genesis already; choose another --dir", dir.display());
        }
        let ports = Ports::new(base, nodes)?;
        ports.refuse_occupied("another --base-port with a fresh --dir")?;
        Ok(Self { dir, genesis, ports })
    }

    fn create(dir: PathBuf, options: Options) -> eyre::Result<Self> {
        let nodes = options.nodes.unwrap_or(4);
        let ports = Ports::new(options.base_port.unwrap_or(BASE_PORT), nodes)?;
        let mut devnet = Devnet::local(nodes, ports.p2p(0));
        devnet.seed = options.seed;
        for (name, data) in &options.rollups {
            let id = u32::try_from(devnet.rollups.len() + 1).wrap_err("too many rollups")?;
            devnet.rollups.push(Rollup::opaque(id, name, *data));
        }
        if let Some(most) = options.opaque_block_bytes_max {
            for rollup in devnet.rollups.iter_mut().filter(|rollup| rollup.evm.is_none()) {
                rollup.block_bytes_max = most;
                rollup.transaction_bytes_max = rollup.transaction_bytes_max.min(most / 2);
            }
        }
        for evm in devnet.rollups.iter_mut().filter_map(|rollup| rollup.evm.as_mut()) {
            evm.alloc.extend(options.evm_alloc.clone());
        }
        devnet.election = options.election.unwrap_or(devnet.election);
        let usual = Devnet::epoch_blocks(devnet.election, nodes);
        devnet.epoch_blocks = options.epoch_blocks.unwrap_or(usual);
        devnet.timing.block_interval_min_ms =
            options.block_interval_min_ms.unwrap_or(devnet.timing.block_interval_min_ms);
        devnet.l1 = options.l1.as_ref().map(|wanted| l1::section(wanted, &mut devnet.rollups));
        devnet.batches = (options.batches && devnet.l1.is_none()).then_some(BATCHES);
        let (genesis, keys) = keys::devnet_genesis(devnet);
        genesis.check()?;
        let layout = Self { dir, genesis, ports };
        // Found out now rather than after writing a directory that can only run on these ports.
        ports.refuse_occupied("another --base-port")?;
        for (index, keys) in (0..nodes).zip(&keys) {
            let node = layout.node_dir(index);
            fs::create_dir(&node).wrap_err_with(|| {
                format!(
                    "cannot create {}; an unfinished devnet? remove {} first",
                    node.display(),
                    layout.dir.display()
                )
            })?;
            keys.write(&node.join("keys"))?;
            if layout.genesis.l1.is_some() && index < POSTERS {
                keys::write_private(&node.join("keys").join(L1_KEY), l1::account_key(index))?;
            }
            write(&layout.config(index), &layout.node_toml(index))?;
        }
        if layout.genesis.l1.is_some() {
            l1::prepare(&layout.dir, &layout.genesis, &keys)?;
        }
        let unfinished = layout.dir.join("genesis.json.new");
        write(&unfinished, &layout.genesis.to_json())?;
        fs::rename(&unfinished, layout.dir.join("genesis.json")).wrap_err("cannot finish genesis.json")?;
        Ok(layout)
    }

    fn node_toml(&self, index: u16) -> String {
        let quoted = |text: String| toml::Value::String(text).to_string();
        let address = |port: u16| quoted(local(port).to_string());
        let default = |name: &str| {
            table::find(name).and_then(|key| key.default).expect("a key with a default").to_owned()
        };
        let mut values = vec![
            ("genesis", quoted("../genesis.json".to_owned())),
            ("p2p.listen", address(self.ports.p2p(index))),
            ("rpc.listen", address(self.ports.rpc(index))),
            ("rpc.cors", quoted("*".to_owned())),
            ("ops.listen", address(self.ports.ops(index))),
            // On one machine all clients share one address.
            ("limits.client_bytes_max", default("limits.mempool_bytes_max")),
            ("limits.client_transactions_max", default("limits.mempool_transactions_max")),
        ];
        if self.genesis.l1.is_some() {
            let endpoint = format!("[{}]", quoted(format!("ws://{}", local(self.l1_port()))));
            values.push(("l1.endpoints", endpoint));
            if index < POSTERS {
                values.push(("l1.key_file", quoted(format!("keys/{L1_KEY}"))));
            }
        }
        if self.genesis.settles() {
            values.extend([
                ("l1.poll_ms", "500".to_owned()),
                // One posts; the others take over, one after the other.
                ("l1.post_after_ms", (u64::from(index) * POST_AFTER_MS).to_string()),
                ("l1.directory", quoted(format!("../{BATCHES_DIR}"))),
            ]);
        }
        table::render(&values)
    }

    pub fn l1_url(&self) -> String {
        format!("http://{}", local(self.l1_port()))
    }

    /// Of the local L1.
    pub const fn l1_port(&self) -> u16 {
        self.ports.base + L1
    }

    pub const fn nodes(&self) -> u16 {
        self.ports.nodes
    }

    pub const fn base_port(&self) -> u16 {
        self.ports.base
    }

    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn node_dir(&self, index: u16) -> PathBuf {
        self.dir.join(format!("node-{index}"))
    }

    pub fn config(&self, index: u16) -> PathBuf {
        self.node_dir(index).join("node.toml")
    }

    /// Of all nodes, where the genesis wants one.
    pub fn batches(&self) -> PathBuf {
        self.dir.join(BATCHES_DIR)
    }

    pub fn data(&self, index: u16) -> PathBuf {
        self.node_dir(index).join("data")
    }

    pub fn log(&self, index: u16) -> PathBuf {
        self.node_dir(index).join("log")
    }

    pub fn rpc_url(&self, index: u16) -> String {
        format!("http://{}", local(self.ports.rpc(index)))
    }

    /// What nodes listen on for one another.
    pub const fn p2p_ports(&self) -> RangeInclusive<u16> {
        self.ports.p2p(0)..=self.ports.p2p(self.ports.nodes - 1)
    }

    pub fn ops_url(&self, index: u16) -> String {
        format!("http://{}", local(self.ports.ops(index)))
    }
}

fn write(path: &Path, text: &str) -> eyre::Result<()> {
    fs::write(path, text).wrap_err_with(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    /// Tests that look for free ports at the same time find the same ones.
    static PORTS: Mutex<()> = Mutex::new(());

    fn options(nodes: u16, base_port: u16) -> Options {
        Options { nodes: Some(nodes), base_port: Some(base_port), seed: Some(1), ..Options::default() }
    }

    #[test]
    fn a_directory_is_taken_up_where_it_stopped() {
        let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let base = free_base_port(4).unwrap();
        let first = Layout::prepare(dir.path(), options(4, base)).unwrap();
        let again = Layout::prepare(dir.path(), Options::default()).unwrap();
        assert_eq!(first.genesis.digest(), again.genesis.digest());
        assert_eq!(first.ports, again.ports);
        for (options, flag) in [
            (Options { nodes: Some(3), ..Options::default() }, "--nodes 3"),
            (Options { base_port: Some(base + 1), ..Options::default() }, "--base-port"),
            (Options { seed: Some(2), ..Options::default() }, "--seed"),
            (Options { epoch_blocks: Some(9), ..Options::default() }, "--epoch-blocks"),
            (Options { rollups: vec![("other".to_owned(), Data::Hash)], ..Options::default() }, "--rollup"),
        ] {
            let error = Layout::prepare(dir.path(), options).unwrap_err().to_string();
            assert!(error.starts_with(flag) && error.contains("--dir"), "{error}");
        }
    }

    #[test]
    fn the_written_configuration_loads() {
        let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let options = Options { batches: true, ..options(4, free_base_port(4).unwrap()) };
        let layout = Layout::prepare(dir.path(), options).unwrap();
        assert!(layout.genesis.batches.is_some() && layout.genesis.l1.is_none());
        for index in 0..4 {
            let loaded = baton_node::config::load(Some(&layout.config(index)), &[], |_| None).unwrap();
            assert_eq!(loaded.config.p2p.listen, layout.genesis.members[usize::from(index)].p2p);
            assert_eq!(format!("http://{}", loaded.config.rpc.listen), layout.rpc_url(index));
            assert!(loaded.config.l1.directory.ends_with("../batches"), "one directory for all");
            let identity = keys::load_identity(&loaded.config.keys_dir).unwrap();
            let member = &layout.genesis.members[usize::from(index)];
            assert_eq!(member.identity().unwrap(), baton_types::PublicKey::from(identity));
        }
    }

    #[test]
    fn taken_and_impossible_ports_are_named() {
        let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let base = free_base_port(4).unwrap();
        let taken = TcpListener::bind(local(base + OPS + 2)).unwrap();
        let error = Layout::prepare(dir.path(), options(4, base)).unwrap_err().to_string();
        assert!(error.contains(&format!("port {} (ops of node 2) is taken", base + OPS + 2)), "{error}");
        drop(taken);
        Layout::prepare(dir.path(), options(4, base)).unwrap();
        for base in [80, 43_533, 65_535] {
            let error = Layout::prepare(dir.path().join("other").as_path(), options(4, base)).unwrap_err();
            assert!(error.to_string().contains("1024 to 43532"), "{error}");
        }
    }
}
