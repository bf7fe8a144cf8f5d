//! Blocks of 1,000 transactions with a fresh state root over many accounts; memory; restart from records and from
//! a checkpoint.
//! `cargo bench -p baton-execution`. One core.

use alloy_consensus::{
    Header, SignableTransaction as _, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message,
};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use baton_execution::evm::{
    Chain, ChainLimits, Changes, Checkpoint, ClusterBlock, Entry, Env, EvmPool, EvmPoolLimits, OpenBlock,
    Params, RecentHashes, Record, Restoring, Room, Signed, State, Turn,
};
use baton_types::{
    Digest, Rollup,
    genesis::{
        Ordering,
        evm::{AllocAccount, Evm},
    },
    hex::HexArray,
};
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use peak_alloc::PeakAlloc;
use std::{
    collections::BTreeMap,
    fs::File,
    hint::black_box,
    io::{Read as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const CHAIN_ID: u64 = 2_211;
const BLOCK: u64 = 1_000;
const TOKEN: Address = Address::repeat_byte(0x70);
/// A token's `transfer(address,uint256)`: balances by holder in a mapping at slot 0, and a log.
const TOKEN_CODE: &str = "0x336000526040600020805460243580821060625780910390915560043560005260406000208054820190556000\
                          52600435337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef6020\
                          6000a3600160005260206000f35b60006000fd";

fn secret(index: u64) -> B256 {
    keccak256(index.to_be_bytes())
}

fn sender(index: u64) -> Address {
    let signature = sign_message(secret(index), B256::ZERO).expect("a key");
    signature.recover_address_from_prehash(&B256::ZERO).expect("its own signature")
}

fn someone(index: u64) -> Address {
    Address::from_word(keccak256(index.to_le_bytes()))
}

/// A rollup in which 1,000 wallets are rich, and nobody else is there yet.
fn rollup() -> Rollup {
    let mut evm = Evm::new(CHAIN_ID);
    evm.gas_limit = 1_000_000_000;
    for wallet in (0..BLOCK).map(sender) {
        let account = AllocAccount { balance: 1_000_000_000_000_000_000_000, ..AllocAccount::default() };
        evm.alloc.insert(HexArray(wallet.0.0), account);
    }
    Rollup::evm(2, "evm", evm)
}

fn holder_slot(holder: &Address) -> U256 {
    keccak256([holder.into_word().0, [0; 32]].concat()).into()
}

/// `accounts` accounts with a balance, each with as much of a token.
fn grow(state: &mut State, accounts: u64) {
    let code = baton_types::hex::decode(TOKEN_CODE).expect("hex");
    let mut changes = Changes::default();
    changes.put(TOKEN, 1, U256::ZERO, Some(code.into()), BTreeMap::new());
    state.apply(&changes).expect("the code is there");
    let facts = *state.account(&TOKEN).expect("just made");
    for chunk in (0..accounts).collect::<Vec<_>>().chunks(50_000) {
        let mut changes = Changes::default();
        let mut slots = BTreeMap::new();
        for address in chunk.iter().map(|index| someone(*index)) {
            changes.put(address, 0, U256::from(1_000_000), None, BTreeMap::new());
            slots.insert(holder_slot(&address), U256::from(1_000_000_000));
        }
        slots.extend((0..BLOCK).map(|index| (holder_slot(&sender(index)), U256::from(1_000_000_000))));
        let token = baton_execution::evm::AccountChange { facts: Some(facts), wiped: false, slots };
        changes.accounts.insert(TOKEN, token);
        state.apply(&changes).expect("no code");
    }
    state.root();
}

/// One transaction of each of the rich wallets, to accounts spread over all.
fn raw(nonce: u64, accounts: u64, token: bool) -> Vec<Vec<u8>> {
    let one = |index: u64| {
        let to = someone((index * 7_919 + nonce * 104_729) % accounts);
        let (target, value, input) = if token {
            let words = [&[0xa9, 0x05, 0x9c, 0xbb][..], &to.into_word().0, &U256::ONE.to_be_bytes::<32>()];
            (TOKEN, U256::ZERO, words.concat())
        } else {
            (to, U256::ONE, Vec::new())
        };
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 100_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(target),
            value,
            input: Bytes::from(input),
            ..TxEip1559::default()
        };
        let signature = sign_message(secret(index), transaction.signature_hash()).expect("a key");
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
    };
    (0..BLOCK).map(one).collect()
}

fn entries(params: &Params, raw: &[Vec<u8>]) -> Vec<Entry> {
    let decode = |raw: &Vec<u8>| Signed::decode(raw, params).map(Arc::new);
    raw.iter().map(|raw| Entry { transaction: decode(raw), bundle: None }).collect()
}

fn execute(params: &Params, state: &State, entries: &[Entry]) -> B256 {
    let env = Env {
        parent_hash: B256::ZERO,
        number: 1,
        timestamp: 1_700_000_000,
        prevrandao: B256::ZERO,
        base_fee: 1_000_000_000,
        parent_beacon_root: B256::ZERO,
    };
    let mut block = OpenBlock::open(params, env, state.snapshot(), RecentHashes::default());
    block.execute(params, entries);
    let sealed = block.seal(params);
    assert_eq!(sealed.receipts().filter(|receipt| receipt.status()).count(), entries.len());
    sealed.hash
}

fn blocks(group: &mut BenchmarkGroup<'_, WallTime>, rollup: &Rollup, accounts: u64) {
    let params = Params::new(rollup).expect("an evm rollup");
    let before = MEMORY.current_usage();
    let mut state = State::genesis(rollup.evm.as_ref().expect("an evm rollup"));
    grow(&mut state, accounts);
    let bytes = (MEMORY.current_usage() - before) as u64;
    println!("{accounts} accounts with a token slot each: {} bytes per pair", bytes / accounts);
    checkpoint(&state, accounts);
    for (name, token) in [("transfers", false), ("erc20", true)] {
        let entries = entries(&params, &raw(0, accounts, token));
        group.throughput(Throughput::Elements(BLOCK));
        group.bench_function(format!("{accounts}/{name}"), |b| {
            b.iter(|| execute(&params, &state, black_box(&entries)));
        });
    }
}

/// Once: a state to a file and back.
#[expect(clippy::disallowed_methods, reason = "it is measured by the clock")]
fn checkpoint(state: &State, accounts: u64) {
    let header = Header { number: 1, state_root: state.root(), ..Header::default() };
    let (through_height, through_digest) = (1, Digest::from([0; 32]));
    let checkpoint = Checkpoint { state: state.snapshot(), header, through_height, through_digest };
    let path = std::env::temp_dir().join(format!("baton-checkpoint-{}", std::process::id()));
    let begun = Instant::now();
    let mut file = File::create(&path).expect("a file");
    let mut bytes = 0;
    for piece in checkpoint.pieces() {
        bytes += piece.len();
        let length = u32::try_from(piece.len()).expect("short");
        file.write_all(&length.to_be_bytes()).and_then(|()| file.write_all(&piece)).expect("room");
    }
    file.sync_all().expect("a disk");
    let written = begun.elapsed();
    let begun = Instant::now();
    let mut file = File::open(&path).expect("just written");
    let (mut restoring, mut length) = (Restoring::default(), [0; 4]);
    while file.read_exact(&mut length).is_ok() {
        let mut piece = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("short")];
        file.read_exact(&mut piece).expect("just written");
        restoring.push(&piece).expect("just written");
    }
    let restored = restoring.finish().expect("just written");
    let read = begun.elapsed();
    assert_eq!(restored.state.root(), state.root());
    println!(
        "{accounts} accounts, checkpoint: {bytes} bytes, written in {written:?}, read and checked in {read:?}"
    );
    std::fs::remove_file(path).expect("just written");
}

