//! One load on one chain: paced or as fast as it is taken, and when each receipt is there.
//!
//! ```text
//!  signed before the clock starts ─► workers, one connection each ── eth_sendRawTransaction ──► chain
//!                                       │ accepted: due or sent at                                │
//!                                       ▼                                                        ▼
//!                                     Meter ◄──────────── follower: eth_getBlockReceipts of each new block
//! ```
//! A worker has accounts of its own, so nonces arrive in order. What a node refuses for now is offered again;
//! its time runs from the first offer. In a paced load it runs from when the transaction was due.

use super::{
    accounts::{Account, Call, Kind},
    target::Target,
};
use crate::{
    commands::bench::{
        load::pause,
        meter::{Meter, Quantiles, Stamp, key},
    },
    output::note,
    process::{self, float},
    rpc::{Api, NONE},
};
use alloy_primitives::U64;
use baton_types::api::ErrorData;
use bytes::Bytes;
use eyre::{WrapErr as _, eyre};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    rc::Rc,
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// How often the newest block is asked for.
const POLL: Duration = Duration::from_millis(5);
/// Without a receipt for so long after the load, the rest is taken for lost.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// Transactions per second that are signed for a load without a pace; nothing here takes more.
const SIGNED_PER_SECOND: u64 = 8_000;
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Serialize)]
pub struct Load {
    pub token: bool,
    /// Per second; 0: the next request when the one before is answered.
    pub rate: u32,
    /// Transactions in one request.
    pub batch: u32,
    /// Of all nodes together.
    pub connections: u16,
    #[serde(skip)]
    pub length: Duration,
}

impl Load {
    pub fn name(&self) -> String {
        let what = if self.token { "ERC-20 transfers" } else { "transfers" };
        let pace = match self.rate {
            0 => "as fast as taken".to_owned(),
            rate => format!("{}/s", crate::output::grouped(rate.into())),
        };
        match self.batch {
            1 => format!("{what}, {pace}"),
            batch => format!("{what}, {pace}, {batch} per request"),
        }
    }

    fn transactions(&self) -> u64 {
        let per_second = if self.rate == 0 { SIGNED_PER_SECOND } else { self.rate.into() };
        per_second.saturating_mul(self.length.as_secs().max(1))
    }
}

/// What a load did on a chain.
#[derive(Debug, Serialize)]
pub struct Row {
    pub target: String,
    #[serde(flatten)]
    pub load: Load,
    pub accepted: u64,
    pub submitted_per_second: f64,
    pub included_per_second: f64,
    /// From when a transaction was due, or first sent, to when its receipt was here.
    pub receipt: Quantiles,
    pub blocks: usize,
    /// Of all processes of the chain together.
    pub cpu_seconds_per_1000: Option<f64>,
    pub loader_cpu_seconds: f64,
    /// Accepted, without a receipt in the end.
    pub missing: u64,
    /// Not accepted, other than for now.
    pub refused: u64,
    /// Blocks whose receipts were others afterwards, on any node.
    pub changed_blocks: u64,
    /// What was refused first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl Row {
    pub const fn fine(&self) -> bool {
        self.missing == 0 && self.changed_blocks == 0 && self.refused == 0
    }
}

struct Run {
    load: Load,
    meter: RefCell<Meter>,
    /// When the next request is due.
    due: Cell<Instant>,
    end: Instant,
    refused: Cell<u64>,
    refusal: RefCell<Option<String>>,
    /// By number: a hash of the receipts as they came first.
    blocks: RefCell<BTreeMap<u64, u64>>,
    last_receipt: Cell<Stamp>,
}

