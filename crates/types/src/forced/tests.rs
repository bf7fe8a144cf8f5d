use super::*;
use crate::{Header, PrivateKey, Segment, Transaction, block::ElectionKind, merkle::EMPTY};
use commonware_codec::Decode as _;
use commonware_cryptography::Signer as _;
use commonware_utils::ordered::Set;

const ROLLUP: RollupId = RollupId(1);
const OTHER: RollupId = RollupId(2);

fn keys() -> Vec<PrivateKey> {
    let mut keys: Vec<_> = (0..4).map(PrivateKey::from_seed).collect();
    keys.sort_by_key(PrivateKey::public_key);
    keys
}

fn rules() -> Rules {
    let members = Set::from_iter_dedup(keys().iter().map(PrivateKey::public_key));
    Rules { members, start_block: 5, slack: 2, entries_max: 3 }
}

fn digest(number: u64) -> Digest {
    Sha256::hash(&[&number.to_be_bytes()])
}

/// Of a block at this height by this member, with the origin at this block of L1.
fn header(height: u64, author: usize, origin: u64) -> Header {
    let author = keys()[author].public_key();
    Header {
        chain: EMPTY,
        epoch: 0,
        view: height,
        parent_view: height.saturating_sub(1),
        height,
        parent: EMPTY,
        timestamp_ms: 0,
        committer: author.clone(),
        author,
        election: ElectionKind::RoundRobin,
        reveal: [0; 32],
        reveal_evidence: EMPTY,
        parent_seed: [0; 48],
        body_root: EMPTY,
        heads_root: EMPTY,
        history_root: EMPTY,
        results_root: EMPTY,
        l1_number: origin,
        l1_hash: digest(origin),
        forced_root: EMPTY,
        members_root: EMPTY,
        bench_report: [0; 32],
        payload_root: EMPTY,
        protocol_signal: 0,
    }
}

const ENVELOPE: Envelope = Envelope { sender: L1Address([7; 20]), deadline: 9, gas: 5 };

fn data(index: u64) -> Bytes {
    format!("entry {index}").into_bytes().into()
}

/// Hashes of the entries from 0 on.
fn chain(count: u64) -> Vec<Digest> {
    let mut last = EMPTY;
    (0..count)
        .map(|index| {
            last = entry_hash(&last, ROLLUP, index, &ENVELOPE, &data_hash(&data(index)));
            last
        })
        .collect()
}

fn forced(index: u64) -> Transaction {
    Transaction { valid_until: FORCED_FROM + index, bundle: None, payload: data(index) }
}

fn plain() -> Transaction {
    Transaction { valid_until: 9, bundle: None, payload: Bytes::from_static(b"plain") }
}

fn segment(transactions: Vec<Transaction>) -> Vec<Segment> {
    vec![Segment { rollup: ROLLUP, transactions }]
}

fn taken(fates: Vec<Fate>) -> BTreeMap<RollupId, Vec<Taken>> {
    BTreeMap::from([(ROLLUP, fates.into_iter().map(|fate| Taken { envelope: ENVELOPE, fate }).collect())])
}

/// Two rollups settle; of the first, four entries are pending.
fn known() -> State {
    let mut state = State::genesis([ROLLUP, OTHER].into_iter());
    state.queues.insert(ROLLUP, Queue { cursor: 0, last: None, pending: chain(4) });
    state
}

struct Case {
    known: State,
    parent: Header,
    header: Header,
    news: News,
    segments: Vec<Segment>,
}

/// A good block that takes two entries: one ordered, one left out.
fn case() -> Case {
    Case {
        known: known(),
        parent: header(9, 0, 10),
        header: header(10, 1, 10),
        news: News {
            report: 11,
            arrived: BTreeMap::new(),
            taken: taken(vec![Fate::Ordered, Fate::LeftOut(data(1))]),
        },
        segments: segment(vec![forced(0), plain()]),
    }
}

fn check(case: &Case) -> Result<State, Unsound> {
    rules().after(&case.known, &case.parent, &case.header, &case.news, &case.segments)
}

