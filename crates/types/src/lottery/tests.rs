use super::*;
use crate::{PrivateKey, block::ElectionKind};
use commonware_codec::DecodeExt as _;
use commonware_cryptography::Signer as _;

const EPOCH_BLOCKS: u64 = 200;

fn keys(n: u64) -> Vec<PrivateKey> {
    let mut keys: Vec<_> = (0..n).map(PrivateKey::from_seed).collect();
    keys.sort_by_key(PrivateKey::public_key);
    keys
}

fn rules(n: u64) -> Rules {
    let members = Set::from_iter_dedup(keys(n).iter().map(PrivateKey::public_key));
    Rules { chain: digest(9), members, epoch_blocks: EPOCH_BLOCKS }
}

fn digest(byte: u8) -> Digest {
    commonware_cryptography::sha256::Digest([byte; 32])
}

fn initial(n: usize) -> Lottery {
    Lottery::genesis(digest(1), digest(2), vec![None; n])
}

/// A header whose view follows its parent's after `skipped` others.
fn child(rules: &Rules, parent: Option<&Header>, author: usize, skipped: u64) -> Header {
    let key = rules.members.get(author).unwrap().clone();
    let height = parent.map_or(0, |parent| parent.height) + 1;
    let epoch = height / EPOCH_BLOCKS;
    let parent_view = parent.filter(|parent| parent.epoch == epoch).map_or(0, |parent| parent.view);
    Header {
        chain: rules.chain,
        epoch,
        view: parent_view + 1 + skipped,
        parent_view,
        height,
        parent: EMPTY,
        timestamp_ms: 0,
        committer: key.clone(),
        author: key,
        election: ElectionKind::ZkLottery,
        reveal: [0; 32],
        reveal_evidence: EMPTY,
        parent_seed: [if parent_view == 0 { 0 } else { height.to_le_bytes()[0] }; 48],
        body_root: EMPTY,
        heads_root: EMPTY,
        history_root: EMPTY,
        results_root: EMPTY,
        l1_number: 0,
        l1_hash: EMPTY,
        forced_root: EMPTY,
        members_root: EMPTY,
        bench_report: [0; 32],
        payload_root: EMPTY,
        protocol_signal: 0,
    }
}

/// Runs `count` blocks; `change` gets each header before it counts.
fn run(
    rules: &Rules,
    state: &mut Lottery,
    tip: &mut Option<Header>,
    count: u64,
    mut change: impl FnMut(&mut Header),
) {
    for number in 0..count {
        let author = usize::try_from(number).unwrap() % rules.members.len();
        let mut header = child(rules, tip.as_ref(), author, 0);
        change(&mut header);
        let before = tip.as_ref().map_or_else(|| state.clone(), |tip| state.before(rules, tip, header.epoch));
        *state = before.after(rules, &header, &[]).unwrap();
        *tip = Some(header);
    }
}

fn held(rules: &Rules, epoch: u64, member: u8, holders: &[u8]) -> Held {
    let commitment = Commitment { root: digest(member), proof: digest(100 + member) };
    let message = held_message(epoch, member, &commitment);
    let keys = keys(rules.members.len() as u64);
    let sign =
        |holder: &u8| (*holder, keys[usize::from(*holder)].sign(&domain::held(&rules.chain), &message));
    Held { member, commitment, holders: holders.iter().map(sign).collect() }
}

#[test]
fn beacons_come_from_the_headers_of_the_epoch_before() {
    let rules = rules(4);
    let (mut state, mut tip) = (initial(4), None);
    run(&rules, &mut state, &mut tip, 1, |_| {});
    assert_eq!(state.next_context_beacon, None, "the genesis has no seed");
    run(&rules, &mut state, &mut tip, 1, |_| {});
    assert_eq!(state.next_context_beacon, Some(beacon(&[2; 48])));
    run(&rules, &mut state, &mut tip, EPOCH_BLOCKS - 3, |_| {});
    assert_eq!((state.context_beacon, state.later_beacon), (digest(1), digest(2)));
    let last = tip.clone().unwrap();
    run(&rules, &mut state, &mut tip, 1, |_| {});
    assert_eq!(state.context_beacon, beacon(&[2; 48]));
    assert_eq!(state.later_beacon, beacon(&last.parent_seed));
    assert_eq!(state.next_context_beacon, None);
    run(&rules, &mut state, &mut tip, 1, |_| {});
    let second = tip.clone().unwrap();
    assert_eq!(state.next_context_beacon, Some(beacon(&second.parent_seed)));
}

