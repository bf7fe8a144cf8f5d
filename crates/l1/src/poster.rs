//! Posts certified batches, in order, until they are on L1.
//!
//! ```text
//! inboxes: next index, head ─► certified batches from there on ─► load ─► would it pass? ─► send ─► mined?
//!        ▲                          │ none yet: wait               │ no: one by one  ▲      │ no: raise fees
//!        └──────────────────────────┴──────────────────────────────┴─────────────────┴──────┘
//! ```
//! - **One transaction carries what is there and fits** (`load`): batches of several rollups, and several of one when there
//!   is a backlog. When L1 refuses it as a whole, it goes without the rollups whose next batch is refused.
//! - Nothing is remembered but fees and whose turn it is: every round begins with what the inbox and the account say. So a
//!   restart, a reorg that drops a batch, a nonce used elsewhere and another poster need no care of their own.
//! - **Two posters**: the inbox refuses the second. [`PosterConfig::patience`] lets others go first until this one has
//!   to take over (`lease`); it decides nothing but costs.
//! - **Entries that expired meanwhile** go through the hatch, once it is open (`hatch`): no batch could be first.
//! - **Bounded**: fees, the cost of a batch and of a day, raises and failures have limits. Beyond them the rollup is
//!   [`State::Degraded`] with the reason, and is tried again slowly.

mod hatch;
mod lease;
mod load;

use crate::{
    client::{Client, L1Error},
    contracts::{self, BatchInbox},
    da::Backend,
    events::address,
    transaction::{Draft, Fees},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::{BlockNumberOrTag, TransactionRequest};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolInterface as _;
use baton_settlement::{BatchSource, Place, Terms};
use baton_types::{Digest, RollupId};
use lease::Lease;
use load::{Load, Loaded, Loader, Parcel};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};
use tracing::{info, warn};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
pub struct PosterConfig {
    /// How often L1 and the cluster are asked.
    pub poll: Duration,
    /// How long another poster may go first.
    pub patience: Duration,
    /// How long a transaction may wait for a block before its fees are raised.
    pub mined_within: Duration,
    /// Raises of one transaction.
    pub raises_max: u32,
    /// Batches in one transaction.
    pub batches_max: usize,
    /// Failures in a row before the rollup is degraded.
    pub failures_max: u32,
    /// How often a degraded rollup is tried.
    pub degraded_poll: Duration,
    /// In wei: per gas, per blob gas, per batch, and for everything in 24 hours since the start of the node.
    pub gas_fee_max: u128,
    pub blob_fee_max: u128,
    pub batch_cost_max: U256,
    pub day_cost_max: U256,
}

impl Default for PosterConfig {
    fn default() -> Self {
        let gwei = 1_000_000_000;
        Self {
            poll: Duration::from_secs(2),
            patience: Duration::ZERO,
            mined_within: Duration::from_secs(48),
            raises_max: 6,
            batches_max: 8,
            failures_max: 5,
            degraded_poll: Duration::from_secs(60),
            gas_fee_max: 500 * gwei,
            blob_fee_max: 500 * gwei,
            batch_cost_max: U256::from(200_000_000 * gwei),
            day_cost_max: U256::from(2_000_000_000 * gwei),
        }
    }
}

