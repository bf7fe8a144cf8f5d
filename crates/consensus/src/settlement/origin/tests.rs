use super::*;
use crate::testing::{Dealt, block_at};
use baton_execution::forced::transaction;
use baton_settlement::{InboxState, RollupView};
use baton_types::{
    Segment,
    forced::{Report, Taken},
    genesis::{
        Genesis, Settlement,
        settlement::{Confirmation, ForcedQuota, SettledRollup},
    },
    hex::HexArray,
    settlement::DataKind,
};
use bytes::Bytes;
use commonware_cryptography::{Digestible as _, Hasher as _, Sha256};

const ROLLUP: RollupId = RollupId(1);
const DEPTH: u64 = 2;

struct Fake(Mutex<Arc<Snapshot>>);

impl L1View for Fake {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.lock().clone()
    }
}

fn settle(genesis: &mut Genesis) {
    genesis.l1 = Some(Box::new(Settlement {
        chain_id: 1,
        registry: HexArray([1; 20]),
        start_block: 0,
        confirmation: Confirmation::Depth(DEPTH),
        origin_wait_ms: 0,
        origin_slack: 3,
        slot_seconds: 12,
        data: DataKind::Directory,
        batch_bytes_target: 4_096,
        batch_age_ms_max: 1_000,
        forced: ForcedQuota { entries_max: 4, bytes_max: 128 * 1_024 },
        rollups: vec![SettledRollup {
            rollup: ROLLUP.0,
            inbox: HexArray([2; 20]),
            queue: HexArray([3; 20]),
            first_height: 1,
        }],
    }));
    genesis.check().expect("the genesis is valid");
}

fn hash(number: u64, salt: u64) -> Digest {
    Sha256::hash(&[&number.to_be_bytes(), &salt.to_be_bytes()])
}

/// L1 with this newest block, on the fork with this salt, with one entry in each of its blocks.
fn snapshot(newest: u64, salt: u64) -> Snapshot {
    let mut last = EMPTY;
    let entries = (1..=newest).map(|number| {
        let data = Bytes::from(format!("entry {number} {salt}").into_bytes());
        let envelope = Envelope { sender: L1Address([9; 20]), deadline: 1, gas: 0 };
        last = entry_hash(&last, ROLLUP, number - 1, &envelope, &data_hash(&data));
        ForcedEntry {
            index: number - 1,
            l1_number: number,
            sender: [9; 20],
            deadline: 1,
            gas: 0,
            data,
            hash: last,
        }
    });
    let inbox = InboxState { next_index: 0, head: EMPTY, next_height: 1, forced_cursor: 0 };
    let eligible = newest - DEPTH;
    let eligible = Some(L1Origin { number: eligible, hash: hash(eligible, salt) });
    let rollup = RollupView {
        latest: inbox,
        finalized: inbox,
        forced: Arc::new(entries.collect()),
        postings: Arc::default(),
    };
    Snapshot {
        blocks: Arc::new((1..=newest).map(|number| (number, (hash(number, salt), number))).collect()),
        safe: 0,
        finalized: 0,
        eligible,
        proposable: eligible,
        rollups: BTreeMap::from([(ROLLUP, rollup)]),
    }
}

struct World {
    dealt: Dealt,
    fake: Arc<Fake>,
    l1: L1,
    rules: ChainRules,
}

impl World {
    /// A member that sees this much.
    fn new(newest: u64) -> Self {
        let mut dealt = Dealt::new();
        settle(&mut dealt.genesis);
        let fake = Arc::new(Fake(Mutex::new(Arc::new(snapshot(newest, 0)))));
        let rules = Rules::new(&dealt.genesis).unwrap().unwrap();
        let l1 = L1::new(rules, fake.clone());
        Self { rules: dealt.rules(), dealt, fake, l1 }
    }

    fn see(&self, snapshot: Snapshot) {
        *self.fake.0.lock() = Arc::new(snapshot);
    }

    /// A block at height 9 with the origin at block 1 of L1, whose entry is taken, and these reports.
    fn parent(&self, reports: &[u64]) -> Block {
        let reports =
            (0..).zip(reports).map(|(member, number)| (member, Report { height: 8, number: *number }));
        let taken = snapshot(3, 0).rollups[&ROLLUP].forced[0].hash;
        let queue = Queue { cursor: 1, last: Some(taken), pending: Vec::new() };
        let state =
            State { reports: reports.collect(), queues: BTreeMap::from([(ROLLUP, queue)]), eased_until: 0 };
        let block = block_at(&self.dealt, 9);
        let (mut header, mut body) = (block.inner().header().clone(), block.inner().body().clone());
        (header.l1_number, header.l1_hash) = (1, hash(1, 0));
        body.l1 = Some(Box::new(L1Part { state, ..L1Part::default() }));
        Block::seal(header, body, Some(&self.dealt.keys[0]))
    }

