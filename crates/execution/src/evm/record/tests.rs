use super::*;
use crate::{evm::testing::digest, testing::Rng};
use alloy_primitives::{Address, U256};

fn record() -> Record {
    let mut changes = Changes::default();
    let slots = [(U256::ONE, U256::from(5))].into();
    changes.put(Address::repeat_byte(7), 1, U256::from(500), Some(vec![0x60; 40].into()), slots);
    let header = Header { number: 3, base_fee_per_gas: Some(7), ..Header::default() };
    Record { header, through_height: 9, through_digest: digest(9), changes }
}

fn seal(mut content: Vec<u8>) -> Vec<u8> {
    let checksum = domain::evm_record(&content);
    content.extend_from_slice(&checksum);
    content
}

#[test]
fn a_record_reads_back() {
    assert_eq!(Record::from_bytes(&record().to_bytes()).unwrap(), record());
}

#[test]
fn damage_is_found() {
    let bytes = record().to_bytes();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(matches!(Record::from_bytes(&damaged), Err(RecordError::Checksum)), "byte {at}");
        assert!(Record::from_bytes(&bytes[..at]).is_err(), "first {at} bytes");
    }
}

/// Behind a good checksum: whatever decodes has one encoding.
#[test]
fn mutants_with_good_checksums() {
    let bytes = record().to_bytes();
    let content = &bytes[..bytes.len() - CHECKSUM_BYTES];
    let mut rng = Rng::new(1);
    for _ in 0..5_000 {
        let mut mutant = content.to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(mutant.len());
            match rng.below(3) {
                0 => mutant[at] ^= 1 << rng.below(8),
                1 => mutant.truncate(at.max(1)),
                _ => mutant.insert(at, rng.next().to_be_bytes()[0]),
            }
        }
        let mutant = seal(mutant);
        if let Ok(record) = Record::from_bytes(&mutant) {
            assert_eq!(record.to_bytes(), mutant);
        }
    }
    let newer = seal([&[2], &content[1..]].concat());
    assert!(matches!(Record::from_bytes(&newer), Err(RecordError::Version { version: 2 })));
}
