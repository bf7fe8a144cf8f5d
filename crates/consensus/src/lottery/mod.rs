//! The zero-knowledge lottery: the committer of a view reveals a value that was fixed before anybody could
//! know what it draws, and proposes the block of the member it draws.
//!
//! ```text
//! committer C(v) = the view's leader            author P(v)                         the others
//!   │ Reveal, one view ahead ─────────────────────► everyone: checked against the commitment in force
//!   │                                              │ builds as soon as the parent is notarized, signs
//!   │                                              │ body ───────────────────────────► everyone
//!   │ Designate{context, payload} ────────────────►│ only needed where the author could not foresee them
//!   │ ◄────────────────────────────────── Built{digest}
//!   │ judges the block as a voter does
//!   │ propose(digest) ─────────────────────────────────────────────────► verify: reveal, draw, author, rules
//!   │ ◄──────────────────────────────────────────────────────────── Have; C sends the body where too few do
//! ```
//! | rule | where |
//! |---|---|
//! | who commits, beacons, commitments in force, bench, suspension | `baton_types::lottery`, in every block |
//! | reveal leads to the commitment in force; a proof of the view by itself only where there is none for the turn | [`Lottery::check`] |
//! | the author is the first drawn that is neither benched nor suspended | [`Lottery::author`] |
//! | a commitment is put on chain with the word of 2f+1 members that hold its proof on disk | `keeper` |
//! | proofs are kept for three epochs and handed to whoever lacks one | `keeper`, `store` |
//! | a designation is acted on in its own view, so that no committer disturbs the views of others | `actor` |
//! | a block that was foreseen for another parent is asked for once more | the application |
//! | a committer that gets no valid block in time declines, which ends the view | the application |
//!
//! Neither value nor author is the committer's choice. It can decline a block that it has seen, which is
//! weaker than a proposer that speaks for itself: `specs/` has the numbers. Turns missed are counted in the
//! chain and suspend their committer for an epoch.

mod actor;
mod buffer;
mod coming;
mod judge;
mod keeper;
pub mod offline;
mod store;
mod wire;

pub(crate) use actor::{Actor, Config as ActorConfig};
pub(crate) use buffer::Bodies;
pub use judge::{Elected, commitment_view, election_view};
pub(crate) use keeper::Keeper;
#[doc(hidden)]
pub use store::name_of as proof_name;
#[doc(hidden)]
pub use wire::Message;
pub use wire::message_bytes_max;

use crate::election::Rotations;
use baton_types::{
    Block, Digest, Genesis, PublicKey, Round,
    lottery::{Commitment, Held, Lottery as State, Rotation, Rules, TURNS_PER_BLOCK},
};
use baton_vrf::{Beacon, Context, EpochSecrets, Output, PublicKey as VrfKey, Rounds, SecretKey, SingleProof};
use bytes::Bytes;
use coming::Coming;
use commonware_cryptography::{Digested, Digestible as _};
use commonware_utils::sync::Mutex;
use judge::Judge;
use rand_core::CryptoRng;
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use wire::{Errand, Order};

/// Epochs remembered: the current one, its neighbours.
const EPOCHS_MAX: usize = 4;
/// Orders to the actor under way.
const ORDERS_MAX: usize = 1_024;
/// Errands to the keeper under way; what it should prepare it also looks up by itself.
const ERRANDS_MAX: usize = 64;
/// Views of its own whose evidence a node keeps: a proof takes milliseconds.
const SHOWN_MAX: usize = 8;
/// Views that a member may miss in a row, in turns of everybody, before others report it silent.
const SILENT_TURNS: u64 = 3;

/// Evidence begins with what it is.
pub(crate) const REVEAL: u8 = 0;
const SINGLE: u8 = 1;

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("{0}")]
    Genesis(String),
    #[error("the VRF key of member {member} in the genesis: {error}")]
    Member { member: usize, error: baton_vrf::Malformed },
    #[error("keys/vrf.key is not the key that the genesis names for this node; restore the right file")]
    Foreign,
    #[error("election is zk-lottery, and this node has no VRF key; keys/vrf.key is missing")]
    Missing,
    #[error(
        "the genesis has commitment {found} for this node, and its key makes {expected}: the genesis was changed after \
         the commitments were made; make them again, or leave `commitment` out"
    )]
    Commitment { found: String, expected: String },
}

