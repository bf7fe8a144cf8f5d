//! The pool against a plain list, under random operations.

use super::*;
use crate::{
    check_body,
    testing::{Rng, VALIDITY, block, hinted, numbered},
};
use baton_types::{Bundle, EvmRollups, Transaction};
use commonware_codec::EncodeSize as _;
use std::collections::{BTreeMap, BTreeSet};

const CLIENTS: [&str; 3] = ["a", "b", "c"];

fn small() -> Limits {
    Limits {
        bytes_max: 60_000,
        transactions_max: 300,
        client_transactions_max: 40,
        client_bytes_max: 8_000,
        faults_max: 1,
        ..limits(BLOCK_BYTES)
    }
}

struct Waiting {
    unit: Unit,
    ids: Vec<TxId>,
    source: Source,
    replicated: bool,
    journaled: bool,
}

impl Waiting {
    fn legs(&self, rollup: RollupId) -> Vec<&Transaction> {
        self.unit.legs().filter(|(leg, _)| *leg == rollup).map(|(_, transaction)| transaction).collect()
    }
}

/// What the pool should be: a list in order of arrival.
#[derive(Default)]
struct Model(Vec<Waiting>);

impl Model {
    fn transactions(&self) -> usize {
        self.0.iter().map(|waiting| waiting.ids.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|waiting| waiting.unit.bytes()).sum()
    }

    fn rollup_bytes(&self, rollup: RollupId) -> usize {
        self.0.iter().flat_map(|waiting| waiting.legs(rollup)).map(|leg| leg.payload.len()).sum()
    }

    fn refusal(&self, new: &Waiting, rollups: &[Rollup], tip: u64) -> Option<Reason> {
        let limits = small();
        let lead = if matches!(new.source, Source::Client(_)) { 0 } else { VALIDITY_LEAD };
        if new.unit.valid_until() <= tip {
            return Some(Reason::Expired);
        }
        if new.unit.valid_until() > tip + VALIDITY + lead {
            return Some(Reason::ValidityTooLong);
        }
        if self.0.iter().any(|waiting| waiting.ids.iter().any(|id| new.ids.contains(id))) {
            return Some(Reason::Duplicate);
        }
        if new.source == Source::Journal {
            return None;
        }
        let own: Vec<_> = self.0.iter().filter(|waiting| waiting.source == new.source).collect();
        if matches!(new.source, Source::Client(_)) {
            let transactions: usize = own.iter().map(|waiting| waiting.ids.len()).sum();
            let bytes: usize = own.iter().map(|waiting| waiting.unit.bytes()).sum();
            if transactions + new.ids.len() > limits.client_transactions_max
                || bytes + new.unit.bytes() > limits.client_bytes_max
            {
                return Some(Reason::ClientLimit);
            }
        }
        let sure = limits.transactions_max / rollups.len();
        let committed: usize = rollups
            .iter()
            .map(|rollup| {
                let waiting: usize = self.0.iter().map(|waiting| waiting.legs(rollup.id()).len()).sum();
                (waiting + new.legs(rollup.id()).len()).max(sure)
            })
            .sum();
        let full = committed > limits.transactions_max
            || self.bytes() + new.unit.bytes() > limits.bytes_max
            || rollups.iter().any(|rollup| {
                let bytes: usize = new.legs(rollup.id()).iter().map(|leg| leg.payload.len()).sum();
                bytes > 0 && self.rollup_bytes(rollup.id()) + bytes > rollup.mempool_bytes_max
            });
        if full {
            return Some(Reason::Busy);
        }
        let shared = matches!(new.source, Source::Peer(_)) && over_share(new, &own, rollups);
        shared.then_some(Reason::ClientLimit)
    }

    fn remove(&mut self, gone: impl Fn(&Waiting) -> bool) -> Vec<TxId> {
        let ids =
            self.0.iter().filter(|waiting| gone(waiting)).flat_map(|waiting| waiting.ids.clone()).collect();
        self.0.retain(|waiting| !gone(waiting));
        ids
    }

    fn eligible(&self, height: u64, ordered: &BTreeSet<TxId>) -> Vec<&Waiting> {
        let valid = |waiting: &&Waiting| {
            (height..=height + VALIDITY).contains(&waiting.unit.valid_until())
                && !waiting.ids.iter().any(|id| ordered.contains(id))
        };
        self.0.iter().filter(valid).collect()
    }
}

/// Whether a member would have more than half of anything, as one of two that it takes to fill it.
fn over_share(new: &Waiting, own: &[&Waiting], rollups: &[Rollup]) -> bool {
    let sum = |waiting: &[&Waiting], of: &dyn Fn(RollupId) -> bool| {
        let legs = waiting.iter().flat_map(|waiting| waiting.unit.legs()).filter(|(leg, _)| of(*leg));
        legs.fold((0, 0), |(count, bytes), (_, leg)| (count + 1, bytes + leg.payload.len()))
    };
    let over = |of: &dyn Fn(RollupId) -> bool, transactions_max: usize, bytes_max: usize| {
        let ((had, had_bytes), (more, more_bytes)) = (sum(own, of), sum(&[new], of));
        had > 0 && more > 0 && (had + more > transactions_max / 2 || had_bytes + more_bytes > bytes_max / 2)
    };
    let part = small().transactions_max / rollups.len();
    over(&|_| true, small().transactions_max, small().bytes_max)
        || rollups.iter().any(|rollup| over(&|leg| leg == rollup.id(), part, rollup.mempool_bytes_max))
}

