//! Formats of settlement: what the group signs, the data of batches, and blobs.

use super::{MEMORY_PER_BYTE, codec, text};
use crate::{
    run::{MEMORY_MIN, Outcome, Target},
    seeds::Vectors,
};
use baton_settlement::{Certified, Contents, ContentsLimits, blobs, decode, encode};
use baton_types::{
    GroupKey, SeedPoint, hex,
    settlement::{Batch, BatchCertificate, BatchFile, FORMAT},
};
use serde_json::{Value, json};

/// Small, so that an input that announces much is seen by the memory it takes.
const LIMITS: ContentsLimits = ContentsLimits { bytes_max: 16 * 1_024, transaction_bytes_max: 1_024 };

pub fn targets(vectors: &Vectors) -> Vec<Target> {
    vec![
        codec::<Batch>("batch", (), vectors.of::<Batch>(&())),
        codec::<Contents>("batch-contents", LIMITS, vectors.of::<Contents>(&LIMITS)),
        data(vectors),
        filed(vectors),
        packed(),
        Target { cost: 20, ..batch_file(vectors) },
    ]
}

fn cases(vectors: &Vectors) -> Value {
    serde_json::from_str(vectors.text("batch.json")).expect("the vectors are JSON")
}

/// A certificate as the contracts take it.
pub fn flat_signature(vectors: &Vectors) -> Vec<u8> {
    let cases = cases(vectors);
    hex::decode(cases["cases"][0]["signature_flat"].as_str().expect("a signature")).expect("it is hex")
}

/// Whatever holds is a vector.
fn batch_file(vectors: &Vectors) -> Target {
    let value = cases(vectors);
    let key = value["group_key"].as_str().expect("a key");
    let group_key: GroupKey = hex::decode_value(key, &()).expect("a key");
    let file = |case: &Value| {
        json!({"format": FORMAT, "message": case["message"], "signature": case["signature"]}).to_string()
    };
    let seeds: Vec<_> = value["cases"].as_array().expect("some").iter().map(file).collect();
    let read = |text: &str| {
        let file: BatchFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        BatchCertificate::try_from(&file)
    };
    let known: Vec<_> = seeds.iter().map(|seed| read(seed).expect("it decodes")).collect();
    assert!(known.iter().all(|known| known.verify(&group_key)), "the vectors hold");
    let seeds = seeds.into_iter().map(String::into_bytes).collect();
    text("batch-file", seeds, move |text| match read(text) {
        Ok(certificate) => {
            assert_eq!(BatchCertificate::try_from(&BatchFile::from(&certificate)), Ok(certificate.clone()));
            let holds = certificate.verify(&group_key);
            assert!(!holds || known.contains(&certificate), "a changed certificate verifies");
            if holds { Outcome::Decoded } else { Outcome::Refused("another certificate".to_owned()) }
        }
        Err(error) => Outcome::Refused(error),
    })
}

fn target(name: &'static str, seeds: Vec<Vec<u8>>, check: impl Fn(&[u8]) -> Outcome + 'static) -> Target {
    Target {
        name,
        seeds,
        text: false,
        memory_min: MEMORY_MIN,
        memory_per_byte: MEMORY_PER_BYTE,
        cost: 5,
        check: Box::new(check),
    }
}

fn data(vectors: &Vectors) -> Target {
    let seeds = vectors.hex_where(|bytes| decode(bytes, &LIMITS).is_ok());
    let check = |input: &[u8]| match decode(input, &LIMITS) {
        Ok(contents) => {
            assert_eq!(decode(&encode(&contents), &LIMITS).expect("what was encoded decodes"), contents);
            let _ = (contents.order_root(), contents.forced_cursor());
            Outcome::Decoded
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    // Contents of the largest size are a few bytes when they repeat themselves.
    Target { memory_per_byte: 64 * MEMORY_PER_BYTE, ..target("batch-data", seeds, check) }
}

fn filed(vectors: &Vectors) -> Target {
    let signature = vectors.of::<SeedPoint>(&()).swap_remove(0);
    let file =
        |batch: &Vec<u8>| [&b"baton-posted-1\n"[..], &batch[..], &signature, &[0, 0, 0, 3], b"abc"].concat();
    let seeds = vectors.of::<Batch>(&()).iter().map(file).collect();
    let check = |input: &[u8]| match Certified::from_file(input) {
        Ok(certified) => {
            assert_eq!(certified.to_file(), input, "two files of one batch");
            Outcome::Decoded
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    target("batch-file", seeds, check)
}

/// Inputs are the used bytes: a whole blob would be mutated in its padding.
fn packed() -> Target {
    let seeds = vec![vec![0, 0, 0, 1, 7], blobs::pack(&[1; 500])[0].to_vec()];
    let check = |input: &[u8]| {
        let mut blob = input.to_vec();
        blob.resize(blobs::BLOB_BYTES, 0);
        match blobs::unpack(&[&blob]) {
            Ok(data) => {
                assert_eq!(blobs::pack(&data)[0][..], blob[..], "two blobs of one data");
                Outcome::Decoded
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    };
    // A blob whatever the input.
    Target { memory_min: 4 * blobs::BLOB_BYTES, ..target("blob", seeds, check) }
}