#[test]
fn entries_are_taken_in_order_and_the_state_follows() {
    let state = check(&case()).unwrap();
    let queue = &state.queues[&ROLLUP];
    assert_eq!((queue.cursor, queue.last), (2, Some(chain(2)[1])));
    assert_eq!(queue.pending, chain(4)[2..]);
    assert_eq!(state.queues[&OTHER], Queue::default());
    assert_eq!(state.reports, BTreeMap::from([(1, Report { height: 10, number: 11 })]));
    // The next block goes on where this one ended.
    let next = Case {
        known: state,
        parent: header(10, 1, 10),
        header: header(11, 2, 10),
        news: News {
            taken: taken(vec![Fate::TooLarge(data_hash(&data(2))), Fate::Ordered]),
            ..News::default()
        },
        segments: segment(vec![forced(3)]),
    };
    let state = check(&next).unwrap();
    assert_eq!(state.queues[&ROLLUP], Queue { cursor: 4, last: Some(chain(4)[3]), pending: Vec::new() });
    assert_eq!(state.reports.len(), 2);
}

#[test]
fn every_rule_has_its_breach() {
    type Breach = (fn(&mut Case), Unsound);
    let rollup = ROLLUP;
    let breaches: &[Breach] = &[
        (|case| case.header.author = PrivateKey::from_seed(99).public_key(), Unsound::Author),
        (|case| case.header.l1_number = 9, Unsound::Backwards { number: 9, parent: 10 }),
        (|case| case.header.l1_hash = EMPTY, Unsound::Backwards { number: 10, parent: 10 }),
        (
            |case| {
                (case.parent.l1_number, case.parent.l1_hash) = (0, EMPTY);
                (case.header.l1_number, case.header.l1_hash) = (5, digest(5));
            },
            Unsound::TooEarly { number: 5, start: 5 },
        ),
        (
            |case| {
                for member in 0..3 {
                    case.known.reports.insert(member, Report { height: 9, number: 14 });
                }
            },
            Unsound::Behind { number: 10, least: 12 },
        ),
        (
            |case| {
                let queue = case.known.queues[&ROLLUP].clone();
                case.news.arrived.insert(ROLLUP, queue);
            },
            Unsound::Arrived,
        ),
        (
            |case| {
                case.header = header(10, 1, 11);
                case.news.arrived.insert(ROLLUP, Queue { cursor: 1, ..Queue::default() });
            },
            Unsound::Queue(rollup),
        ),
        (
            |case| {
                case.header = header(10, 1, 11);
                case.news.arrived.insert(RollupId(9), Queue::default());
            },
            Unsound::Queue(RollupId(9)),
        ),
        (
            |case| case.news.taken = taken((0..4).map(|index| Fate::LeftOut(data(index))).collect()),
            Unsound::TooMany { rollup, taken: 4, pending: 4, max: 3 },
        ),
        (
            |case| {
                let entries = case.news.taken[&ROLLUP].clone();
                case.news.taken.insert(OTHER, entries);
            },
            Unsound::TooMany { rollup: OTHER, taken: 2, pending: 0, max: 3 },
        ),
        // Another entry, an entry passed over, an entry with another envelope.
        (|case| case.news.taken = taken(vec![Fate::LeftOut(data(1))]), Unsound::Entry { rollup, index: 0 }),
        (|case| case.segments = segment(vec![forced(1)]), Unsound::Entry { rollup, index: 0 }),
        (|case| case.segments = segment(vec![plain()]), Unsound::Entry { rollup, index: 0 }),
        (
            |case| case.news.taken.get_mut(&ROLLUP).unwrap()[1].envelope.gas += 1,
            Unsound::Entry { rollup, index: 1 },
        ),
        (
            |case| case.segments[0].transactions[0].bundle = Some(crate::TxId([1; 32])),
            Unsound::Entry { rollup, index: 0 },
        ),
        // More than was taken, behind others, in a rollup of which nothing is taken.
        (|case| case.segments = segment(vec![forced(0), forced(1), plain()]), Unsound::Invented(rollup)),
        (|case| case.segments = segment(vec![plain(), forced(0)]), Unsound::Invented(rollup)),
        (
            |case| case.segments.push(Segment { rollup: OTHER, transactions: vec![forced(0)] }),
            Unsound::Invented(OTHER),
        ),
        (
            |case| {
                case.news.taken.clear();
                case.segments = segment(vec![plain()]);
            },
            Unsound::LeftOut(rollup),
        ),
    ];
    for (number, (breach, expected)) in breaches.iter().enumerate() {
        let mut case = case();
        breach(&mut case);
        assert_eq!(check(&case), Err(expected.clone()), "breach {number}");
    }
}

