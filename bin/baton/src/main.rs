//! The one binary: nodes, devnets, clients, load.

mod cluster;
mod commands;
mod data;
mod output;
mod process;
mod rpc;

use clap::Parser;
use output::{Outcome, Output};
use std::process::ExitCode;

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
