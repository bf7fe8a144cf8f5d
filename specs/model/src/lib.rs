//! The safety of consensus as a program: every run of [chapter 4](../../4-finality.md), for clusters and
//! numbers of views small enough to try them all.
//!
//! ```text
//! notarize ──(quorum: notarized)──► finalize ──(quorum: final)──► agreement: final blocks form one chain
//!     ▲                                ╳  never both, by one member in one view
//!     └── parent notarized, every ◄── nullify ──(quorum: given up)
//!         view between given up
//! ```
//!
//! Rules of a correct member, by vote:
//! - *Notarize* a block: it has neither notarized a block of the view nor given the view up; the block's
//!   parent is notarized, and every view between the two is given up.
//! - *Finalize* a block: the block is notarized, and it has neither finalized a block of the view nor
//!   given the view up.
//! - *Nullify* a view, at any time: it has not finalized a block of the view.
//!
//! What stands for the adversary:
//! - Votes that were sent stay, and any member may have received any of them or not. So a member may do
//!   what some of the votes sent so far allow, now or later, or never: that is asynchrony.
//! - Byzantine members have sent every vote there is. Votes only ever allow more, so nothing they could
//!   do in another order is missing.
//! - Every block that a rule allows is proposed, up to [`Simplex::siblings`] on each parent: all leaders
//!   may be Byzantine. That a correct leader takes the highest notarized parent it knows is not checked
//!   by voters, and safety does not need it.
//! - Members vote in any view in any order. Real ones vote in the view they are in, which is less.
//!
//! Deliberately absent: time, contents of blocks, signatures, epochs, and liveness.

use stateright::{Model, Property, Representative};
use std::fmt;

/// From 1; the genesis block has view 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View(pub u8);

/// Its place in the table of all blocks that could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(u8);

/// Notarized and final without a vote.
pub const GENESIS: Block = Block(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vote {
    Notarize(Block),
    Nullify(View),
    Finalize(Block),
}

/// Blocks of one model, so that a set of votes fits 64 bits.
const BLOCKS_MAX: u8 = 28;
const VIEWS_MAX: u8 = 7;

/// A set of votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Votes(u64);

impl Votes {
    const fn bit(vote: Vote) -> u64 {
        1 << match vote {
            Vote::Notarize(Block(block)) => block,
            Vote::Finalize(Block(block)) => BLOCKS_MAX + block,
            Vote::Nullify(View(view)) => 2 * BLOCKS_MAX + view,
        }
    }

    const fn has(self, vote: Vote) -> bool {
        self.0 & Self::bit(vote) != 0
    }

    const fn add(&mut self, vote: Vote) {
        self.0 |= Self::bit(vote);
    }
}

/// What a member knows of its own votes after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// All of them: each was in a journal on disk before it was sent.
    Journal,
    /// None; it votes on as if it had never voted.
    Forgets,
    /// None, and it does not vote again.
    Silent,
}

/// A correct member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Member {
    sent: Votes,
    /// What it decides by.
    remembered: Votes,
    silent: bool,
}

/// Everything that correct members have done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    members: Vec<Member>,
    restarts_left: u8,
}

impl Representative for State {
    /// Members differ in nothing but what they did.
    fn representative(&self) -> Self {
        let mut state = self.clone();
        state.members.sort_unstable();
        state
    }
}

/// Which correct member does what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Vote(usize, Vote),
    Restart(usize),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vote(member, Vote::Notarize(Block(block))) => write!(f, "{member} notarizes #{block}"),
            Self::Vote(member, Vote::Finalize(Block(block))) => write!(f, "{member} finalizes #{block}"),
            Self::Vote(member, Vote::Nullify(View(view))) => write!(f, "{member} gives up view {view}"),
            Self::Restart(member) => write!(f, "{member} restarts"),
        }
    }
}

/// Rules that can be left out, to see that they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// No member both gives up a view and finalizes a block of it.
    pub nullify_or_finalize: bool,
    /// The views between a block and its parent are given up.
    pub skipped_views_nullified: bool,
}

impl Rules {
    pub const ALL: Self = Self { nullify_or_finalize: true, skipped_views_nullified: true };
}

/// A cluster, its rules, and how much of it to look at.
#[derive(Clone, Debug)]
pub struct Simplex {
    pub correct: usize,
    pub byzantine: usize,
    /// Votes that make a certificate.
    pub quorum: usize,
    pub views: View,
    /// Blocks that a leader may propose on one parent; with two or more it equivocates.
    pub siblings: u8,
    pub restarts: u8,
    pub restart: Restart,
    pub rules: Rules,
}

impl Simplex {
    /// Without restarts, under all rules, with leaders that propose two blocks on each parent.
    pub const fn new(correct: usize, byzantine: usize, quorum: usize, views: u8) -> Self {
        Self {
            correct,
            byzantine,
            quorum,
            views: View(views),
            siblings: 2,
            restarts: 0,
            restart: Restart::Journal,
            rules: Rules::ALL,
        }
    }

    /// The `sibling`-th block, from 0, of `view` on `parent`.
    pub fn block(&self, view: u8, parent: Block, sibling: u8) -> Block {
        Block(self.first_of(view) + parent.0 * self.siblings + sibling)
    }

    /// Views come one after the other in the table; each has `siblings` blocks on every block before it.
    fn first_of(&self, view: u8) -> u8 {
        (1..view).fold(1, |blocks, _| blocks + blocks * self.siblings)
    }

