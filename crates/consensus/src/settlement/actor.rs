mod survey;

use super::{
    Settings,
    board::{Board, standing},
    encode::{self, Encoded},
    journal::{Journal, Record},
    line::{Line, place, position},
    metrics::Metrics,
    wire::{Message, Partial, Position},
};
use crate::{
    aliases::{Marshal, Runtime},
    epochs::Schemes,
    shared::{Settling, Shared},
};
use baton_settlement::{Contents, Cutter, InboxState, L1View, Part, Place, Terms, is_signed};
use baton_types::{Digest, GroupKey, PublicKey, RollupId, Scheme, SeedPoint, domain, settlement::Batch};
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::{
    bls12381::primitives::{ops::threshold, variant::MinSig},
    certificate::Provider as _,
};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, IoBuf, buffer::paged::CacheRef};
use commonware_utils::{Participant, ordered::Quorum as _};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};
use survey::{Lost, Told};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

const TICK: Duration = Duration::from_millis(250);
/// An own partial signature goes out again after this long, then twice that, up to 32 times.
const SEND_AGAIN: Duration = Duration::from_secs(1);
/// Batches of one rollup asked about at once.
const ASKED_MAX: usize = 16;
/// Partial signatures of one member that wait for a batch of this node.
const EARLY_MAX: usize = 16;
/// Wrong partial signatures of one member for one batch, after which nothing more of it is looked at.
const WRONG_MAX: u8 = 3;
/// Certificates sent to one member per tick.
const SERVED_MAX: u32 = 16;
/// Blocks taken before messages are looked at again.
const BLOCKS_AT_ONCE: usize = 32;
/// Batches of one rollup that wait to be encoded.
const CUT_MAX: usize = 2;

pub struct Config {
    /// Of all partitions.
    pub prefix: String,
    pub page_cache: CacheRef,
    pub terms: Vec<Terms>,
    pub view: Arc<dyn L1View>,
    pub schemes: Schemes,
    pub group_key: GroupKey,
    pub settings: Settings,
}

pub struct Actor<E: Runtime, S: Sender<PublicKey = PublicKey>> {
    context: E,
    shared: Arc<Shared>,
    board: Arc<Board>,
    view: Arc<dyn L1View>,
    schemes: Schemes,
    group_key: GroupKey,
    settings: Settings,
    network: S,
    lanes: BTreeMap<RollupId, Lane<E>>,
    gathers: BTreeMap<Position, Gather>,
    early: BTreeMap<PublicKey, VecDeque<(Position, u64, Partial)>>,
    served: BTreeMap<PublicKey, u32>,
    done: mpsc::Sender<Encoded>,
    encoded: mpsc::Receiver<Encoded>,
    metrics: Metrics,
}

/// One rollup on its way from blocks to batches.
struct Lane<E: Runtime> {
    journal: Journal<E>,
    /// None until the block is here that it begins behind.
    cutter: Option<Cutter>,
    /// Counts cutters: what an earlier one made is of no use.
    life: u64,
    cut: VecDeque<Contents>,
    /// First height of what is being encoded.
    encoding: Option<u64>,
    /// After two different batches of one place.
    stopped: bool,
    /// Where the blocks are missing to go on.
    lost: Option<Lost>,
    /// Whether clients are told to wait for L1.
    behind: bool,
    /// Certificates so far.
    certified: u64,
    batches_told: Option<Told>,
}

