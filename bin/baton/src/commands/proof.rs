use super::status::check_id;
use crate::{
    output::{Outcome, Output, write_line},
    rpc::Endpoint,
};
use baton_types::{
    api::{ProofResult, TransactionParams},
    proof::Proof,
};
use eyre::{WrapErr as _, eyre};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Get the proof that a transaction is final.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Id of the transaction.
    #[arg(value_name = "HASH", value_parser = check_id)]
    id: String,
    /// Write it here instead of to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
The proof can be checked by anyone who knows the group key, without asking a node.

Examples:
  baton proof 0x5f0c… --out proof.json
  baton verify proof.json --group-key 0x8a41…";

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let api = args.endpoint.connect()?;
    let file: ProofResult = api.call("baton_proof", Some(TransactionParams { id: args.id })).await?;
    // What cannot even be read must not be kept for later.
    let proof = Proof::try_from(&file).map_err(|error| eyre!("the node sent a malformed proof: {error}"))?;
    let chain = baton_types::hex::encode(&proof.header.chain);
    let what = format!("transaction {} in block {} of chain {chain}", proof.id, proof.header.height);
    write_proof(&file, args.out.as_deref(), &what, output)
}

/// To a file, or to standard output.
pub fn write_proof(
    file: &impl Serialize,
    out: Option<&Path>,
    what: &str,
    output: Output,
) -> eyre::Result<Outcome> {
    let Some(path) = out else {
        let compact = serde_json::to_string(file);
        let text = if output.json { compact } else { serde_json::to_string_pretty(file) };
        write_line(&text.wrap_err("cannot encode the proof")?);
        return Ok(Outcome::Done);
    };
    let text = serde_json::to_string_pretty(file).wrap_err("cannot encode the proof")?;
    std::fs::write(path, text + "\n").wrap_err_with(|| format!("cannot write {}", path.display()))?;
    output.object(file);
    output.line(format!("{}: {what}", path.display()));
    Ok(Outcome::Done)
}
