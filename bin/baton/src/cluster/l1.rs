//! A local L1 for a devnet: anvil as a child, with the contracts.
//!
//! ```text
//! DIR/l1/anvil.log  state.json  possession    with --dir kept and taken up again
//! DIR/batches/                                the data of batches, when the genesis says directory
//! ```
//! Addresses follow from the deployer's nonces, so the genesis names contracts that are deployed at the first start. The
//! group's signature for its registration is made where the key is dealt.

use super::layout::Layout;
use baton_l1::{
    Client,
    anvil::{Anvil, Options},
    deploy::{self, Cluster, Plan, RollupContracts, Settings},
    key,
};
use baton_node::{
    accounts::ACCOUNTS,
    keys::{MemberKeys, sign_as_group},
};
use baton_types::{
    Genesis, GroupKey, Rollup, RollupId, SeedPoint, domain,
    genesis::settlement::{Confirmation, ForcedQuota, SettledRollup, Settlement},
    hex::{self, HexArray},
    merkle::EMPTY,
    settlement::{DataKind, L1Address},
};
use eyre::{WrapErr as _, eyre};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub const CHAIN_ID: u64 = 31_337;
/// The last of the accounts that everybody knows deploys; the first ones pay for the nodes' batches.
const DEPLOYER: usize = ACCOUNTS.len() - 1;
const BLOCK_SECONDS: u64 = 2;
/// A segment has to fit the calldata of one transaction.
const SEGMENT_BYTES_MAX: usize = 96 * 1024;
const TRANSACTION_BYTES_MAX: usize = 32 * 1024;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub data: DataKind,
}

/// The key of a known account, as a file has it.
pub fn account_key(index: u16) -> &'static str {
    ACCOUNTS[usize::from(index) % DEPLOYER].1
}

fn plan(rollups: &[Rollup]) -> Plan {
    let deployer = key::parse(ACCOUNTS[DEPLOYER].1).expect("a known account has a key");
    Plan::new(deployer.address(), 0, rollups.iter().map(Rollup::id))
}

/// The genesis' section, and limits of the rollups that fit it.
pub fn section(wanted: &Wanted, rollups: &mut [Rollup]) -> Settlement {
    for rollup in rollups.iter_mut() {
        rollup.block_bytes_max = rollup.block_bytes_max.min(SEGMENT_BYTES_MAX);
        rollup.transaction_bytes_max = rollup.transaction_bytes_max.min(TRANSACTION_BYTES_MAX);
    }
    let plan = plan(rollups);
    let hex = |address: L1Address| HexArray(address.0);
    let settled = |(id, contracts): (&RollupId, &RollupContracts)| SettledRollup {
        rollup: id.0,
        inbox: hex(contracts.inbox),
        queue: hex(contracts.queue),
        first_height: Settings::DEVNET.first_height,
    };
    Settlement {
        chain_id: CHAIN_ID,
        registry: hex(plan.registry),
        // Each deployment is a block of its own.
        start_block: plan.transactions(),
        confirmation: Confirmation::Depth(2),
        origin_wait_ms: 1_000,
        origin_slack: 30,
        slot_seconds: Settings::DEVNET.slot_seconds,
        data: wanted.data,
        batch_bytes_target: match wanted.data {
            DataKind::Calldata => 48 * 1024,
            DataKind::Blobs | DataKind::Directory => 256 * 1024,
        },
        batch_age_ms_max: 6_000,
        forced: ForcedQuota { entries_max: 16, bytes_max: TRANSACTION_BYTES_MAX },
        rollups: plan.rollups.iter().map(settled).collect(),
    }
}

fn possession_file(dir: &Path) -> PathBuf {
    dir.join("l1/possession")
}

/// Signs the registration, which nobody can do any more once the nodes have taken their shares.
pub fn prepare(dir: &Path, genesis: &Genesis, keys: &[MemberKeys]) -> eyre::Result<()> {
    fs::create_dir_all(dir.join("l1")).wrap_err_with(|| format!("cannot create {}/l1", dir.display()))?;
    let (plan, group_key) = (plan(&genesis.rollups), genesis.group_key().map_err(|error| eyre!(error))?);
    let message = deploy::possession(CHAIN_ID, &plan, &Settings::DEVNET, &cluster(genesis, &group_key));
    let sharing = genesis.sharing().map_err(|error| eyre!(error))?;
    let signature = sign_as_group(&sharing, keys, domain::L1_POSSESSION, &message)
        .ok_or_else(|| eyre!("the dealt shares do not make a signature"))?;
    let path = possession_file(dir);
    fs::write(&path, hex::encode_value(&signature))
        .wrap_err_with(|| format!("cannot write {}", path.display()))
}

/// Nobody reads the hash of the members yet.
fn cluster<'a>(genesis: &Genesis, group_key: &'a GroupKey) -> Cluster<'a> {
    Cluster { genesis: genesis.digest(), group_key, members: EMPTY }
}

/// Starts it and, the first time, deploys.
pub async fn start(layout: &Layout, program: &Path) -> eyre::Result<Anvil> {
    let (dir, genesis) = (layout.dir().join("l1"), layout.genesis());
    let (log, state) = (dir.join("anvil.log"), dir.join("state.json"));
    let options = Options {
        port: layout.l1_port(),
        chain_id: CHAIN_ID,
        block_seconds: None,
        log: &log,
        state: Some(&state),
    };
    let anvil = Anvil::start(program, &options).await?;
    let client = Client::new(std::slice::from_ref(&anvil.url), CHAIN_ID).map_err(|error| eyre!(error))?;
    let plan = plan(&genesis.rollups);
    if !deploy::is_deployed(&client, &plan).await? {
        let path = possession_file(layout.dir());
        let text = fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        let possession: SeedPoint = hex::decode_value(&text, &()).map_err(|error| eyre!(error))?;
        let group_key = genesis.group_key().map_err(|error| eyre!(error))?;
        let signer = key::parse(ACCOUNTS[DEPLOYER].1).ok_or_else(|| eyre!("a known account has a key"))?;
        deploy::deploy(
            &client,
            &signer,
            &plan,
            &Settings::DEVNET,
            &cluster(genesis, &group_key),
            &possession,
        )
        .await
        .wrap_err("cannot deploy the contracts")?;
    }
    // From now on as L1 does it: a block per interval, with transactions or without.
    let _: Value = client.ask("evm_setAutomine", json!([false])).await?;
    let _: Value = client.ask("evm_setIntervalMining", json!([BLOCK_SECONDS])).await?;
    Ok(anvil)
}
