use crate::{
    output::{Outcome, Output, grouped},
    rpc::{Endpoint, NONE},
};
use baton_types::api::ValidatorView;

/// The members: who votes, who builds, who misses its turns.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
Counts are of finalized blocks of this epoch; --json also has those since the node started.

Examples:
  baton validators
  baton validators --url http://127.0.0.1:8546 --json";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let members: Vec<ValidatorView> = args.endpoint.connect()?.call("baton_validators", NONE).await?;
    members.iter().for_each(|member| output.object(member));
    output.line(format!(
        "{:>6}  {:8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "member", "state", "authored", "drawn", "reveals", "proofs", "missed"
    ));
    for member in &members {
        let state = match (member.suspended, member.benched, member.voting) {
            (true, ..) => "suspended",
            (_, true, _) => "benched",
            (.., true) => "voting",
            _ => "silent",
        };
        let counts = &member.epoch;
        let numbers = [
            counts.blocks_authored,
            counts.designations,
            counts.reveals,
            counts.single_proofs,
            counts.turns_missed,
        ];
        let numbers = numbers.map(|number| format!("{:>9}", grouped(number))).join(" ");
        output.line(format!("{:>6}  {state:9} {numbers}", member.index));
    }
    Ok(Outcome::Done)
}
