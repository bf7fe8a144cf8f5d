//! What a node keeps for itself, and reads again when it starts.

use super::{binary, codec};
use crate::{
    run::{Outcome, Target},
    seeds::{self, Cluster, Vectors},
};
use alloy_consensus::{Receipt, ReceiptEnvelope};
use baton_consensus::fuzzing::{BatchRecord, Joined, index_name, proof_name};
use baton_execution::evm::{Params, Record, Signed, Skip, Stored};
use baton_types::{
    Digest, Finalization, Rollup, Scheme, SeedPoint, genesis::evm::Evm, hex, merkle::EMPTY, settlement::Batch,
};
use commonware_codec::FixedSize as _;
use commonware_consensus::simplex::types::Artifact;
use commonware_cryptography::bls12381::dkg::feldman_desmedt::DealerPrivMsg;
use commonware_glue::dkg::state_sync::StateSync;
use std::sync::Arc;

pub fn targets(vectors: &Vectors, cluster: &Cluster) -> Vec<Target> {
    vec![
        Target {
            cost: 20,
            ..codec::<Artifact<Scheme, Digest>>("vote-record", (), seeds::vote_records(cluster))
        },
        Target { cost: 20, ..codec::<BatchRecord>("batch-record", (), batch_records(vectors)) },
        Target { cost: 200, ..codec::<Joined>("joined-record", (), joined(vectors)) },
        codec::<DealerPrivMsg>("dealing", (), cluster.dealings()),
        Target { cost: 5, ..stored(vectors) },
        name("index-name", vec![[[0].as_slice(), &[0; 8], &[0, 0, 0, 0, 0, 0, 1, 0]].concat()], index_name),
        name("proof-name", vec![vec![1; 8], [3; 9 + 2 * Digest::SIZE].to_vec()], proof_name),
    ]
}

fn batch_records(vectors: &Vectors) -> Vec<Vec<u8>> {
    let batches = vectors.of::<Batch>(&());
    let batches =
        batches.iter().filter_map(|bytes| hex::from_bytes(bytes, &()).ok()).map(BatchRecord::Signed);
    let points = vectors.of::<SeedPoint>(&());
    let points = points.iter().filter_map(|bytes| hex::from_bytes(bytes, &()).ok());
    let certified =
        points.map(|signature| BatchRecord::Certified { index: 300, previous_head: EMPTY, signature });
    seeds::encoded(batches.chain(certified))
}

fn joined(vectors: &Vectors) -> Vec<Vec<u8>> {
    let info = vectors.genesis().epoch_info().expect("the genesis of the vectors is valid");
    let floors = vectors.of::<Finalization>(&());
    let floors = floors.iter().filter_map(|bytes| hex::from_bytes::<Finalization>(bytes, &()).ok());
    let sync = floors.map(|floor| StateSync { info: info.clone(), floor });
    seeds::encoded(sync.take(2).map(|sync| Joined { height: 300, sync }))
}

/// Behind a record that is right: that one has a target of its own.
fn stored(vectors: &Vectors) -> Target {
    let record = vectors.hex_where(|bytes| Record::from_bytes(bytes).is_ok()).pop().expect("there is one");
    let record = Record::from_bytes(&record).expect("it was one");
    let params = Params::new(&Rollup::evm(2, "evm", Evm::new(2_211))).expect("an evm rollup");
    let transactions = vectors.hex_where(|bytes| Signed::decode(bytes, &params).is_ok());
    let transactions =
        transactions.iter().filter_map(|bytes| Signed::decode(bytes, &params).ok().map(Arc::new));
    let transactions: Vec<_> = transactions.take(3).collect();
    let receipt = |gas: u64| {
        let receipt = Receipt { status: true.into(), cumulative_gas_used: gas, logs: Vec::new() };
        ReceiptEnvelope::Eip1559(receipt.into())
    };
    let block = |count: usize| Stored {
        record: record.clone(),
        hash: record.header.hash_slow(),
        transactions: transactions[..count].to_vec(),
        receipts: (0..count).map(|index| receipt(21_000 * (index as u64 + 1))).collect(),
        skipped: vec![(baton_types::TxId([7; 32]), Skip::Malformed)],
    };
    let start = block(0).to_bytes();
    // Three counts and what was skipped.
    let start = start[..start.len() - (3 + 33)].to_vec();
    let seeds = [0, 1, transactions.len()].map(|count| block(count).to_bytes()[start.len()..].to_vec());
    let check = move |input: &[u8]| match Stored::from_bytes(&[&start[..], input].concat()) {
        Ok(stored) => {
            let once = stored.to_bytes();
            let again = Stored::from_bytes(&once).expect("what was encoded decodes");
            assert_eq!(again.to_bytes(), once, "an encoding that changes");
            Outcome::Decoded
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    binary("evm-stored", seeds.into(), check)
}

/// The name of a file: what says something says it in one way.
fn name(name: &'static str, seeds: Vec<Vec<u8>>, read: fn(&[u8]) -> Option<Vec<u8>>) -> Target {
    binary(name, seeds, move |input| match read(input) {
        Some(again) => {
            assert_eq!(again, input, "two names of one file");
            Outcome::Decoded
        }
        None => Outcome::Refused("its name says nothing".to_owned()),
    })
}
