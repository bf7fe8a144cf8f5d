//! One file per command.

mod bench;
mod completions;
mod config;
mod devnet;
mod node;
mod proof;
mod rollups;
mod status;
mod submit;
mod tx;
mod verify;
mod vrf;

use crate::output::{Outcome, Output};
use clap::Subcommand;
use eyre::WrapErr as _;
use std::future::Future;

#[derive(Debug, Subcommand)]
pub enum Command {
    Devnet(devnet::Args),
    Node(node::Args),
    Submit(submit::Args),
    Status(status::Args),
    Tx(tx::Args),
    Rollups(rollups::Args),
    Proof(proof::Args),
    Verify(verify::Args),
    Bench(Box<bench::Args>),
    Vrf(vrf::Args),
    Config(config::Args),
    Completions(completions::Args),
}

pub fn run(command: Command, output: Output) -> eyre::Result<Outcome> {
    match command {
        Command::Devnet(args) => block_on(devnet::run(args, output)),
        Command::Node(args) => node::run(args),
        Command::Submit(args) => block_on(submit::run(args, output)),
        Command::Status(args) => block_on(status::run(args, output)),
        Command::Tx(args) => block_on(tx::run(args, output)),
        Command::Rollups(args) => block_on(rollups::run(args, output)),
        Command::Proof(args) => block_on(proof::run(args, output)),
        Command::Verify(args) => verify::run(&args, output),
        Command::Bench(args) => block_on(bench::run(*args, output)),
        Command::Vrf(args) => vrf::run(args, output),
        Command::Config(args) => config::run(args, output),
        Command::Completions(args) => completions::run(&args),
    }
}

/// One thread is plenty for a client, and leaves the others to the nodes.
fn block_on(future: impl Future<Output = eyre::Result<Outcome>>) -> eyre::Result<Outcome> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .wrap_err("cannot start an asynchronous runtime")?
        .block_on(future)
}
