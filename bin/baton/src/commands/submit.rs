use super::tx::{describe, outcome};
use crate::{
    data,
    output::{Outcome, Output, note},
    rpc::{Api, CallError, Endpoint},
};
use baton_types::{
    api::{Ack, RollupRef, SubmitParams, SubmitResult, TransactionParams, TransactionView},
    hex::Hex,
    receipt::{Reason, Rung},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Have a transaction ordered, and optionally wait for it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Name or id of the rollup.
    rollup: String,
    /// 0x… is hex, @FILE a file, - standard input, anything else text.
    data: String,
    /// Wait until it has come this far: replicated, proposed, notarized, finalized, executed, posted or
    /// settled.
    #[arg(long, value_name = "RUNG", value_parser = rung)]
    wait: Option<Rung>,
    /// What the receipt must state: pending (on one disk) or replicated (on 2f+1).
    #[arg(long, value_name = "RUNG", default_value = "pending", value_parser = ack)]
    ack: Ack,
    /// Goes first in rollups ordered by fee hint.
    #[arg(long, value_name = "N")]
    fee_hint: Option<u128>,
    /// Last height that may carry it.
    #[arg(long, value_name = "HEIGHT")]
    valid_until: Option<u64>,
    /// How long to wait for everything together.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = data::duration)]
    timeout: Duration,
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
Exit codes: 0 done, 1 refused or ended otherwise, 2 usage, 3 timed out (it may still be ordered).

Examples:
  baton submit demo 'hello'
  baton submit demo 0xc0ffee --wait finalized
  baton submit demo @block.bin --ack replicated --timeout 5s
  echo -n hello | baton submit demo - --json";

/// Between two looks at a transaction.
const POLL_MIN: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(250);

fn rung(text: &str) -> Result<Rung, String> {
    match text.parse::<Rung>()? {
        rung if rung.is_failure() => Err(format!("{text} is an end, not a goal")),
        rung => Ok(rung),
    }
}

fn ack(text: &str) -> Result<Ack, String> {
    match text {
        "pending" => Ok(Ack::Pending),
        "replicated" => Ok(Ack::Replicated),
        _ => Err("pending or replicated".to_owned()),
    }
}

/// By id where it is a number, else by name.
pub fn rollup_ref(text: &str) -> RollupRef {
    text.parse().map_or_else(|_| RollupRef::Name(text.to_owned()), RollupRef::Id)
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let payload = match data::read(&args.data) {
        Ok(payload) => payload,
        Err(error) => {
            output.error(&error);
            return Ok(Outcome::Usage);
        }
    };
    let api = args.endpoint.connect()?;
    let params = SubmitParams {
        rollup: rollup_ref(&args.rollup),
        data: Hex(payload),
        valid_until: args.valid_until,
        fee_hint: args.fee_hint.map(|hint| hint.to_string()),
        ack: args.ack,
    };
    let deadline = Instant::now() + args.timeout;
    let submitted = match tokio::time::timeout_at(deadline, api.call("baton_submit", Some(params))).await {
        Ok(Err(CallError::TimedOut(_))) | Err(_) => {
            note("timed out before a receipt came; it may still be ordered");
            return Ok(Outcome::TimedOut);
        }
        Ok(result) => result?,
    };
    let SubmitResult { id, receipt } = &submitted;
    output.object(&submitted);
    output.line(format!("{id} {} (receipt of node {})", receipt.rung, receipt.node));
    match args.wait {
        Some(wanted) if receipt.rung < wanted => {
            wait(&api, id.clone(), wanted, deadline, args.timeout, output).await
        }
        _ => Ok(Outcome::Done),
    }
}

async fn wait(
    api: &Api,
    id: String,
    wanted: Rung,
    deadline: Instant,
    patience: Duration,
    output: Output,
) -> eyre::Result<Outcome> {
    let params = TransactionParams { id };
    let mut pause = POLL_MIN;
    loop {
        let call = api.call::<TransactionView>("baton_transaction", Some(&params));
        match tokio::time::timeout_at(deadline, call).await {
            Ok(Ok(view)) if view.rung >= wanted || view.rung.is_failure() => {
                output.object(&view);
                describe(&view).into_iter().for_each(|line| output.line(line));
                return Ok(outcome(&view));
            }
            // A node that restarts answers again later; anything else will not change by itself.
            Ok(Err(error)) if !matches!(error.reason(), Some(Reason::Busy | Reason::NotReady)) => {
                return Err(error.into());
            }
            Ok(_) => {}
            Err(_) => {
                note(format!(
                    "not {wanted} within {patience:?}; it may still be ordered: baton tx {}",
                    params.id
                ));
                return Ok(Outcome::TimedOut);
            }
        }
        if Instant::now() + pause < deadline {
            sleep(pause).await;
        } else {
            tokio::time::sleep_until(deadline).await;
        }
        pause = (pause * 3 / 2).min(POLL_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_and_rollups() {
        assert_eq!(rung("finalized"), Ok(Rung::Finalized));
        assert!(rung("expired").unwrap_err().contains("an end"));
        assert!(rung("done").unwrap_err().contains("one of pending"));
        assert_eq!(rollup_ref("7"), RollupRef::Id(7));
        assert_eq!(rollup_ref("demo"), RollupRef::Name("demo".to_owned()));
    }
}