/// Loads the chain, waits for what it accepted, and looks at its receipts again.
pub async fn run(target: &Target, load: &Load, accounts: &mut [Account]) -> eyre::Result<Row> {
    target.read_nonces(accounts).await?;
    let queues = sign(target, load, accounts)?;
    let api = Api::new(&target.urls[0])?;
    let tip: U64 = api.call("eth_blockNumber", NONE).await?;
    let cpu_before = usage(target)?;
    let now = Instant::now();
    let run = Rc::new(Run {
        load: load.clone(),
        meter: RefCell::new(Meter::new()),
        due: Cell::new(now),
        end: now + load.length,
        refused: Cell::new(0),
        refusal: RefCell::new(None),
        blocks: RefCell::default(),
        last_receipt: Cell::new(1),
    });
    let follower = tokio::task::spawn_local(run.clone().follow(api, tip.to::<u64>() + 1));
    let mut workers = JoinSet::new();
    for (queue, url) in queues.into_iter().zip(target.urls.iter().cycle()) {
        workers.spawn_local(run.clone().work(Api::new(url)?, queue));
    }
    while let Some(worker) = workers.join_next().await {
        worker.wrap_err("a worker failed")?;
    }
    let sent = run.meter.borrow().now();
    let stopped = run.drain(&follower).await;
    follower.abort();
    if stopped {
        follower.await.wrap_err("cannot follow the blocks")??;
    }
    let cpu_after = usage(target)?;
    let changed_blocks = run.changed(target).await?;
    Ok(run.row(target, sent, (cpu_before, cpu_after), changed_blocks))
}

/// CPU seconds of the chain and of this program.
fn usage(target: &Target) -> eyre::Result<(f64, f64)> {
    let of = |pid: u32| process::usage(pid).map(|usage| usage.cpu_seconds);
    let chain = target.pids.iter().map(|pid| of(*pid)).sum::<eyre::Result<f64>>()?;
    Ok((chain, of(std::process::id())?))
}

/// One queue per connection.
fn sign(target: &Target, load: &Load, accounts: &mut [Account]) -> eyre::Result<Vec<VecDeque<Call>>> {
    let connections = usize::from(load.connections).min(accounts.len());
    note(format!("{}: signing {} {}", target.name, load.transactions(), load.name()));
    let kind = if load.token { Kind::Token(target.token) } else { Kind::Transfer };
    let mut queues: Vec<_> = (0..connections).map(|_| VecDeque::new()).collect();
    let mut next = (0..accounts.len()).cycle();
    for id in 0..load.transactions() {
        let index = next.next().ok_or_else(|| eyre!("no accounts"))?;
        queues[index % connections].push_back(accounts[index].call(target.chain_id, kind, id)?);
    }
    Ok(queues)
}

#[derive(Deserialize)]
struct Reply<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
    data: Option<serde_json::Value>,
}

/// Why a call was not taken.
enum Refusal {
    /// For so long.
    ForNow(Duration),
    Never(String),
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let data = refused.data.and_then(|data| serde_json::from_value::<ErrorData>(data).ok());
        match data.as_ref().and_then(pause) {
            Some(time) => Self::ForNow(time),
            None => Self::Never(refused.message),
        }
    }
}

impl Run {
    async fn work(self: Rc<Self>, api: Api, mut queue: VecDeque<Call>) {
        let batch = usize::try_from(self.load.batch).unwrap_or(usize::MAX);
        while !queue.is_empty() {
            let again = queue.iter().take(batch).take_while(|call| call.sent != 0).count();
            let (due, count) = match self.turn().await {
                Some(due) => (due, batch.min(queue.len())),
                // What was put off is offered again, or what was taken behind it would never have its turn.
                None if again > 0 && Instant::now() < self.end + DRAIN_PATIENCE => (0, again),
                None => break,
            };
            let mut calls: Vec<_> = queue.drain(..count).collect();
            calls.iter_mut().filter(|call| call.sent == 0).for_each(|call| call.sent = due);
            let answer = api.post(body(&calls)).await;
            let (left, time) = match answer {
                Ok(answer) => self.answered(calls, answer.as_ref()),
                Err(error) => {
                    self.refuse(calls.len(), error.to_string());
                    (Vec::new(), Some(FAILURE_PAUSE))
                }
            };
            left.into_iter().rev().for_each(|call| queue.push_front(call));
            if let Some(time) = time {
                sleep(time).await;
            }
        }
    }

    /// Waits until a request may go. When it was due; none when the time is over.
    async fn turn(&self) -> Option<Stamp> {
        if self.load.rate > 0 {
            let due = self.due.get();
            self.due.set(due + Duration::from_secs(1) * self.load.batch / self.load.rate);
            sleep_until(due.min(self.end)).await;
            let meter = self.meter.borrow();
            let since = due.into_std().saturating_duration_since(meter.started());
            return (due < self.end).then(|| meter.stamp(since));
        }
        (Instant::now() < self.end).then(|| self.meter.borrow().now())
    }