/// Why a block's election does not stand.
#[derive(Debug, Error)]
pub enum Unelected {
    #[error("it has no lottery state")]
    Absent,
    #[error("its evidence is neither a reveal nor a proof: {0}")]
    Malformed(String),
    #[error("its reveal: {0}")]
    Refused(#[from] baton_vrf::Refused),
    #[error("its reveal is for turn {0}, and the view is turn {1}")]
    Turn(u32, u64),
    #[error("it proves the view by itself, and the committer has a commitment in force for it")]
    Committed,
    #[error("its committer has no commitment in force")]
    Uncommitted,
    #[error("its committer is not member {committer}, whose turn the view is")]
    Committer { committer: usize },
    #[error("all members are benched or suspended, so nobody can be drawn")]
    Nobody,
    #[error("its header does not show the opening that its evidence has")]
    Opening,
    #[error("member {author} built it, and the draw names member {drawn}")]
    Author { author: usize, drawn: usize },
}

/// What an epoch's draws need, the same in all its blocks.
#[derive(Clone)]
struct EpochView {
    context: Context,
    later: Beacon,
    commitments: Vec<Option<Commitment>>,
    rotation: Rotation,
}

impl EpochView {
    fn new(base: &Digest, epoch: u64, state: &State) -> Self {
        Self {
            context: context(base, epoch, &state.context_beacon),
            later: Beacon(state.later_beacon.0),
            commitments: state.commitments.clone(),
            rotation: state.rotation(),
        }
    }
}

/// What a committer shows: the header's field, what proves it, and what it draws with.
#[derive(Clone)]
pub struct Shown {
    pub opening: [u8; 32],
    pub evidence: bytes::Bytes,
    pub output: Output,
}

/// The lottery as one node plays it. Cheap to clone.
#[derive(Clone)]
pub struct Lottery(Arc<Inner>);

struct Inner {
    rules: Rules,
    /// Names the chain in what is proven.
    base: Digest,
    keys: Vec<VrfKey>,
    me: usize,
    secret: SecretKey,
    rounds: Rounds,
    rotations: Rotations,
    state: Mutex<Memory>,
    orders: mpsc::Sender<Order>,
    errands: mpsc::Sender<Errand>,
}

/// Where a node's actors hear from its other parts.
pub(crate) struct Inbox {
    pub orders: mpsc::Receiver<Order>,
    pub errands: mpsc::Receiver<Errand>,
}

#[derive(Default)]
struct Memory {
    /// Of the last finalized block.
    height: u64,
    epoch: u64,
    coming: Option<Coming>,
    epochs: BTreeMap<u64, EpochView>,
    secrets: BTreeMap<u64, Arc<EpochSecrets>>,
    /// Commitments for an epoch that may be put on chain.
    held: BTreeMap<(u64, u8), Held>,
    /// What this node shows in its own views.
    shown: BTreeMap<Round, Shown>,
}

/// Turns of one epoch that one proof covers: four times what a healthy epoch needs, for views that fail.
pub fn rounds(genesis: &Genesis) -> Rounds {
    let needed = TURNS_PER_BLOCK * genesis.epoch_blocks / (genesis.members.len() as u64).max(1);
    Rounds::all().find(|rounds| u64::from(rounds.count()) >= needed).unwrap_or(Rounds::MAX)
}

/// What a member commits to for epoch 0; `genesis` has no commitments yet.
///
/// The genesis' digest covers the commitments, so what names the chain here is the genesis without them.
pub fn genesis_root(genesis: &Genesis, secret: &SecretKey) -> [u8; 32] {
    let base = genesis.context_beacon();
    EpochSecrets::new(secret, context(&base, 0, &base), rounds(genesis)).root()
}

fn context(base: &Digest, epoch: u64, beacon: &Digest) -> Context {
    Context { chain: base.0, epoch, beacon: Beacon(beacon.0) }
}

impl Lottery {
    /// None under other elections. Also returns what its actors listen to.
    pub(crate) fn new(
        genesis: &Genesis,
        me: &PublicKey,
        secret: Option<SecretKey>,
        rotations: Rotations,
    ) -> Result<Option<(Self, Inbox)>, KeyError> {
        if genesis.election != baton_types::genesis::Election::ZkLottery {
            return Ok(None);
        }
        let rules = genesis.lottery_rules().map_err(KeyError::Genesis)?;
        let keys = keys(genesis)?;
        let secret = secret.ok_or(KeyError::Missing)?;
        let me = rules.members.position(me).ok_or(KeyError::Foreign)?;
        if keys.get(me) != Some(&secret.public_key()) {
            return Err(KeyError::Foreign);
        }
        // Its turns could neither be revealed nor proven one by one.
        if let Some(found) = genesis.members.get(me).and_then(|member| member.commitment.clone()) {
            let expected = baton_types::hex::encode(&genesis_root(genesis, &secret));
            if found != expected {
                return Err(KeyError::Commitment { found, expected });
            }
        }
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let (errands, errand) = mpsc::channel(ERRANDS_MAX);
        let rounds = rounds(genesis);
        let state = Mutex::default();
        let base = genesis.context_beacon();
        let inner = Inner { rules, base, keys, me, secret, rounds, rotations, state, orders, errands };
        let lottery = Self(Arc::new(inner));
        lottery.learn(&genesis.block().map_err(KeyError::Genesis)?);
        Ok(Some((lottery, Inbox { orders: ordered, errands: errand })))
    }