const LIMITS: ChainLimits = ChainLimits { branches_max: 16, history_max: 16 };

/// From the records of 20 blocks of transfers.
fn restart(group: &mut BenchmarkGroup<'_, WallTime>, rollup: &Rollup) {
    let digest = |number: u64| Digest::from(keccak256(number.to_be_bytes()).0);
    let params = Params::new(rollup).expect("an evm rollup");
    let mut chain = Chain::new(rollup, digest(0), LIMITS).expect("an evm rollup");
    let mut records = Vec::new();
    for number in 1..=20 {
        let block = ClusterBlock {
            digest: digest(number),
            parent: digest(number - 1),
            height: number,
            timestamp_ms: 1_700_000_000_000,
            parent_seed: [0; 48],
            entries: entries(&params, &raw(number - 1, 20_000, false)),
        };
        let executed = chain.execute(&block).expect("its parent is executed");
        records.push(executed.made.as_ref().expect("a block").record().to_bytes());
        chain.finalize(&block.digest).expect("just executed");
    }
    println!("a record of 1,000 transfers: {} bytes", records[0].len());
    group.throughput(Throughput::Elements(20 * BLOCK));
    group.bench_function("restart/transfers", |b| {
        b.iter(|| {
            let records = records.iter().map(|bytes| Record::from_bytes(bytes).expect("just written"));
            let chain = Chain::new(rollup, digest(0), LIMITS).expect("an evm rollup");
            chain.resume(records).expect("records of this chain").head().hash
        });
    });
}

fn admission(group: &mut BenchmarkGroup<'_, WallTime>, rollup: &Rollup) {
    let params = Params::new(rollup).expect("an evm rollup");
    let raw = raw(0, 1_000, false);
    group.throughput(Throughput::Elements(BLOCK));
    group.bench_function("decode and recover", |b| b.iter(|| entries(&params, black_box(&raw))));
    let signed: Vec<_> =
        entries(&params, &raw).into_iter().filter_map(|entry| entry.transaction.ok()).collect();
    let state = State::genesis(rollup.evm.as_ref().expect("an evm rollup"));
    let limits =
        EvmPoolLimits { transactions_max: 10_000, bytes_max: 10_000_000, sender_transactions_max: 64 };
    let fill = || {
        let mut pool = EvmPool::new(limits, Ordering::PriorityFee);
        for signed in &signed {
            let facts = state.account(&signed.sender()).copied().unwrap_or_default();
            pool.admit(Arc::clone(signed), facts).expect("room and balance");
        }
        pool
    };
    group.bench_function("pool/admit", |b| b.iter_batched(|| (), |()| fill(), BatchSize::LargeInput));
    let pool = fill();
    let room = Room { order_fee: 1, base_fee: 1, gas: u64::MAX };
    group.bench_function("pool/select", |b| b.iter(|| pool.select(room, usize::MAX, |_| Turn::Ready).len()));
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args();
    let rollup = rollup();
    let mut group = criterion.benchmark_group("evm");
    admission(&mut group, &rollup);
    restart(&mut group, &rollup);
    [100_000, 1_000_000].into_iter().for_each(|accounts| blocks(&mut group, &rollup, accounts));
    group.finish();
    criterion.final_summary();
}