    /// Notes what was taken. What is to be offered again, and after how long.
    fn answered(&self, calls: Vec<Call>, answer: &[u8]) -> (Vec<Call>, Option<Duration>) {
        let now = self.meter.borrow().now();
        let replies = if answer.first() == Some(&b'[') {
            serde_json::from_slice(answer)
        } else {
            serde_json::from_slice(answer).map(|reply| vec![reply])
        };
        let replies: Vec<Reply<'_>> = match replies {
            Ok(replies) => replies,
            Err(error) => {
                self.refuse(calls.len(), format!("no JSON-RPC answer: {error}"));
                return (Vec::new(), Some(FAILURE_PAUSE));
            }
        };
        let mut refused = BTreeMap::new();
        for Reply { id, result, error } in replies {
            match (id, error) {
                (id, Some(error)) => {
                    refused.insert(id, Refusal::from(error));
                }
                (_, None) if result.is_some() => {}
                (id, None) => {
                    refused.insert(id, Refusal::Never("neither a result nor an error".to_owned()));
                }
            }
        }
        let (mut left, mut longest) = (Vec::new(), None);
        for call in calls {
            // A batch that is refused as a whole has no ids.
            match refused.get(&Some(call.id)).or_else(|| refused.get(&None)) {
                None => self.meter.borrow_mut().accept(0, call.key, call.sent, now),
                Some(Refusal::ForNow(time)) => {
                    longest = longest.max(Some(*time));
                    left.push(call);
                }
                Some(Refusal::Never(why)) => self.refuse(1, why.clone()),
            }
        }
        (left, longest)
    }

    fn refuse(&self, count: usize, why: String) {
        self.refused.set(self.refused.get() + u64::try_from(count).unwrap_or(u64::MAX));
        self.refusal.borrow_mut().get_or_insert(why);
    }

    /// Reads the receipts of every new block, until it is aborted.
    async fn follow(self: Rc<Self>, api: Api, mut next: u64) -> eyre::Result<()> {
        #[derive(Deserialize)]
        struct Receipt<'a> {
            #[serde(rename = "transactionHash")]
            hash: &'a str,
        }
        loop {
            let tip: U64 = api.call("eth_blockNumber", NONE).await?;
            for number in next..=tip.to() {
                let answer = receipts(&api, number).await?;
                let text = result(&api, answer.as_ref())?;
                let receipts: Vec<Receipt<'_>> =
                    serde_json::from_str(text).wrap_err("receipts of a block")?;
                let mut meter = self.meter.borrow_mut();
                let at = meter.now();
                receipts
                    .iter()
                    .filter_map(|receipt| key(receipt.hash))
                    .for_each(|key| meter.finalized(key, at, false));
                if !receipts.is_empty() {
                    self.last_receipt.set(at);
                    self.blocks.borrow_mut().insert(number, fingerprint(text));
                }
            }
            next = next.max(tip.to::<u64>() + 1);
            sleep(POLL).await;
        }
    }

    /// Waits for the receipts that are missing. Whether the follower has ended meanwhile.
    async fn drain(&self, follower: &tokio::task::JoinHandle<eyre::Result<()>>) -> bool {
        let (mut least, mut since) = (u64::MAX, Instant::now());
        while !follower.is_finished() {
            let outstanding = self.meter.borrow().outstanding();
            if outstanding < least {
                (least, since) = (outstanding, Instant::now());
            }
            if outstanding == 0 || since.elapsed() > DRAIN_PATIENCE {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }

    /// Blocks whose receipts are not, on every node, what they were when they came first.
    async fn changed(&self, target: &Target) -> eyre::Result<u64> {
        let blocks = self.blocks.borrow().clone();
        let mut changed = 0;
        for url in &target.urls {
            let api = Api::new(url)?;
            for (number, first) in &blocks {
                let answer = receipts(&api, *number).await?;
                changed += u64::from(fingerprint(result(&api, answer.as_ref())?) != *first);
            }
        }
        Ok(changed)
    }

    fn row(&self, target: &Target, sent: Stamp, cpu: ((f64, f64), (f64, f64)), changed_blocks: u64) -> Row {
        let meter = self.meter.borrow();
        let received: Vec<u32> = meter
            .own()
            .filter(|(_, times)| times.finalized != 0)
            .map(|(_, times)| times.finalized.saturating_sub(times.sent))
            .collect();
        let included = float(u64::try_from(received.len()).unwrap_or(u64::MAX));
        let ((chain_before, own_before), (chain_after, own_after)) = cpu;
        let measured = !target.pids.is_empty() && !received.is_empty();
        Row {
            target: target.name.clone(),
            load: self.load.clone(),
            accepted: meter.accepted(),
            submitted_per_second: float(meter.accepted()) * 1e6 / f64::from(sent),
            included_per_second: included * 1e6 / f64::from(self.last_receipt.get()),
            receipt: Quantiles::of(received),
            blocks: self.blocks.borrow().len(),
            cpu_seconds_per_1000: measured.then(|| (chain_after - chain_before) * 1e3 / included),
            loader_cpu_seconds: own_after - own_before,
            missing: meter.outstanding(),
            refused: self.refused.get(),
            changed_blocks,
            refusal: self.refusal.borrow().clone(),
        }
    }
}

fn body(calls: &[Call]) -> Bytes {
    if let [call] = calls {
        return Bytes::copy_from_slice(call.text.as_bytes());
    }
    let texts: Vec<_> = calls.iter().map(|call| call.text.as_str()).collect();
    format!("[{}]", texts.join(",")).into()
}

async fn receipts(api: &Api, number: u64) -> eyre::Result<impl AsRef<[u8]> + use<>> {
    let params = [format!("{number:#x}")];
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockReceipts", "params": params});
    Ok(api.post(call.to_string().into()).await?)
}

/// The text of an answer's result.
fn result<'a>(api: &Api, answer: &'a [u8]) -> eyre::Result<&'a str> {
    let reply: Reply<'a> =
        serde_json::from_slice(answer).wrap_err_with(|| format!("{}: no JSON-RPC answer", api.url()))?;
    let refused = reply.error.map(|error| error.message);
    let result = reply.result.ok_or_else(|| eyre!("{}: {}", api.url(), refused.unwrap_or_default()))?;
    Ok(result.get())
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> Run {
        let load = Load { token: false, rate: 0, batch: 3, connections: 1, length: Duration::from_secs(1) };
        Run {
            load,
            meter: RefCell::new(Meter::new()),
            due: Cell::new(Instant::now()),
            end: Instant::now(),
            refused: Cell::new(0),
            refusal: RefCell::new(None),
            blocks: RefCell::default(),
            last_receipt: Cell::new(1),
        }
    }

    fn calls() -> Vec<Call> {
        let mut account = Account::derive(1, 1).unwrap().remove(0);
        let call = |id| Call { sent: 1, ..account.call(2_211, Kind::Transfer, id).unwrap() };
        (0..3).map(call).collect()
    }

    #[test]
    fn what_is_refused_for_now_is_offered_again() {
        const BUSY: &str = r#""error":{"code":-32000,"message":"busy","data":{"reason":"busy","detail":"","retry_after_ms":70}}"#;
        let run = idle();
        let low = r#""error":{"code":-32000,"message":"nonce too low"}"#;
        let answer = format!(r#"[{{"id":2,{low}}},{{"id":1,{BUSY}}},{{"id":0,"result":"0x00"}}]"#);
        let (left, time) = run.answered(calls(), answer.as_bytes());
        assert_eq!(left.iter().map(|call| call.id).collect::<Vec<_>>(), [1]);
        assert_eq!((time, run.refused.get()), (Some(Duration::from_millis(70)), 1));
        assert_eq!(
            (run.meter.borrow().accepted(), run.refusal.borrow().as_deref()),
            (1, Some("nonce too low"))
        );
        // As a whole, without any id.
        let (left, _) = run.answered(calls(), format!(r#"{{"id":null,{BUSY}}}"#).as_bytes());
        assert_eq!(left.len(), 3);
        let (left, time) = run.answered(calls(), b"<html>");
        assert_eq!((left.len(), time, run.refused.get()), (0, Some(FAILURE_PAUSE), 4));
    }
}
