//! `cargo xtask sweep`: runs one drawn scenario after the other on all cores, and shrinks what fails.

use baton_sim::{
    Outcome, Scenario, life, outcome,
    shrink::shrink,
    swarm::{draw, to_rust},
    trace::render,
};
use clap::Parser;
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;

/// Runs that shrinking one failure may take.
const SHRINK_RUNS_MAX: usize = 100;
/// Failures that are shrunk; more are counted and listed.
const SHRUNK_MAX: u64 = 5;
/// A run's futures are deep where they are not optimised.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);

/// Runs drawn clusters under drawn faults and checks every property in each.
#[derive(Parser)]
#[command(name = "cargo xtask sweep")]
struct Options {
    /// Seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Stop after so many minutes of wall time
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// First seed; from the time of day unless given
    #[arg(long)]
    from: Option<u64>,
    /// Threads; one per core unless given
    #[arg(long)]
    threads: Option<usize>,
    /// Run this seed once and print what happened
    #[arg(long)]
    replay: Option<u64>,
    /// With --replay: keep only these of the drawn events
    #[arg(long, value_delimiter = ',', requires = "replay")]
    only: Option<Vec<usize>>,
    /// With --replay: what the nodes log, as in RUST_LOG
    #[arg(long, requires = "replay")]
    log: Option<String>,
}

/// What became of one seed.
struct Ran {
    seed: u64,
    outcome: Outcome,
    /// The events a failure needs, where it was shrunk.
    needed: Option<Vec<usize>>,
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    simulated_ms: u64,
    blocks: u64,
    transactions: usize,
    failed: Vec<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.replay {
        Some(seed) => replay(seed, options.only.as_deref(), options.log.as_deref()),
        None => sweep(&options),
    }
}

fn only(scenario: &Scenario, kept: &[usize]) -> Scenario {
    let events = kept.iter().filter_map(|index| scenario.events.get(*index).cloned()).collect();
    Scenario { events, ..scenario.clone() }
}

fn command(seed: u64, kept: Option<&[usize]>) -> String {
    let list = |kept: &[usize]| kept.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let kept = kept.map_or_else(String::new, |kept| format!(" --only {}", list(kept)));
    format!("cargo xtask sweep --replay {seed}{kept}")
}

fn replay(seed: u64, kept: Option<&[usize]>, log: Option<&str>) -> ExitCode {
    if let Some(filter) = log {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().init();
    }
    let mut scenario = draw(seed);
    if let Some(kept) = kept {
        scenario = only(&scenario, kept);
    }
    println!("{}", to_rust(&scenario));
    let run = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || outcome(&scenario));
    let outcome = run.expect("a thread can be started").join().expect("failures are in the outcome");
    print!("{}", render(&outcome.trace));
    println!("{:#?}", outcome.report);
    if outcome.report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn sweep(options: &Options) -> ExitCode {
    life::hush_panics();
    let from = options.from.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() * 1_000
    });
    let threads = options.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    println!("seeds from {from}, {threads} threads, at most {} minutes", options.minutes);
    let started = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(from));
    let end = from.saturating_add(options.seeds);
    let shrunk = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::channel(threads.max(1));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (stop, next, shrunk, sender) = (stop.clone(), next.clone(), shrunk.clone(), sender.clone());
            let work = move || work(&stop, &next, end, &shrunk, &sender);
            thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread can be started")
        })
        .collect();
    drop(sender);
    let deadline = started + Duration::from_secs(options.minutes * 60);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let totals = runtime.expect("a runtime can be built").block_on(collect(receiver, deadline, &stop));
    for worker in workers {
        worker.join().expect("failures are in the outcomes");
    }
    conclude(&totals, started.elapsed())
}

fn work(stop: &AtomicBool, next: &AtomicU64, end: u64, shrunk: &AtomicU64, sender: &mpsc::Sender<Ran>) {
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let scenario = draw(seed);
        let outcome = outcome(&scenario);
        let shrinks =
            !outcome.report.violations.is_empty() && shrunk.fetch_add(1, Ordering::Relaxed) < SHRUNK_MAX;
        let needed = shrinks.then(|| {
            shrink(scenario.events.len(), SHRINK_RUNS_MAX, |kept| {
                !stop.load(Ordering::Relaxed) && fails(&only(&scenario, kept))
            })
        });
        if sender.blocking_send(Ran { seed, outcome, needed }).is_err() {
            return;
        }
    }
}

fn fails(scenario: &Scenario) -> bool {
    !outcome(scenario).report.violations.is_empty()
}

/// Takes results until all are there, the time is up or the user has had enough.
async fn collect(mut receiver: mpsc::Receiver<Ran>, deadline: Instant, stop: &AtomicBool) -> Totals {
    let mut totals = Totals::default();
    let started = Instant::now();
    let mut told = started;
    loop {
        tokio::select! {
            ran = receiver.recv() => match ran {
                None => return totals,
                Some(ran) => totals.add(ran),
            },
            _ = tokio::signal::ctrl_c() => {
                if stop.swap(true, Ordering::Relaxed) {
                    return totals;
                }
                println!("stopping after the runs in progress; once more to stop at once");
            }
            () = tokio::time::sleep_until(deadline.into()), if !stop.load(Ordering::Relaxed) => {
                stop.store(true, Ordering::Relaxed);
            }
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            println!("{}", totals.line(started.elapsed()));
        }
    }
}

impl Totals {
    fn add(&mut self, ran: Ran) {
        let report = &ran.outcome.report;
        self.seeds += 1;
        self.simulated_ms += report.simulated_ms;
        self.blocks += report.height;
        self.transactions += report.ordered;
        if report.violations.is_empty() {
            return;
        }
        self.failed.push(ran.seed);
        println!("seed {} FAILS:", ran.seed);
        for violation in &report.violations {
            println!("  - {violation}");
        }
        println!("  replay: {}", command(ran.seed, None));
        if let Some(needed) = &ran.needed {
            println!(
                "  shrunk: {}\n{}",
                command(ran.seed, Some(needed)),
                to_rust(&only(&draw(ran.seed), needed))
            );
        }
    }

    fn line(&self, wall: Duration) -> String {
        let minutes = wall.as_secs_f64() / 60.0;
        let simulated_s = Duration::from_millis(self.simulated_ms).as_secs_f64();
        format!(
            "{} seeds in {minutes:.1} min: {:.2} h simulated, {} blocks, {} transactions, {} failed",
            self.seeds,
            simulated_s / 3_600.0,
            self.blocks,
            self.transactions,
            self.failed.len()
        )
    }
}

fn conclude(totals: &Totals, wall: Duration) -> ExitCode {
    println!("{}", totals.line(wall));
    if totals.failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("seeds that fail: {:?}", totals.failed);
    ExitCode::FAILURE
}
