use super::*;
use baton_types::api::{SubmitBatchParams, SubmitParams, Topic};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pair {
    left: u64,
    #[serde(default)]
    right: u64,
}

fn table() -> Table<u64> {
    Table::default()
        .with("add", "", |base: u64, _, pair: Pair| async move { Ok(base + pair.left + pair.right) })
        .with("refuse", "", |_, _, _: NoParams| async {
            Err::<(), _>(Refusal::new(Reason::Busy, "full").retry_after(5))
        })
        .with(
            "long",
            "",
            |_, _, pair: Pair| async move { Ok("x".repeat(usize::try_from(pair.left).unwrap())) },
        )
        .with("shut", "", |_, _, pair: Pair| async move { Ok(pair.left) })
        .gated(|_| Err(Refusal::new(Reason::Busy, "flooded").retry_after(70)))
        .with("never", "", |_, _, _: NoParams| std::future::pending::<Result<(), Refusal>>())
        .with("submit", "", |_, _, params: SubmitParams| async { Ok(params) })
        .with("submitBatch", "", |_, _, params: SubmitBatchParams| async { Ok(params) })
        .with("subscribe", "", |_, _, topic: Topic| async { Ok(topic) })
}

fn dispatcher() -> Dispatcher<u64> {
    let limits = Limits {
        batch_calls_max: 3,
        response_bytes_max: 100_000,
        request_timeout_ms: 100,
        ..Limits::default()
    };
    let table = Arc::new(table());
    let metrics = Arc::new(Metrics::new(table.methods().iter().map(|method| method.name)));
    Dispatcher::new(table, limits, metrics)
}

async fn answer(input: &str) -> Option<Value> {
    let reply = dispatcher().answer(&100, &Caller::new("test"), input).await?;
    Some(serde_json::from_str(&reply).expect("replies are JSON"))
}

async fn check(input: &str, expect: Value) {
    assert_eq!(answer(input).await, Some(expect), "{input}");
}

/// The error's code, and a part of its detail.
async fn check_error(input: &str, id: Value, code: i32, detail: &str) {
    let reply = answer(input).await.unwrap();
    assert_eq!(reply["jsonrpc"], "2.0", "{input}");
    assert_eq!(reply["id"], id, "{input}");
    assert_eq!(reply["error"]["code"], code, "{input}");
    let got = reply["error"]["data"]["detail"].as_str().unwrap();
    assert!(got.contains(detail), "{input}: {got}");
    assert_eq!(reply["error"]["data"]["reason"], "bad_request", "{input}");
}

fn result(id: Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// A flood is refused before its parameters are looked at.
#[tokio::test]
async fn a_shut_gate_refuses_unread() {
    for params in [r#"{"left":1}"#, r#"{"left":"no number"}"#, "[1,2,3,4]"] {
        let call = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"shut","params":{params}}}"#);
        let error = answer(&call).await.unwrap()["error"]["data"].take();
        assert_eq!(error, json!({"reason": "busy", "detail": "flooded", "retry_after_ms": 70}), "{params}");
    }
}

