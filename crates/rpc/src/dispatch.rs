//! JSON-RPC 2.0: envelopes, batches, notifications, error codes; and the table of methods.
//!
//! Rules by input:
//! - *Not JSON* → -32700, id null.
//! - *No envelope* (no object, `jsonrpc` other than "2.0", an id that is no string, number or null, no
//!   method) → -32600.
//! - *Unknown method* → -32601. *Parameters of the wrong shape* → -32602. Both as `data.reason` too.
//! - *Refused by the node* → -32000 with `data` = [`ErrorData`].
//! - *Notification* (no id) → the call is made, nothing is answered.
//! - *Batch* → replies in the order of the calls; an empty or too long batch is one error.
//!
//! - *Methods of Ethereum* refuse in the words and with the data of its clients ([`Failure::Ethereum`]).
//!
//! Parameters go by name (object) or by position (array, in the order of the documented fields); those
//! at the end may be left out when they are optional. They are parsed once, straight into their type:
//! the envelope is read with borrowed raw text, never through a tree of values. What does not parse is
//! parsed again, slowly, to name the parameter.

use crate::{
    api::Caller,
    config::Limits,
    metrics::{Held, Metrics},
};
use baton_types::{
    api::ErrorData,
    receipt::{Reason, Refusal},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

#[cfg(test)]
mod tests;

pub const PARSE_ERROR: i32 = -32_700;
pub const INVALID_REQUEST: i32 = -32_600;
pub const METHOD_NOT_FOUND: i32 = -32_601;
pub const INVALID_PARAMS: i32 = -32_602;
/// The node refuses; `data` says why.
pub const REFUSED: i32 = -32_000;

/// Of a detail that quotes the request.
const DETAIL_CHARS_MAX: usize = 300;
/// Of a method's name in the reply that there is no such method.
const NAME_CHARS_MAX: usize = 64;
/// Calls of one batch that run at the same time.
const BATCH_CONCURRENCY: usize = 16;

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Answered with the refusal as data.
    Refused { code: i32, refusal: Refusal },
    /// Answered as Ethereum's clients do; `data` is what a revert returned.
    Ethereum { code: i32, message: String, data: Option<String> },
}

impl Failure {
    /// Details quote what the client sent, which may be long, and go back to it twice.
    pub(crate) fn protocol(code: i32, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(DETAIL_CHARS_MAX) {
            detail.truncate(end);
            detail.push('…');
        }
        Self::Refused { code, refusal: Refusal::new(Reason::BadRequest, detail) }
    }

    /// For metrics.
    const fn reason(&self) -> Reason {
        match self {
            Self::Refused { refusal, .. } => refusal.reason,
            Self::Ethereum { .. } => Reason::BadRequest,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { code: REFUSED, refusal }
    }
}

/// The result as JSON text.
type Answer = Result<String, Failure>;

type Handler<S> = Box<dyn for<'a> Fn(&S, &Caller, &'a str) -> BoxFuture<'a, Answer> + Send + Sync>;

/// One method: its name, what it is for, what it takes and gives, and the function behind it.
pub struct Method<S> {
    pub name: &'static str,
    pub summary: &'static str,
    pub(crate) params: fn(&mut SchemaGenerator) -> Schema,
    /// Fields of the parameters, in the order in which they go by position.
    pub(crate) fields: fn() -> &'static [&'static str],
    pub(crate) result: fn(&mut SchemaGenerator) -> Schema,
    /// Whether a call is worth reading at all.
    gate: fn(&S) -> Result<(), Refusal>,
    handler: Handler<S>,
}

/// The methods of an API over some state.
pub struct Table<S> {
    methods: Vec<Method<S>>,
    by_name: HashMap<&'static str, usize>,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self { methods: Vec::new(), by_name: HashMap::new() }
    }
}

/// For methods without parameters.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

