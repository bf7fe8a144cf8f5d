use crate::output::{Outcome, Output, grouped, refused};
use baton_node::election::Extras;
use baton_types::{
    Genesis, GroupKey,
    election::{self, ElectionFile, ElectionProof},
    hex,
    proof::{
        Proof, ProofFile,
        evm::{self, EvmProofFile},
    },
    receipt::Reason,
    settlement::{self, BatchCertificate, BatchFile},
};
use eyre::{WrapErr as _, bail};
use serde::{Deserialize, Serialize};
use std::{fs, io::Read as _, path::PathBuf};

/// Check a proof of finality, of what an EVM rollup holds or did, of how a block's author was drawn, or a batch's
/// certificate. Needs no network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The proof; - is standard input.
    file: PathBuf,
    /// Group key of the cluster, from a source you trust.
    #[arg(long, value_name = "KEY", value_parser = group_key)]
    group_key: GroupKey,
    /// For the proof of an election: the genesis that it must belong to.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// For the proof of an election: the committer's proof of its whole epoch, to check with it.
    #[arg(long, value_name = "FILE")]
    epoch_proof: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Exit code 1, with the reason, when the proof does not hold.

Examples:
  baton verify proof.json --group-key 0x8a41…
  baton proof 0x5f0c… | baton verify - --group-key 0x8a41…
  baton evm-proof --account 0x7099… | baton verify - --group-key 0x8a41…
  baton verify election.json --group-key 0x8a41… --genesis genesis.json
  baton verify batch.json --group-key 0x8a41…         # `certificate` of baton_batch";

/// Largest proof: hundreds of storage slots, each with its path.
const PROOF_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What all proofs say of themselves.
#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    format: String,
}

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
    let no_proof = |error: &dyn std::fmt::Display| {
        refused(Reason::BadRequest, format!("{} is no proof: {error}", args.file.display()))
    };
    let kind: Kind = serde_json::from_str(&text).map_err(|error| no_proof(&error))?;
    if kind.format == election::FORMAT {
        let file: ElectionFile = serde_json::from_str(&text).map_err(|error| no_proof(&error))?;
        return verify_election(
            args,
            &ElectionProof::try_from(&file).map_err(|error| no_proof(&error))?,
            output,
        );
    }
    for (flag, given) in [("--genesis", &args.genesis), ("--epoch-proof", &args.epoch_proof)] {
        if given.is_some() {
            let detail =
                format!("{flag} goes with the proof of an election; {} is none", args.file.display());
            return Err(refused(Reason::BadRequest, detail));
        }
    }
    if kind.format == evm::FORMAT {
        let file: EvmProofFile = serde_json::from_str(&text).map_err(|error| no_proof(&error))?;
        return super::evm_proof::verify(&file, &args.group_key, output);
    }
    if kind.format == settlement::FORMAT {
        let file: BatchFile = serde_json::from_str(&text).map_err(|error| no_proof(&error))?;
        let certificate = BatchCertificate::try_from(&file).map_err(|error| no_proof(&error))?;
        return verify_batch(args, &certificate, output);
    }
    let file: ProofFile = serde_json::from_str(&text).map_err(|error| no_proof(&error))?;
    let proof = Proof::try_from(&file).map_err(|error| no_proof(&error))?;
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

#[derive(Serialize)]
struct Signed {
    rollup: u32,
    index: u64,
    l1_chain_id: u64,
    inbox: String,
    key_generation: u32,
    first_height: u64,
    last_height: u64,
    order_root: String,
    data_commitment: String,
    forced_cursor: u64,
    /// Of the inbox after the batch.
    head: String,
}

fn verify_batch(args: &Args, certificate: &BatchCertificate, output: Output) -> eyre::Result<Outcome> {
    if !certificate.verify(&args.group_key) {
        let detail = "the certificate does not hold: the group of this key did not sign the batch";
        return Err(refused(Reason::BadRequest, detail.to_owned()));
    }
    let batch = &certificate.batch;
    let signed = Signed {
        rollup: batch.rollup.0,
        index: batch.index,
        l1_chain_id: batch.l1_chain_id,
        inbox: hex::encode(&batch.inbox.0),
        key_generation: batch.key_generation,
        first_height: batch.first_height,
        last_height: batch.last_height,
        order_root: hex::encode(&batch.order_root),
        data_commitment: hex::encode(&batch.data_commitment),
        forced_cursor: batch.forced_cursor,
        head: hex::encode(&batch.head()),
    };
    output.object(&signed);
    output.line(format!("proven: the group signed batch {} of rollup {}", signed.index, signed.rollup));
    output.line(format!("  heights    {} to {}", grouped(signed.first_height), grouped(signed.last_height)));
    output.line(format!("  order      {}", signed.order_root));
    output.line(format!("  data       {}", signed.data_commitment));
    output.line(format!("  forced     {} entries taken", grouped(signed.forced_cursor)));
    output.line(format!("  inbox      {} on chain {}", signed.inbox, signed.l1_chain_id));
    output.line(format!("  head       {}", signed.head));
    Ok(Outcome::Done)
}

fn verify_election(args: &Args, proof: &ElectionProof, output: Output) -> eyre::Result<Outcome> {
    let genesis = match &args.genesis {
        None => None,
        Some(path) => {
            let text = read(path)?;
            Some(Genesis::from_json(&text).wrap_err_with(|| path.display().to_string())?)
        }
    };
    let epoch_proof = match &args.epoch_proof {
        None => None,
        Some(path) => Some(fs::read(path).wrap_err_with(|| format!("cannot read {}", path.display()))?),
    };
    let extras = Extras { genesis: genesis.as_ref(), epoch_proof: epoch_proof.as_deref() };
    let view =
        baton_node::election::verify(&mut rand::rng(), proof, &args.group_key, extras).map_err(|reason| {
            refused(Reason::BadRequest, format!("the proof of the election does not hold: {reason}"))
        })?;
    output.object(&view);
    output.line(format!("proven: member {} was drawn to build block {}", view.author, grouped(view.height)));
    super::election::lines(&view).into_iter().for_each(|line| output.line(format!("  {line}")));
    if epoch_proof.is_some() {
        output.line("  and the committer proved all its reveals of the epoch");
    }
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
