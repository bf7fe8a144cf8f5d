//! Throws mutants at the decoders of bytes from outside, or at one.

use baton_fuzz::{run, targets};
use clap::Parser;
use std::{process::ExitCode, time::Instant};

#[derive(Debug, Parser)]
struct Args {
    /// Mutants for each target.
    #[arg(long, default_value_t = 100_000)]
    inputs: u64,
    /// One target only.
    #[arg(long)]
    target: Option<String>,
    /// Another number gives other mutants.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let all = targets();
    let wanted: Vec<_> =
        all.iter().filter(|target| args.target.as_ref().is_none_or(|name| name == target.name)).collect();
    if wanted.is_empty() {
        let names: Vec<_> = all.iter().map(|target| target.name).collect();
        eprintln!("no such target; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    for target in wanted {
        let started = Instant::now();
        let stats = run(target, args.inputs, args.seed);
        println!("{:18} {:6.1} s  {stats}", target.name, started.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}