    fn blocks_of(&self, View(view): View) -> impl Iterator<Item = Block> + use<> {
        (self.first_of(view)..self.first_of(view + 1)).map(Block)
    }

    fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        (1..self.first_of(self.views.0 + 1)).map(Block)
    }

    fn view(&self, block: Block) -> View {
        View((0..=self.views.0).rfind(|view| *view > 0 && self.first_of(*view) <= block.0).unwrap_or(0))
    }

    fn parent(&self, block: Block) -> Block {
        Block((block.0 - self.first_of(self.view(block).0)) / self.siblings)
    }

    fn certified(&self, state: &State, vote: Vote) -> bool {
        let correct = state.members.iter().filter(|member| member.sent.has(vote)).count();
        correct + self.byzantine >= self.quorum
    }

    fn notarized(&self, state: &State, block: Block) -> bool {
        block == GENESIS || self.certified(state, Vote::Notarize(block))
    }

    fn final_blocks(&self, state: &State) -> Vec<Block> {
        self.blocks().filter(|block| self.certified(state, Vote::Finalize(*block))).collect()
    }

    fn allowed(&self, state: &State, member: &Member, vote: Vote) -> bool {
        let own = member.remembered;
        let voted = |view, vote: fn(Block) -> Vote| self.blocks_of(view).any(|block| own.has(vote(block)));
        let both = !self.rules.nullify_or_finalize;
        match vote {
            Vote::Notarize(block) => {
                let view = self.view(block);
                !own.has(Vote::Nullify(view))
                    && !voted(view, Vote::Notarize)
                    && self.extends_notarized(state, block)
            }
            Vote::Finalize(block) => {
                let view = self.view(block);
                (both || !own.has(Vote::Nullify(view)))
                    && !voted(view, Vote::Finalize)
                    && self.notarized(state, block)
            }
            Vote::Nullify(view) => (both || !voted(view, Vote::Finalize)) && !own.has(vote),
        }
    }

    fn extends_notarized(&self, state: &State, block: Block) -> bool {
        let parent = self.parent(block);
        let mut between = (self.view(parent).0 + 1..self.view(block).0).map(View);
        let mut skips = || between.all(|view| self.certified(state, Vote::Nullify(view)));
        self.notarized(state, parent) && (!self.rules.skipped_views_nullified || skips())
    }

    fn extends(&self, mut block: Block, ancestor: Block) -> bool {
        while block > ancestor {
            block = self.parent(block);
        }
        block == ancestor
    }

    /// The promise to everyone outside: of two final blocks, one extends the other.
    pub fn agrees(&self, state: &State) -> bool {
        let blocks = self.final_blocks(state);
        let ordered = |a, b| self.extends(a, b) || self.extends(b, a);
        blocks.iter().enumerate().all(|(index, a)| blocks[..index].iter().all(|b| ordered(*a, *b)))
    }

    fn one_notarized(&self, state: &State, view: View) -> bool {
        self.blocks_of(view).filter(|block| self.notarized(state, *block)).count() <= 1
    }
}

/// What [`Simplex::agrees`] is called in the results of a checker.
pub const AGREEMENT: &str = "final blocks form one chain";

impl Model for Simplex {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        assert!(
            self.first_of(self.views.0 + 1) <= BLOCKS_MAX && self.views.0 <= VIEWS_MAX,
            "too many blocks"
        );
        vec![State { members: vec![Member::default(); self.correct], restarts_left: self.restarts }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let on_blocks = self.blocks().flat_map(|block| [Vote::Notarize(block), Vote::Finalize(block)]);
        let votes: Vec<Vote> =
            on_blocks.chain((1..=self.views.0).map(|view| Vote::Nullify(View(view)))).collect();
        for (index, member) in state.members.iter().enumerate().filter(|(_, member)| !member.silent) {
            let allowed = votes.iter().filter(|vote| self.allowed(state, member, **vote));
            actions.extend(allowed.map(|vote| Action::Vote(index, *vote)));
            if state.restarts_left > 0 {
                actions.push(Action::Restart(index));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        match action {
            Action::Vote(member, vote) => {
                let member = state.members.get_mut(member)?;
                member.remembered.add(vote);
                member.sent.add(vote);
            }
            Action::Restart(member) => {
                let member = state.members.get_mut(member)?;
                state.restarts_left -= 1;
                // A vote reaches the journal before the network, so the journal holds what was sent.
                member.remembered =
                    if self.restart == Restart::Journal { member.sent } else { Votes::default() };
                member.silent = self.restart == Restart::Silent;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(AGREEMENT, Self::agrees),
            // The two steps of the proof.
            Property::always("a view has one notarized block at most", |model, state| {
                (1..=model.views.0).all(|view| model.one_notarized(state, View(view)))
            }),
            Property::always("the view of a final block is not given up", |model, state| {
                let given_up = |block| model.certified(state, Vote::Nullify(model.view(block)));
                !model.final_blocks(state).into_iter().any(given_up)
            }),
            // Without these the others would hold for want of trying.
            Property::sometimes("a block of the last view is final", |model, state| {
                model.blocks_of(model.views).any(|block| model.certified(state, Vote::Finalize(block)))
            }),
            Property::sometimes("a block of every view is final", |model, state| {
                model.final_blocks(state).len() >= usize::from(model.views.0)
            }),
            Property::sometimes("all views before a final block are given up", |model, state| {
                model.blocks_of(model.views).any(|block| {
                    model.parent(block) == GENESIS && model.certified(state, Vote::Finalize(block))
                })
            }),
        ]
    }
}
