//! The contracts' own toolchain: compiler and test runner come through npm, pinned by its lock file.

use crate::{
    npm,
    steps::{Tally, run_counted},
};
use eyre::Result;
use std::{path::Path, process::Command};

const FORGE: &str = "node_modules/@foundry-rs/forge-linux-amd64/bin/forge";

pub fn install(root: &Path) -> Result<()> {
    npm::install(&root.join("contracts"))
}

pub fn check(root: &Path) -> Result<Tally> {
    let folder = root.join("contracts");
    install(root)?;
    let mut forge = Command::new(folder.join(FORGE));
    forge.arg("test").current_dir(&folder);
    let mut tally = run_counted(forge, parse_suite)?;

    let mut gas = Command::new(folder.join(FORGE));
    gas.args(["snapshot", "--no-match-test", "invariant|Fuzz"]).current_dir(&folder);
    if std::env::var_os("BATON_BLESS").is_none() {
        gas.arg("--check");
    }
    tally += crate::steps::check(gas)?;
    let mut artifacts = Command::new(folder.join("bin/artifacts"));
    artifacts.current_dir(&folder);
    tally += crate::steps::check(artifacts)?;
    Ok(tally)
}

/// Reads `Suite result: ok. 3 passed; 0 failed; …`.
fn parse_suite(line: &str) -> Option<Tally> {
    crate::steps::parse_counts(line, "Suite result:")
}