#[test]
fn commitments_are_in_force_in_the_next_epoch_only() {
    let rules = rules(4);
    let (mut state, mut tip) = (initial(4), None);
    run(&rules, &mut state, &mut tip, 10, |_| {});
    let header = child(&rules, tip.as_ref(), 0, 0);
    let entry = held(&rules, 1, 2, &[0, 1, 3]);
    state = state.after(&rules, &header, std::slice::from_ref(&entry)).unwrap();
    tip = Some(header);
    assert_eq!(state.commitments[2], None);
    run(&rules, &mut state, &mut tip, EPOCH_BLOCKS - 11, |_| {});
    assert_eq!((tip.as_ref().unwrap().epoch, state.commitments[2]), (1, Some(entry.commitment)));
    run(&rules, &mut state, &mut tip, EPOCH_BLOCKS, |_| {});
    assert_eq!((tip.as_ref().unwrap().epoch, state.commitments[2]), (2, None));
}

#[test]
fn unsound_commitments_are_refused() {
    let rules = rules(4);
    let (mut state, mut tip) = (initial(4), None);
    run(&rules, &mut state, &mut tip, 10, |_| {});
    let header = child(&rules, tip.as_ref(), 0, 0);
    let good = held(&rules, 1, 2, &[0, 1, 3]);
    let check = |entries: &[Held], expect: Unsound| {
        assert_eq!(rules.check_held(&state, &header, entries), Err(expect));
    };
    assert_eq!(rules.check_held(&state, &header, std::slice::from_ref(&good)), Ok(()));
    let holders = |holders, needed| Unsound::Holders { member: 2, holders, needed };
    check(&[held(&rules, 1, 2, &[0, 1])], holders(2, 3));
    check(&[held(&rules, 1, 2, &[0, 1, 1])], holders(3, 3));
    check(&[held(&rules, 1, 2, &[1, 0, 3])], holders(3, 3));
    check(&[held(&rules, 2, 2, &[0, 1, 3])], Unsound::Signature { member: 2, holder: 0 });
    check(&[held(&rules, 1, 9, &[0, 1, 3])], Unsound::Member(9));
    check(&[good.clone(), good.clone()], Unsound::Repeated(2));
    check(&vec![good.clone(); 5], Unsound::TooMany(5));
    let mut other = good.clone();
    other.commitment.proof = digest(7);
    check(&[other], Unsound::Signature { member: 2, holder: 0 });
    let mut stranger = good.clone();
    stranger.holders[2].0 = 7;
    check(&[stranger], Unsound::Member(7));
    let known = state.clone().after(&rules, &header, std::slice::from_ref(&good)).unwrap();
    assert_eq!(rules.check_held(&known, &header, std::slice::from_ref(&good)), Err(Unsound::Repeated(2)));
    let close = rules.close(0);
    let at = |height| Header { height, ..header.clone() };
    assert_eq!(rules.check_held(&state, &at(close), std::slice::from_ref(&good)), Ok(()));
    assert_eq!(rules.check_held(&state, &at(close + 1), &[good]), Err(Unsound::Closed { close }));
    assert!(close < EPOCH_BLOCKS - 2, "the last block's seed is still unknown");
}

/// `authors` report `silent` in the blocks of the segments `reported`; the bench in force in segments 1 to 7.
fn benched(n: u64, reported: &[usize], authors: &[usize], silent: &[usize]) -> Vec<Vec<usize>> {
    let rules = rules(n);
    let segment = rules.segment_blocks();
    let (mut state, mut tip) = (initial(usize::try_from(n).unwrap()), None);
    let mut after = Vec::new();
    for part in 0..7 {
        let count = if part == 0 { segment - 1 } else { segment };
        run(&rules, &mut state, &mut tip, count, |header| {
            let author = rules.members.position(&header.author).unwrap();
            if reported.contains(&part) && authors.contains(&author) {
                header.bench_report = silent.iter().copied().collect::<Indices>().0;
            }
        });
        after.push(state.bench.iter().collect());
    }
    after
}

#[test]
fn reports_by_a_quorum_bench_one_segment_later() {
    let none: [usize; 0] = [];
    let nobody = vec![none; 7];
    // Reports of segment 0 are judged with those of 0 to 3, and decide 2 to 5.
    let only = |bench: &'static [usize]| [&[], bench, bench, bench, bench, &[], &[]].map(<[_]>::to_vec);
    assert_eq!(benched(4, &[0], &[0, 1, 2], &[3]), only(&[3]));
    assert_eq!(benched(4, &[0], &[0, 1, 2], &[2, 3]), only(&[2]), "at most f; ties by index");
    assert_eq!(benched(7, &[0], &[0, 1, 2, 3, 4], &[1, 5, 6]), only(&[1, 5]));
    assert_eq!(benched(4, &[0, 1, 2, 3, 4, 5, 6], &[0, 1], &[3]), nobody, "two liars of four bench nobody");
    assert_eq!(benched(3, &[0], &[0, 1, 2], &[2]), nobody, "no faults are tolerated, nobody is benched");
    assert_eq!(benched(4, &[3], &[0, 1, 2], &[3])[4..], [vec![3], vec![3], vec![3]]);
}

