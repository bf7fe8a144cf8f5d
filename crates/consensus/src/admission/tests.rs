use super::*;
const MEMBERS: u64 = 4;
const WAIT_MS: u64 = 100;

fn id(byte: u8) -> TxId {
    TxId([byte; 32])
}

const fn payloads(bytes: usize) -> Usage {
    Usage { transactions: 0, bytes }
}

/// Blocks every 50 ms with so much in each, from `from` on.
fn run(admission: &mut Admission, from: u64, blocks: u64, bytes: usize) -> u64 {
    (0..blocks).for_each(|block| admission.finalized(from + 50 * block, payloads(bytes), 0, |_| true));
    from + 50 * blocks
}

/// The room, found by asking.
fn room(admission: &mut Admission, now: u64) -> u64 {
    let (mut below, mut above) = (0, 1 << 40);
    while below + 1 < above {
        let middle = usize::midpoint(below, above);
        match admission.check(now, payloads(middle), payloads(middle)) {
            Ok(()) => below = middle,
            Err(_) => above = middle,
        }
    }
    u64::try_from(above).unwrap()
}

#[test]
fn the_room_is_what_the_cluster_orders_in_the_time_allowed() {
    let mut admission = Admission::new(WAIT_MS, MEMBERS);
    assert_eq!(room(&mut admission, 5_000), ROOM_MIN, "nothing was ever finalized");
    // 80 MB per second.
    let now = run(&mut admission, 10_000, 40, 4_000_000);
    assert_eq!(room(&mut admission, now), 8_000_000);
    // A quiet moment is no slower cluster; quiet for longer, nobody knows.
    let now = run(&mut admission, now, 40, 0);
    assert_eq!(room(&mut admission, now), 8_000_000);
    assert_eq!(room(&mut admission, now + 1_000 * PACES_MAX + 2_000), ROOM_MIN);
    let now = run(&mut admission, now, 20 * PACES_MAX, 0);
    assert_eq!(room(&mut admission, now + 1_000), ROOM_MIN);
}

#[test]
fn small_transactions_count_for_their_work() {
    let mut admission = Admission::new(WAIT_MS, MEMBERS);
    let transactions = usize::try_from(ROOM_MIN / TRANSACTION_BYTES).unwrap();
    let mut check = |transactions| {
        let waiting = Usage { transactions, bytes: 0 };
        admission.check(0, waiting, waiting)
    };
    assert_eq!(check(transactions), Ok(()));
    let refusal = check(transactions + 1).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after_ms), (Reason::Busy, Some(2 * WAIT_MS)));
}

#[test]
fn a_flooded_node_does_not_close_the_doors_of_the_others() {
    let mut admission = Admission::new(WAIT_MS, MEMBERS);
    let room = usize::try_from(ROOM_MIN).unwrap();
    let part = room / usize::try_from(MEMBERS).unwrap();
    for (all, own, taken) in [
        (room - 1, room - 1, true),
        (room, room, false),
        (room, 0, true),
        (3 * room, part - 1, true),
        (room, part, false),
    ] {
        let outcome = admission.check(0, payloads(all), payloads(own));
        assert_eq!(outcome.is_ok(), taken, "{all} bytes wait, {own} of them own");
    }
}

/// Between continents nothing is final within the usual time, and that is no overload.
#[test]
fn a_slow_network_gets_more_time() {
    let mut admission = Admission::new(WAIT_MS, MEMBERS);
    let mut at = run(&mut admission, 10_000, 40, 4_000_000);
    for wait in [900, 400, 700] {
        admission.admitted(at, id(1));
        // Another one meanwhile is not watched.
        admission.admitted(at + 1, id(2));
        admission.finalized(at + wait, payloads(4_000_000), 0, |watched| {
            assert_eq!(*watched, id(1));
            false
        });
        at += wait;
    }
    assert_eq!(admission.wait_ms(), 400 * SHORTEST_TIMES);
    let full = payloads(1 << 40);
    let refusal = admission.check(at, full, full).unwrap_err();
    assert_eq!(refusal.retry_after_ms, Some(600 * 9 / 4));
    // A network that has become slower is believed in time.
    (0..12_000).for_each(|_| admission.finalized(at, payloads(0), 0, |_| true));
    assert!(admission.wait_ms() > 2 * 400 * SHORTEST_TIMES, "{}", admission.wait_ms());
    assert!(admission.blocks.len() <= BLOCKS_MAX + 1 && admission.paces.len() as u64 <= PACES_MAX);
}

/// The more are turned away, the later they are asked to come back.
#[test]
fn a_flood_is_told_to_wait_longer() {
    let mut admission = Admission::new(WAIT_MS, MEMBERS);
    let full = payloads(1 << 40);
    let mut retry = |now, taken: u64, refused: u64| {
        (0..taken).for_each(|_| admission.admitted(now, id(1)));
        let last = (0..refused).map(|_| admission.check(now, full, full).unwrap_err()).last();
        last.unwrap().retry_after_ms.unwrap()
    };
    assert_eq!(retry(5_000, 10, 10), 4 * WAIT_MS / 2);
    assert_eq!(retry(5_100, 0, 20), 16 * WAIT_MS / 2);
    // The second before counts as well, no longer.
    assert_eq!(retry(6_000, 21, 1), 4 * WAIT_MS / 2);
    assert_eq!(retry(7_000, 0, 1), WAIT_MS / 2 * 23 * 23 / (21 * 21));
    assert_eq!(retry(9_000, 0, 1_000), RETRY_MS_MAX, "nothing is taken at all");
}

#[test]
fn catching_up_is_not_the_pace_of_the_cluster() {
    let mut admission = Admission::new(WAIT_MS, MEMBERS);
    (0..2_000).for_each(|block| {
        admission.finalized(10_000 + block, payloads(4_000_000), 2_000 - block, |_| true);
    });
    let now = run(&mut admission, 12_000, 10, 0);
    assert_eq!(room(&mut admission, now), ROOM_MIN);
}
