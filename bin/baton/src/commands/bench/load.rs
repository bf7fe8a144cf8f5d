//! Workers that submit, and the phases of a run.

use super::{
    LoadArgs, Target,
    meter::{Meter, RUN_MAX, Stamp, key},
    payload::Payloads,
    watch,
};
use crate::{
    output::note,
    process::{self, Usage},
    rpc::Api,
};
use baton_types::{
    api::ErrorData,
    genesis::Rollup,
    receipt::{Reason, Rung},
};
use bytes::Bytes;
use eyre::{WrapErr as _, bail, eyre};
use serde::Deserialize;
use std::{cell::RefCell, ops::Range, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

/// Without a finalized transaction for so long after the load, the rest is taken for lost.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);
/// Before a request that could not be delivered is followed by another.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What the workers do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rollup: String,
    pub size: usize,
    pub batch: usize,
    pub rate: u32,
    pub outstanding: u64,
    pub warmup: Duration,
    pub measured: Duration,
    pub connections: u16,
    /// No client waits longer than this before it comes again, whatever it is told.
    pub pause_max: Duration,
    pub seed: u64,
}

impl Plan {
    pub fn new(args: &LoadArgs, rollup: &Rollup) -> Self {
        Self {
            rollup: rollup.name.clone(),
            size: usize::try_from(args.size).unwrap_or(usize::MAX),
            batch: usize::try_from(args.batch).unwrap_or(usize::MAX),
            rate: args.rate,
            outstanding: args.outstanding.into(),
            warmup: args.warmup,
            measured: args.seconds,
            connections: args.connections,
            pause_max: Duration::MAX,
            seed: args.seed.unwrap_or_else(rand::random),
        }
    }

    /// A load at a rate, for as long as something else is measured.
    pub fn steady(rate: u32, measured: Duration) -> Self {
        Self {
            rollup: "demo".to_owned(),
            size: 200,
            batch: 50,
            rate,
            outstanding: u64::MAX,
            warmup: Duration::ZERO,
            measured,
            connections: 4,
            pause_max: Duration::MAX,
            seed: rand::random(),
        }
    }
}

/// A plan, and the nodes that it is for.
pub struct Part {
    pub plan: Plan,
    pub nodes: Range<usize>,
}

/// What all workers share.
pub struct Load {
    plan: Plan,
    meter: Rc<RefCell<Meter>>,
    payloads: RefCell<Payloads>,
    /// When the next request is due, in an open loop.
    due: RefCell<Instant>,
    end: Instant,
    progress: Rc<Notify>,
}

/// CPU, memory and disk at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub nodes: Vec<Usage>,
    pub loader: Usage,
    pub disk_bytes: Vec<u64>,
}

impl Snapshot {
    pub fn take(target: &Target) -> eyre::Result<Self> {
        Ok(Self {
            nodes: target.pids.iter().map(|pid| process::usage(*pid)).collect::<Result<_, _>>()?,
            loader: process::usage(std::process::id())?,
            disk_bytes: target.data_dirs.iter().map(|dir| process::disk_bytes(dir)).collect(),
        })
    }
}

/// A finished run, before it is checked.
pub struct Run {
    pub meter: Rc<RefCell<Meter>>,
    /// The measured window.
    pub from: Stamp,
    pub to: Stamp,
    /// Before the load, at both ends of the window, after the drain.
    pub before: Snapshot,
    pub at_start: Snapshot,
    pub at_end: Snapshot,
    pub after: Snapshot,
    /// From the end of the load until everything accepted was final.
    pub drained: Duration,
}

impl Load {
    pub fn new(plan: Plan, meter: Rc<RefCell<Meter>>, progress: Rc<Notify>) -> Rc<Self> {
        let now = Instant::now();
        let payloads = Payloads::new(&plan.rollup, plan.size, plan.batch, plan.seed);
        let end = now + plan.warmup + plan.measured;
        Rc::new(Self { plan, meter, payloads: RefCell::new(payloads), due: RefCell::new(now), end, progress })
    }