    /// The chain stands at `height` at least, though this node may have no block from there yet.
    pub fn begin(&self, height: u64) {
        let mut memory = self.0.state.lock();
        memory.height = memory.height.max(height);
    }

    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// Gives the actor something to do. It is the rule that it keeps up; where it does not, views fail.
    fn order(&self, order: Order) {
        let _ = self.0.orders.try_send(order);
    }

    /// The same for the keeper. It looks for what is due by itself, too.
    fn errand(&self, errand: Errand) {
        let _ = self.0.errands.try_send(errand);
    }

    /// Hands over what a prover made. Waits for room: the keeper starts no other before it hears of this one.
    async fn made(&self, epoch: u64, made: Option<(Commitment, Bytes)>) {
        let _ = self.0.errands.send(Errand::Proved { epoch, made }).await;
    }

    /// Takes from a block what the views after it need.
    pub fn learn(&self, block: &Block) {
        let Some(part) = &block.body().lottery else { return };
        let header = block.header();
        self.learn_epoch(header.epoch, &part.state);
        self.come(header.height, header.epoch, &part.state);
        if self.due().is_some() {
            self.errand(Errand::Due);
        }
        if (header.height + 1).is_multiple_of(self.0.rules.epoch_blocks) {
            let next = header.epoch + 1;
            self.learn_epoch(next, &part.state.before(&self.0.rules, header, next));
        }
    }

    fn learn_epoch(&self, epoch: u64, state: &State) {
        let mut memory = self.0.state.lock();
        if memory.epochs.contains_key(&epoch) {
            return;
        }
        let view = EpochView::new(&self.0.base, epoch, state);
        self.0.rotations.set(epoch, view.rotation.clone());
        memory.epochs.insert(epoch, view);
        while memory.epochs.len() > EPOCHS_MAX {
            memory.epochs.pop_first();
        }
        while memory.secrets.len() > EPOCHS_MAX {
            memory.secrets.pop_first();
        }
        memory.held.retain(|(target, _), _| *target >= epoch);
    }

    fn epoch(&self, epoch: u64) -> Option<EpochView> {
        self.0.state.lock().epochs.get(&epoch).cloned()
    }

    /// This node's openings of an epoch.
    fn secrets(&self, context: Context) -> Arc<EpochSecrets> {
        if let Some(secrets) = self.0.state.lock().secrets.get(&context.epoch) {
            return secrets.clone();
        }
        // Thousands of permutations: not under the lock.
        let secrets = Arc::new(EpochSecrets::new(&self.0.secret, context, self.0.rounds));
        self.0.state.lock().secrets.insert(context.epoch, secrets.clone());
        secrets
    }