/// How posting stands; for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything that is certified is on L1.
    Idle,
    /// Something has to happen first.
    Waiting(String),
    Posting,
    /// It does not work, and why.
    Degraded(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupStatus {
    pub next_index: u64,
    pub state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub rollups: BTreeMap<RollupId, RollupStatus>,
    /// In wei, in the last 24 hours.
    pub spent: U256,
}

/// What one round for one rollup came to.
#[derive(Clone)]
enum Step {
    Idle,
    Waiting(String),
    /// Another poster was first.
    Lost(String),
    Posted,
}

/// A step, or why there is none.
type Outcome = Result<Step, String>;

#[derive(Default)]
struct Progress {
    failures: u32,
    not_before: Option<Instant>,
    lease: Lease,
}

pub struct Poster {
    client: Arc<Client>,
    signer: PrivateKeySigner,
    loader: Loader,
    config: PosterConfig,
    progress: BTreeMap<RollupId, Progress>,
    rounds: usize,
    /// What carries several batches at once, once L1 has said so.
    carrier: Option<Address>,
    /// Of batches behind those that were on their way: proving blobs takes as long as a block of L1.
    prepared: Vec<Parcel>,
    /// Fees last offered at this nonce.
    offered: Option<(u64, Fees)>,
    costs: VecDeque<(Instant, U256)>,
    status: Status,
    report: watch::Sender<Status>,
}

impl Poster {
    pub fn new(
        client: Arc<Client>,
        signer: PrivateKeySigner,
        source: Arc<dyn BatchSource>,
        rollups: Vec<(Terms, Arc<dyn Backend>)>,
        config: PosterConfig,
    ) -> Self {
        Self {
            client,
            signer,
            loader: Loader { source, rollups: rollups.into() },
            config,
            progress: BTreeMap::new(),
            rounds: 0,
            carrier: None,
            prepared: Vec::new(),
            offered: None,
            costs: VecDeque::new(),
            status: Status::default(),
            report: watch::channel(Status::default()).0,
        }
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.report.subscribe()
    }

    /// Runs until it is aborted.
    pub fn start(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                if !self.round().await {
                    tokio::time::sleep(self.config.poll).await;
                }
            }
        })
    }

    /// Tries each rollup once. True when anything was posted.
    pub async fn round(&mut self) -> bool {
        let mut places = Vec::new();
        for number in 0..self.loader.rollups.len() {
            let rollup = self.loader.rollups[number].0.rollup;
            let rests = self.progress.entry(rollup).or_default().not_before;
            if rests.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            match self.due(number).await {
                Ok(place) => places.push((number, place)),
                Err(outcome) => self.note(rollup, outcome),
            }
        }
        if places.is_empty() {
            return false;
        }
        if self.carrier.is_none() {
            let inbox = address(&self.loader.rollups[0].0.inbox);
            self.carrier = contracts::carrier(&self.client, inbox).await.unwrap_or_default();
        }
        let batches = if self.carrier.is_some() { self.config.batches_max } else { 1 };
        // Another is first each time, so that one with large batches leaves room for all.
        self.rounds = self.rounds.wrapping_add(1);
        let first = self.rounds % places.len();
        places.rotate_left(first);
        let ready = std::mem::take(&mut self.prepared);
        let Loaded { load, behind, refused } = self.loader.load(places, ready, batches).await;
        let loaded = load.rollups();
        for (number, _) in &behind {
            let rollup = self.loader.rollups[*number].0.rollup;
            let state = if loaded.contains(&rollup) { State::Posting } else { waits_for_room() };
            self.set(rollup, None, state);
        }
        for (rollup, reason) in refused {
            self.note(rollup, Err(reason));
        }
        if loaded.is_empty() {
            return false;
        }
        let loader = self.loader.clone();
        let prepare = loader.load(behind, Vec::new(), batches);
        let (posted, ahead) = futures::future::join(self.send(load), prepare).await;
        self.prepared = ahead.load.parcels;
        posted
    }

    fn note(&mut self, rollup: RollupId, outcome: Outcome) {
        let progress = self.progress.entry(rollup).or_default();
        let state = match outcome {
            Ok(step) => {
                *progress = Progress { lease: progress.lease, ..Progress::default() };
                match step {
                    Step::Idle => State::Idle,
                    Step::Waiting(reason) => State::Waiting(reason),
                    Step::Lost(reason) => {
                        progress.lease.lost();
                        State::Waiting(reason)
                    }
                    Step::Posted => State::Posting,
                }
            }
            Err(reason) => {
                progress.failures += 1;
                let degraded = progress.failures >= self.config.failures_max;
                let rest =
                    if degraded { self.config.degraded_poll } else { self.config.poll * progress.failures };
                progress.not_before = Some(Instant::now() + rest);
                if progress.failures == self.config.failures_max {
                    warn!(%rollup, "batches are not posted any more: {reason}");
                }
                if degraded { State::Degraded(reason) } else { State::Waiting(reason) }
            }
        };
        self.set(rollup, None, state);
    }

    fn set(&mut self, rollup: RollupId, next_index: Option<u64>, state: State) {
        let status = self.status.rollups.entry(rollup);
        let status = status.or_insert(RollupStatus { next_index: 0, state: State::Idle });
        status.state = state;
        status.next_index = next_index.unwrap_or(status.next_index);
        self.status.spent = self.spent();
        self.report.send_replace(self.status.clone());
    }

    /// In the last day.
    fn spent(&mut self) -> U256 {
        while self.costs.front().is_some_and(|(when, _)| when.elapsed() > DAY) {
            self.costs.pop_front();
        }
        self.costs.iter().fold(U256::ZERO, |sum, (_, cost)| sum.saturating_add(*cost))
    }

    /// Where the next batch goes, all of one block of L1.
    async fn place(&self, inbox: Address) -> Result<Place, L1Error> {
        let at = BlockId::hash(self.client.header(BlockNumberOrTag::Latest).await?.hash);
        Ok(Place {
            index: self.client.read(inbox, &BatchInbox::nextIndexCall {}, at).await?,
            previous_head: Digest::from(self.client.read(inbox, &BatchInbox::headCall {}, at).await?.0),
        })
    }

    /// Where the next batch of a rollup goes, when there is one whose turn has come.
    async fn due(&mut self, number: usize) -> Result<Place, Outcome> {
        let terms = self.loader.rollups[number].0.clone();
        let rollup = terms.rollup;
        let place = self.place(address(&terms.inbox)).await.map_err(|error| Err(error.to_string()))?;
        self.set(rollup, Some(place.index), State::Idle);
        if self.loader.source.certified(rollup, place).await.is_none() {
            return Err(Ok(Step::Idle));
        }
        let lease = &mut self.progress.entry(rollup).or_default().lease;
        if let Some(rest) = lease.others_first(place.index, self.config.patience, Instant::now()) {
            return Err(Ok(Step::Waiting(format!(
                "another poster may go first for {} ms",
                rest.as_millis()
            ))));
        }
        Ok(place)
    }

    /// What would go to L1, when L1 would take it.
    async fn draft(&mut self, load: &Load) -> Result<Draft, Outcome> {
        let mut draft = load.draft(self.carrier);
        let text = |error: L1Error| Err(error.to_string());
        draft.fees = Fees::market(&self.client, draft.sidecar.is_some()).await.map_err(text)?;
        let me = self.signer.address();
        let gas = match self.estimate(me, &draft).await {
            Ok(gas) => gas,
            Err(error) => {
                let Some(entry) = skips(&error).filter(|_| load.parcels.len() == 1) else {
                    return Err(refusal(&error));
                };
                draft = self.hatch(load, entry, draft.fees).await.map_err(text)?;
                self.estimate(me, &draft).await.map_err(|error| refusal(&error))?
            }
        };
        draft.gas = gas + gas / 4;
        self.within_limits(load, &draft).map_err(Err)?;
        Ok(draft)
    }

    /// In the place of a batch that leaves out an expired entry.
    async fn hatch(&self, load: &Load, entry: u64, fees: Fees) -> Result<Draft, L1Error> {
        let rollup = load.parcels[0].rollup;
        let mut all = self.loader.rollups.iter().map(|(terms, _)| terms);
        let terms = all.find(|terms| terms.rollup == rollup).expect("it was loaded for one of them");
        let (inbox, queue) = (address(&terms.inbox), address(&terms.queue));
        let (to, draft) = hatch::draft(&self.client, inbox, queue, entry, fees).await?;
        warn!(%rollup, entry, to, "the next batch leaves out entries that have expired: they go through the hatch");
        Ok(draft)
    }

    /// Sends a load, or what L1 takes of it. True when any was posted.
    async fn send(&mut self, load: Load) -> bool {
        let mut posted = false;
        let mut loads = VecDeque::from([load]);
        while let Some(load) = loads.pop_front() {
            let several = load.parcels.len() > 1;
            let outcome = match self.draft(&load).await {
                Ok(draft) => self.post(&load, draft).await,
                Err(_) if several => {
                    loads.extend(self.parts(load).await);
                    continue;
                }
                Err(outcome) => outcome,
            };
            // Another poster was first with one of them.
            if several && matches!(outcome, Ok(Step::Waiting(_) | Step::Lost(_))) {
                loads.extend(self.parts(load).await);
                continue;
            }
            if matches!(outcome, Ok(Step::Posted)) {
                posted = true;
                for parcel in &load.parcels {
                    let lease = &mut self.progress.entry(parcel.rollup).or_default().lease;
                    lease.posted(parcel.place.index + 1, self.config.patience, Instant::now());
                }
            }
            for rollup in load.rollups() {
                self.note(rollup, outcome.clone());
            }
        }
        posted
    }

    /// Of a load that does not pass, what is left without the rollups whose first batch does not pass either; when all of
    /// them do, each by itself.
    async fn parts(&mut self, mut load: Load) -> Vec<Load> {
        let before = load.rollups().len();
        let mut firsts = Vec::new();
        for first in load.firsts() {
            match self.draft(&first).await {
                Ok(_) => firsts.push(first),
                Err(outcome) => {
                    let rollup = first.parcels[0].rollup;
                    load.parcels.retain(|parcel| parcel.rollup != rollup);
                    self.note(rollup, outcome);
                }
            }
        }
        if firsts.is_empty() || firsts.len() == before { firsts } else { vec![load] }
    }

    /// Sends a draft, and sends it again for more until the inbox has moved on.
    async fn post(&mut self, load: &Load, mut draft: Draft) -> Outcome {
        let blobs = draft.sidecar.is_some();
        let me = self.signer.address();
        let text = |error: L1Error| error.to_string();
        let (_, place) = load.first();
        let mut hashes: Vec<B256> = Vec::new();
        for _ in 0..=self.config.raises_max {
            draft.nonce = self.client.nonce(me).await.map_err(text)?;
            if let Some((nonce, offered)) = self.offered
                && nonce == draft.nonce
            {
                draft.fees = draft.fees.at_least(&offered.raised(blobs));
            }
            self.within_limits(load, &draft)?;
            let (hash, raw) = draft.clone().sign(&self.signer, self.client.chain_id())?;
            self.offered = Some((draft.nonce, draft.fees));
            match self.client.send(&raw).await {
                Ok(_) => hashes.push(hash),
                Err(L1Error::Refused { message, .. }) if known(&message) => hashes.push(hash),
                // Something else waits at this nonce, from before a restart: outbid it.
                Err(L1Error::Refused { message, .. }) if underpriced(&message) => continue,
                // Mined in this moment.
                Err(L1Error::Refused { message, .. }) if message.contains("nonce too low") => {}
                Err(error) => return Err(text(error)),
            }
            if let Some(step) = self.mined(load, &hashes).await? {
                return Ok(step);
            }
            info!(
                index = place.index,
                fee = draft.fees.gas,
                "the batch is not in a block of L1 yet; offering more"
            );
        }
        let (raises, fee) = (self.config.raises_max, draft.fees.gas);
        Err(format!(
            "batch {} is not in a block of L1 after {raises} raises, to {fee} wei per gas",
            place.index
        ))
    }

    async fn estimate(&self, me: Address, draft: &Draft) -> Result<u64, L1Error> {
        let mut request = TransactionRequest { to: Some(draft.to), ..TransactionRequest::default() }
            .from(me)
            .input(draft.input.clone().into());
        if let Some(sidecar) = &draft.sidecar {
            request.blob_versioned_hashes = Some(sidecar.versioned_hashes().collect());
            request.max_fee_per_blob_gas = Some(draft.fees.blob);
        }
        self.client.estimate(&request).await
    }

    fn within_limits(&mut self, load: &Load, draft: &Draft) -> Result<(), String> {
        let PosterConfig { gas_fee_max, blob_fee_max, batch_cost_max, day_cost_max, .. } = self.config;
        let Fees { gas, blob, .. } = draft.fees;
        if gas > gas_fee_max || blob > blob_fee_max {
            return Err(format!(
                "L1 asks for {gas} wei per gas and {blob} per blob gas; the limits are {gas_fee_max} and {blob_fee_max}"
            ));
        }
        let (cost, spent) = (draft.cost_max(), self.spent());
        let batches = load.parcels.len();
        if cost > batch_cost_max.saturating_mul(U256::from(batches)) {
            return Err(format!(
                "{batches} batches may cost {cost} wei; the limit is {batch_cost_max} for each"
            ));
        }
        if spent.saturating_add(cost) > day_cost_max {
            return Err(format!("{spent} wei were spent in 24 hours; the limit is {day_cost_max}"));
        }
        Ok(())
    }

    /// Waits until the inbox has taken the first batch, from whoever. None when the time is over.
    async fn mined(&mut self, load: &Load, hashes: &[B256]) -> Result<Option<Step>, String> {
        let (inbox, place) = load.first();
        let text = |error: L1Error| error.to_string();
        let (started, mut moved) = (Instant::now(), false);
        while started.elapsed() < self.config.mined_within {
            let moved_before = moved;
            moved = self.place(inbox).await.map_err(text)?.index > place.index;
            for hash in hashes {
                let Some(receipt) = self.client.receipt(*hash).await.map_err(text)? else { continue };
                let blob = U256::from(receipt.blob_gas_used.unwrap_or_default())
                    * U256::from(receipt.blob_gas_price.unwrap_or_default());
                let cost = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price) + blob;
                self.costs.push_back((Instant::now(), cost));
                let (index, batches, gas) = (place.index, load.parcels.len(), receipt.gas_used);
                if receipt.status() {
                    info!(index, batches, gas, %cost, transaction = %hash, "posted");
                    return Ok(Some(Step::Posted));
                }
                let what = format!("transaction {hash} for batch {index} failed on L1");
                // Read again: what was read before the receipt may be of the block before.
                let lost = self.place(inbox).await.map_err(text)?.index > index;
                return Ok(Some(if lost {
                    warn!(index, %cost, "another poster was first; {what}");
                    Step::Lost(format!("another poster was first; {what}"))
                } else {
                    Step::Waiting(what)
                }));
            }
            // When it was this poster that moved it, a node may have the receipt a moment later.
            if moved && moved_before {
                let index = place.index;
                return Ok(Some(Step::Lost(format!("another poster was first with batch {index}"))));
            }
            tokio::time::sleep(self.config.poll.min(self.config.mined_within / 4)).await;
        }
        Ok(None)
    }
}

