//! One file per command.

mod bench;
mod completions;
mod config;
mod derive;
mod devnet;
mod election;
mod evm_proof;
mod node;
mod proof;
mod rollups;
mod status;
mod submit;
mod top;
mod tx;
mod validators;
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
    Top(top::Args),
    Tx(tx::Args),
    Rollups(rollups::Args),
    Validators(validators::Args),
    Election(election::Args),
    Proof(proof::Args),
    EvmProof(evm_proof::Args),
    Verify(verify::Args),
    Bench(Box<bench::Args>),
    Vrf(vrf::Args),
    Config(config::Args),
    Derive(derive::Args),
    Completions(completions::Args),
}

pub fn run(command: Command, output: Output) -> eyre::Result<Outcome> {
    match command {
        Command::Devnet(args) => block_on(devnet::run(args, output)),
        Command::Node(args) => node::run(args),
        Command::Submit(args) => block_on(submit::run(args, output)),
        Command::Status(args) => block_on(status::run(args, output)),
        Command::Top(args) => block_on(top::run(args, output)),
        Command::Tx(args) => block_on(tx::run(args, output)),
        Command::Rollups(args) => block_on(rollups::run(args, output)),
        Command::Validators(args) => block_on(validators::run(args, output)),
        Command::Election(args) => block_on(election::run(args, output)),
        Command::Proof(args) => block_on(proof::run(args, output)),
        Command::EvmProof(args) => block_on(evm_proof::run(args, output)),
        Command::Verify(args) => verify::run(&args, output),
        Command::Bench(args) => block_on(bench::run(*args, output)),
        Command::Vrf(args) => vrf::run(args, output),
        Command::Config(args) => config::run(args, output),
        Command::Derive(args) => block_on(derive::run(args, output)),
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