struct Run {
    rng: Rng,
    rules: Rules,
    pool: Pool,
    model: Model,
    tip: u64,
    number: u64,
    /// In unfinalized ancestors.
    ordered: BTreeSet<TxId>,
    accepted: usize,
    refused: BTreeMap<Reason, usize>,
    selected: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut rollups = rollups();
        for rollup in &mut rollups {
            rollup.mempool_bytes_max = 25_000;
            rollup.reserved_percent = [0, 0, 10, 25][rng.below(4)];
        }
        let rules = rules(rollups, BLOCK_BYTES);
        let pool = Pool::new(rules.rollups(), small(), rng.next());
        let (model, ordered, refused) = Default::default();
        Self { rng, rules, pool, model, tip: 0, number: 0, ordered, accepted: 0, refused, selected: 0 }
    }

    fn payload(&mut self, rollup: u32) -> bytes::Bytes {
        self.number += 1;
        let size = if self.rng.chance(10) { 1_000 } else { 8 + self.rng.below(200) };
        numbered(self.number, if rollup == 4 { 32 } else { size })
    }

    fn rollup(&mut self) -> u32 {
        u32::try_from(1 + self.rng.below(4)).unwrap()
    }

    fn unit(&mut self) -> Unit {
        if self.rng.chance(5) && !self.model.0.is_empty() {
            return self.model.0[self.rng.below(self.model.0.len())].unit.clone();
        }
        let reach = if self.rng.chance(80) { 12 } else { VALIDITY + VALIDITY_LEAD };
        let valid_until = self.tip + 1 + self.rng.next() % reach;
        if self.rng.chance(75) {
            let rollup = self.rollup();
            return hinted(rollup, valid_until, self.payload(rollup), self.rng.next() % 3);
        }
        let legs = (0..1 + self.rng.below(5)).map(|_| {
            let rollup = self.rollup();
            (RollupId(rollup), self.payload(rollup))
        });
        let legs = legs.collect();
        Unit::Bundle(Bundle::new(valid_until, legs))
    }

    fn admit(&mut self) {
        let unit = self.unit();
        let Ok(checked) = Pool::check(&self.rules, unit.clone(), self.tip) else {
            return;
        };
        let source = match self.rng.below(20) {
            0 => Source::Journal,
            roll if roll < 10 => Source::Peer(MemberIndex(roll % 3)),
            roll => client(CLIENTS[roll % 3]),
        };
        let journaled = source == Source::Journal;
        let new = Waiting {
            ids: unit.ids(&EvmRollups::default()),
            unit,
            source: source.clone(),
            replicated: false,
            journaled,
        };
        let expected = self.model.refusal(&new, self.rules.rollups(), self.tip);
        let outcome = self.pool.admit(checked, source, self.tip);
        assert_eq!(outcome.err().map(|refusal| refusal.reason), expected);
        match expected {
            Some(reason) => *self.refused.entry(reason).or_default() += 1,
            None => {
                self.model.0.push(new);
                self.accepted += 1;
            }
        }
    }

    fn replicate(&mut self) {
        if !self.model.0.is_empty() {
            let index = self.rng.below(self.model.0.len());
            let waiting = &mut self.model.0[index];
            waiting.replicated = true;
            self.pool.set_replicated(&waiting.ids[..1]);
        }
    }

    fn journal(&mut self) {
        if !self.model.0.is_empty() {
            let index = self.rng.below(self.model.0.len());
            let waiting = &mut self.model.0[index];
            waiting.journaled = true;
            self.pool.set_journaled(waiting.ids.iter());
        }
    }

    fn select(&mut self) -> Vec<TxId> {
        let height = self.tip + 1;
        let ordered = &self.ordered;
        let segments = self.pool.select(height, |id| ordered.contains(id));
        let eligible = self.model.eligible(height, ordered);
        assert_eq!(segments.is_empty(), eligible.is_empty(), "a block is empty only for want of work");
        assert_eq!(self.pool.has_work(height, |id| ordered.contains(id)), !eligible.is_empty());
        assert_eq!(check_body(&self.rules, &block(height, segments.clone())), Ok(()));
        let chosen = ids(&segments);
        let set: BTreeSet<_> = chosen.iter().copied().collect();
        let known: BTreeSet<_> = eligible.iter().flat_map(|waiting| &waiting.ids).copied().collect();
        assert!(set.is_subset(&known));
        for rollup in self.rules.rollups() {
            check_order(rollup, &eligible, &segments);
        }
        let everything: usize =
            eligible.iter().flat_map(|waiting| waiting.unit.legs()).map(|(_, leg)| leg.encode_size()).sum();
        if everything < 3_900 {
            assert_eq!(set, known, "all of it fits");
        }
        self.selected += chosen.len();
        chosen
    }

    fn finalize(&mut self) {
        let chosen = self.select();
        self.tip += 1;
        self.pool.finalized(self.tip, chosen.iter());
        self.model.remove(|waiting| chosen.contains(&waiting.ids[0]));
        let mut expired = self.pool.expire(self.tip);
        let tip = self.tip;
        let mut expected = self.model.remove(|waiting| waiting.unit.valid_until() <= tip);
        expired.sort_unstable();
        expected.sort_unstable();
        assert_eq!(expired, expected);
        self.ordered.clear();
    }

    fn compare(&self) {
        let stats = self.pool.stats();
        assert_eq!(stats.transactions, self.model.transactions() as u64);
        assert_eq!(stats.bytes, self.model.bytes() as u64);
        for rollup in stats.rollups {
            assert_eq!(rollup.bytes, self.model.rollup_bytes(rollup.id) as u64);
        }
        for waiting in &self.model.0 {
            let rung = if waiting.replicated { Rung::Replicated } else { Rung::Pending };
            assert!(waiting.ids.iter().all(|id| self.pool.rung(id) == Some(rung)));
            assert!(waiting.ids.iter().all(|id| self.pool.journaled(id) == waiting.journaled));
        }
        let sources = |of: &dyn Fn(&Source) -> bool| {
            let sources = self.model.0.iter().map(|waiting| &waiting.source).filter(|source| of(source));
            sources.map(|source| format!("{source:?}")).collect::<BTreeSet<_>>()
        };
        let clients = self.pool.clients.keys().map(|name| format!("{:?}", client(name)));
        assert_eq!(clients.collect::<BTreeSet<_>>(), sources(&|source| matches!(source, Source::Client(_))));
        let members = self.pool.members.keys().map(|member| format!("{:?}", Source::Peer(*member)));
        assert_eq!(members.collect::<BTreeSet<_>>(), sources(&|source| matches!(source, Source::Peer(_))));
        assert_eq!(self.pool.ids.len(), self.model.transactions());
    }
}