#[tokio::test]
async fn calls_by_name_and_by_position() {
    let call = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"add","params":{params}}}"#);
    for (params, sum) in [
        (r#"{"left":1,"right":2}"#, 103),
        (r#"{"left":1}"#, 101),
        ("[1,2]", 103),
        ("[1]", 101),
        (" [ 1 , 2 ] ", 103),
    ] {
        check(&call(params), result(json!(1), json!(sum))).await;
    }
    for (params, detail) in [
        ("{}", "missing field `left`"),
        ("null", "missing field `left`"),
        ("[]", "parameter 1 (left) is missing"),
        ("[1,2,3]", "3 parameters; at most 2: left, right"),
        (r#"{"left":-1}"#, "invalid value"),
        (r#"{"left":1,"middle":2}"#, "unknown field `middle`"),
        ("7", "object or an array"),
    ] {
        check_error(&call(params), json!(1), INVALID_PARAMS, detail).await;
    }
}

#[tokio::test]
async fn ids_come_back_as_they_were() {
    for id in ["7", "-7", "1.5", "\"a\\\"b\"", "null"] {
        let input = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"add","params":[1]}}"#);
        let reply = dispatcher().answer(&100, &Caller::new("test"), &input).await.unwrap();
        assert_eq!(reply, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":101}}"#));
    }
}

#[tokio::test]
async fn malformed_calls() {
    let null = Value::Null;
    for (input, id, code, detail) in [
        ("", null.clone(), PARSE_ERROR, "EOF"),
        ("{", null.clone(), PARSE_ERROR, "EOF"),
        (r#"{"jsonrpc":"2.0""#, null.clone(), PARSE_ERROR, "EOF"),
        ("add", null.clone(), PARSE_ERROR, "expected"),
        ("[1", null.clone(), PARSE_ERROR, "EOF"),
        ("[] 7", null.clone(), PARSE_ERROR, "trailing"),
        ("7", null.clone(), INVALID_REQUEST, "a call is an object"),
        ("{}", null.clone(), INVALID_REQUEST, "jsonrpc must be"),
        ("[]", null.clone(), INVALID_REQUEST, "empty batch"),
        ("[1,2,3,4]", null.clone(), INVALID_REQUEST, "4 calls in one batch; at most 3"),
        (r#"{"id":1,"method":"add"}"#, json!(1), INVALID_REQUEST, "jsonrpc must be"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"add"}"#, json!(1), INVALID_REQUEST, "jsonrpc must be"),
        (r#"{"jsonrpc":"2.0","id":1}"#, json!(1), INVALID_REQUEST, "method must be a string"),
        (r#"{"jsonrpc":"2.0","id":1,"method":2}"#, json!(1), INVALID_REQUEST, "method must be a string"),
        (r#"{"jsonrpc":"2.0","id":[],"method":"add"}"#, null.clone(), INVALID_REQUEST, "the id must be"),
        (r#"{"jsonrpc":"2.0","id":true,"method":"add"}"#, null.clone(), INVALID_REQUEST, "the id must be"),
        (r#"{"jsonrpc":"2.0","id":1,"id":2}"#, null.clone(), INVALID_REQUEST, "duplicate field"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"none"}"#, json!(1), METHOD_NOT_FOUND, "rpc.discover"),
    ] {
        check_error(input, id, code, detail).await;
    }
}

/// What a client sends comes back twice in an error, escaped.
#[tokio::test]
async fn errors_do_not_send_long_requests_back() {
    let long = "\u{7f}".repeat(100_000);
    for (input, code) in [
        (format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{long}"}}"#), METHOD_NOT_FOUND),
        (format!(r#"{{"jsonrpc":"2.0","id":1,"method":"add","params":{{"{long}":1}}}}"#), INVALID_PARAMS),
        (format!(r#"{{"jsonrpc":"2.0","id":1,"method":"add","params":["{long}"]}}"#), INVALID_PARAMS),
    ] {
        let reply = dispatcher().answer(&100, &Caller::new("test"), &input).await.unwrap();
        assert!(reply.len() < 8_192, "{} bytes", reply.len());
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply["error"]["code"], code);
    }
}

#[tokio::test]
async fn escaped_method_names_are_read() {
    check(r#"{"jsonrpc":"2.0","id":1,"method":"\u0061dd","params":[1]}"#, result(json!(1), json!(101))).await;
}

#[tokio::test]
async fn refusals_carry_their_data() {
    let expect = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "error": {
            "code": -32_000,
            "message": "busy: full",
            "data": {"reason": "busy", "detail": "full", "retry_after_ms": 5},
        },
    });
    check(r#"{"jsonrpc":"2.0","id":1,"method":"refuse"}"#, expect).await;
}

#[tokio::test]
async fn notifications_are_not_answered() {
    for input in [
        r#"{"jsonrpc":"2.0","method":"add","params":[1]}"#,
        r#"{"jsonrpc":"2.0","method":"none"}"#,
        r#"[{"jsonrpc":"2.0","method":"add","params":[1]}]"#,
    ] {
        assert_eq!(answer(input).await, None, "{input}");
    }
}

#[tokio::test]
async fn batches_are_answered_in_order() {
    let input = r#"[
        {"jsonrpc":"2.0","id":"a","method":"add","params":[1]},
        {"jsonrpc":"2.0","method":"add","params":[2]},
        {"jsonrpc":"2.0","id":"c","method":"add","params":{"left":3}}
    ]"#;
    check(input, json!([result(json!("a"), json!(101)), result(json!("c"), json!(103))])).await;
    let reply = answer(r#"[1, {"jsonrpc":"2.0","id":2,"method":"add","params":[1]}]"#).await.unwrap();
    assert_eq!(reply[0]["error"]["code"], INVALID_REQUEST);
    assert_eq!(reply[1], result(json!(2), json!(101)));
}

#[tokio::test]
async fn a_batch_stops_where_its_replies_grow_too_large() {
    // More calls than run at once, so that some start after the limit is reached.
    let limits = Limits { response_bytes_max: 200, ..Limits::default() };
    let table = Arc::new(table());
    let metrics = Arc::new(Metrics::new(std::iter::empty()));
    let dispatcher = Dispatcher::new(table, limits, metrics);
    let calls: Vec<_> = (0..40)
        .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"long","params":[150]}}"#))
        .collect();
    let input = format!("[{}]", calls.join(","));
    let reply = dispatcher.answer(&0, &Caller::new("test"), &input).await.unwrap();
    let replies: Vec<Value> = serde_json::from_str(&reply).unwrap();
    assert_eq!(replies.len(), 40, "every call is answered");
    assert!(replies[0]["result"].is_string());
    assert_eq!(replies[39]["id"], 39);
    assert_eq!(replies[39]["error"]["data"]["reason"], "too_large");
}

#[tokio::test]
async fn calls_do_not_take_for_ever() {
    let reply = answer(r#"{"jsonrpc":"2.0","id":1,"method":"never"}"#).await.unwrap();
    assert_eq!(reply["error"]["data"]["reason"], "busy");
    assert_eq!(reply["error"]["data"]["retry_after_ms"], 1_000);
}

/// The parameters of the API in all the forms that the documentation promises.
#[tokio::test]
async fn parameters_of_the_api_by_position() {
    let by_name =
        json!({"rollup": "demo", "data": "0x01", "valid_until": 9, "fee_hint": "3", "ack": "replicated"});
    let least = json!({"rollup": 1, "data": "0x01", "ack": "pending"});
    for (method, params, expect) in [
        ("submit", by_name.clone(), by_name.clone()),
        ("submit", json!(["demo", "0x01", 9, "3", "replicated"]), by_name.clone()),
        ("submit", json!([1, "0x01"]), least.clone()),
        ("submit", json!([1, "0x01", null]), least),
        (
            "submitBatch",
            json!([[{"rollup": "demo", "data": "0x"}]]),
            json!({"transactions": [{"rollup": "demo", "data": "0x"}], "ack": "pending"}),
        ),
        ("subscribe", json!({"topic": "blocks"}), json!({"topic": "blocks", "ids": false})),
        ("subscribe", json!({"topic": "rollup", "rollup": 1}), json!({"topic": "rollup", "rollup": 1})),
    ] {
        let input = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let limits = Limits::default();
        let dispatcher = Dispatcher::new(Arc::new(table()), limits, Arc::new(Metrics::new([].into_iter())));
        let reply = dispatcher.answer(&0, &Caller::new("test"), &input).await.unwrap();
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply, result(json!(1), expect), "{input}");
    }
}

#[test]
fn fields_are_those_of_the_struct_in_order() {
    assert_eq!(fields_of::<SubmitParams>(), ["rollup", "data", "valid_until", "fee_hint", "ack"]);
    assert_eq!(fields_of::<NoParams>(), [""; 0]);
    assert_eq!(fields_of::<Topic>(), [""; 0]);
}
