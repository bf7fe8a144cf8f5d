//! Batch certificates as the contracts verify them: shared with `contracts/test`.

use crate::{
    cluster::{Committee, Rng},
    light_client::payload,
};
use baton_types::{
    RollupId, domain, hex,
    settlement::{Batch, DataKind, L1Address},
};
use commonware_codec::{Encode as _, FixedSize as _};
use commonware_cryptography::{Hasher as _, Sha256};
use serde_json::{Value, json};

fn batch(data_kind: DataKind) -> Batch {
    let digest = |number: u8| Sha256::hash(&[&[number]]);
    Batch {
        l1_chain_id: 31_337,
        inbox: L1Address([0x1b; 20]),
        key_generation: 3,
        rollup: RollupId(7),
        index: 0x0102_0304,
        previous_head: digest(1),
        first_height: 1_001,
        last_height: 1_100,
        slot: 0x0011_2233,
        order_root: digest(2),
        data_kind,
        data_commitment: digest(3),
        forced_cursor: 5,
        claimed_state_root: digest(4),
    }
}

const KINDS: [DataKind; 3] = [DataKind::Blobs, DataKind::Calldata, DataKind::Directory];

/// 64 bytes per field element, as EIP-2537 wants it; `order` names the elements of `points`.
fn evm(points: &[u8], order: &[usize]) -> String {
    let padded = order.iter().flat_map(|&i| [&[0; 16], &points[i * 48..(i + 1) * 48]].concat());
    hex::encode(&padded.collect::<Vec<_>>())
}

/// Certificates of a dealt 3-of-4 key, recovered from partial signatures.
pub fn vector() -> Value {
    let committee = Committee::deal(&mut Rng::new(9), 0..4);
    let key = committee.group_key().encode();
    let key_points = blst::min_sig::PublicKey::from_bytes(&key).unwrap().serialize();
    let cases = KINDS.map(|kind| {
        let batch = batch(kind);
        let message = batch.encode();
        let signature = committee.sign(domain::L1_BATCH, &message).encode();
        let points = blst::min_sig::Signature::from_bytes(&signature).unwrap().serialize();
        json!({
            "message": hex::encode(&message),
            "signed": hex::encode(&payload(domain::L1_BATCH, &message)),
            "head": hex::encode(&batch.head()),
            "signature": hex::encode(&signature),
            "signature_flat": hex::encode(&points),
            "signature_evm": evm(&points, &[0, 1]),
        })
    });
    // The library writes an element of Fp2 as c1 ‖ c0, the precompiles as c0 ‖ c1.
    json!({"group_key": hex::encode(&key), "group_key_evm": evm(&key_points, &[1, 0, 3, 2]), "cases": cases})
}

#[test]
fn batches_come_back_and_unknown_kinds_do_not() {
    for kind in KINDS {
        let batch = batch(kind);
        let mut bytes = batch.encode().to_vec();
        assert_eq!(bytes.len(), Batch::SIZE);
        assert_eq!(hex::from_bytes::<Batch>(&bytes, &()).unwrap(), batch);
        bytes[132] = 3;
        assert!(hex::from_bytes::<Batch>(&bytes, &()).is_err());
    }
}