/// A rollup whose entries nobody has pauses; the others go on.
#[test]
fn a_rollup_without_transactions_may_leave_entries_pending() {
    let mut case = case();
    case.news.taken.clear();
    case.segments = vec![Segment { rollup: OTHER, transactions: vec![plain()] }];
    assert_eq!(check(&case).unwrap().queues, known().queues);
}

#[test]
fn the_origin_moves_with_what_arrived() {
    let mut case = case();
    case.header = header(10, 1, 11);
    // A deep reorg: other entries follow another last one.
    let last = digest(77);
    let hash = entry_hash(&last, ROLLUP, 0, &ENVELOPE, &data_hash(&data(8)));
    case.news.arrived.insert(ROLLUP, Queue { cursor: 0, last: Some(last), pending: vec![hash] });
    case.news.taken = taken(vec![Fate::LeftOut(data(8))]);
    case.segments = segment(vec![plain()]);
    let state = check(&case).unwrap();
    assert_eq!(state.queues[&ROLLUP], Queue { cursor: 1, last: Some(hash), pending: Vec::new() });
}

#[test]
fn after_many_views_nothing_is_asked_for_a_while() {
    let mut case = case();
    for member in 0..3 {
        case.known.reports.insert(member, Report { height: 9, number: 100 });
    }
    case.news.taken.clear();
    case.segments = segment(vec![plain()]);
    case.header.view = case.header.parent_view + 8;
    assert_eq!(check(&case), Err(Unsound::Behind { number: 10, least: 98 }));
    case.header.view += 1;
    let state = check(&case).unwrap();
    assert_eq!(state.eased_until, 10 + 256);
    let next = |height| Case {
        known: state.clone(),
        parent: header(height - 1, 1, 10),
        header: header(height, 1, 10),
        news: News { report: 100, ..News::default() },
        segments: segment(vec![plain()]),
    };
    assert!(check(&next(266)).is_ok());
    assert_eq!(check(&next(267)), Err(Unsound::LeftOut(ROLLUP)));
}

#[test]
fn liars_and_old_reports_do_not_count() {
    let rules = rules();
    let report = |number| Report { height: 1, number };
    let state = |numbers: &[u64]| State {
        reports: (0..).zip(numbers.iter().map(|number| report(*number))).collect(),
        ..State::default()
    };
    let rows: [(&[u64], Option<u64>, u64); 6] = [
        (&[], None, 0),
        (&[9, 9], None, 0),
        (&[9, 9, 9], Some(9), 7),
        (&[0, 9, 8, 7], Some(7), 5),
        (&[u64::MAX, 9, 8, 7], Some(8), 6),
        (&[9, 0, 0, 0], None, 0),
    ];
    for (numbers, agreed, least) in rows {
        assert_eq!(
            (rules.agreed(&state(numbers)), rules.least(&state(numbers))),
            (agreed, least),
            "{numbers:?}"
        );
    }
    let mut case = case();
    case.known.reports = BTreeMap::from([(0, report(50)), (2, Report { height: 9, number: 3 })]);
    case.parent = header(32, 0, 10);
    case.header = header(33, 1, 10);
    let kept: Vec<_> = check(&case).unwrap().reports.into_keys().collect();
    assert_eq!(kept, [1, 2], "a member counts for eight blocks per member");
}

#[test]
fn the_part_survives_the_journey_within_its_size() {
    let limits = Limits { rollups: 2, entries_max: 3, bytes_max: 64 };
    let case = case();
    let part = L1Part { state: check(&case).unwrap(), news: case.news };
    let bytes = part.encode();
    assert!(bytes.len() <= L1Part::max_encode_size(&limits));
    assert_eq!(L1Part::decode_cfg(bytes.clone(), &limits).unwrap(), part);
    for limits in [
        Limits { rollups: 1, ..limits },
        Limits { entries_max: 1, ..limits },
        Limits { bytes_max: data(1).len() - 1, ..limits },
    ] {
        assert!(L1Part::decode_cfg(bytes.clone(), &limits).is_err(), "{limits:?}");
    }
    for end in 0..bytes.len() {
        assert!(L1Part::decode_cfg(bytes.slice(..end), &limits).is_err());
    }
    assert_ne!(part.root(), L1Part { news: News::default(), ..part.clone() }.root());
}
