use super::*;

fn block(member: usize, height: u64) -> Entry {
    Entry::Final { member, height, epoch: 0, view: height + 1, transactions: 5 }
}

#[test]
fn one_line_per_event() {
    let nullify = |member| Entry::Nullify { member, epoch: 0, view: 3 };
    let entries = [
        (0, Entry::Started { member: 0 }),
        (1_000, block(1, 1)),
        (1_004, Entry::Fault("Crash(2)".into())),
        (1_005, Entry::Ended { member: 2, cause: "crashed".into() }),
        (1_007, block(0, 1)),
        (1_500, nullify(0)),
        (1_520, nullify(1)),
        (1_530, nullify(1)),
        (1_600, block(0, 2)),
        (61_002, block(2, 1)),
        (61_003, block(2, 2)),
        (61_004, Entry::Violation("lost".into())),
    ];
    let expect = "    0.000 s  member 0 started
    1.000 s  block 1 (view 0/2, 5 tx) final on 1 (+0) 0 (+7)
    1.004 s  FAULT Crash(2)
    1.005 s  member 2 ended: crashed
    1.500 s  view 0/3 given up by 0 (+0) 1 (+20)
    1.600 s  block 2 (view 0/3, 5 tx) final on 0 (+0)
   61.002 s  member 2 catches up blocks 1 to 2
   61.004 s  VIOLATION lost
";
    assert_eq!(render(&entries), expect);
}
