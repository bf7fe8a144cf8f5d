use super::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// Reads `json` and writes it again; what is left to its default is written out in `full`.
fn check<T: DeserializeOwned + Serialize + Debug>(json: Value, full: Value) {
    let value: T = serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(serde_json::to_value(&value).unwrap(), full);
    assert_eq!(serde_json::from_str::<T>(&json.to_string()).map(drop).map_err(|e| e.to_string()), Ok(()));
}

fn refused<T: DeserializeOwned + Debug>(json: Value, part: &str) {
    let error = serde_json::from_value::<T>(json).unwrap_err().to_string();
    assert!(error.contains(part), "{error}, not {part}");
}

#[test]
fn submissions() {
    check::<SubmitParams>(
        json!({"rollup": "demo", "data": "0x01"}),
        json!({"rollup": "demo", "data": "0x01", "ack": "pending"}),
    );
    check::<SubmitParams>(
        json!({"rollup": 1, "data": "0xFF", "valid_until": 9, "fee_hint": "12", "ack": "replicated"}),
        json!({"rollup": 1, "data": "0xff", "valid_until": 9, "fee_hint": "12", "ack": "replicated"}),
    );
    refused::<SubmitParams>(json!({"rollup": 1, "data": "01"}), "starting with 0x");
    refused::<SubmitParams>(json!({"rollup": 1, "data": "0x0"}), "odd number");
    refused::<SubmitParams>(json!({"rollup": 1}), "data");
    refused::<SubmitParams>(json!({"rollup": 1, "data": "0x", "gas": 1}), "gas");
    refused::<SubmitParams>(json!({"rollup": 1, "data": "0x", "ack": "finalized"}), "finalized");
    refused::<SubmitParams>(json!({"rollup": -1, "data": "0x"}), "the name of a rollup");
}

#[test]
fn references() {
    check::<RollupRef>(json!(7), json!(7));
    check::<RollupRef>(json!("7"), json!("7"));
    check::<BlockRef>(json!(12), json!(12));
    check::<BlockRef>(json!("latest"), json!("latest"));
    refused::<RollupRef>(json!(4_294_967_296u64), "the name of a rollup");
    refused::<BlockRef>(json!(null), "BlockRef");
}

#[test]
fn topics() {
    check::<Topic>(json!({"topic": "blocks"}), json!({"topic": "blocks", "ids": false}));
    check::<Topic>(
        json!({"topic": "transaction", "id": "0x"}),
        json!({"topic": "transaction", "id": "0x", "l1": false}),
    );
    check::<Topic>(json!({"topic": "batches", "rollup": 1}), json!({"topic": "batches", "rollup": 1}));
    check::<Topic>(json!({"topic": "rollup", "rollup": 1}), json!({"topic": "rollup", "rollup": 1}));
    refused::<Topic>(json!({"topic": "blocks", "from": 1}), "from");
    refused::<Topic>(json!({"topic": "peers"}), "peers");
    refused::<Topic>(json!({}), "topic");
}

#[test]
fn times_are_named_by_rung() {
    let view = TransactionView {
        id: "0x".to_owned(),
        rung: Rung::Proposed,
        place: None,
        times_ms: BTreeMap::from([(Rung::Proposed, 8), (Rung::Pending, 3)]),
        reason: None,
    };
    let full = json!({"id": "0x", "rung": "proposed", "times_ms": {"pending": 3, "proposed": 8}});
    assert_eq!(serde_json::to_value(&view).unwrap(), full);
    check::<TransactionView>(full.clone(), full);
}

#[test]
fn errors_name_their_reason() {
    check::<ErrorData>(
        json!({"reason": "client_limit", "detail": "at most 100", "retry_after_ms": 5}),
        json!({"reason": "client_limit", "detail": "at most 100", "retry_after_ms": 5}),
    );
    refused::<ErrorData>(json!({"reason": "because", "detail": ""}), "because");
}
