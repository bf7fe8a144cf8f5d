use super::{
    LoadArgs, Report, Target,
    report::{row, whole},
    with_devnet,
};
use crate::{
    cluster::layout::NODES_MAX,
    output::{Outcome, Output, note},
};
use baton_types::genesis::Election;
use serde::Serialize;

/// Compare elections: the same load on a devnet of each in turn, several times over.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Nodes of each devnet.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    devnet: u16,
    /// Elections to compare; the first is what the others are measured against.
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "threshold-lottery,zk-lottery,round-robin"
    )]
    elections: Vec<Election>,
    /// Rounds; a figure is the median of as many.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeat: u16,
    #[command(flatten)]
    load: LoadArgs,
}

const EXAMPLES: &str = "\
Without --rate it measures how much is finalized, with --rate how soon.

Examples:
  baton bench elections --seconds 15s
  baton bench elections --seconds 15s --rate 30000
  baton bench elections --elections zk-lottery,stake-weighted --repeat 5 --json";

/// Medians over all rounds; the ratios are medians of the rounds' own.
#[derive(Debug, Serialize)]
struct Row {
    election: &'static str,
    finalized_per_second: f64,
    finalized_per_second_ratio: f64,
    finalized_p50_ms: f64,
    finalized_p50_ratio: f64,
    finalized_p99_ms: f64,
    blocks_per_second: f64,
    /// Whether nothing was lost or repeated in any round.
    fine: bool,
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let mut rounds = Vec::new();
    for round in 1..=args.repeat {
        let mut reports = Vec::new();
        for election in &args.elections {
            note(format!("round {round} of {}: {}", args.repeat, election.name()));
            let report = with_devnet(args.devnet, Some(*election), async |cluster| {
                super::report(&Target::of(cluster).await?, &args.load).await
            });
            let Some(report) = report.await? else { return Ok(Outcome::Failed) };
            reports.push(report);
        }
        rounds.push(reports);
    }
    let rows: Vec<_> =
        (0..args.elections.len()).map(|column| summary(&args.elections, &rounds, column)).collect();
    output.line(row("", "finalized, tx/s     p50, ms         p99, ms   blocks/s"));
    for entry in &rows {
        output.object(entry);
        output.line(row(
            entry.election,
            format!(
                "{:>8} (×{:.2})   {:>6.1} (×{:.2})   {:>6.1}   {:>6.1}{}",
                whole(entry.finalized_per_second),
                entry.finalized_per_second_ratio,
                entry.finalized_p50_ms,
                entry.finalized_p50_ratio,
                entry.finalized_p99_ms,
                entry.blocks_per_second,
                if entry.fine { "" } else { "   LOST OR REPEATED" },
            ),
        ));
    }
    Ok(if rows.iter().all(|entry| entry.fine) { Outcome::Done } else { Outcome::Failed })
}

fn summary(elections: &[Election], rounds: &[Vec<Report>], column: usize) -> Row {
    let all =
        |figure: fn(&Report) -> f64| median(rounds.iter().map(|round| figure(&round[column])).collect());
    let against = |figure: fn(&Report) -> f64| {
        median(rounds.iter().map(|round| figure(&round[column]) / figure(&round[0])).collect())
    };
    Row {
        election: elections[column].name(),
        finalized_per_second: all(|report| report.finalized_per_second),
        finalized_per_second_ratio: against(|report| report.finalized_per_second),
        finalized_p50_ms: all(|report| report.finalized.p50_ms),
        finalized_p50_ratio: against(|report| report.finalized.p50_ms),
        finalized_p99_ms: all(|report| report.finalized.p99_ms),
        blocks_per_second: all(|report| report.blocks_per_second),
        fine: rounds.iter().all(|round| round[column].fine()),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