impl<S: Clone + Send + Sync + 'static> Table<S> {
    /// Adds a method. Its state and caller are cheap clones.
    #[must_use]
    pub fn with<P, R, F, Fut>(self, name: &'static str, summary: &'static str, function: F) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema,
        F: Fn(S, Caller, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Refusal>> + Send + 'static,
    {
        self.with_failures(name, summary, move |state, caller, params| {
            function(state, caller, params).map(|result| result.map_err(Failure::from))
        })
    }

    /// Adds a method that has codes and words of its own for what fails.
    #[must_use]
    pub fn with_failures<P, R, F, Fut>(
        mut self,
        name: &'static str,
        summary: &'static str,
        function: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema,
        F: Fn(S, Caller, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let handler: Handler<S> = Box::new(move |state, caller, params| {
            let started = serde_json::from_str::<P>(params)
                .map(|params| function(state.clone(), caller.clone(), params))
                .map_err(|error| Failure::protocol(INVALID_PARAMS, misread::<P>(name, params, &error)));
            Box::pin(async move {
                let result = started?.await?;
                serde_json::to_string(&result)
                    .map_err(|error| Refusal::new(Reason::Internal, error.to_string()).into())
            })
        });
        let previous = self.by_name.insert(name, self.methods.len());
        assert!(previous.is_none(), "method {name} stands twice in the table");
        self.methods.push(Method {
            name,
            summary,
            params: SchemaGenerator::subschema_for::<P>,
            fields: fields_of::<P>,
            result: SchemaGenerator::subschema_for::<R>,
            gate: |_| Ok(()),
            handler,
        });
        self
    }

    /// The method added last refuses calls that `gate` refuses, before their parameters are read: under a
    /// flood a refusal must cost next to nothing.
    #[must_use]
    pub fn gated(mut self, gate: fn(&S) -> Result<(), Refusal>) -> Self {
        self.methods.last_mut().expect("a method stands before its gate").gate = gate;
        self
    }
}

impl<S> Table<S> {
    pub fn methods(&self) -> &[Method<S>] {
        &self.methods
    }
}

/// Serves calls of a table's methods.
pub struct Dispatcher<S> {
    table: Arc<Table<S>>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl<S: Sync> Dispatcher<S> {
    pub const fn new(table: Arc<Table<S>>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { table, limits, metrics }
    }

    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Answers one HTTP body or WebSocket message; none when nothing in it asks for an answer.
    pub async fn answer(&self, state: &S, caller: &Caller, text: &str) -> Option<String> {
        let _in_flight = Held::new(&self.metrics, |metrics| &metrics.in_flight);
        if text.trim_ascii_start().starts_with('[') {
            self.batch(state, caller, text).await
        } else {
            self.single(state, caller, text).await
        }
    }

    async fn batch(&self, state: &S, caller: &Caller, text: &str) -> Option<String> {
        let max = self.limits.batch_calls_max;
        let calls = match Calls::parse(text, max) {
            Ok(calls) => calls,
            Err(failure) => return Some(self.unread("null", &failure)),
        };
        let full = AtomicBool::new(false);
        let answers: Vec<BoxFuture<'_, Option<String>>> =
            calls.0.into_iter().map(|call| self.unless(&full, state, caller, call.get()).boxed()).collect();
        let mut replies = stream::iter(answers).buffered(BATCH_CONCURRENCY);
        let mut out = String::from("[");
        while let Some(reply) = replies.next().await {
            let Some(reply) = reply else { continue };
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&reply);
            if out.len() > self.limits.response_bytes_max {
                full.store(true, Relaxed);
            }
        }
        out.push(']');
        (out.len() > 2).then_some(out)
    }

    /// Makes the call unless the replies before it were too large already.
    async fn unless(&self, full: &AtomicBool, state: &S, caller: &Caller, text: &str) -> Option<String> {
        if !full.load(Relaxed) {
            return self.single(state, caller, text).await;
        }
        let max = self.limits.response_bytes_max;
        let detail = format!("the replies of this batch exceed {max} bytes; send the rest in another");
        let failure = Refusal::new(Reason::TooLarge, detail).into();
        match Call::parse(text) {
            Ok(call) => call.id.map(|id| self.unread(id, &failure)),
            Err((id, failure)) => Some(self.unread(id, &failure)),
        }
    }

    async fn single(&self, state: &S, caller: &Caller, text: &str) -> Option<String> {
        let call = match Call::parse(text) {
            Ok(call) => call,
            Err((id, failure)) => return Some(self.unread(id, &failure)),
        };
        let index = self.table.by_name.get(&*call.method).copied();
        let answer = match index.and_then(|index| self.table.methods.get(index)) {
            Some(method) => self.call(method, state, caller, call.params).await,
            None => {
                let name: String = call.method.chars().take(NAME_CHARS_MAX).collect();
                let detail = format!("no method {name:?}; rpc.discover lists them");
                Err(Failure::protocol(METHOD_NOT_FOUND, detail))
            }
        };
        let outcome = answer.as_ref().map(|_| ()).map_err(Failure::reason);
        self.metrics.request(index, outcome);
        let id = call.id?;
        Some(match answer {
            Ok(result) => result_reply(id, &result),
            Err(failure) => error_reply(id, &failure),
        })
    }

    async fn call(&self, method: &Method<S>, state: &S, caller: &Caller, params: &str) -> Answer {
        (method.gate)(state)?;
        let running = (method.handler)(state, caller, params);
        tokio::time::timeout(self.limits.request_timeout(), running).await.unwrap_or_else(|_| {
            let ms = self.limits.request_timeout_ms;
            let detail = format!("{} took over {ms} ms; look the outcome up, or retry", method.name);
            Err(Refusal::new(Reason::Busy, detail).retry_after(1_000).into())
        })
    }

    fn unread(&self, id: &str, failure: &Failure) -> String {
        self.metrics.request(None, Err(failure.reason()));
        error_reply(id, failure)
    }
}

fn result_reply(id: &str, result: &str) -> String {
    let mut out = String::with_capacity(40 + id.len() + result.len());
    out.push_str(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(id);
    out.push_str(r#","result":"#);
    out.push_str(result);
    out.push('}');
    out
}

#[derive(Serialize)]
struct ErrorBody<'a, D> {
    code: i32,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

/// A JSON-RPC error; `id` is JSON text.
pub fn error_reply(id: &str, failure: &Failure) -> String {
    let body = match failure {
        Failure::Refused { code, refusal } => {
            let message = &refusal.to_string();
            serde_json::to_string(&ErrorBody { code: *code, message, data: Some(error_data(refusal)) })
        }
        Failure::Ethereum { code, message, data } => {
            serde_json::to_string(&ErrorBody { code: *code, message, data: data.as_ref() })
        }
    };
    let body = body.expect("strings and numbers have a JSON form");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{body}}}"#)
}

pub fn error_data(refusal: &Refusal) -> ErrorData {
    ErrorData {
        reason: refusal.reason,
        detail: refusal.detail.clone(),
        retry_after_ms: refusal.retry_after_ms,
    }
}

/// As it arrives. Every part is kept as text, so that an error in one can still be answered under the id.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    /// Null is an id; without one there is no answer.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

struct Call<'a> {
    id: Option<&'a str>,
    method: Cow<'a, str>,
    params: &'a str,
}

