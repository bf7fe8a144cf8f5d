//! Members that do not keep the rules.
//!
//! A hostile member runs the very engine of an honest one. What goes out and what comes in passes
//! through its `Conduct`, which changes, adds or withholds what it likes, and signs with the member's
//! own keys. A twin runs two engines.
//!
//! ```text
//!  engine ─► Sender ─► Conduct::send ─┐
//!                      Conduct::tick ─┴─► links      links ─► Conduct::hear ─► Receiver ─► engine
//! ```
//!
//! Messages that leave are under the quotas of an honest member: a receiver enforces them anyway.
//! Whoever is caught is blocked by those who caught it, as in production, but only for
//! `FORGIVEN_MS`: then the hostile member gets to try again.
//!
//! A hostile member has no witness and keeps no promises; the properties are those of the others.

mod batches;
mod conduct;
mod ends;
mod forger;
mod lottery;
mod spam;
mod twin;

pub use ends::Ends;
pub use lottery::{Kind, Trick};

use crate::{
    cluster::config,
    disk::Disk,
    l1::L1,
    life::Life,
    links::{Links, Oracle},
    machine::Machine,
    trace::{Entry, Trace},
    votes::{Listener, Replays, Votes},
};
use baton_consensus::{History, engine, network::Channel};
use baton_node::keys::MemberKeys;
use baton_types::{
    BlockLimits, Digest, Genesis, PrivateKey, PublicKey, Scheme, TxId, domain, forced, lottery::Rules,
    receipt::Reason,
};
use commonware_cryptography::{Signer as _, bls12381::primitives::group::Share};
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_utils::sync::Mutex;
use ends::{Conduct, Post};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

/// How often a hostile member acts of its own accord.
const TICK_MS: u64 = 5;
/// Until a member that was blocked may connect again. Hours in production.
const FORGIVEN_MS: u64 = 1_000;

/// What a hostile member does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Two engines with its keys: one hears and speaks to these members, the other to the rest. Other
    /// twins stand on both sides.
    Twin(Vec<usize>),
    /// As leader, two blocks for one view, each to some of the members.
    Equivocate,
    /// As leader, blocks that break one rule after the other.
    BreakRules,
    /// As leader, fills an EVM rollup that is ordered by arrival with what cannot be executed.
    Waste,
    /// Contradicts its own votes.
    ConflictingVotes,
    /// Has no part in making blocks final in two views of three.
    RareFinality,
    /// Says nothing on these channels to these members.
    Withhold(Vec<Channel>, Vec<usize>),
    /// Random and damaged bytes, on one channel after the other.
    Garbage,
    /// Wrong answers to requests for blocks and certificates.
    Lie,
    /// Requests for blocks and certificates, sensible or not, as fast as it may.
    Requests,
    /// Messages of the past, its own and those of others, and of epochs to come.
    Stale,
    /// Valid new transactions, as fast as it may.
    Flood,
    /// All transactions it ever heard of, again and again, to be acknowledged.
    Resend,
    /// Acknowledges what it throws away.
    FalseAcks,
    /// Certified blocks to join at that are none.
    FalseFloors,
    /// Pieces of states that do not verify.
    FalseStates,
    /// Votes that members which start are said to have cast, and did not.
    FalseVotes,
    /// As leader, leaves forced entries out.
    LeaveOut,
    /// Wrong signatures over batches, of others, damaged, and many of them; wrong certificates.
    FalseBatches,
    /// Plays the zero-knowledge lottery against its rules.
    Lottery(Trick),
}