#[test]
fn reports_of_several_segments_count_together_and_each_author_once() {
    let rules = rules(4);
    // In each of the segments, this author alone reports member 3; the bench after them.
    let after = |authors: &[usize]| {
        let (mut state, mut tip) = (initial(4), None);
        for (part, reporter) in authors.iter().enumerate() {
            let count = rules.segment_blocks() - u64::from(part == 0);
            run(&rules, &mut state, &mut tip, count, |header| {
                if rules.members.position(&header.author) == Some(*reporter) {
                    header.bench_report = [3].into_iter().collect::<Indices>().0;
                }
            });
        }
        state.bench_next.iter().collect::<Vec<_>>()
    };
    assert_eq!(after(&[0, 1, 2]), [3]);
    assert_eq!(after(&[0, 0, 1, 2]), [3]);
    assert_eq!(after(&[0, 1, 0, 1]), [0; 0], "two authors, however often");
    assert_eq!(after(&[0, 1, 1, 1, 2]), [0; 0], "the first report is five segments old");
}

#[test]
fn who_misses_most_of_its_turns_is_suspended_for_an_epoch() {
    let rules = rules(4);
    let (mut state, mut tip) = (initial(4), None);
    // Member 3 never commits: its views pass.
    let pass = |header: &mut Header| {
        let skips = (u128::from(header.epoch) + u128::from(header.view)) % 4 == 3;
        header.view += u64::from(skips);
    };
    run(&rules, &mut state, &mut tip, EPOCH_BLOCKS - 1, pass);
    assert!(state.misses[3] > 60 && state.misses[..3] == [0; 3], "{:?}", state.misses);
    run(&rules, &mut state, &mut tip, 1, |_| {});
    assert_eq!(state.suspended, [3].into_iter().collect());
    assert_eq!(state.rotation().members, [0, 1, 2]);
    run(&rules, &mut state, &mut tip, EPOCH_BLOCKS, |_| {});
    assert!(state.suspended.is_empty(), "a suspension lasts for one epoch");
}

#[test]
fn long_gaps_are_counted_without_walking_them() {
    let rules = rules(4);
    let mut header = child(&rules, None, 0, 0);
    header.view = u64::MAX;
    let state = initial(4).after(&rules, &header, &[]).unwrap();
    assert_eq!(state.misses, [u32::MAX; 4]);
}

#[test]
fn reports_name_members_only() {
    let rules = rules(4);
    let mut header = child(&rules, None, 0, 0);
    header.bench_report = [4].into_iter().collect::<Indices>().0;
    assert_eq!(initial(4).after(&rules, &header, &[]), Err(Unsound::Report));
}

#[test]
fn every_member_commits_once_per_turn() {
    let rotation = Rotation { members: vec![0, 2, 3] };
    for epoch in 0..4 {
        for turn in 0..5 {
            let views: Vec<u64> = (0..3).map(|place| 3 * turn + place).collect();
            let mut members: Vec<_> = views.iter().map(|view| rotation.committer(epoch, *view)).collect();
            members.sort_unstable();
            assert_eq!(members, [0, 2, 3]);
            assert!(views.iter().all(|view| rotation.turn(*view) == turn));
        }
    }
}

#[test]
fn states_round_trip_and_inconsistent_ones_do_not_decode() {
    let rules = rules(4);
    let (mut state, mut tip) = (initial(4), None);
    run(&rules, &mut state, &mut tip, 5, |header| header.bench_report[0] = 2);
    let part =
        LotteryPart { evidence: vec![7; 90].into(), held: vec![held(&rules, 1, 2, &[0, 1, 3])], state };
    let bytes = part.encode();
    assert_eq!(bytes.len(), part.encode_size());
    assert_eq!(LotteryPart::decode(bytes.clone()).unwrap(), part);
    assert!(bytes.len() < LotteryPart::max_encode_size());
    let mut short = part.state.clone();
    short.misses.pop();
    assert!(Lottery::decode(short.encode()).is_err());
    let mut nobody = part.state;
    nobody.suspended = (0..4).collect();
    assert!(Lottery::decode(nobody.encode()).is_err());
}
