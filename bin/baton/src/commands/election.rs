use crate::{
    output::{Outcome, Output, grouped},
    rpc::{Api, Endpoint},
};
use baton_types::{
    api::{ElectionParams, ElectionView, EpochProofParams, EpochProofView, LotteryView},
    election::{ElectionFile, ElectionProof},
};
use eyre::{WrapErr as _, eyre};
use std::{fs, path::PathBuf};

/// How the author of a finalized block came to build it: committer, reveal, output, draw.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A finalized height [default: the last].
    height: Option<u64>,
    /// Also write a proof of it here, for anyone who knows the group key (zk-lottery).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write the committer's zero-knowledge proof of its whole epoch here, if the node holds it.
    #[arg(long, value_name = "FILE")]
    epoch_proof: Option<PathBuf>,
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
Examples:
  baton election
  baton election 120 --json
  baton election 120 --out election.json --epoch-proof epoch.proof
  baton verify election.json --group-key 0x8a41… --epoch-proof epoch.proof";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let api = args.endpoint.connect()?;
    let view: ElectionView = api.call("baton_election", Some(ElectionParams { height: args.height })).await?;
    output.object(&view);
    lines(&view).into_iter().for_each(|line| output.line(line));
    if let Some(path) = &args.out {
        let params = ElectionParams { height: Some(view.height) };
        let file: ElectionFile = api.call("baton_electionProof", Some(params)).await?;
        // What cannot even be read must not be kept for later.
        ElectionProof::try_from(&file)
            .map_err(|error| eyre!("the node sent a malformed proof of the election: {error}"))?;
        let text = serde_json::to_string_pretty(&file).wrap_err("cannot encode the proof")?;
        fs::write(path, text + "\n").wrap_err_with(|| format!("cannot write {}", path.display()))?;
        output.line(format!("proof of it    {}", path.display()));
    }
    if let Some(path) = &args.epoch_proof {
        let proof = epoch_proof(&api, &view).await?;
        fs::write(path, &proof.proof.0).wrap_err_with(|| format!("cannot write {}", path.display()))?;
        output.line(format!("of the epoch   {}, {} bytes", path.display(), grouped(proof.bytes)));
    }
    Ok(Outcome::Done)
}

async fn epoch_proof(api: &Api, view: &ElectionView) -> eyre::Result<EpochProofView> {
    let params = EpochProofParams { epoch: Some(view.epoch), member: Some(view.committer), proof_hash: None };
    Ok(api.call("baton_epochProof", Some(params)).await?)
}

/// For people.
pub fn lines(view: &ElectionView) -> Vec<String> {
    let row = |name: &str, value: String| format!("{name:14} {value}");
    let mut lines = vec![
        row("height", format!("{}, block {}", grouped(view.height), view.block)),
        row("epoch, view", format!("{}, {}", view.epoch, grouped(view.view))),
        row("views missed", grouped(view.views_missed)),
        row("election", view.election.clone()),
        row("committer", format!("member {}", view.committer)),
        row("author", format!("member {}", view.author)),
        row("parent seed", view.parent_seed.clone()),
    ];
    if let Some(lottery) = &view.lottery {
        lines.extend(of_lottery(lottery).into_iter().map(|(name, value)| row(name, value)));
    }
    lines
}

fn of_lottery(lottery: &LotteryView) -> Vec<(&'static str, String)> {
    let members = |members: &[u32]| match members {
        [] => "nobody".to_owned(),
        members => members.iter().map(|member| format!("member {member}")).collect::<Vec<_>>().join(", "),
    };
    let draw = lottery.draw.iter().map(|candidate| match candidate.skipped {
        Some(reason) => format!("member {} ({})", candidate.member, reason.name()),
        None => format!("member {}", candidate.member),
    });
    let missed = lottery.missed.iter().map(|missed| format!("{} (member {})", missed.view, missed.committer));
    let commitment = match &lottery.commitment {
        None => "none in force".to_owned(),
        Some(commitment) => match &commitment.proof_hash {
            None => format!("{}, from the genesis", commitment.root),
            Some(hash) => format!("{}, proof {hash}", commitment.root),
        },
    };
    let mut rows = vec![
        (
            "turn",
            format!(
                "{} of the committer, {} bytes of {}",
                lottery.turn,
                lottery.evidence_bytes,
                lottery.evidence.name()
            ),
        ),
        ("commitment", commitment),
        ("reveal", lottery.opening.clone()),
        ("later beacon", lottery.later_beacon.clone()),
        ("output", lottery.output.clone()),
        ("draw", draw.collect::<Vec<_>>().join(" → ")),
        ("benched", members(&lottery.benched)),
        ("suspended", members(&lottery.suspended)),
    ];
    if !lottery.missed.is_empty() {
        rows.push(("missed", missed.collect::<Vec<_>>().join(", ")));
    }
    rows
}
