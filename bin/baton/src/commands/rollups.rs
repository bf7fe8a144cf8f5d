use crate::{
    output::{Outcome, Output, grouped},
    rpc::{Endpoint, NONE},
};
use baton_types::Rollup;

/// The rollups this cluster orders, and their limits.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
Examples:
  baton rollups
  baton rollups --json";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let rollups: Vec<Rollup> = args.endpoint.connect()?.call("baton_rollups", NONE).await?;
    output.line(format!(
        "{:>4}  {:32}  {:6}  {:5}  {:9}  {:>16}  reserved",
        "id", "name", "kind", "data", "ordering", "transaction max"
    ));
    for rollup in &rollups {
        output.line(format!(
            "{:>4}  {:32}  {:6}  {:5}  {:9}  {:>10} bytes  {} %",
            rollup.id,
            rollup.name,
            name(&rollup.kind),
            name(&rollup.data),
            name(&rollup.ordering),
            grouped(u64::try_from(rollup.transaction_bytes_max).unwrap_or(u64::MAX)),
            rollup.reserved_percent
        ));
        output.object(rollup);
    }
    Ok(Outcome::Done)
}

/// A plain enum as the API spells it.
fn name(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