    /// The header of a child, before anything is in it.
    fn header(&self, parent: &Block) -> Header {
        let block = block_at(&self.dealt, 10);
        let header = Header { parent: parent.digest(), ..block.inner().header().clone() };
        Header { l1_number: parent.header().l1_number, l1_hash: parent.header().l1_hash, ..header }
    }

    /// What this member proposes on `parent`, with all that it offers.
    fn child(&self, parent: &Block) -> Block {
        let mut header = self.header(parent);
        let Plan { origin, mut news, offers } = self.l1.plan(parent, &header).expect("it proposes");
        (header.l1_number, header.l1_hash) = (origin.number, origin.hash);
        let mut segments = Vec::new();
        for (rollup, Offer { cursor, entries }) in
            offers.into_iter().filter(|(_, offer)| !offer.entries.is_empty())
        {
            let taken =
                entries.iter().map(|(envelope, _)| Taken { envelope: *envelope, fate: Fate::Ordered });
            news.taken.insert(rollup, taken.collect());
            let transactions = (cursor..).zip(entries).map(|(index, (_, data))| transaction(index, data));
            segments.push(Segment { rollup, transactions: transactions.collect() });
        }
        self.seal(parent, header, news, segments)
    }

    fn seal(&self, parent: &Block, header: Header, news: News, segments: Vec<Segment>) -> Block {
        let known = &parent.body().l1.as_ref().unwrap().state;
        let state = self.l1.rules.after(known, parent.header(), &header, &news, &segments);
        let mut body = block_at(&self.dealt, 10).inner().body().clone();
        body.segments = segments;
        body.l1 = Some(Box::new(L1Part { news, state: state.expect("it follows") }));
        Block::seal(header, body, Some(&self.dealt.keys[0]))
    }

    fn look(&self, parent: &Block, block: &Block) -> Sight {
        assert_eq!(self.l1.check(parent, block), Ok(()));
        self.l1.look(&self.rules, parent, block, |_| false)
    }
}

/// Where a proposer that sees block 12 of L1, so that 10 is eligible, puts the origin.
#[test]
fn an_origin_that_the_others_know() {
    let rows: [(&[u64], Option<u64>); 6] = [
        (&[], Some(1)),
        (&[8, 8], Some(1)),
        (&[8, 9, 10, 4], Some(8)),
        (&[10, 10, 10, 10], Some(10)),
        // Those who see more wait for it; the slack is three.
        (&[13, 13, 13], Some(10)),
        (&[14, 14, 14], None),
    ];
    let world = World::new(12);
    for (reports, expected) in rows {
        let parent = world.parent(reports);
        let plan = world.l1.plan(&parent, &world.header(&parent));
        assert_eq!(plan.as_ref().map(|plan| plan.origin.number), expected, "{reports:?}");
        if let Some(Plan { origin, news, offers }) = plan {
            assert_eq!(origin.hash, hash(origin.number, 0));
            assert_eq!(news.report, 10);
            let arrived = usize::try_from(origin.number - 1).unwrap();
            assert_eq!(news.arrived.get(&ROLLUP).map_or(0, |queue| queue.pending.len()), arrived);
            assert_eq!(
                offers.get(&ROLLUP).map_or(0, |offer| offer.entries.len()),
                arrived.min(4),
                "the quota"
            );
        }
    }
}

#[test]
fn a_move_without_a_quorum_is_not_tried_again_at_once() {
    let world = World::new(12);
    let parent = world.parent(&[4, 4, 4]);
    let plan = |height| {
        let header = Header { height, ..world.header(&parent) };
        world.l1.plan(&parent, &header).map(|plan| plan.origin.number)
    };
    let round = world.header(&parent).round();
    let mut height = 10;
    for withheld in [2, 4, 8] {
        assert_eq!(plan(height), Some(4));
        world.l1.passed(round, false);
        height += withheld;
        assert_eq!(plan(height - 1), Some(1));
    }
    assert_eq!(plan(height), Some(4));
    world.l1.passed(round, true);
    assert_eq!(plan(height), Some(4));
    world.l1.passed(round, false);
    assert_eq!(plan(height + 2), Some(4), "it was forgiven");
}

