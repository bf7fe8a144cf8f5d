use super::{
    super::testing::{
        CHAIN_ID, GWEI, STORE, Wallet, call, contract, create, delegation, deploy, legacy, params, rollup,
        with_access_list,
    },
    *,
};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEip4844, TxLegacy};
use alloy_primitives::Signature;
use std::collections::BTreeSet;

fn wallet() -> Wallet {
    Wallet::new(1)
}

fn decode(raw: &[u8]) -> Result<Signed, Skip> {
    Signed::decode(raw, &params(&rollup(2)))
}

#[test]
fn every_type_names_its_signer() {
    let to = contract(0);
    let authorization = Wallet::new(3).authorize(0, to);
    for raw in [
        wallet().raw(legacy(0, to, 3)),
        wallet().raw(with_access_list(0, to)),
        wallet().raw(call(0, to)),
        wallet().raw(create(0, deploy(STORE))),
        wallet().raw(delegation(0, to, vec![authorization])),
    ] {
        let signed = decode(&raw).unwrap();
        assert_eq!(signed.sender(), wallet().address);
        assert_eq!(signed.hash(), alloy_primitives::keccak256(&raw));
        assert_eq!(signed.bytes(), raw.len());
    }
}

#[test]
fn reasons_to_refuse_without_state() {
    let to = contract(0);
    let raw = |transaction: TxEip1559| wallet().raw(transaction).to_vec();
    let good = raw(call(0, to));
    let blob = TxEip4844 { chain_id: CHAIN_ID, gas_limit: 100_000, ..TxEip4844::default() };
    let high_s = {
        let transaction = call(0, to);
        let hash = transaction.signature_hash();
        let signature = alloy_consensus::crypto::secp256k1::sign_message(B256::repeat_byte(7), hash).unwrap();
        let order = "115792089237316195423570985008687907852837564279074904382605163141518161494337";
        let order: U256 = order.parse().unwrap();
        let twin = Signature::new(signature.r(), order - signature.s(), !signature.v());
        TxEnvelope::from(transaction.into_signed(twin)).encoded_2718()
    };
    let rows: Vec<(Vec<u8>, Skip)> = vec![
        (vec![], Skip::Malformed),
        (vec![0x80], Skip::Malformed),
        (vec![2, 0xc0], Skip::Malformed),
        (good[..good.len() - 1].to_vec(), Skip::Malformed),
        ([&good[..], &[0]].concat(), Skip::Malformed),
        (vec![0, 1], Skip::UnsupportedType),
        (vec![5, 0xc0], Skip::UnsupportedType),
        (wallet().raw(blob).to_vec(), Skip::UnsupportedType),
        (vec![0xff; 128 * 1024 + 1], Skip::TooLarge),
        (raw(TxEip1559 { chain_id: 1, ..call(0, to) }), Skip::WrongChainId),
        (wallet().raw(TxLegacy { chain_id: None, ..legacy(0, to, 3) }).to_vec(), Skip::Unprotected),
        (raw(TxEip1559 { gas_limit: 20_999, ..call(0, to) }), Skip::IntrinsicGas),
        // 21,000 and the floor of EIP-7623: 40 per byte that is not zero.
        (
            raw(TxEip1559 { gas_limit: 60_999, input: vec![1; 1_000].into(), ..call(0, to) }),
            Skip::IntrinsicGas,
        ),
        (raw(TxEip1559 { gas_limit: 30_000_001, ..call(0, to) }), Skip::GasLimit),
        (raw(TxEip1559 { gas_limit: 9_000_000, ..create(0, vec![0; 49_153]) }), Skip::InitCodeSize),
        (raw(TxEip1559 { max_priority_fee_per_gas: 11 * GWEI, ..call(0, to) }), Skip::TipAboveFee),
        (wallet().raw(delegation(0, to, vec![])).to_vec(), Skip::NoAuthorizations),
        (raw(call(u64::MAX, to)), Skip::NonceMax),
        (high_s, Skip::BadSignature),
    ];
    for (number, (raw, skip)) in rows.into_iter().enumerate() {
        assert_eq!(decode(&raw), Err(skip), "row {number}");
    }
    decode(&raw(TxEip1559 { gas_limit: 61_000, input: vec![1; 1_000].into(), ..call(0, to) })).unwrap();
    decode(&raw(TxEip1559 { gas_limit: 9_000_000, ..create(0, vec![0; 49_152]) })).unwrap();
}

/// Whatever bytes arrive, decoding ends, and what decodes is what was sent.
#[test]
fn mutants_never_panic() {
    let mut rng = crate::testing::Rng::new(5);
    let seeds = [
        wallet().raw(legacy(0, contract(0), 3)),
        wallet().raw(with_access_list(0, contract(0))),
        wallet().raw(delegation(0, contract(0), vec![wallet().authorize(1, contract(0))])),
    ];
    let params = params(&rollup(1));
    for _ in 0..3_000 {
        let mut raw = seeds[rng.below(3)].to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(raw.len());
            match rng.below(3) {
                0 => raw[at] = rng.next().to_be_bytes()[0],
                1 => raw.truncate(at.max(1)),
                _ => raw.insert(at, rng.next().to_be_bytes()[0]),
            }
        }
        if let Ok(signed) = Signed::decode(&raw, &params) {
            assert_eq!(signed.envelope().encoded_2718(), raw);
        }
    }
}

#[test]
fn reasons_keep_their_numbers() {
    let names: BTreeSet<_> = Skip::ALL.iter().map(|skip| skip.name()).collect();
    let codes: Vec<_> = Skip::ALL.iter().map(|skip| skip.code()).collect();
    assert_eq!(names.len(), Skip::ALL.len());
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21, 22, 23, 24, 25, 26, 27]);
}
