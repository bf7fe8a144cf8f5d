//! Requests to a node, and answers as its clients read them.

use super::text;
use crate::{
    run::{Outcome, Target},
    seeds::Vectors,
};
use baton_rpc::{
    Caller, Facts, Limits,
    api::Chain,
    dispatch::{Dispatcher, NoParams, Table},
    methods::{read, submit},
    metrics::Metrics,
};
use baton_types::api::{
    BatchEntry, BlockEvent, BlockParams, BlockView, EpochView, ErrorData, MempoolView, ProofResult,
    RollupBlocksParams, RollupBlocksResult, StatusView, Submission, SubmitBatchParams, SubmitBatchResult,
    SubmitBundleParams, SubmitBundleResult, SubmitParams, SubmitResult, Topic, TransactionParams,
    TransactionView, UnsubscribeParams, ValidatorView,
};
use baton_types::receipt::Refusal;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, value::RawValue};
use std::{fmt::Debug, sync::Arc};

pub fn targets(vectors: &Vectors) -> Vec<Target> {
    vec![Target { cost: 2, ..requests(vectors) }, Target { cost: 4, ..answers() }]
}

/// Heights at which transactions without one of their own expire.
const LATEST: u64 = 1_000;

/// The methods of the API as far as they go without a node: parameters are read and looked up.
fn table() -> Table<Chain> {
    Table::default()
        .with("baton_submit", "", |chain: Chain, _, params: SubmitParams| async move {
            let SubmitParams { rollup, data, valid_until, fee_hint, ack: _ } = params;
            let submission = Submission { rollup, data, valid_until, fee_hint };
            submit::unit(&chain, submission, LATEST).map(|unit| unit.valid_until())
        })
        .with("baton_submitBatch", "", |chain: Chain, _, params: SubmitBatchParams| async move {
            let units = params.transactions.into_iter().map(|each| submit::unit(&chain, each, LATEST));
            Ok::<_, Refusal>(units.filter(Result::is_ok).count())
        })
        .with("baton_submitBundle", "", |chain: Chain, _, params: SubmitBundleParams| async move {
            let valid_until = params.valid_until.unwrap_or(LATEST);
            submit::bundle(&chain, params.legs, valid_until).map(|(bundle, order)| {
                assert_eq!(bundle.legs.len(), order.len());
                bundle.id.to_string()
            })
        })
        .with("baton_transaction", "", |_, _, params: TransactionParams| async move {
            read::parse_id(&params.id).map(|id| id.to_string())
        })
        .with("baton_block", "", |_, _, params: BlockParams| async move {
            read::block_id(&params.block).map(|_| params)
        })
        .with("baton_rollupBlocks", "", |chain: Chain, _, params: RollupBlocksParams| async move {
            chain.rollup(&params.rollup).map(|rollup| rollup.id)
        })
        .with("baton_subscribe", "", |_, _, topic: Topic| async move { Ok::<_, Refusal>(topic) })
        .with(
            "baton_unsubscribe",
            "",
            |_, _, params: UnsubscribeParams| async move { Ok::<_, Refusal>(params) },
        )
        .with("baton_status", "", |_, _, _: NoParams| async move { Ok::<_, Refusal>(7) })
}

fn requests(vectors: &Vectors) -> Target {
    let genesis = Arc::new(vectors.genesis());
    let identity = genesis.members[0].identity().expect("the genesis of the vectors is valid");
    let chain = Chain::new(genesis, Facts { version: String::new(), index: 0, identity });
    let limits = Limits { batch_calls_max: 8, ..Limits::default() };
    let dispatcher = Dispatcher::new(Arc::new(table()), limits, Arc::new(Metrics::new(std::iter::empty())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime can be made");
    let caller = Caller::new("fuzz");
    text("request", Vec::new(), move |text| {
        // Numbers and escapes that fit no Rust type are JSON to some and not to others.
        let no_json = serde_json::from_str::<IgnoredAny>(text).is_err();
        let plain_json = serde_json::from_str::<Value>(text).is_ok();
        let Some(answer) = runtime.block_on(dispatcher.answer(&chain, &caller, text)) else {
            assert!(!no_json, "only notifications are not answered");
            return Outcome::Decoded;
        };
        let replies = if answer.starts_with('[') {
            serde_json::from_str(&answer)
        } else {
            serde_json::from_str(&answer).map(|reply| vec![reply])
        };
        let replies: Vec<Reply<'_>> = replies.expect("replies are as JSON-RPC wants them");
        let mut outcome = Outcome::Decoded;
        for reply in replies {
            assert_eq!(reply.jsonrpc, "2.0", "{answer}");
            assert_eq!(reply.result.is_some(), reply.error.is_none(), "{answer}");
            assert!(text.contains(reply.id.get()) || reply.id.get() == "null", "{answer}");
            assert!(reply.error.is_some() || !no_json, "{answer}");
            if let Some(Error { code, message, data }) = reply.error {
                assert!(code != -32_700 || !plain_json, "{answer}");
                assert!(message.contains(&data.detail), "{answer}");
                outcome = Outcome::Refused(format!("{code} {message}"));
            }
        }
        outcome
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Error>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Error {
    code: i32,
    message: String,
    data: ErrorData,
}

/// Reads `text` as `T`; what can be read can be written and read again.
fn read_answer<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    text: &str,
) -> Result<(), serde_json::Error> {
    let value: T = serde_json::from_str(text)?;
    let again = serde_json::to_string(&value).expect("answers have a JSON form");
    assert_eq!(serde_json::from_str::<T>(&again).expect("and it can be read"), value);
    Ok(())
}

type Reader = fn(&str) -> Result<(), serde_json::Error>;

/// Every answer that the client in the command line reads from a node it need not trust.
fn answers() -> Target {
    let readers: [Reader; 14] = [
        read_answer::<SubmitResult>,
        read_answer::<SubmitBatchResult>,
        read_answer::<SubmitBundleResult>,
        read_answer::<BatchEntry>,
        read_answer::<TransactionView>,
        read_answer::<BlockView>,
        read_answer::<BlockEvent>,
        read_answer::<RollupBlocksResult>,
        read_answer::<MempoolView>,
        read_answer::<Vec<ValidatorView>>,
        read_answer::<EpochView>,
        read_answer::<StatusView>,
        read_answer::<ProofResult>,
        read_answer::<ErrorData>,
    ];
    text("answer", Vec::new(), move |text| {
        let mut furthest: Option<serde_json::Error> = None;
        for read in readers {
            let Err(error) = read(text) else { return Outcome::Decoded };
            let place = |error: &serde_json::Error| (error.line(), error.column());
            if furthest.as_ref().is_none_or(|other| place(other) < place(&error)) {
                furthest = Some(error);
            }
        }
        Outcome::Refused(furthest.map(|error| error.to_string()).unwrap_or_default())
    })
}
