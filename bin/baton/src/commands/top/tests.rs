use super::{board::Board, draw::draw};
use baton_types::{
    api::{BlockEvent, ClusterView, MemberSight, MempoolView, SecondView, StatusView},
    receipt::Rung,
};
use ratatui::{Terminal, backend::TestBackend};

const NOW: u64 = 1_700_000_010_000;

fn cluster() -> ClusterView {
    let member = |index| MemberSight {
        index,
        connected: Some(true),
        voting: true,
        last_vote_view: Some(1_234),
        benched: false,
        suspended: false,
        clock_ahead_ms: None,
    };
    ClusterView {
        time_ms: NOW,
        status: StatusView {
            version: "0.1.0".into(),
            network: "devnet".into(),
            network_id: 7,
            chain: "0x00".into(),
            group_key: "0x00".into(),
            index: 2,
            identity: "0x00".into(),
            members: 4,
            quorum: 3,
            faults: 1,
            ready: true,
            reason: None,
            epoch: 3,
            view: 1_235,
            lowest_height: 0,
            finalized_height: 56_789,
            finalized_hash: "0x00".into(),
            finalized_time_ms: NOW,
            uptime_ms: 1,
            mempool_transactions: 42,
        },
        mempool: MempoolView { transactions: 42, bytes: 1, bytes_max: 2, rollups: Vec::new() },
        executions: Vec::new(),
        members: (0..4).map(member).collect(),
    }
}

fn event(height: u64, rung: Rung, time_ms: u64) -> BlockEvent {
    BlockEvent {
        rung,
        height,
        hash: format!("0x{height:064x}"),
        epoch: 3,
        view: height,
        committer: 1,
        author: 3,
        timestamp_ms: time_ms,
        time_ms,
        transactions: 5,
        bytes: 900,
        voters: vec![0, 1, 3],
        ids: None,
    }
}

fn screen(board: &Board, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, board)).unwrap();
    terminal.backend().to_string()
}

fn board() -> Board {
    let mut board = Board::new("http://node");
    board.cluster(cluster());
    for second in 0..8 {
        let start = NOW - 9_000 + 1_000 * second;
        board.block(&event(100 + second, Rung::Proposed, start));
        board.block(&event(100 + second, Rung::Notarized, start + 40));
        board.block(&event(100 + second, Rung::Finalized, start + 90));
    }
    board.block(&event(108, Rung::Proposed, NOW));
    board
}

#[test]
fn the_board_shows_the_cluster() {
    let text = screen(&board(), 100, 30);
    for part in [
        "● ready devnet · node 2 of 4",
        "56,789",
        "90 ms",
        "0.8 /s",
        "4.0 /s",
        "3, 1,235",
        "commits",
        "drawn, builds",
        "2 *",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let line =
        |height: &str| text.lines().find(|line| line.contains(&format!("│{height} "))).unwrap().to_owned();
    assert!(line("108").contains("proposed"), "{text}");
    assert!(line("107").contains("finalized") && line("107").contains("90 ms"), "{text}");
}

#[test]
fn charts_begin_with_what_was_before() {
    let mut board = board();
    let second = |before: u64, blocks, transactions, finality_ms| SecondView {
        time_ms: NOW - 1_000 * before,
        blocks,
        transactions,
        finality_ms,
    };
    // Twenty seconds ago; a second of which the board saw less; and one of which it saw as much.
    board.last_minute(&[second(20, 9, 90, Some(70)), second(9, 2, 10, Some(80)), second(8, 1, 99, None)]);
    let (finality, transactions) = board.charts();
    assert_eq!((finality[40], transactions[40]), (70, 90));
    assert_eq!((finality[51], transactions[51]), (80, 10));
    assert_eq!((finality[52], transactions[52]), (90, 5));
    assert_eq!(transactions.len(), 60);
}

#[test]
fn a_dead_member_and_a_node_that_is_away_show() {
    let mut board = board();
    let mut view = cluster();
    view.members[3].connected = Some(false);
    view.members[0].voting = false;
    view.members[1].benched = true;
    (view.status.ready, view.status.reason) = (false, Some("no quorum".into()));
    board.cluster(view);
    let text = screen(&board, 100, 30);
    for part in ["gone", "silent", "benched", "● not ready devnet · node 2 of 4 · no quorum"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    board.lost = Some("connection refused".into());
    assert!(screen(&board, 100, 30).contains("● away connection refused; trying again"));
}

#[test]
fn any_terminal_will_do() {
    for (width, height) in [(1, 1), (20, 5), (40, 12), (250, 90)] {
        screen(&board(), width, height);
        screen(&Board::new("http://node"), width, height);
    }
}

#[test]
fn a_long_run_keeps_little() {
    let mut board = Board::new("http://node");
    for height in 0..10_000 {
        board.block(&event(height, Rung::Proposed, 100 * height));
        // A block that loses leaves with the one that wins.
        let mut other = event(height, Rung::Proposed, 100 * height);
        other.hash.push('f');
        board.block(&other);
        board.block(&event(height, Rung::Finalized, 100 * height + 50));
    }
    // One place may go to a block that has lost since.
    assert!((63..=64).contains(&board.rows.len()), "{} rows", board.rows.len());
    assert!(board.rows.iter().all(|row| row.event.rung == Rung::Finalized));
    assert!(board.rows.iter().map(|row| row.event.height).is_sorted_by(|one, next| one > next));
    assert_eq!(board.charts().0.len(), 0, "no clock of the node yet");
}