    /// Starts the workers, `connections` for each of these nodes.
    pub fn start(self: &Rc<Self>, urls: &[String], nodes: Range<usize>) -> eyre::Result<JoinSet<()>> {
        let mut workers = JoinSet::new();
        for _ in 0..self.plan.connections {
            for index in nodes.clone() {
                // A client of its own is a connection of its own.
                let api = Api::new(&urls[index])?;
                let node = u8::try_from(index).wrap_err("too many nodes")?;
                workers.spawn_local(self.clone().work(node, api));
            }
        }
        Ok(workers)
    }

    async fn work(self: Rc<Self>, node: u8, api: Api) {
        let batch = u64::try_from(self.plan.batch).unwrap_or(u64::MAX);
        // What was refused as a whole is offered again, as a client does that has something to say.
        let mut refused: Option<Bytes> = None;
        while self.turn().await {
            let body = refused.take().unwrap_or_else(|| Bytes::from(self.payloads.borrow_mut().request()));
            let sent = self.meter.borrow().now();
            self.meter.borrow_mut().asked(node).offered += batch;
            let outcome = match api.post(body.clone()).await {
                Ok(answer) => self.answered(node, answer.as_ref(), sent),
                Err(_) => {
                    self.meter.borrow_mut().failures += 1;
                    Answered::Again(Some(FAILURE_PAUSE))
                }
            };
            let pause = match outcome {
                Answered::Taken(pause) => pause,
                Answered::Again(pause) => {
                    refused = Some(body);
                    pause
                }
            };
            if let Some(pause) = pause {
                sleep(pause.min(self.plan.pause_max)).await;
            }
        }
    }

    /// Waits until a request may go; false when the time is over.
    async fn turn(&self) -> bool {
        if self.plan.rate > 0 {
            let batch = u32::try_from(self.payloads.borrow().batch()).unwrap_or(u32::MAX);
            let due = *self.due.borrow();
            *self.due.borrow_mut() = due + Duration::from_secs(1) * batch / self.plan.rate;
            sleep_until(due.min(self.end)).await;
            // Behind an overload what is due does not come to its end with the time.
            return due < self.end && Instant::now() < self.end;
        }
        while self.meter.borrow().outstanding() >= self.plan.outstanding && Instant::now() < self.end {
            // The bell may have rung between the look and the wait, so do not rely on it alone.
            let _ = timeout(Duration::from_millis(50), self.progress.notified()).await;
        }
        Instant::now() < self.end
    }

    /// Notes what was accepted, and how long to hold back if the node asks for it.
    fn answered(&self, node: u8, answer: &[u8], sent: Stamp) -> Answered {
        let mut meter = self.meter.borrow_mut();
        let now = meter.now();
        let batch = u64::try_from(self.plan.batch).unwrap_or(u64::MAX);
        let Ok(answer) = serde_json::from_slice::<Answer<'_>>(answer) else {
            meter.failures += 1;
            return Answered::Taken(Some(FAILURE_PAUSE));
        };
        if let Some(error) = answer.error {
            let Some(data) = error.data else {
                meter.failures += 1;
                return Answered::Taken(Some(FAILURE_PAUSE));
            };
            meter.refuse(node, &data, batch);
            let pause = pause(&data);
            return if pause.is_some() { Answered::Again(pause) } else { Answered::Taken(None) };
        }
        let Some(result) = answer.result else { return Answered::Taken(None) };
        let mut longest = None;
        let entries = result.transactions.unwrap_or_default();
        for id in entries.iter().filter_map(|entry| entry.id).chain(result.id) {
            if let Some(key) = key(id) {
                meter.accept(node, key, sent, now);
            }
        }
        for error in entries.iter().filter_map(|entry| entry.error.as_ref()) {
            meter.refuse(node, error, 1);
            longest = longest.max(pause(error));
        }
        Answered::Taken(longest)
    }
}