/// Within a rollup, units of one kind appear as queued; without bundles in between, none is left out
/// before one that is taken, unless it was too large for the reservation.
fn check_order(rollup: &Rollup, eligible: &[&Waiting], segments: &[Segment]) {
    let mut queue: Vec<_> = eligible
        .iter()
        .filter(|waiting| matches!(&waiting.unit, Unit::Single { rollup: home, .. } if *home == rollup.id()))
        .collect();
    if rollup.ordering == Ordering::FeeHint {
        queue.sort_by_key(|waiting| match waiting.unit {
            Unit::Single { fee_hint, .. } => Reverse(fee_hint),
            Unit::Bundle(_) => unreachable!(),
        });
    }
    let taken: Vec<_> = segments
        .iter()
        .filter(|segment| segment.rollup == rollup.id())
        .flat_map(|segment| &segment.transactions)
        .filter(|transaction| transaction.bundle.is_none())
        .map(|transaction| transaction.id(rollup.id()))
        .collect();
    let reservation = BLOCK_BYTES * usize::try_from(rollup.reserved_percent).unwrap() / 100;
    let all_fit = queue.iter().all(|waiting| waiting.unit.bytes() + 64 < reservation);
    if reservation == 0 || all_fit {
        let expected: Vec<_> = queue.iter().take(taken.len()).map(|waiting| waiting.ids[0]).collect();
        assert_eq!(taken, expected);
    }
}

#[test]
fn behaves_like_a_plain_list() {
    let (mut accepted, mut selected) = (0, 0);
    let mut refused: BTreeMap<Reason, usize> = BTreeMap::new();
    for seed in 0..12 {
        let mut run = Run::new(seed);
        // Some runs fill up, others run dry.
        let admissions = [60, 85, 97][usize::try_from(seed % 3).unwrap()];
        for _ in 0..1_500 {
            match run.rng.below(100) {
                roll if roll < admissions => run.admit(),
                roll if roll % 4 == 0 => run.replicate(),
                roll if roll % 4 == 1 => run.journal(),
                roll if roll % 4 == 2 => {
                    let chosen = run.select();
                    run.ordered.extend(chosen);
                }
                _ => run.finalize(),
            }
            if run.rng.chance(10) {
                run.compare();
            }
        }
        run.compare();
        accepted += run.accepted;
        selected += run.selected;
        for (reason, count) in run.refused {
            *refused.entry(reason).or_default() += count;
        }
    }
    assert!(accepted > 2_000 && selected > 2_000, "{accepted} accepted, {selected} selected");
    for reason in [Reason::Busy, Reason::ClientLimit, Reason::Duplicate, Reason::ValidityTooLong] {
        assert!(
            refused.get(&reason).is_some_and(|count| *count > 10),
            "{reason} is not exercised: {refused:?}"
        );
    }
}
