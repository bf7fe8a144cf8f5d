//! Proofs of what EVM rollups hold and did: fetched from a node, and checked.

use super::{proof::write_proof, status::check_id};
use crate::{
    output::{Outcome, Output, grouped, refused},
    rpc::Endpoint,
};
use baton_node::evm_proof::{EvmProof, Subject};
use baton_types::{
    GroupKey,
    api::{EvmProofParams, EvmProofResult, RollupRef},
    hex,
    proof::evm::{AccountFile, EvmProofFile},
    receipt::Reason,
};
use eyre::eyre;
use serde::Serialize;
use std::path::PathBuf;

/// Get the proof of an account, its storage, or a receipt of an EVM rollup.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(id = "subject", required = true, multiple = false, args = ["account", "transaction"])]
pub struct Args {
    /// Address whose nonce, balance and code to prove, at the newest attested block.
    #[arg(long, value_name = "ADDRESS", value_parser = check_bytes::<20>)]
    account: Option<String>,
    /// Slot of the account's storage, 32 bytes; may be repeated.
    #[arg(long = "slot", value_name = "SLOT", value_parser = check_bytes::<32>, conflicts_with = "transaction")]
    slots: Vec<String>,
    /// Id of a transaction whose receipt to prove.
    #[arg(long, value_name = "HASH", value_parser = check_id)]
    transaction: Option<String>,
    /// Name of the rollup; by default the first that executes Ethereum transactions.
    #[arg(long, value_name = "NAME")]
    rollup: Option<String>,
    /// Write it here instead of to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
The proof can be checked by anyone who knows the group key, without asking a node.

Examples:
  baton evm-proof --account 0x7099…79C8 --out balance.json
  baton evm-proof --account 0x5fbd…0aa3 --slot 0x00…00 --out slot.json
  baton evm-proof --transaction 0x5f0c… | baton verify - --group-key 0x8a41…";

fn check_bytes<const N: usize>(text: &str) -> Result<String, String> {
    hex::decode_array::<N>(text).map(|_| text.to_owned())
}

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let api = args.endpoint.connect()?;
    let params = EvmProofParams {
        rollup: args.rollup.map(RollupRef::Name),
        account: args.account,
        slots: args.slots,
        transaction: args.transaction,
    };
    let file: EvmProofResult = api.call("baton_evmProof", Some(params)).await?;
    // What cannot even be read must not be kept for later.
    let proof =
        EvmProof::try_from(&file).map_err(|error| eyre!("the node sent a malformed proof: {error}"))?;
    let number = proof.headers.last().map_or(0, |header| header.number);
    let what = match &proof.subject {
        Subject::Account(account) => format!("account {} at block {number}", account.address),
        Subject::Receipt(receipt) => format!("receipt of {} in block {number}", receipt.hash()),
    };
    write_proof(&file, args.out.as_deref(), &what, output)
}

#[derive(Serialize)]
struct Proven<'a> {
    rollup: u32,
    number: u64,
    block: String,
    state_root: String,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt<'a>>,
    chain: String,
    /// Of the block of the cluster that attests it.
    height: u64,
    /// Height of the block whose certificate proves it.
    certified_height: u64,
}

#[derive(Serialize)]
struct Account<'a> {
    address: &'a str,
    nonce: u64,
    balance: &'a str,
    code_hash: &'a str,
    slots: Vec<(&'a str, &'a str)>,
}

#[derive(Serialize)]
struct Receipt<'a> {
    transaction: String,
    index: u32,
    /// Whether it did what it was to do.
    success: bool,
    /// As in the receipts' trie.
    bytes: &'a str,
}

fn account(file: &AccountFile) -> Account<'_> {
    Account {
        address: &file.address,
        nonce: file.nonce,
        balance: &file.balance,
        code_hash: &file.code_hash,
        slots: file.slots.iter().map(|slot| (&*slot.slot, &*slot.value)).collect(),
    }
}

/// Checks a proof and tells what it proves.
pub fn verify(file: &EvmProofFile, group_key: &GroupKey, output: Output) -> eyre::Result<Outcome> {
    let proof = EvmProof::try_from(file)
        .map_err(|error| refused(Reason::BadRequest, format!("it is no proof: {error}")))?;
    let header = proof
        .verify(&mut rand::rng(), group_key)
        .map_err(|reason| refused(Reason::BadRequest, format!("the proof does not hold: {reason}")))?;
    let attested_by = &proof.attested_by;
    let certified = attested_by.history.as_ref().map_or(&attested_by.header, |history| &history.certified);
    let receipt = match (&proof.subject, &file.receipt) {
        (Subject::Receipt(receipt), Some(file)) => Some(Receipt {
            transaction: receipt.hash().to_string(),
            index: receipt.index,
            success: receipt.success(),
            bytes: &file.receipt,
        }),
        _ => None,
    };
    let proven = Proven {
        rollup: file.rollup,
        number: header.number,
        block: header.hash_slow().to_string(),
        state_root: header.state_root.to_string(),
        timestamp: header.timestamp,
        account: file.account.as_ref().map(account),
        receipt,
        chain: hex::encode(&attested_by.header.chain),
        height: attested_by.header.height,
        certified_height: certified.height,
    };
    output.object(&proven);
    print(&proven, output);
    Ok(Outcome::Done)
}

fn print(proven: &Proven<'_>, output: Output) {
    if let Some(account) = &proven.account {
        output.line(format!("proven: account {} as the cluster attested it", account.address));
        output.line(format!("  balance    {} wei", account.balance));
        output.line(format!("  nonce      {}", account.nonce));
        output.line(format!("  code hash  {}", account.code_hash));
        for (slot, value) in &account.slots {
            output.line(format!("  slot       {slot}"));
            output.line(format!("  value      {value}"));
        }
    }
    if let Some(receipt) = &proven.receipt {
        let outcome = if receipt.success { "executed" } else { "executed, and failed" };
        output.line(format!("proven: transaction {} was {outcome}", receipt.transaction));
        output.line(format!("  index      {}", receipt.index));
    }
    output.line(format!("  rollup     {}, block {}", proven.rollup, grouped(proven.number)));
    output.line(format!("  block      {}", proven.block));
    output.line(format!("  state root {}", proven.state_root));
    output.line(format!("  attested   by block {} of the cluster", grouped(proven.height)));
    output.line(format!("  certified  by block {}", grouped(proven.certified_height)));
    output.line(format!("  chain      {}", proven.chain));
}