/// What became of a request, and how long to hold back.
enum Answered {
    /// Answered one by one.
    Taken(Option<Duration>),
    /// Refused as a whole, for now.
    Again(Option<Duration>),
}

/// How long to hold back, when the node may take it later.
pub fn pause(error: &ErrorData) -> Option<Duration> {
    match (error.retry_after_ms, error.reason) {
        (Some(ms), _) => Some(Duration::from_millis(ms)),
        (None, Reason::Busy | Reason::ClientLimit | Reason::NotReady) => Some(BUSY_PAUSE),
        (None, _) => None,
    }
}

/// An answer to either method, with nothing copied.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<Taken<'a>>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct Taken<'a> {
    /// Of a single transaction.
    id: Option<&'a str>,
    #[serde(borrow)]
    transactions: Option<Vec<Entry<'a>>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    id: Option<&'a str>,
    error: Option<ErrorData>,
}

/// Warms up, measures, and waits until everything accepted is final. All parts at once, as long as the first.
pub async fn run(target: &Target, parts: &[Part]) -> eyre::Result<Run> {
    let Some(Part { plan, .. }) = parts.first() else { bail!("nothing to load a cluster with") };
    let length = plan.warmup + plan.measured;
    if plan.measured.is_zero() || length > RUN_MAX {
        bail!("--seconds {:?}: more than 0, and with the warm-up at most {RUN_MAX:?}", plan.measured);
    }
    let api = target.apis()?.into_iter().next().ok_or_else(|| eyre!("no node to load"))?;
    let subscription = watch::open(&api, true).await?;
    let before = Snapshot::take(target)?;
    let meter = Rc::new(RefCell::new(Meter::new()));
    let progress = Rc::new(Notify::new());
    let mut watcher =
        tokio::task::spawn_local(watch::run(api, subscription, meter.clone(), progress.clone()));
    let mut workers = Vec::new();
    for Part { plan, nodes } in parts {
        let load = Load::new(plan.clone(), meter.clone(), progress.clone());
        workers.push(load.start(&target.urls, nodes.clone())?);
    }
    let start = Instant::from_std(meter.borrow().started());
    until(start + plan.warmup, &mut watcher).await?;
    let (from, at_start) = (meter.borrow().now(), Snapshot::take(target)?);
    until(start + length, &mut watcher).await?;
    let (to, at_end) = (meter.borrow().now(), Snapshot::take(target)?);
    for mut workers in workers {
        while let Some(worker) = workers.join_next().await {
            worker.wrap_err("a worker failed")?;
        }
    }
    drain(&meter, &mut watcher).await?;
    let drained = (start + length).elapsed();
    watcher.abort();
    Ok(Run { from, to, before, at_start, at_end, after: Snapshot::take(target)?, drained, meter })
}

async fn until(instant: Instant, watcher: &mut JoinHandle<eyre::Result<()>>) -> eyre::Result<()> {
    tokio::select! {
        () = sleep_until(instant) => Ok(()),
        result = watcher => stopped(result),
    }
}

fn stopped(result: Result<eyre::Result<()>, tokio::task::JoinError>) -> eyre::Result<()> {
    result.wrap_err("the watcher failed")?.wrap_err("cannot watch blocks any more")
}

async fn drain(meter: &RefCell<Meter>, watcher: &mut JoinHandle<eyre::Result<()>>) -> eyre::Result<()> {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let outstanding = meter.borrow().outstanding();
        if outstanding == 0 {
            return Ok(());
        }
        if outstanding < least {
            (least, since) = (outstanding, Instant::now());
        }
        if since.elapsed() > DRAIN_PATIENCE {
            note(format!(
                "{outstanding} accepted transactions are not {} after {DRAIN_PATIENCE:?}",
                Rung::Finalized
            ));
            return Ok(());
        }
        until(Instant::now() + Duration::from_millis(20), watcher).await?;
    }
}
