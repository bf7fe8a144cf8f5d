use crate::output::{Outcome, Output, grouped, refused};
use baton_types::{
    GroupKey, hex,
    proof::{Proof, ProofFile},
    receipt::Reason,
};
use eyre::{WrapErr as _, bail};
use serde::Serialize;
use std::{fs, io::Read as _, path::PathBuf};

/// Check a proof of finality. Needs no network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The proof; - is standard input.
    file: PathBuf,
    /// Group key of the cluster, from a source you trust.
    #[arg(long, value_name = "KEY", value_parser = group_key)]
    group_key: GroupKey,
}

const EXAMPLES: &str = "\
Exit code 1, with the reason, when the proof does not hold.

Examples:
  baton verify proof.json --group-key 0x8a41…
  baton proof 0x5f0c… | baton verify - --group-key 0x8a41…";

/// Largest proof: a few paths, two headers, one certificate.
const PROOF_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Serialize)]
struct Proven {
    id: String,
    rollup: u32,
    index: u32,
    chain: String,
    height: u64,
    block: String,
    epoch: u64,
    view: u64,
    timestamp_ms: u64,
    /// Height of the block whose certificate proves it.
    certified_height: u64,
}

fn group_key(text: &str) -> Result<GroupKey, String> {
    hex::decode_value(text, &()).map_err(|error| format!("expected 0x and 192 hex digits: {error}"))
}

pub fn run(args: &Args, output: Output) -> eyre::Result<Outcome> {
    let text = read(&args.file)?;
    let file: ProofFile = serde_json::from_str(&text).map_err(|error| {
        refused(Reason::BadRequest, format!("{} is no proof: {error}", args.file.display()))
    })?;
    let proof = Proof::try_from(&file).map_err(|error| {
        refused(Reason::BadRequest, format!("{} is no proof: {error}", args.file.display()))
    })?;
    proof
        .verify(&mut rand::rng(), &args.group_key)
        .map_err(|reason| refused(Reason::BadRequest, format!("the proof does not hold: {reason}")))?;
    let header = &proof.header;
    let certified = proof.history.as_ref().map_or(header, |history| &history.certified);
    let proven = Proven {
        id: file.id,
        rollup: proof.rollup.0,
        index: proof.index,
        chain: hex::encode(&header.chain),
        height: header.height,
        block: hex::encode(&header.digest()),
        epoch: header.epoch,
        view: header.view,
        timestamp_ms: header.timestamp_ms,
        certified_height: certified.height,
    };
    output.object(&proven);
    print(&proven, output);
    Ok(Outcome::Done)
}

fn print(proven: &Proven, output: Output) {
    output.line(format!("proven: transaction {} is final", proven.id));
    output.line(format!("  rollup     {}, index {}", proven.rollup, proven.index));
    output.line(format!("  height     {}", grouped(proven.height)));
    output.line(format!("  block      {}", proven.block));
    output.line(format!("  epoch      {}, view {}", proven.epoch, grouped(proven.view)));
    output.line(format!("  chain      {}", proven.chain));
    let how = if proven.certified_height == proven.height {
        "by a certificate of its own block".to_owned()
    } else {
        format!("by the certificate of block {}, which covers it", grouped(proven.certified_height))
    };
    output.line(format!("  certified  {how}"));
}

fn read(path: &PathBuf) -> eyre::Result<String> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(PROOF_BYTES_MAX).read_to_string(&mut text)
    } else {
        let file = fs::File::open(path).wrap_err_with(|| format!("cannot open {}", path.display()))?;
        file.take(PROOF_BYTES_MAX).read_to_string(&mut text)
    };
    let length = read.wrap_err_with(|| format!("cannot read {} as text", path.display()))?;
    if u64::try_from(length).is_ok_and(|length| length == PROOF_BYTES_MAX) {
        bail!("{} is larger than any proof ({PROOF_BYTES_MAX} bytes)", path.display());
    }
    Ok(text)
}