/// As Rust source, within `Behaviour::…`.
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twin(left) => write!(f, "Twin(vec!{left:?})"),
            Self::Withhold(channels, from) => {
                let channels: Vec<_> =
                    channels.iter().map(|channel| format!("Channel::{channel:?}")).collect();
                write!(f, "Withhold(vec![{}], vec!{from:?})", channels.join(", "))
            }
            Self::Lottery(trick) => write!(f, "Lottery(Trick::{trick})"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What a hostile member really did, by name; a scenario in which nothing was done shows nothing.
#[derive(Clone, Default)]
pub struct Deeds(Arc<Mutex<Done>>);

#[derive(Default)]
struct Done {
    counts: BTreeMap<String, u64>,
    forged: BTreeSet<Digest>,
    wasted: BTreeMap<TxId, Reason>,
}

impl Deeds {
    fn did(&self, what: impl Into<String>) {
        *self.0.lock().counts.entry(what.into()).or_default() += 1;
    }

    fn forged(&self, digest: Digest) {
        self.0.lock().forged.insert(digest);
    }

    pub fn count(&self, what: &str) -> u64 {
        self.0.lock().counts.get(what).copied().unwrap_or(0)
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().counts.clone()
    }

    fn wasted(&self, waste: impl Iterator<Item = (TxId, Reason)>) {
        self.0.lock().wasted.extend(waste);
    }

    /// What it ordered that cannot be executed, and why.
    pub fn waste(&self) -> BTreeMap<TxId, Reason> {
        self.0.lock().wasted.clone()
    }

    /// Blocks that no honest member may ever vote for.
    pub fn forgeries(&self) -> BTreeSet<Digest> {
        self.0.lock().forged.clone()
    }
}

/// What a hostile member knows and has.
pub(crate) struct Seat<'a> {
    pub context: &'a Context,
    pub oracle: &'a Oracle,
    pub genesis: &'a Genesis,
    pub keys: &'a [MemberKeys],
    pub index: usize,
    pub hostile: &'a BTreeMap<usize, Behaviour>,
    pub trace: &'a Trace,
    pub l1: Option<&'a L1>,
}

/// The same, for a conduct to keep.
struct Player {
    key: PrivateKey,
    scheme: Scheme,
    limits: BlockLimits,
    rules: Rules,
    forced: Option<forced::Rules>,
    share: Share,
    others: Vec<PublicKey>,
    rng: StdRng,
    deeds: Deeds,
}