#[test]
fn voters_compare_a_move_with_what_they_see() {
    let world = World::new(12);
    let parent = world.parent(&[8, 8, 8]);
    let block = world.child(&parent);
    assert_eq!(block.header().l1_number, 8);
    assert_eq!(world.look(&parent, &block), Sight::Fits);
    // Not deep enough, on another fork, nothing at all, forgotten.
    for newest in [9, 7, 3] {
        world.see(snapshot(newest, 0));
        assert_eq!(world.look(&parent, &block), Sight::Unseen, "at {newest}");
    }
    world.see(snapshot(12, 1));
    assert_eq!(world.look(&parent, &block), Sight::Unseen);
    world.see(Snapshot::default());
    assert_eq!(world.look(&parent, &block), Sight::Unseen);
    // Once it moved nobody has to see L1.
    let still = world.parent(&[]);
    let header = world.header(&still);
    let next = world.seal(&still, header, News::default(), Vec::new());
    assert_eq!(world.look(&still, &next), Sight::Fits);
}

#[test]
fn voters_refuse_what_l1_does_not_say() {
    let world = World::new(12);
    let parent = world.parent(&[8, 8, 8]);
    let good = world.child(&parent);
    let part = good.body().l1.as_ref().unwrap();
    // An entry less arrived, or none.
    let mut news = part.news.clone();
    news.arrived.get_mut(&ROLLUP).unwrap().pending.pop();
    let block = world.seal(&parent, good.header().clone(), news, good.body().segments.clone());
    assert_eq!(world.look(&parent, &block), Sight::Differs(Differs::Queue(ROLLUP)));
    let news = News { report: 10, ..News::default() };
    let block = world.seal(&parent, good.header().clone(), news, Vec::new());
    assert_eq!(world.look(&parent, &block), Sight::Differs(Differs::Queue(ROLLUP)));
    // All arrived, none was taken.
    let news = News { taken: BTreeMap::new(), ..part.news.clone() };
    let left_out = world.seal(&parent, good.header().clone(), news, Vec::new());
    assert_eq!(world.look(&parent, &left_out), Sight::Differs(Differs::LeftOut(ROLLUP)));
    assert_eq!(world.l1.look(&world.rules, &parent, &left_out, |rollup| rollup == ROLLUP), Sight::Fits);
    // A small entry is said to be too large.
    let mut news = part.news.clone();
    let entry = &snapshot(3, 0).rollups[&ROLLUP].forced[1];
    let fate = Fate::TooLarge(data_hash(&entry.data));
    news.taken.insert(ROLLUP, vec![Taken { envelope: envelope(entry), fate }]);
    let block = world.seal(&parent, good.header().clone(), news, Vec::new());
    assert_eq!(world.look(&parent, &block), Sight::Differs(Differs::Size(ROLLUP)));
}

/// Pending entries that a reorg took from everybody pause their rollup until the origin moves on.
#[test]
fn entries_that_nobody_has_stop_nobody() {
    let world = World::new(12);
    let parent = world.parent(&[8, 8, 8]);
    let good = world.child(&parent);
    let news = News { taken: BTreeMap::new(), ..good.body().l1.as_ref().unwrap().news.clone() };
    let stuck = world.seal(&parent, good.header().clone(), news, Vec::new());
    assert!(world.l1.has_work(&stuck));
    world.see(snapshot(13, 1));
    assert!(!world.l1.has_work(&stuck));
    let header = world.header(&stuck);
    let plan = world.l1.plan(&stuck, &header).unwrap();
    let offer = &plan.offers[&ROLLUP];
    assert_eq!((plan.origin.number, offer.cursor, offer.entries.len()), (8, 1, 0));
    let next = world.seal(&stuck, header, plan.news, Vec::new());
    assert_eq!(world.look(&stuck, &next), Sight::Fits);
    // The next origin is on the other fork, and the queue goes on from the same cursor there.
    let mut moved = stuck.body().clone();
    let state = &mut moved.l1.as_mut().unwrap().state;
    state.reports = (0..3).map(|member| (member, Report { height: 9, number: 11 })).collect();
    let stuck = Block::seal(stuck.header().clone(), moved, Some(&world.dealt.keys[0]));
    let next = world.child(&stuck);
    assert_eq!(next.header().l1_number, 11);
    let queue = &next.body().l1.as_ref().unwrap().state.queues[&ROLLUP];
    let entries = snapshot(13, 1).rollups[&ROLLUP].forced.clone();
    assert_eq!((queue.cursor, queue.last), (5, Some(entries[4].hash)));
    assert_eq!(queue.pending.len(), 6);
    assert_eq!(world.look(&stuck, &next), Sight::Fits);
}
