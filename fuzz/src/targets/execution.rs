//! Formats of `baton-execution`: raw Ethereum transactions, changes and parts of the state, records of blocks,
//! checkpoints, proofs of execution.

use super::{MEMORY_PER_BYTE, codec, text};
use crate::{
    run::{MEMORY_MIN, Outcome, Target},
    seeds::Vectors,
};
use baton_execution::evm::{
    AccountSummary, Changes, Checkpoint, Params, Part, Prefix, Record, Restoring, Signed, State,
    proof::EvmProof,
};
use baton_types::{
    GroupKey, Rollup, domain, genesis::evm::Evm, hex, merkle::EMPTY, proof::evm::EvmProofFile,
};
use commonware_codec::Encode as _;
use rand::{SeedableRng as _, rngs::StdRng};
use serde::Deserialize as _;
use serde_json::Value;

/// As many bytes as the checksum of a record has.
const CHECKSUM_BYTES: usize = 32;

pub fn targets(vectors: &Vectors) -> Vec<Target> {
    vec![
        codec::<Changes>("evm-changes", (), vectors.of::<Changes>(&())),
        applied(vectors),
        record(vectors),
        part(vectors),
        checkpoint(vectors),
        Target { cost: 20, ..proof_file(vectors) },
        Target { cost: 5, ..transaction(vectors) },
    ]
}

fn target(
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    memory_per_byte: usize,
    check: impl Fn(&[u8]) -> Outcome + 'static,
) -> Target {
    Target {
        name,
        seeds,
        text: false,
        memory_min: MEMORY_MIN,
        memory_per_byte,
        cost: 1,
        check: Box::new(check),
    }
}

/// Block 0 of the vectors.
fn state(vectors: &Vectors) -> State {
    let value: Value = serde_json::from_str(vectors.text("evm.json")).expect("the vectors are JSON");
    let rollup = Rollup::deserialize(&value["per_block"]["rollup"]).expect("a rollup of this version");
    State::genesis(rollup.evm.as_ref().expect("an evm rollup"))
}

/// Changes that decode fit the state or are refused as a whole.
fn applied(vectors: &Vectors) -> Target {
    // A node of the trie is larger than the few bytes of a slot.
    let block_0 = state(vectors);
    target("evm-changes-applied", vectors.of::<Changes>(&()), 8 * MEMORY_PER_BYTE, move |input| {
        let changes: Changes = match baton_types::hex::from_bytes(input, &()) {
            Ok(changes) => changes,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let mut state = block_0.snapshot();
        let before = state.root();
        let result = state.apply(&changes);
        if result.is_err() {
            assert_eq!(state.root(), before, "refused changes left something behind");
        }
        result.into()
    })
}

/// Behind a checksum that matches, so that what is behind it is reached.
fn record(vectors: &Vectors) -> Target {
    let records = vectors.hex_where(|bytes| Record::from_bytes(bytes).is_ok());
    let contents = records.iter().map(|bytes| bytes[..bytes.len() - CHECKSUM_BYTES].to_vec());
    target("evm-record", contents.collect(), MEMORY_PER_BYTE, |input| {
        let mut bytes = input.to_vec();
        bytes.extend_from_slice(&domain::evm_record(input));
        match Record::from_bytes(&bytes) {
            Ok(record) => {
                assert_eq!(record.to_bytes(), bytes, "two encodings of one value");
                assert!(record.changes.encode().len() < bytes.len());
                Outcome::Decoded
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    })
}

/// A part that decodes either verifies, which only the true one does, or is refused.
fn part(vectors: &Vectors) -> Target {
    let state = state(vectors);
    let whole = state.accounts_part(Prefix::ALL).expect("few accounts").to_bytes();
    let root = state.root();
    target("evm-part", vec![whole.clone()], 2 * MEMORY_PER_BYTE, move |input| {
        match Part::<AccountSummary>::from_bytes(input) {
            Ok(part) => {
                assert_eq!(part.to_bytes(), input, "two encodings of one value");
                let result = part.verify(&root);
                assert!(result.is_err() || input == whole, "a lie verifies");
                result.into()
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    })
}

/// The piece with all accounts, behind a checksum that matches: what is good has the root.
fn checkpoint(vectors: &Vectors) -> Target {
    let record =
        vectors.hex_where(|bytes| Record::from_bytes(bytes).is_ok()).pop().expect("the vectors have one");
    let mut header = Record::from_bytes(&record).expect("it was one").header;
    let state = state(vectors);
    header.state_root = state.root();
    let good = Checkpoint { state, header: header.clone(), through_height: 3, through_digest: EMPTY };
    let pieces: Vec<_> = good.pieces().collect();
    let seeds = vec![pieces[1][..pieces[1].len() - CHECKSUM_BYTES].to_vec()];
    target("evm-checkpoint", seeds, 8 * MEMORY_PER_BYTE, move |input| {
        let mut piece = input.to_vec();
        piece.extend_from_slice(&domain::evm_checkpoint(1, input));
        let mut restoring = Restoring::default();
        restoring.push(&pieces[0]).expect("it is good");
        match restoring.push(&piece).and_then(|()| restoring.finish()) {
            Ok(checkpoint) => {
                assert_eq!(checkpoint.state.root(), header.state_root);
                Outcome::Decoded
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    })
}

/// Whatever verifies says what the vectors say.
fn proof_file(vectors: &Vectors) -> Target {
    let value: Value = serde_json::from_str(vectors.text("evm-proof.json")).expect("the vectors are JSON");
    let key = value["group_key"].as_str().expect("a key");
    let group_key: GroupKey = hex::decode_value(key, &()).expect("a key");
    let file = |case: &Value| EvmProofFile::deserialize(&case["file"]).expect("a file of this version");
    // What shows that nothing is there may show it of another key, too.
    let is_there = |case: &&Value| !matches!(case["name"].as_str(), Some("storage" | "absent"));
    let files: Vec<_> = value["cases"].as_array().expect("some").iter().filter(is_there).map(file).collect();
    let known: Vec<_> = files.iter().map(|file| EvmProof::try_from(file).expect("it decodes")).collect();
    let seeds = files.iter().map(|file| serde_json::to_vec(file).unwrap_or_default());
    text("evm-proof-file", seeds.collect(), move |text| {
        let file: EvmProofFile = match serde_json::from_str(text) {
            Ok(file) => file,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match EvmProof::try_from(&file) {
            Ok(proof) => {
                let result = proof.verify(&mut StdRng::seed_from_u64(1), &group_key).map(|_| ());
                assert!(result.is_err() || known.contains(&proof), "a changed proof verifies");
                result.into()
            }
            Err(error) => Outcome::Refused(error),
        }
    })
}

fn transaction(vectors: &Vectors) -> Target {
    let params = Params::new(&Rollup::evm(2, "evm", Evm::new(2_211))).expect("an evm rollup");
    let own = params.clone();
    let seeds = vectors.hex_where(|bytes| Signed::decode(bytes, &own).is_ok());
    // Access lists take whole objects for what is two bytes of encoding.
    target("evm-transaction", seeds, 4 * MEMORY_PER_BYTE, move |input| match Signed::decode(input, &params) {
        Ok(signed) => {
            assert_eq!(signed.bytes(), input.len());
            Outcome::Decoded
        }
        Err(skip) => Outcome::Refused(skip.to_string()),
    })
}