impl Seat<'_> {
    fn identity(&self, index: usize) -> PublicKey {
        self.keys[index].identity.public_key()
    }

    fn identities(&self, indexes: &[usize]) -> Vec<PublicKey> {
        indexes.iter().map(|index| self.identity(*index)).collect()
    }

    fn player(&self, deeds: &Deeds) -> Player {
        let keys = &self.keys[self.index];
        let chain = self.genesis.block().expect("the genesis was checked").header().chain;
        let sharing = self.genesis.sharing().expect("the genesis was checked");
        let members = self.genesis.identities().expect("the genesis was checked");
        let share = keys.share.clone();
        let scheme =
            Scheme::signer(&domain::consensus(&chain), members, sharing.public().clone(), share.clone());
        let others = (0..self.keys.len()).filter(|other| *other != self.index);
        Player {
            key: keys.identity.clone(),
            scheme: scheme.expect("the share is the member's"),
            limits: self.genesis.limits(),
            rules: self.genesis.lottery_rules().expect("the genesis was checked"),
            forced: forced::Rules::new(self.genesis).expect("the genesis was checked"),
            share,
            others: others.map(|other| self.identity(other)).collect(),
            rng: StdRng::from_rng(&mut self.context.child("hostile")),
            deeds: deeds.clone(),
        }
    }

    fn links(&self) -> Links {
        // An account of its own: what it says contradicts itself.
        let votes: Arc<Mutex<Votes>> = Arc::default();
        let listener = Listener { member: self.index, votes, trace: self.trace.clone() };
        Links::new(self.oracle, self.identity(self.index), listener, Replays::default())
    }

    /// The ends of its engines: two for a twin.
    async fn ends(&self, behaviour: &Behaviour, deeds: &Deeds) -> Vec<(Ends, Post)> {
        let player = self.player(deeds);
        let conduct: Box<dyn Conduct> = match behaviour {
            Behaviour::Twin(left) => return self.twins(left, deeds).await,
            Behaviour::Equivocate => Box::new(forger::Forger::new(player, forger::Plan::Equivocate)),
            Behaviour::BreakRules => Box::new(forger::Forger::new(player, forger::Plan::BreakRules)),
            Behaviour::Waste => Box::new(forger::Forger::new(player, forger::Plan::Waste)),
            Behaviour::LeaveOut => Box::new(forger::Forger::new(player, forger::Plan::LeaveOut)),
            Behaviour::FalseBatches => Box::new(batches::FalseBatches::new(player)),
            Behaviour::ConflictingVotes => Box::new(conduct::ConflictingVotes::new(player)),
            Behaviour::RareFinality => Box::new(conduct::RareFinality::new(player)),
            Behaviour::Withhold(channels, from) => {
                Box::new(conduct::Withhold::new(player, channels.clone(), self.identities(from)))
            }
            Behaviour::Garbage => Box::new(spam::Garbage::new(player)),
            Behaviour::Lie => Box::new(conduct::Lie::new(player)),
            Behaviour::Requests => Box::new(spam::Requests::new(player)),
            Behaviour::Stale => Box::new(spam::Stale::new(player)),
            Behaviour::Flood => Box::new(spam::Flood::new(player)),
            Behaviour::Resend => Box::new(spam::Resend::new(player)),
            Behaviour::FalseAcks => Box::new(conduct::FalseAcks::new(player)),
            Behaviour::FalseVotes => Box::new(conduct::FalseVotes::new(player)),
            Behaviour::FalseFloors => Box::new(conduct::FalseFloors::new(player)),
            Behaviour::FalseStates => Box::new(conduct::FalseStates::new(player)),
            Behaviour::Lottery(trick) => lottery::conduct(player, trick, |members| self.identities(members)),
        };
        let post = Post::new(conduct);
        vec![(Ends::hostile(self.links(), post.clone(), BTreeMap::new()), post)]
    }

    async fn twins(&self, left: &[usize], deeds: &Deeds) -> Vec<(Ends, Post)> {
        let fellows: BTreeSet<_> = self
            .hostile
            .iter()
            .filter(|(index, behaviour)| **index != self.index && matches!(behaviour, Behaviour::Twin(_)))
            .map(|(index, _)| self.identity(*index))
            .collect();
        let side = |on_left: bool| {
            let members = (0..self.keys.len()).filter(|other| left.contains(other) == on_left);
            members.map(|other| self.identity(other)).filter(|key| !fellows.contains(key)).collect()
        };
        let sides = [side(true), side(false)];
        let lines = twin::lines(self.context, self.links(), &sides, &fellows).await;
        let halves = sides.into_iter().zip(lines).enumerate();
        halves
            .map(|(half, (side, lines))| {
                let half = twin::Half::new(half, side, fellows.clone(), deeds.clone());
                let post = Post::new(Box::new(half));
                (Ends::hostile(self.links(), post.clone(), lines), post)
            })
            .collect()
    }

    /// Starts its engines, and what it does of its own accord. It goes on until the end of the run.
    pub async fn start(&self, behaviour: &Behaviour) -> Deeds {
        let deeds = Deeds::default();
        for (half, (mut ends, post)) in self.ends(behaviour, &deeds).await.into_iter().enumerate() {
            let context = self
                .context
                .child("hostile")
                .with_attribute("index", self.index)
                .with_attribute("half", half);
            let disk = Disk::new(context.child("disk"));
            let acting = context.child("conduct");
            let life = Arc::new(Life::default());
            let machine = Machine::new(context, life.clone(), disk, Arc::default());
            let keys = &self.keys[self.index];
            let mut config =
                config(self.genesis, keys, true, self.index, machine.child("clock"), History::Full);
            // A twin may hear too few members to be told anything.
            config.trusts_own_journal = true;
            config.l1 = self.l1.map(|l1| l1.view(self.index, config.clock.clone()));
            let (trace, index) = (self.trace.clone(), self.index);
            // Tasks go on without their handles.
            drop(machine.spawn(move |machine| async move {
                let node = engine::start(machine, config, &mut ends).await.expect("the member starts");
                trace.record(Entry::Started { member: index });
                let _ = node.handle.await;
                let cause = "a part of the hostile node has ended".to_owned();
                trace.record(Entry::Ended { member: index, cause });
            }));
            drop(acting.spawn(move |context| async move {
                loop {
                    context.sleep(Duration::from_millis(TICK_MS)).await;
                    post.tick();
                }
            }));
        }
        self.forgive();
        deeds
    }

    /// Lifts the blocks on this member time and again.
    fn forgive(&self) {
        let (oracle, me) = (self.oracle.clone(), self.identity(self.index));
        drop(self.context.child("forgive").spawn(move |context| async move {
            loop {
                context.sleep(Duration::from_millis(FORGIVEN_MS)).await;
                let Ok(blocked) = oracle.blocked().await else { return };
                for (from, to) in blocked.into_iter().filter(|(from, to)| *from == me || *to == me) {
                    let _ = oracle.unblock(from, to).await;
                }
            }
        }));
    }
}

impl Player {
    fn me(&self) -> PublicKey {
        self.key.public_key()
    }

    fn random_digest(&mut self) -> Digest {
        let mut bytes = [0; 32];
        rand::Rng::fill_bytes(&mut self.rng, &mut bytes);
        commonware_cryptography::sha256::Digest(bytes)
    }
}
