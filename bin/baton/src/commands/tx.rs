use super::status::check_id;
use crate::{
    output::{Outcome, Output},
    rpc::Endpoint,
};
use baton_types::api::{TransactionParams, TransactionView};

/// How far a transaction has come.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Id of the transaction.
    #[arg(value_name = "HASH", value_parser = check_id)]
    id: String,
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
Exit code 1 when it expired, was rejected, skipped or superseded, or is unknown to the node.

Examples:
  baton tx 0x5f0c…
  baton tx 0x5f0c… --json --url http://127.0.0.1:8546";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let api = args.endpoint.connect()?;
    let view: TransactionView =
        api.call("baton_transaction", Some(TransactionParams { id: args.id })).await?;
    output.object(&view);
    for line in describe(&view) {
        output.line(line);
    }
    Ok(outcome(&view))
}

/// What expired, was rejected, skipped or superseded counts as failed.
pub const fn outcome(view: &TransactionView) -> Outcome {
    if view.rung.is_failure() { Outcome::Failed } else { Outcome::Done }
}

pub fn describe(view: &TransactionView) -> Vec<String> {
    let mut lines = vec![format!("{} {}", view.id, view.rung)];
    if let Some(place) = &view.place {
        lines.push(format!(
            "  rollup {}, height {}, index {}, block {}",
            place.rollup, place.height, place.index, place.block
        ));
    }
    if let Some(reason) = view.reason {
        lines.push(format!("  because: {reason}"));
    }
    let first = view.times_ms.values().min().copied().unwrap_or(0);
    for (rung, time) in &view.times_ms {
        lines.push(format!("  {:10} +{} ms", rung.name(), time - first));
    }
    lines
}
