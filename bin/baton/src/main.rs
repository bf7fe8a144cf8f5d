//! The one binary: nodes, devnets, clients, load.

mod cluster;
mod commands;
mod data;
mod output;
mod process;
mod rpc;

use clap::Parser;
use commonware_allocator::mimalloc::{Config, MiMalloc, Purge};
use output::{Outcome, Output};
use std::{process::ExitCode, time::Duration};

/// A node allocates by the thousand per block and frees on other threads; the system's allocator took a
/// tenth of its time. Memory of one block is kept for the next; giving it back at once slows every block.
#[global_allocator]
static ALLOCATOR: MiMalloc =
    MiMalloc::new(Config { purge: Purge::After(Duration::from_secs(10)), ..Config::DEFAULT });

/// Runs and uses a Baton cluster: one fair order for many rollups, final in milliseconds.
#[derive(Debug, Parser)]
#[command(name = "baton", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    /// Print one JSON object per line, with the field names of the API.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: commands::Command,
}

const EXAMPLES: &str = "\
Examples:
  baton devnet                                     four nodes on this machine
  baton submit demo 'hello' --wait finalized       order a transaction
  baton status                                     what a node sees

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 timed out.";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.json };
    let outcome = commands::run(cli.command, output).unwrap_or_else(|error| {
        output.error(&error);
        Outcome::Failed
    });
    outcome.into()
}
