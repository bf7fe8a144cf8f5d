//! EVM rollups under the programs that people use: cast, viem and ethers on the executor alone and on a cluster,
//! anvil beside it, and an execution client that follows it; settlement on anvil as L1.

use crate::{
    contracts, npm,
    steps::{Tally, cargo, tests},
};
use eyre::Result;
use std::path::Path;

/// Of the packages that have such tests.
pub const FEATURES: &str = "baton-rpc/clients,baton-node/clients,baton/clients,baton-l1/anvil";

/// What those tests start.
pub fn install(root: &Path) -> Result<()> {
    contracts::install(root)?;
    npm::install(&root.join("crates/rpc/tests/clients"))
}

pub fn check(root: &Path) -> Result<Tally> {
    install(root)?;
    let arguments = ["test", "--workspace", "--lib", "--test", "all", "--features", FEATURES, "--"];
    let mut command = cargo(root, &arguments);
    command.args(["eth::tests::clients", "eth::tests::anvil", "auditor::tests::client", "clients::wallets"]);
    let mut tally = tests(command)?;
    let settlement = ["test", "--workspace", "--test", "anvil", "--features", FEATURES];
    tally += tests(cargo(root, &settlement))?;
    Ok(tally)
}
