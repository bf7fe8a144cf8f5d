use crate::{
    output::{Outcome, Output, grouped},
    rpc::{Endpoint, NONE},
};
use baton_types::{api::StatusView, hex};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a node sees: height, view, members, whether it is ready.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
Exit code 1 when the node is not ready.

Examples:
  baton status
  baton status --url http://127.0.0.1:8546 --json";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let status: StatusView = args.endpoint.connect()?.call("baton_status", NONE).await?;
    output.object(&status);
    print(&status, output);
    Ok(if status.ready { Outcome::Done } else { Outcome::Failed })
}

fn print(status: &StatusView, output: Output) {
    let age = match now_ms().checked_sub(status.finalized_time_ms) {
        Some(age) if status.finalized_time_ms > 0 => format!("{} ms ago", grouped(age)),
        _ => "never".to_owned(),
    };
    let ready = match (&status.reason, status.ready) {
        (_, true) => "yes".to_owned(),
        (Some(reason), false) => format!("no: {reason}"),
        (None, false) => "no".to_owned(),
    };
    let rows = [
        ("ready", ready),
        ("network", format!("{} ({})", status.network, status.network_id)),
        ("chain", status.chain.clone()),
        ("group key", status.group_key.clone()),
        ("node", format!("{} of {}, {}", status.index, status.members, status.identity)),
        ("quorum", format!("{} votes; tolerates {} faulty", status.quorum, status.faults)),
        ("epoch, view", format!("{}, {}", status.epoch, grouped(status.view))),
        ("finalized", format!("{} {}, {age}", grouped(status.finalized_height), status.finalized_hash)),
        ("lowest", grouped(status.lowest_height)),
        ("waiting", format!("{} transactions", grouped(status.mempool_transactions))),
        ("up", format!("{} s", grouped(status.uptime_ms / 1_000))),
        ("version", status.version.clone()),
    ];
    for (name, value) in rows {
        output.line(format!("{name:12} {value}"));
    }
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A transaction id as the API takes it.
pub fn check_id(id: &str) -> Result<String, String> {
    hex::decode_array::<32>(id).map(|bytes| hex::encode(&bytes))
}
