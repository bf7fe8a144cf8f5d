//! What batches cost on L1, and what derivation costs: printed, with bounds that must not be passed.

use crate::{
    cluster::{EVM, GENESIS, Ordered, evm_rollup, token_transfer, transfer},
    world::{World, until},
};
use alloy_rpc_types_eth::{Filter, TransactionReceipt};
use baton_l1::derive::{Config, Deriver};
use baton_settlement::{ContentsLimits, CutRule, encode};
use baton_types::{genesis::evm::Cadence, settlement::DataKind};
use commonware_codec::Encode as _;
use std::time::Instant;

const WALLETS: u64 = 200;
const TRANSACTIONS: u64 = 400;

/// One batch with as many transactions, half of them a token's, in blocks of twenty.
fn ordered() -> Ordered {
    let mut ordered = Ordered::new(
        evm_rollup(Cadence::PerBlock, WALLETS),
        CutRule { bytes_target: 700_000, age_max_ms: 600_000 },
    );
    for block in 0..TRANSACTIONS / 20 {
        let payloads: Vec<_> = (block * 20..(block + 1) * 20)
            .map(|number| {
                let (from, nonce) = (number % WALLETS, number / WALLETS);
                if number % 2 == 0 { transfer(from, nonce) } else { token_transfer(from, nonce) }
            })
            .collect();
        ordered.push(1_700_000_000_000 + block * 250, &payloads);
    }
    ordered.push(1_700_000_700_000, &[]);
    ordered
}

#[tokio::test]
async fn a_batch() {
    let ordered = ordered();
    let contents = &ordered.contents[0];
    let data = encode(contents);
    let payloads: usize =
        contents.slices.iter().flat_map(|slice| &slice.transactions).map(|tx| tx.payload.len()).sum();
    let plain = contents.encode().len();
    let per = |number: u64| number / TRANSACTIONS;
    println!(
        "{TRANSACTIONS} transactions: {payloads} bytes raw, {plain} as contents, {} as data ({} per transaction)",
        data.len(),
        per(data.len() as u64)
    );
    assert!(data.len() < payloads, "it is smaller than the transactions alone");
    for kind in [DataKind::Blobs, DataKind::Calldata] {
        let world = World::new(kind).await;
        world.source.add(EVM, [contents.clone()]);
        let mut poster = world.poster(1, &[EVM], World::config());
        until("it is posted", async || {
            poster.round().await;
            world.next_index(EVM).await == 1
        })
        .await;
        let logs = world.client.logs(&Filter::new().from_block(0)).await.unwrap();
        let hash = logs.last().unwrap().transaction_hash.unwrap();
        let receipt: TransactionReceipt = world.client.receipt(hash).await.unwrap().unwrap();
        let (gas, blob) = (receipt.gas_used, receipt.blob_gas_used.unwrap_or_default());
        println!("{kind:?}: {gas} gas and {blob} blob gas; {} and {} per transaction", per(gas), per(blob));
        assert!(gas < 3_000_000);
        world.mine(12).await;
        let config = Config {
            chain: GENESIS,
            group_key: world.group_key,
            rollup: ordered.rollup.clone(),
            terms: world.terms(EVM),
            start_block: world.start_block,
            limits: ContentsLimits { bytes_max: 700_000, transaction_bytes_max: 128 * 1_024 },
            backends: vec![world.backend()],
            directory: None,
        };
        let started = Instant::now();
        let mut deriver = Deriver::open(world.client.clone(), config).await.unwrap();
        while deriver.advance(|_| ()).await.unwrap() {}
        println!("{kind:?}: derived and executed in {:?}", started.elapsed());
        let (number, hash, root) = ordered.block();
        let head = deriver.head().unwrap();
        assert_eq!((head.number, head.hash, head.state_root), (number, hash, root), "the very same block");
    }
}