fn waits_for_room() -> State {
    State::Waiting("the transaction before has no room for it".to_owned())
}

fn known(message: &str) -> bool {
    message.contains("already known") || message.contains("already imported")
}

fn underpriced(message: &str) -> bool {
    message.contains("underpriced")
}

/// The expired entry that a refused batch leaves out.
fn skips(error: &L1Error) -> Option<u64> {
    use BatchInbox::BatchInboxErrors as Revert;
    match Revert::abi_decode(error.revert()?) {
        Ok(Revert::SkipsExpired(skipped)) => Some(skipped.entry),
        _ => None,
    }
}

/// Whether a refusal passes by itself.
fn refusal(error: &L1Error) -> Outcome {
    use BatchInbox::BatchInboxErrors as Revert;
    let revert = error.revert().map(|data: &Bytes| Revert::abi_decode(data));
    match revert {
        Some(Ok(Revert::WrongIndex(_))) => Ok(Step::Lost("another poster was first".to_owned())),
        Some(Ok(Revert::FutureSlot(_))) => {
            Ok(Step::Waiting("the clock of L1 is behind that of the cluster".to_owned()))
        }
        Some(Ok(Revert::NotAllowed(_))) => Ok(Step::Waiting(
            "the policy gives this slot to another; it binds for some slots only".to_owned(),
        )),
        Some(Ok(Revert::SkipsExpired(skipped))) => {
            let entry = skipped.entry;
            Err(format!("the inbox refuses the batch: it leaves out forced entry {entry}, which has expired"))
        }
        Some(Ok(Revert::NotSilent(silent))) => {
            let rest = U256::from(silent.opensAfter).saturating_sub(silent.time);
            Err(format!(
                "the inbox refuses the batch: it leaves out forced entries that have expired; the hatch, which takes \
                 them, opens in {rest} s"
            ))
        }
        Some(Ok(Revert::BadCertificate(_))) => {
            Err("the inbox refuses the certificate: is this the key of the genesis, and in force?".to_owned())
        }
        Some(Ok(Revert::NotNext(_) | Revert::BadCursor(_) | Revert::WrongData(_) | Revert::NoBlobs(_))) => {
            Err(format!("the inbox refuses the batch, which does not fit it: {error}"))
        }
        _ => Err(error.to_string()),
    }
}
