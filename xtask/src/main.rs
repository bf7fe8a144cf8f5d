//! Chores of this repository: `cargo xtask <command>`.

mod clients;
mod contracts;
mod fuzz;
mod npm;
mod steps;
mod sweep;
mod tidy;
mod web;

use eyre::{Result, WrapErr as _, bail};
use std::{env, path::PathBuf, process::ExitCode};

const HELP: &str = "\
Usage: cargo xtask <command>

  test     everything that continuous integration runs: format, clippy, tidy, docs, all tests
  tidy     the rules of the repository that no compiler checks
  docs     the API documentation, with every warning an error
  fuzz     mutants for every decoder of bytes from outside: [--inputs N] [--target NAME] [--seed N]
  sweep    drawn clusters under drawn faults: [--seeds N] [--minutes N] [--from N] [--replay SEED]
  contracts  the L1 contracts: npm ci when needed, forge test
  web      the light client and the explorer: npm ci and Chromium when needed, tests in a browser
  clients  cast, viem, ethers, anvil and an execution client with EVM rollups: npm ci when needed
  vectors  write the golden vectors under specs/vectors anew; the difference is a break to approve
";

fn main() -> Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["test"] => steps::test(&root()?),
        ["tidy"] => steps::one(&root()?, &steps::TIDY),
        ["docs"] => steps::one(&root()?, &steps::DOCS),
        ["fuzz", ref args @ ..] => fuzz::run(&root()?, args),
        ["sweep", ref args @ ..] => sweep::run(&root()?, args),
        ["contracts"] => steps::one(&root()?, &steps::CONTRACTS),
        ["web"] => steps::one(&root()?, &steps::WEB),
        ["clients"] => steps::one(&root()?, &steps::CLIENTS),
        ["vectors"] => steps::one(&root()?, &steps::VECTORS),
        [] | ["help" | "-h" | "--help"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("unknown command {:?}\n\n{HELP}", args.join(" "));
            Ok(ExitCode::from(2))
        }
    }
}

/// The checkout whose cargo started this program.
fn root() -> Result<PathBuf> {
    let Some(package) = env::var_os("CARGO_MANIFEST_DIR") else {
        bail!("CARGO_MANIFEST_DIR is not set; run this as `cargo xtask …`");
    };
    let root = PathBuf::from(package).join("..");
    root.canonicalize().wrap_err_with(|| format!("resolving {}", root.display()))
}