/// Partial signatures for one batch.
struct Gather {
    batch: Batch,
    epoch: u64,
    partials: BTreeMap<Participant, Partial>,
    wrong: BTreeMap<PublicKey, u8>,
    sent: SystemTime,
    sends: u32,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>> Actor<E, S> {
    /// Opens what is on disk.
    pub async fn open(
        context: E,
        config: Config,
        shared: Arc<Shared>,
        marshal: Marshal,
        network: S,
    ) -> (Self, Arc<Board>) {
        let settings = config.settings;
        let (mut lanes, mut lines) = (BTreeMap::new(), BTreeMap::new());
        for terms in config.terms {
            let rollup = terms.rollup;
            let partition = format!("{}-batches-{rollup}", config.prefix);
            let mut line = Line::new(terms, settings.batches_kept, settings.watches);
            let replay = |record| match record {
                Record::Signed(batch) => line.push(batch),
                Record::Certified { index, previous_head, signature } => {
                    line.certify(&Place { index, previous_head }, signature);
                }
            };
            let child = context.child("journal").with_attribute("rollup", rollup.0);
            let journal = Journal::open(child, partition, config.page_cache.clone(), replay).await;
            line.mend();
            lines.insert(rollup, line);
            lanes.insert(
                rollup,
                Lane {
                    journal,
                    cutter: None,
                    life: 0,
                    cut: VecDeque::new(),
                    encoding: None,
                    stopped: false,
                    lost: None,
                    behind: false,
                    certified: 0,
                    batches_told: None,
                },
            );
        }
        let open: Vec<Batch> = lines
            .values()
            .flat_map(Line::placed)
            .filter(|kept| kept.signature.is_none())
            .map(|kept| kept.batch.clone())
            .collect();
        let board = Arc::new(Board::new(lines, config.view.clone(), shared.clone(), marshal));
        if settings.watches && !lanes.is_empty() {
            // All, until it is known what L1 has.
            shared.set_settling(Settling { needs_from: 0, ..Settling::default() });
        }
        let (done, encoded) = mpsc::channel(lanes.len().max(1));
        let actor = Self {
            metrics: Metrics::new(&context),
            shared,
            board: board.clone(),
            view: config.view,
            schemes: config.schemes,
            group_key: config.group_key,
            settings,
            network,
            lanes,
            gathers: open.into_iter().map(|batch| (position(&batch), Gather::new(batch))).collect(),
            early: BTreeMap::new(),
            served: BTreeMap::new(),
            done,
            encoded,
            context,
        };
        (actor, board)
    }

    pub fn start<R: Receiver<PublicKey = PublicKey>>(mut self, network: R) -> Handle<()> {
        let context = self.context.child("actor");
        context.spawn(move |_| async move { self.run(network).await })
    }

    async fn run(&mut self, mut network: impl Receiver<PublicKey = PublicKey>) {
        let mut due = self.context.current();
        loop {
            let shared = self.shared.clone();
            // Registered before looking, so that nothing between the two is missed.
            let moved = shared.moved.notified();
            let now = self.context.current();
            if now >= due {
                self.tick(now).await;
                due = now + TICK;
            }
            let wake = if self.advance().await { self.context.current() } else { due };
            let wake = self.context.sleep_until(wake);
            select! {
                message = network.recv() => {
                    let Ok((peer, message)) = message else { return };
                    self.hear(peer, message).await;
                },
                encoded = self.encoded.recv() => {
                    let Some(encoded) = encoded else { return };
                    self.made(encoded).await;
                },
                _ = moved => {},
                _ = wake => {},
            }
        }
    }

    // ---- Blocks ----

    /// Takes final blocks. Returns whether there are more than were taken at once.
    async fn advance(&mut self) -> bool {
        let rollups: Vec<_> = self.lanes.keys().copied().collect();
        let mut more = false;
        for rollup in rollups {
            more |= self.advance_one(rollup).await;
        }
        more
    }

    async fn advance_one(&mut self, rollup: RollupId) -> bool {
        for _ in 0..BLOCKS_AT_ONCE {
            let Some(lane) = self.lanes.get(&rollup) else { return false };
            if lane.stopped || lane.cut.len() >= CUT_MAX {
                return false;
            }
            if lane.cutter.is_none() && !self.begin(rollup).await {
                return false;
            }
            let Some(height) =
                self.lanes.get(&rollup).and_then(|lane| Some(lane.cutter.as_ref()?.next_height()))
            else {
                return false;
            };
            if height > self.shared.finalized_height() {
                return false;
            }
            // The certificate may be ahead of the archive by a moment.
            let Some(block) = self.board.block(height).await else { return false };
            let (_, cursor) = standing(block.inner(), rollup);
            let Some(lane) = self.lanes.get_mut(&rollup) else { return false };
            let part = Part::of(block.inner(), rollup, cursor);
            let cut =
                lane.cutter.as_mut().and_then(|cutter| cutter.push(&part).expect("blocks come in order"));
            lane.cut.extend(cut);
            self.encode(rollup);
        }
        true
    }

    /// Makes a cutter where the line ends, if the blocks from there on are here that have anything of the rollup.
    async fn begin(&mut self, rollup: RollupId) -> bool {
        let next = self.board.lines.lock().get(&rollup).map_or(1, Line::next_height);
        let before = (next - 1).max(self.shared.lowest_height());
        if before > self.shared.finalized_height() {
            return false;
        }
        let Some(block) = self.board.block(before).await else { return false };
        let (head, cursor) = standing(block.inner(), rollup);
        let cutter = self.board.lines.lock().get(&rollup).and_then(|line| {
            let goes_on = before < next || line.is_quiet(&head, cursor);
            goes_on.then(|| line.cutter(head, cursor).behind_quiet(before))
        });
        if cutter.is_none() {
            return self.join(rollup, next, (head, cursor));
        }
        let Some(lane) = self.lanes.get_mut(&rollup) else { return false };
        lane.cutter = cutter;
        lane.lost = None;
        lane.life += 1;
        true
    }

    /// The blocks at the line's end are not kept here: goes on where the inbox is, if they are.
    fn join(&mut self, rollup: RollupId, next: u64, standing: (Digest, u64)) -> bool {
        let lowest = self.shared.lowest_height();
        let inbox = self.inbox(rollup).filter(|inbox| inbox.next_height > lowest);
        let since = self.context.current();
        let Some(lane) = self.lanes.get_mut(&rollup) else { return false };
        match inbox {
            Some(inbox) => {
                info!(%rollup, height = inbox.next_height, "going on with batches where the inbox is");
                if let Some(line) = self.board.lines.lock().get_mut(&rollup) {
                    line.join(&inbox);
                }
                true
            }
            None => {
                if lane.lost.is_none() {
                    lane.lost = Some(Lost { standing, index: 0, since });
                    warn!(
                        %rollup, next, lowest,
                        "this node has no blocks from the next batch on and signs none until the inbox is \
                         past its lowest block"
                    );
                }
                false
            }
        }
    }

    /// The rollup's inbox at the newest final block of L1.
    fn inbox(&self, rollup: RollupId) -> Option<InboxState> {
        self.view.snapshot().rollups.get(&rollup).map(|view| view.finalized)
    }

    fn encode(&mut self, rollup: RollupId) {
        let kind = self.board.lines.lock().get(&rollup).map(|line| line.terms.data_kind);
        let (Some(lane), Some(kind)) = (self.lanes.get_mut(&rollup), kind) else { return };
        if lane.encoding.is_some() || lane.stopped {
            return;
        }
        if let Some(contents) = lane.cut.pop_front() {
            lane.encoding = Some(contents.first_height);
            encode::start(&self.context, lane.life, kind, contents, self.done.clone());
        }
    }

    async fn made(&mut self, encoded: Encoded) {
        let Encoded { rollup, life, contents, data, data_commitment } = encoded;
        let Some(lane) = self.lanes.get_mut(&rollup) else { return };
        lane.encoding = None;
        if lane.life == life {
            let made = self.board.lines.lock().get(&rollup).map(|line| {
                let batch = line.batch(&contents, data_commitment);
                line.knows(&batch).map(|known| (batch, known))
            });
            match made {
                Some(Ok((batch, known))) => self.place(batch, known, data).await,
                Some(Err(conflict)) => {
                    error!(%conflict, "two batches for one place");
                    lane.stopped = true;
                }
                None => {}
            }
        }
        self.encode(rollup);
    }

    /// Puts a batch in its place, on disk first, and signs it.
    async fn place(&mut self, batch: Batch, known: bool, data: bytes::Bytes) {
        let rollup = batch.rollup;
        if !known {
            let Some(lane) = self.lanes.get_mut(&rollup) else { return };
            let keep_from = self.board.lowest_index(rollup);
            if !lane.journal.append(Record::Signed(batch.clone()), keep_from).await {
                error!(%rollup, index = batch.index, "L1 went back to where this node remembers nothing");
                lane.stopped = true;
                return;
            }
            self.metrics.made.inc();
        }
        debug!(%rollup, index = batch.index, from = batch.first_height, to = batch.last_height, "batch made");
        let certified = {
            let mut lines = self.board.lines.lock();
            let Some(line) = lines.get_mut(&rollup) else { return };
            line.push(batch.clone());
            line.get(&place(&batch)).is_some_and(|kept| kept.signature.is_some())
        };
        self.board.keep(&batch, data);
        if certified {
            return;
        }
        let position = position(&batch);
        self.gathers.insert(position, Gather::new(batch));
        self.sign(position).await;
        for (peer, epoch, partial) in self.take_early(&position) {
            self.partial(peer, position, epoch, partial).await;
        }
    }

    fn take_early(&mut self, position: &Position) -> Vec<(PublicKey, u64, Partial)> {
        let mut taken = Vec::new();
        for (peer, early) in &mut self.early {
            early.retain(|(at, epoch, partial)| {
                if at == position {
                    taken.push((peer.clone(), *epoch, partial.clone()));
                }
                at != position
            });
        }
        taken
    }

    // ---- Signatures ----

    /// This epoch, with its sharing.
    fn scheme(&self) -> Option<(u64, Arc<Scheme>)> {
        let epoch = self.shared.live().epoch;
        Some((epoch.get(), self.schemes.scheme(epoch)?))
    }

    /// Signs an own batch with the share of this epoch and sends that to all; without a share, asks for the
    /// certificate.
    async fn sign(&mut self, position: Position) {
        let Some((epoch, scheme)) = self.scheme() else { return };
        let now = self.context.current();
        let Some(gather) = self.gathers.get_mut(&position) else { return };
        gather.sent = now;
        gather.sends += 1;
        gather.enter(epoch);
        let message = match scheme.share() {
            None => Message::Want { position },
            Some(share) => {
                let message = gather.batch.encode();
                let partial = threshold::sign_message::<MinSig>(share, domain::L1_BATCH, &message);
                gather.partials.insert(partial.index, partial.clone());
                Message::Partial { position, epoch, partial }
            }
        };
        self.send(Recipients::All, &message);
        self.recover(position, &scheme).await;
    }

    async fn hear(&mut self, peer: PublicKey, message: IoBuf) {
        match Message::decode(message) {
            Ok(Message::Partial { position, epoch, partial }) => {
                self.partial(peer, position, epoch, partial).await;
            }
            Ok(Message::Want { position }) => {
                self.serve(peer, position);
            }
            Ok(Message::Certificate { position, signature }) => self.certificate(position, signature).await,
            Err(error) => {
                debug!(%peer, %error, "undecodable message about batches");
                self.metrics.useless("undecodable");
            }
        }
    }

    async fn partial(&mut self, peer: PublicKey, position: Position, epoch: u64, partial: Partial) {
        if self.serve(peer.clone(), position) {
            return;
        }
        let Some((current, scheme)) = self.scheme() else { return };
        if epoch != current {
            // Its sender is in another epoch for a moment and sends it again.
            return self.metrics.useless("epoch");
        }
        if scheme.participants().key(partial.index) != Some(&peer) {
            return self.metrics.useless("index");
        }
        let Some(gather) = self.gathers.get_mut(&position) else {
            if self.lanes.contains_key(&position.rollup) {
                let early = self.early.entry(peer).or_default();
                early.push_back((position, epoch, partial));
                if early.len() > EARLY_MAX {
                    early.pop_front();
                    self.metrics.useless("early");
                }
            }
            return;
        };
        gather.enter(current);
        let wrong = gather.wrong.get(&peer).copied().unwrap_or(0);
        if gather.partials.contains_key(&partial.index) || wrong >= WRONG_MAX {
            return self.metrics.useless("repeated");
        }
        let message = gather.batch.encode();
        let verified =
            threshold::verify_message::<MinSig>(scheme.polynomial(), domain::L1_BATCH, &message, &partial);
        if verified.is_err() {
            debug!(%peer, index = position.index, "partial signature over another batch, or none");
            gather.wrong.insert(peer, wrong + 1);
            return self.metrics.useless("wrong");
        }
        gather.partials.insert(partial.index, partial);
        self.recover(position, &scheme).await;
    }

    /// Makes the certificate once there are enough partial signatures.
    async fn recover(&mut self, position: Position, scheme: &Scheme) {
        let Some(gather) = self.gathers.get(&position) else { return };
        let sharing = scheme.polynomial();
        if (gather.partials.len() as u64) < u64::from(sharing.required()) {
            return;
        }
        let recovered = threshold::recover::<MinSig, _>(sharing, gather.partials.values(), &Sequential);
        match recovered {
            Ok(signature) => self.certificate(position, signature).await,
            Err(error) => warn!(?error, "valid partial signatures make no signature"),
        }
    }

    /// Takes a certificate of an own batch, wherever it comes from.
    async fn certificate(&mut self, position: Position, signature: SeedPoint) {
        let Some(gather) = self.gathers.get(&position) else { return };
        if !is_signed(&gather.batch, &signature, &self.group_key) {
            return self.metrics.useless("certificate");
        }
        let Some(lane) = self.lanes.get_mut(&position.rollup) else { return };
        let Position { rollup, index, previous_head } = position;
        let keep_from = self.board.lowest_index(rollup);
        lane.journal.append(Record::Certified { index, previous_head, signature }, keep_from).await;
        lane.certified += 1;
        self.gathers.remove(&position);
        if let Some(line) = self.board.lines.lock().get_mut(&rollup) {
            line.certify(&Place { index, previous_head }, signature);
        }
        self.metrics.certified.inc();
        debug!(%rollup, index, "batch certified");
    }

    /// Answers one that lacks a certificate, if it is here.
    fn serve(&mut self, peer: PublicKey, position: Position) -> bool {
        let Position { rollup, index, previous_head } = position;
        let signature = {
            let lines = self.board.lines.lock();
            let kept = lines.get(&rollup).and_then(|line| line.get(&Place { index, previous_head }));
            kept.and_then(|kept| kept.signature)
        };
        let Some(signature) = signature else { return false };
        let served = self.served.entry(peer.clone()).or_default();
        *served += 1;
        if *served <= SERVED_MAX {
            self.metrics.served.inc();
            self.send(Recipients::One(peer), &Message::Certificate { position, signature });
        }
        true
    }

    fn send(&mut self, to: Recipients<PublicKey>, message: &Message) {
        // What is lost is sent again.
        let _ = self.network.send(to, message.encode(), false);
    }

    // ---- Time ----

    async fn tick(&mut self, now: SystemTime) {
        self.served.clear();
        self.survey(now);
        let due: Vec<_> = self
            .lanes
            .keys()
            .flat_map(|rollup| {
                let of_rollup = self.gathers.iter().filter(move |(position, _)| position.rollup == *rollup);
                of_rollup
                    .take(ASKED_MAX)
                    .filter(move |(_, gather)| gather.is_due(now))
                    .map(|(position, _)| *position)
            })
            .collect();
        for position in due {
            self.sign(position).await;
        }
    }
}

impl Gather {
    const fn new(batch: Batch) -> Self {
        Self {
            batch,
            epoch: 0,
            partials: BTreeMap::new(),
            wrong: BTreeMap::new(),
            sent: SystemTime::UNIX_EPOCH,
            sends: 0,
        }
    }

    /// Shares of another epoch may be of another sharing.
    fn enter(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.partials.clear();
            self.wrong.clear();
        }
    }

    fn is_due(&self, now: SystemTime) -> bool {
        now >= self.sent + SEND_AGAIN * (1 << self.sends.min(5))
    }
}