    /// What this node shows as the committer of `round`; none when it is another's turn, or the epoch is
    /// not known here.
    pub fn show(&self, round: Round, rng: &mut impl CryptoRng) -> Option<Shown> {
        if let Some(shown) = self.0.state.lock().shown.get(&round) {
            return Some(shown.clone());
        }
        let shown = self.make(round, rng)?;
        let shows = &mut self.0.state.lock().shown;
        shows.insert(round, shown.clone());
        while shows.len() > SHOWN_MAX {
            shows.pop_first();
        }
        Some(shown)
    }

    fn make(&self, round: Round, rng: &mut impl CryptoRng) -> Option<Shown> {
        let (epoch, view) = (round.epoch().get(), round.view().get());
        let known = self.epoch(epoch)?;
        if known.rotation.committer(epoch, view) != self.0.me {
            return None;
        }
        let turn = u32::try_from(known.rotation.turn(view)).unwrap_or(u32::MAX);
        let committed = known.commitments.get(self.0.me).copied().flatten();
        let mut evidence = Vec::new();
        match committed.filter(|_| turn < self.0.rounds.count()) {
            Some(_) => {
                evidence.push(REVEAL);
                evidence.extend(self.secrets(known.context).reveal(turn)?.to_bytes());
            }
            None => {
                let proof = SingleProof::new(&self.0.secret, &known.context, view, rng).ok()?;
                evidence.push(SINGLE);
                evidence.extend(proof.to_bytes());
            }
        }
        let (opening, output) = self.verify(&known, round, self.0.me, &evidence).ok()?;
        Some(Shown { opening, evidence: evidence.into(), output })
    }

    /// Opening and output that `evidence` shows for `round`.
    fn verify(
        &self,
        known: &EpochView,
        round: Round,
        committer: usize,
        evidence: &[u8],
    ) -> Result<([u8; 32], Output), Unelected> {
        self.judge().verify(known, round.view().get(), committer, evidence)
    }

    fn judge(&self) -> Judge<'_> {
        let Inner { rules, base, keys, rounds, .. } = &*self.0;
        Judge { rules, base, keys, rounds: *rounds }
    }

    /// Who builds the block of a view that this draws for; `before` is the state it builds on.
    pub fn author(&self, before: &State, output: &Output) -> usize {
        let draw = self.judge().draw(before, *output);
        let drawn = draw.last().filter(|(_, skipped)| skipped.is_none());
        drawn.expect("at most 2f members are left out").0
    }

    /// Judges the election of `block`, given the state that it builds on.
    pub fn check(&self, before: &State, block: &Block) -> Result<Elected, Unelected> {
        let part = block.body().lottery.as_ref().ok_or(Unelected::Absent)?;
        self.judge().elect(before, block.header(), &part.evidence)
    }

    /// Commitments that a block of `epoch` at `height` on `before` may put in force.
    pub fn held(&self, before: &State, epoch: u64, height: u64) -> Vec<Held> {
        if height > self.0.rules.close(epoch) {
            return Vec::new();
        }
        let memory = self.0.state.lock();
        memory
            .held
            .range((epoch + 1, 0)..=(epoch + 1, u8::MAX))
            .filter(|((_, member), _)| {
                before.next_commitments.get(usize::from(*member)).is_some_and(Option::is_none)
            })
            .map(|(_, held)| held.clone())
            .take(baton_types::lottery::HELD_MAX)
            .collect()
    }

    /// Members that have not voted in a long time, as this node saw it.
    pub fn silent(&self, last_votes: &[Option<u64>], view: u64) -> [u8; 32] {
        let allowed = SILENT_TURNS * last_votes.len() as u64;
        let silent = last_votes.iter().enumerate().filter(|(member, last)| {
            *member != self.0.me && last.unwrap_or(0).saturating_add(allowed) < view
        });
        silent.map(|(member, _)| member).collect::<baton_types::lottery::Indices>().0
    }