impl<'a> Call<'a> {
    fn parse(text: &'a str) -> Result<Self, (&'a str, Failure)> {
        let invalid = |id, detail: &str| (id, Failure::protocol(INVALID_REQUEST, detail));
        if !text.trim_ascii_start().starts_with('{') {
            return match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Err(invalid("null", "a call is an object with jsonrpc, method, params and id")),
                Err(error) => Err(("null", not_json(&error))),
            };
        }
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|error| {
            // What is left when the syntax holds is a member that stands twice.
            let failure = if error.is_data() {
                Failure::protocol(INVALID_REQUEST, error.to_string())
            } else {
                not_json(&error)
            };
            ("null", failure)
        })?;
        let id = envelope.id.map(RawValue::get);
        if id.is_some_and(|id| {
            !id.starts_with(['"', '-', 'n']) && !id.starts_with(|c: char| c.is_ascii_digit())
        }) {
            return Err(invalid("null", "the id must be a string, a number or null"));
        }
        let known = id.unwrap_or("null");
        if envelope.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
            return Err(invalid(known, "jsonrpc must be \"2.0\""));
        }
        let method = envelope.method.and_then(|method| string(method.get()));
        let method = method.ok_or_else(|| invalid(known, "method must be a string"))?;
        // Many clients send null where they have no parameters.
        let params = envelope.params.map_or("{}", RawValue::get);
        if !params.starts_with(['{', '[']) {
            let detail = "params must be an object or an array";
            return Err((known, Failure::protocol(INVALID_PARAMS, detail)));
        }
        Ok(Self { id, method, params })
    }
}

