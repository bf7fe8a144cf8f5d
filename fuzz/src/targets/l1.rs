//! What endpoints of L1 and nodes of its consensus layer answer, and where a derivation stopped.

use super::{MEMORY_PER_BYTE, text};
use crate::run::{MEMORY_MIN, Outcome, Target};
use alloy_primitives::{Address, B256, Bytes, Log as Emitted, LogData, U64, U128, U256};
use alloy_rpc_types_eth::{Header, Log, TransactionReceipt};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use baton_l1::{
    RollupEvents, bls,
    contracts::{BatchCarrier, BatchInbox, ForcedQueue, same},
    events::given,
    fuzzing::{Sent, State, batch_of, batches_in, blobs_in, read_answer, read_signature, slots},
};
use baton_settlement::{CutRule, Place, Terms};
use baton_types::{
    RollupId, hex,
    merkle::EMPTY,
    settlement::{Batch, DataKind, Escape, Forced, L1Address},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub fn targets(signature: &[u8]) -> Vec<Target> {
    vec![
        logs(),
        Target { cost: 4, ..answers() },
        Target { cost: 5, ..calldata(signature) },
        beacon_answer(),
        blobs_answer(),
        derive_state(),
    ]
}

fn terms() -> Terms {
    Terms {
        rollup: RollupId(7),
        l1_chain_id: 31_337,
        inbox: L1Address([1; 20]),
        queue: L1Address([2; 20]),
        key_generation: 0,
        data_kind: DataKind::Blobs,
        slot_seconds: 12,
        first_height: 1,
        rule: CutRule { bytes_target: 1_000, age_max_ms: 5_000 },
    }
}

/// The next entry of the queue.
fn forced(events: &RollupEvents) -> LogData {
    let (index, previous) = events.queue_end();
    let (sender, deadline, gas, data) = ([5; 20], 1_700_000_000 + index, 100_000, b"forced");
    let entry = Forced { rollup: RollupId(7), index, sender: L1Address(sender), deadline, gas, data };
    let hash = B256::from(entry.hash(&previous).0);
    let (sender, data) = (sender.into(), Bytes::from_static(data));
    ForcedQueue::Forced { index, sender, deadline, gas, data, hash }.encode_log_data()
}

/// The next batch of the inbox.
fn batch(events: &RollupEvents) -> Batch {
    let (terms, before) = (events.terms(), events.latest());
    Batch {
        l1_chain_id: terms.l1_chain_id,
        inbox: terms.inbox,
        key_generation: terms.key_generation,
        rollup: terms.rollup,
        index: before.next_index,
        previous_head: before.head,
        first_height: before.next_height,
        last_height: before.next_height + 9,
        slot: 141_666_666,
        order_root: EMPTY,
        data_kind: terms.data_kind,
        data_commitment: EMPTY,
        forced_cursor: events.queue_end().0,
        claimed_state_root: EMPTY,
    }
}

fn posted(events: &RollupEvents) -> LogData {
    let batch = batch(events);
    BatchInbox::BatchPosted {
        index: batch.index,
        head: B256::from(batch.head().0),
        poster: Address::repeat_byte(6),
        batch: given(&batch),
        blobs: vec![B256::repeat_byte(1), B256::repeat_byte(2)],
    }
    .encode_log_data()
}

/// Everything that waits goes through the hatch.
fn escaped(events: &RollupEvents) -> LogData {
    let (terms, before) = (events.terms(), events.latest());
    let (to, last_hash) = events.queue_end();
    let escape = Escape {
        l1_chain_id: terms.l1_chain_id,
        inbox: terms.inbox,
        rollup: terms.rollup,
        index: before.next_index,
        previous_head: before.head,
        from: before.forced_cursor,
        to,
        last_hash,
    };
    BatchInbox::Escaped {
        index: escape.index,
        head: B256::from(escape.head().0),
        poster: Address::repeat_byte(6),
        from: escape.from,
        to,
    }
    .encode_log_data()
}

/// What the contracts log, and what is known after each.
fn history() -> (Vec<Log>, Vec<RollupEvents>) {
    let mut known = vec![RollupEvents::new(terms())];
    let mut logs = Vec::new();
    let steps: [fn(&RollupEvents) -> LogData; 7] = [forced, posted, forced, forced, escaped, posted, posted];
    for (number, step) in (1u64..).zip(steps) {
        let mut events = known.last().expect("it begins with one").clone();
        let data = step(&events);
        let is_entry = data.topics().first() == Some(&ForcedQueue::Forced::SIGNATURE_HASH);
        let [inbox, queue] = events.addresses();
        let log = Log {
            inner: Emitted { address: if is_entry { queue } else { inbox }, data },
            block_hash: Some(B256::repeat_byte(3)),
            block_number: Some(number),
            transaction_hash: Some(B256::repeat_byte(4)),
            transaction_index: Some(0),
            log_index: Some(0),
            ..Log::default()
        };
        events.take(&log).expect("it follows");
        logs.push(log);
        known.push(events);
    }
    (logs, known)
}

/// Whatever is taken of changed logs is what the contracts have said at some time.
fn logs() -> Target {
    let (logs, known) = history();
    let json = |logs: &[Log]| serde_json::to_vec(logs).expect("logs have a JSON form");
    let seeds = (1..=logs.len()).map(|count| json(&logs[..count])).collect();
    let target = text("l1-logs", seeds, move |text| {
        let logs: Vec<Log> = match serde_json::from_str(text) {
            Ok(logs) => logs,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let mut events = RollupEvents::new(terms());
        let taken = logs.iter().try_for_each(|log| events.take(log));
        let has = |of: &dyn Fn(&RollupEvents) -> bool| known.iter().any(of);
        assert!(has(&|known| known.latest() == events.latest()), "a lie about the inbox is taken");
        assert!(has(&|known| known.queue_end() == events.queue_end()), "a lie about the queue is taken");
        for number in logs.iter().filter_map(|log| log.block_number).take(4) {
            drop(events.view(number));
            let (mut settled, mut back) = (events.clone(), events.clone());
            settled.prune(number);
            assert_eq!(settled.latest(), events.latest());
            back.rewind(number);
            assert_eq!(back.at(u64::MAX), back.latest());
        }
        taken.into()
    });
    Target { memory_per_byte: 2 * MEMORY_PER_BYTE, ..target }
}

fn read<R: DeserializeOwned>(answer: &str) -> Result<(), String> {
    read_answer::<R>("eth_call", answer).map(drop)
}

/// What a function of a contract returns.
fn read_return<C: alloy_sol_types::SolCall>(answer: &str) -> Result<(), String> {
    let answer: Bytes = read_answer("eth_call", answer)?;
    C::abi_decode_returns(&answer).map(drop).map_err(|error| error.to_string())
}

type Reader = fn(&str) -> Result<(), String>;

/// Every answer, as everything that is asked for.
fn answers() -> Target {
    let readers: [Reader; 11] = [
        read::<Option<Header>>,
        read::<Vec<Log>>,
        read::<Option<TransactionReceipt>>,
        read::<Option<Sent>>,
        read::<B256>,
        read::<U64>,
        read::<U128>,
        read::<U256>,
        read_return::<BatchInbox::nextIndexCall>,
        read_return::<BatchInbox::carrierCall>,
        read_return::<ForcedQueue::lengthCall>,
    ];
    let (logs, _) = history();
    let (hash, address) = (B256::repeat_byte(3), Address::repeat_byte(6));
    let receipt = json!({
        "type": "0x3", "status": "0x1", "cumulativeGasUsed": "0x2f1b1", "logs": logs[1..2],
        "logsBloom": hex::encode(&[0; 256]), "transactionHash": hash, "transactionIndex": "0x0",
        "blockHash": hash, "blockNumber": "0x2", "gasUsed": "0x2f1b1", "effectiveGasPrice": "0x3b9aca07",
        "from": address, "to": address, "contractAddress": null, "blobGasUsed": "0x40000", "blobGasPrice": "0x1",
    });
    let results = [
        json!(Header::new(alloy_consensus::Header {
            number: 9,
            base_fee_per_gas: Some(7),
            ..Default::default()
        })),
        json!(logs),
        receipt,
        json!({"to": address, "input": "0x0011", "hash": hash, "type": "0x2"}),
        json!(hash),
        json!("0x3b9aca07"),
        json!(null),
    ];
    let answer = |result: Value| json!({"jsonrpc": "2.0", "id": 1, "result": result});
    let error = |code: i64, message: &str| {
        let error = json!({"code": code, "message": message, "data": "0x08c379a0"});
        json!({"jsonrpc": "2.0", "id": 1, "error": error})
    };
    let errors =
        [error(3, "execution reverted"), error(-32_005, "rate limit"), error(-32_601, "no such method")];
    let seeds = results.map(answer).into_iter().chain(errors).map(|seed| seed.to_string().into_bytes());
    let target = text("l1-answer", seeds.collect(), move |text| {
        let read: Vec<_> = readers.iter().map(|read| read(text)).collect();
        if read.iter().any(Result::is_ok) {
            return Outcome::Decoded;
        }
        read.into_iter().next().unwrap_or(Ok(())).into()
    });
    Target { memory_per_byte: 4 * MEMORY_PER_BYTE, ..target }
}

/// The batches of a transaction, which anybody may have sent.
fn calldata(signature: &[u8]) -> Target {
    let mut events = RollupEvents::new(terms());
    let (logs, _) = history();
    let first = given(&batch(&events));
    logs[..2].iter().try_for_each(|log| events.take(log)).expect("they follow");
    let second = given(&batch(&events));
    let certificate = Bytes::copy_from_slice(signature);
    let parcel = |batch: &BatchInbox::Batch, data: &'static [u8]| BatchCarrier::Parcel {
        inbox: Address::repeat_byte(1),
        batch: same(batch),
        certificate: certificate.clone(),
        firstBlob: U256::ZERO,
        blobs: U256::from(2),
        data: Bytes::from_static(data),
    };
    let carried = BatchCarrier::postCall { parcels: vec![parcel(&first, b""), parcel(&second, &[7; 100])] };
    let alone =
        BatchInbox::postCall { b: first, certificate, data: Bytes::from_static(b"the data of a batch") };
    let check = |input: &[u8]| {
        let brought = batches_in(Address::repeat_byte(1), input);
        if brought.is_empty() {
            return Outcome::Refused("no batch".to_owned());
        }
        let mut outcome = Ok(());
        for (inbox, call) in &brought {
            let encoded = call.abi_encode();
            let again = batches_in(*inbox, &encoded);
            assert!(again.len() == 1 && again[0].0 == *inbox && again[0].1.abi_encode() == encoded);
            let read = batch_of(&terms(), Place::FIRST, &call.b).and_then(|batch| {
                let same = BatchInbox::postCall { b: given(&batch), ..call.clone() };
                assert_eq!(same.abi_encode(), encoded, "another batch than was given");
                let point = read_signature(&call.certificate)?;
                // Points have a short form as well.
                assert!(call.certificate.len() != 96 || bls::signature(&point) == call.certificate);
                Ok(())
            });
            outcome = outcome.and(read);
        }
        outcome.into()
    };
    Target {
        name: "l1-calldata",
        seeds: vec![alone.abi_encode(), carried.abi_encode()],
        text: false,
        memory_min: MEMORY_MIN,
        memory_per_byte: MEMORY_PER_BYTE,
        cost: 1,
        check: Box::new(check),
    }
}

fn beacon_answer() -> Target {
    let genesis = json!({"data": {"genesis_time": "1606824023", "genesis_fork_version": "0x00000000"}});
    let both = json!({"data": {"genesis_time": "0", "SECONDS_PER_SLOT": "12", "BLOB_SCHEDULE": []}});
    let seeds = [genesis, both].map(|seed| seed.to_string().into_bytes());
    text("beacon-answer", seeds.into(), |text| slots(text.as_bytes(), text.as_bytes()).map(drop).into())
}

fn blobs_answer() -> Target {
    let seeds = [json!({"data": ["0x00ff", "0x"], "finalized": true}), json!({"data": []})];
    let seeds = seeds.map(|seed| seed.to_string().into_bytes());
    text("blobs-answer", seeds.into(), |text| blobs_in(text.as_bytes()).map(drop).into())
}

fn derive_state() -> Target {
    let hash = hex::encode(&EMPTY);
    let seed = json!({
        "version": 2, "chain": hash, "rollup": 7,
        "base": {
            "l1_number": 300, "l1_hash": hash, "next_index": 3, "head": hash, "next_height": 31,
            "forced_cursor": 2, "queue_length": 3, "queue_hash": hash,
        },
        "place": { "index": 3, "order_root": hash, "forced_cursor": 2, "height": 31 },
    });
    let json = |state: &State| serde_json::to_string(state).expect("a state has a JSON form");
    text("derive-state", vec![seed.to_string().into_bytes()], move |text| {
        match State::parse(text, &EMPTY, 7) {
            Ok(state) => {
                let again = State::parse(&json(&state), &EMPTY, 7).expect("what was written can be read");
                assert_eq!(json(&again), json(&state));
                Outcome::Decoded
            }
            Err(error) => Outcome::Refused(error),
        }
    })
}