    /// This node's index.
    fn index(&self) -> u8 {
        u8::try_from(self.0.me).expect("members have indices below 128")
    }

    pub fn member(&self, index: usize) -> Option<&PublicKey> {
        self.0.rules.members.get(index)
    }

    fn index_of(&self, member: &PublicKey) -> Option<u8> {
        u8::try_from(self.0.rules.members.position(member)?).ok()
    }

    fn context(&self, epoch: u64, beacon: &Digest) -> Context {
        context(&self.0.base, epoch, beacon)
    }

    /// The leader of a view, if its epoch is known here.
    pub fn committer(&self, round: Round) -> Option<PublicKey> {
        let (epoch, view) = (round.epoch().get(), round.view().get());
        self.member(self.epoch(epoch)?.rotation.committer(epoch, view)).cloned()
    }

    /// What `member` shows with `evidence` as the committer of `round`, if it is and the evidence holds.
    fn shown(&self, member: &PublicKey, round: Round, evidence: bytes::Bytes) -> Option<Shown> {
        let known = self.epoch(round.epoch().get())?;
        let committer = known.rotation.committer(round.epoch().get(), round.view().get());
        if self.member(committer)? != member {
            return None;
        }
        let (opening, output) = self.verify(&known, round, committer, &evidence).ok()?;
        Some(Shown { opening, evidence, output })
    }

    /// The state that a block of `epoch` on `parent` builds on.
    pub fn before(&self, parent: &Block, epoch: u64) -> Option<State> {
        let part = parent.body().lottery.as_ref()?;
        Some(part.state.before(&self.0.rules, parent.header(), epoch))
    }

    /// Whether `root` is the one in force for a member, where there is one: in epoch 0 the genesis has it.
    fn agrees(&self, epoch: u64, member: u8, root: &[u8; 32]) -> bool {
        let Some(known) = self.epoch(epoch) else { return true };
        let in_force = known.commitments.get(usize::from(member)).copied().flatten();
        in_force.is_none_or(|commitment| commitment.root.0 == *root)
    }

    fn keep_held(&self, epoch: u64, held: Held) {
        self.0.state.lock().held.insert((epoch, held.member), held);
    }

    /// A member's proof for the last epoch, the current one or the next, if this node holds it.
    pub async fn proof(&self, epoch: u64, member: u8) -> Option<bytes::Bytes> {
        let (reply, answer) = oneshot::channel();
        self.errand(Errand::Read { epoch, member, reply });
        answer.await.ok().flatten()
    }

    /// Asks `author` for a block in `context`.
    pub fn designate(
        &self,
        context: baton_types::Context,
        author: usize,
        evidence: bytes::Bytes,
        payload: Option<baton_types::Payload>,
    ) -> Option<oneshot::Receiver<Digest>> {
        let (reply, answer) = oneshot::channel();
        let author = self.member(author)?.clone();
        self.order(Order::Designate { context, author, evidence, payload, reply });
        Some(answer)
    }

    /// This node proposes a block that another built.
    pub fn proposed(&self, round: Round, block: Digested<Block>) {
        self.order(Order::Proposed { round, block });
    }

    /// This node has a body that its committer did not build.
    pub fn have(&self, block: &Digested<Block>) {
        let header = block.inner().header();
        if header.committer != header.author {
            let (committer, round) = (header.committer.clone(), header.round());
            self.order(Order::Have { committer, round, digest: block.digest() });
        }
    }

    /// A certificate for `round` was seen; `digest` is what it notarized, none when it passed without.
    pub fn passed(&self, round: Round, digest: Option<Digest>) {
        self.order(Order::Passed { round, digest });
    }
}

/// The members' VRF keys, by index.
pub fn keys(genesis: &Genesis) -> Result<Vec<VrfKey>, KeyError> {
    genesis
        .members
        .iter()
        .enumerate()
        .map(|(member, entry)| {
            let bytes = baton_types::hex::decode_array::<32>(&entry.vrf_key).map_err(KeyError::Genesis)?;
            VrfKey::from_bytes(&bytes).map_err(|error| KeyError::Member { member, error })
        })
        .collect()
}

#[cfg(test)]
mod tests;