fn not_json(error: &serde_json::Error) -> Failure {
    Failure::protocol(PARSE_ERROR, format!("not JSON: {error}"))
}

fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The calls of a batch. No more than allowed are ever kept, however long the array is.
struct Calls<'a>(Vec<&'a RawValue>);

impl<'a> Calls<'a> {
    fn parse(text: &'a str, max: usize) -> Result<Self, Failure> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let (calls, count) = deserializer
            .deserialize_seq(Bounded { max })
            .and_then(|calls| deserializer.end().map(|()| calls))
            .map_err(|error| not_json(&error))?;
        if count == 0 {
            return Err(Failure::protocol(INVALID_REQUEST, "an empty batch"));
        }
        if count > max {
            let detail = format!("{count} calls in one batch; at most {max}, so send several");
            return Err(Failure::protocol(INVALID_REQUEST, detail));
        }
        Ok(Self(calls))
    }
}

struct Bounded {
    max: usize,
}

impl<'de> Visitor<'de> for Bounded {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of calls")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut calls = Vec::new();
        while calls.len() < self.max {
            match seq.next_element()? {
                Some(call) => calls.push(call),
                None => {
                    let count = calls.len();
                    return Ok((calls, count));
                }
            }
        }
        let mut count = calls.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((calls, count))
    }
}

/// What is wrong with parameters that did not parse, with the name of the one that is.
fn misread<P: DeserializeOwned>(method: &str, params: &str, error: &serde_json::Error) -> String {
    let fields = fields_of::<P>();
    let by_position = serde_json::from_str::<Vec<IgnoredAny>>(params).ok().map(|given| given.len());
    if let Some(given) = by_position.filter(|given| *given > fields.len()) {
        return format!("{method}: {given} parameters; at most {}: {}", fields.len(), fields.join(", "));
    }
    let path: Vec<String> =
        match serde_path_to_error::deserialize::<_, P>(&mut serde_json::Deserializer::from_str(params)) {
            Ok(_) => Vec::new(),
            Err(error) => error.path().iter().map(ToString::to_string).collect(),
        };
    let named = match (path.split_first(), by_position) {
        (Some((first, rest)), Some(_)) => {
            let index = first.trim_matches(['[', ']']).parse::<usize>().ok();
            let name = index.and_then(|index| fields.get(index)).map_or(&first[..], |name| name);
            std::iter::once(name.to_owned()).chain(rest.iter().cloned()).collect()
        }
        (None, Some(given)) if error.is_data() && given < fields.len() => {
            return format!("{method}: parameter {} ({}) is missing", given + 1, fields[given]);
        }
        _ => path,
    };
    if named.is_empty() {
        format!("{method}: {error}")
    } else {
        format!("{method}: {}: {error}", named.join("."))
    }
}

/// The fields a type asks for when it is read, in order; none for what is not a plain struct.
fn fields_of<P: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It always fails: there is nothing to read.
    drop(P::deserialize(FieldNames(&mut fields)));
    fields
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only names are wanted"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
