//! Disks that fail, on real files: a node goes on, or ends with one message whose remedy works as it
//! stands there. The others go on, and all agree in the end.

use crate::support::{
    Cluster, Node, PATIENCE, copy_dir, disk, disk::Small, eventually, last_words, load, load::Load,
};
use baton_types::{
    Genesis,
    genesis::{
        Reshare, Settlement,
        settlement::{Confirmation, ForcedQuota, SettledRollup},
    },
    hex::HexArray,
    settlement::DataKind,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// The node whose disk fails.
const VICTIM: usize = 3;
/// Blocks in which a node that has come back shows that it stays.
const STAYS: u64 = 4;

#[derive(Clone, Copy, Debug)]
enum Damage {
    /// The partition is missing.
    Gone,
    /// Of each file the second half is.
    Cut,
    /// Each file begins with another bit.
    Head,
    /// Each file has another bit in its middle.
    Middle,
}

impl Damage {
    fn apply(self, partition: &Path) {
        let files: Vec<_> = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path()).collect();
        for file in &files {
            let mut bytes = fs::read(file).unwrap();
            match self {
                Self::Gone => bytes.clear(),
                Self::Cut => bytes.truncate(bytes.len() / 2),
                Self::Head => bytes[0] ^= 0x10,
                Self::Middle => {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x10;
                }
            }
            fs::write(file, bytes).unwrap();
        }
        if matches!(self, Self::Gone) {
            fs::remove_dir_all(partition).unwrap();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    /// It becomes ready, and stays so.
    Heals,
    /// It ends, names the partition and what to do; with that done it becomes ready.
    Ends,
    /// Either: the damage is where it reads at once, or is not.
    Any,
}

/// Partitions of the data directory by the end of their names, and what becomes of a node whose are damaged.
/// Those of what is under way:
const UNDER_WAY: &[(&str, &[(Damage, Expect)])] = &[
    ("-verified-key", &[(Damage::Head, Expect::Ends), (Damage::Middle, Expect::Any)]),
    ("-verified-value", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends)]),
    ("-verified-metadata", &[(Damage::Gone, Expect::Heals)]),
    ("-notarizations-key", &[(Damage::Cut, Expect::Any)]),
    ("-notarizations-value", &[(Damage::Cut, Expect::Any)]),
    ("-notarizations-metadata", &[(Damage::Head, Expect::Ends)]),
    ("-notarized-metadata", &[(Damage::Head, Expect::Ends)]),
    ("-certified-metadata", &[(Damage::Head, Expect::Ends)]),
    (
        "mempool",
        &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends), (Damage::Middle, Expect::Any)],
    ),
    ("proofs", &[(Damage::Cut, Expect::Heals), (Damage::Head, Expect::Heals)]),
    ("reshare_events", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends)]),
    ("silent", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends)]),
];

/// Those of the chain.
const CHAIN: &[(&str, &[(Damage, Expect)])] = &[
    ("blocks-key", &[(Damage::Gone, Expect::Ends), (Damage::Cut, Expect::Ends)]),
    ("blocks-metadata", &[(Damage::Gone, Expect::Ends), (Damage::Head, Expect::Ends)]),
    ("blocks-ordinal", &[(Damage::Cut, Expect::Ends), (Damage::Middle, Expect::Any)]),
    ("blocks-table", &[(Damage::Cut, Expect::Ends)]),
    ("blocks-value", &[(Damage::Gone, Expect::Ends), (Damage::Middle, Expect::Any)]),
    ("finalizations-key", &[(Damage::Head, Expect::Ends)]),
    ("finalizations-metadata", &[(Damage::Gone, Expect::Ends)]),
    ("finalizations-ordinal", &[(Damage::Gone, Expect::Ends)]),
    ("finalizations-table", &[(Damage::Head, Expect::Ends)]),
    ("finalizations-value", &[(Damage::Cut, Expect::Ends)]),
    (
        "history-nodes-blobs",
        &[(Damage::Gone, Expect::Any), (Damage::Cut, Expect::Any), (Damage::Head, Expect::Ends)],
    ),
    ("history-nodes-metadata", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends)]),
    ("history-pins", &[(Damage::Head, Expect::Ends)]),
    ("joined", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends)]),
    ("marshal-application-metadata", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends)]),
    ("marshal-cache-metadata", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends)]),
];

/// What a node has instead that keeps a window of the chain.
const WINDOW: &[(&str, &[(Damage, Expect)])] = &[
    ("blocks-window-key", &[(Damage::Head, Expect::Ends)]),
    ("blocks-window-value", &[(Damage::Gone, Expect::Any), (Damage::Head, Expect::Ends)]),
    ("finalizations-window-metadata", &[(Damage::Head, Expect::Ends)]),
    ("history-window-nodes-blobs", &[(Damage::Head, Expect::Ends)]),
    ("window", &[(Damage::Head, Expect::Ends)]),
];

/// What a node has of an EVM rollup, and of one that settles on L1.
const ROLLUPS: &[(&str, &[(Damage, Expect)])] = &[
    ("batches-1", &[(Damage::Gone, Expect::Heals), (Damage::Head, Expect::Ends), (Damage::Cut, Expect::Any)]),
    ("evm-2-metadata", &[(Damage::Head, Expect::Any), (Damage::Gone, Expect::Any)]),
    ("evm-2-progress", &[(Damage::Head, Expect::Any), (Damage::Gone, Expect::Any)]),
];

/// Partitions whose names are `baton…` and end like this.
pub fn partitions(node: &Node, end: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(node.storage()).unwrap().map(|entry| entry.unwrap().path());
    let (end, any) = end.strip_suffix('*').map_or((end, false), |end| (end, true));
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = if end.starts_with('-') { name } else { name.strip_prefix("baton-").unwrap_or("") };
        name == end || (any && name.starts_with(end)) || (end.starts_with('-') && name.ends_with(end))
    };
    let has_files = |path: &PathBuf| fs::read_dir(path).is_ok_and(|mut files| files.next().is_some());
    names.filter(fits).filter(has_files).collect()
}

/// Kills a running node when it has such a partition: those of a fresh epoch come with its first blocks.
fn killed_with(node: &mut Node, flags: &[&str], end: &str) -> Vec<PathBuf> {
    let found = eventually(PATIENCE, || {
        let running = partitions(node, end);
        if running.is_empty() {
            return None;
        }
        node.kill();
        let found = partitions(node, end);
        if found.is_empty() {
            node.start(flags);
            return None;
        }
        Some(found)
    });
    found.unwrap_or_else(|| panic!("no partition {end}\n{}", node.log_text()))
}

/// None when it is ready, else what it said when it ended.
fn settles(node: &mut Node) -> Option<String> {
    // It may have the whole chain to fetch.
    let settled = eventually(3 * PATIENCE, || {
        if node.process.as_mut().unwrap().exits(Duration::ZERO).is_some() {
            return Some(Some(last_words(&node.log_text())));
        }
        matches!(node.readiness(), Some(Ok(()))).then_some(None)
    });
    settled.unwrap_or_else(|| panic!("neither ready nor ended: {:?}\n{}", node.readiness(), node.log_text()))
}

/// Does what a message says between its quotes, as an operator would.
fn follow(said: &str) {
    let command = said.split('`').nth(1).unwrap_or_else(|| panic!("no remedy: {said}"));
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

fn stays(node: &Node) {
    node.advances(STAYS);
}

/// Starts the damaged node and sees what becomes of it. In the end it is ready.
fn damaged(node: &mut Node, flags: &[&str], name: &str, damage: Damage, expect: Expect) {
    let partitions = killed_with(node, flags, name);
    partitions.iter().for_each(|partition| damage.apply(partition));
    node.start(flags);
    let what = format!("{name} {damage:?}");
    match expect {
        Expect::Heals => match settles(node) {
            None => stays(node),
            Some(said) => panic!("{what}: {said}"),
        },
        Expect::Ends | Expect::Any => {
            let Some(said) = settles(node) else {
                assert!(matches!(expect, Expect::Any), "{what}: nothing noticed\n{}", node.log_text());
                // Or a later case would find it.
                if !matches!(damage, Damage::Gone) {
                    damaged(node, flags, name, Damage::Gone, Expect::Any);
                }
                return;
            };
            node.process = None;
            let names = |partition: &PathBuf| {
                let group = name.split('-').find(|part| !part.is_empty()).unwrap();
                said.contains(partition.to_str().unwrap()) || said.contains(&format!("/baton-{group}"))
            };
            assert!(partitions.iter().any(names), "{what}: {said}");
            assert!(said.contains("is damaged"), "{what}: {said}");
            follow(&said);
            node.start(flags);
            if let Some(again) = settles(node) {
                panic!("{what}: the remedy of {said:?} did not help: {again}");
            }
            stays(node);
        }
    }
}

fn try_all(node: &mut Node, flags: &[&str], table: &[(&str, &[(Damage, Expect)])], ways: usize) {
    for (name, cases) in table {
        for (damage, expect) in cases.iter().take(ways) {
            damaged(node, flags, name, *damage, *expect);
        }
    }
}

/// Every kind of file of a table, one after the other on a directory that lives on: each damaged in one way, or in
/// all of the table with `BATON_EVERY_WAY=1`, which takes minutes more.
fn heal_or_are_named(
    table: &[(&str, &[(Damage, Expect)])],
    flags: &[&str],
    change: impl FnOnce(&mut Genesis),
) {
    let ways = if std::env::var_os("BATON_EVERY_WAY").is_some() { usize::MAX } else { 1 };
    let mut cluster = Cluster::prepare(4, |genesis| {
        genesis.epoch_blocks = 30;
        // Many cases fetch the whole chain again.
        genesis.timing.block_interval_min_ms = 200;
        change(genesis);
    });
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    let load = Load::on(&cluster.nodes[..VICTIM], Duration::from_millis(150));
    // What the victim accepts may go with its journal: it is there to be damaged.
    let lost = Load::on(&cluster.nodes[VICTIM..], Duration::from_millis(150));
    let victim = &mut cluster.nodes[VICTIM];
    // Some epochs on, so that shares and votes of the first are gone.
    victim.reaches(100);
    if !flags.is_empty() {
        victim.kill();
        victim.start(flags);
        victim.becomes_ready();
    }
    try_all(victim, flags, table, ways);
    drop(lost.stop());
    let accepted = load.stop();
    load::check(&cluster, &accepted);
    cluster.nodes.iter_mut().for_each(Node::stop);
}

#[test]
fn damaged_files_of_what_is_under_way_heal_or_are_named_with_what_helps() {
    heal_or_are_named(UNDER_WAY, &[], |_| ());
}

#[test]
fn damaged_files_of_the_chain_heal_or_are_named_with_what_helps() {
    heal_or_are_named(CHAIN, &[], |_| ());
}

#[test]
fn damaged_files_of_a_window_heal_or_are_named_with_what_helps() {
    heal_or_are_named(WINDOW, &["--set", "storage.history=50000"], |_| ());
}

/// Nobody watches L1 here: batches are made and signed all the same.
#[test]
fn damaged_files_of_rollups_heal_or_are_named_with_what_helps() {
    heal_or_are_named(ROLLUPS, &[], |genesis| {
        let address = |byte: u8| HexArray([byte; 20]);
        let (rollup, inbox, queue) = (1, address(1), address(2));
        genesis.l1 = Some(Box::new(Settlement {
            chain_id: 31_337,
            registry: address(0xaa),
            start_block: 0,
            confirmation: Confirmation::Depth(2),
            origin_wait_ms: 1_000,
            origin_slack: 6,
            slot_seconds: 12,
            data: DataKind::Directory,
            batch_bytes_target: 4_096,
            batch_age_ms_max: 1_500,
            forced: ForcedQuota { entries_max: 8, bytes_max: 128 * 1_024 },
            rollups: vec![SettledRollup { rollup, inbox, queue, first_height: 1 }],
        }));
    });
}

/// A node whose votes are missing is told by its peers, does not vote until the next epoch, and says why. Nothing
/// is final meanwhile, because another member is down.
#[test]
fn a_damaged_vote_journal_silences_its_node_until_the_next_epoch() {
    let mut cluster = Cluster::prepare(4, |genesis| genesis.epoch_blocks = 30);
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    for damage in [Damage::Gone, Damage::Cut, Damage::Head, Damage::Middle] {
        cluster.nodes[VICTIM].advances(5);
        cluster.nodes[0].kill();
        let victim = &mut cluster.nodes[VICTIM];
        victim.kill();
        let journals = partitions(victim, "orchestrator_consensus_*");
        journals.iter().for_each(|journal| damage.apply(journal));
        victim.start(&[]);
        victim.becomes_unready("are not on its vote journal: following, not voting, until the next epoch");
        assert_eq!(victim.metric("node_votes_lost_total"), 1, "{damage:?}");
        cluster.nodes[0].start(&[]);
        cluster.nodes[VICTIM].becomes_ready();
    }
    load::check(&cluster, &std::collections::BTreeSet::new());
}

/// Shares that are lost come back with the next reshare: of damaged secrets, of an empty disk, and of a member
/// that was set back to an old copy.
#[test]
fn a_member_without_its_share_or_its_votes_is_silent_and_gets_a_new_one() {
    let mut cluster = Cluster::prepare(4, |genesis| {
        genesis.reshare = Reshare::EveryEpoch;
        genesis.epoch_blocks = 24;
        genesis.timing.idle_ms = 100;
    });
    cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    let load = Load::on(&cluster.nodes[..VICTIM], Duration::from_millis(150));
    let no_share = "no share of the key in epoch";
    let victim = &mut cluster.nodes[VICTIM];
    victim.reaches(30);
    for (name, damage) in [("orchestrator-marker", Damage::Head), ("secrets", Damage::Gone)] {
        victim.kill();
        partitions(victim, name).iter().for_each(|partition| damage.apply(partition));
        victim.start(&[]);
        if matches!(damage, Damage::Head) {
            let status = victim.process.as_mut().unwrap().exits(PATIENCE).expect("it goes on");
            let said = last_words(&victim.log_text());
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.contains("/storage/baton-orchestrator-marker/"), "{said}");
            follow(&said);
            victim.start(&[]);
        }
        victim.becomes_unready(no_share);
        victim.becomes_ready();
    }

    // A copy from a moment ago: whole, and older than what it has said since.
    let copy = cluster.dir.path().join("copy");
    let victim = &mut cluster.nodes[VICTIM];
    victim.kill();
    copy_dir(&victim.data(), &copy);
    victim.start(&[]);
    victim.becomes_ready();
    stays(victim);
    victim.kill();
    fs::remove_dir_all(victim.data()).unwrap();
    copy_dir(&copy, &victim.data());
    victim.start(&[]);
    let silent = || {
        let log = victim.log_text();
        let lost = log.contains("peers have a vote of this node that is not on its vote journal");
        (lost || log.contains("the others have left this epoch: not voting in it")).then_some(())
    };
    assert!(eventually(PATIENCE, silent).is_some(), "it votes with an old journal\n{}", victim.log_text());
    victim.becomes_ready();

    // An empty disk.
    victim.kill();
    fs::remove_dir_all(victim.data()).unwrap();
    victim.start(&[]);
    victim.becomes_unready(no_share);
    victim.becomes_ready();

    let accepted = load.stop();
    load::check(&cluster, &accepted);
}

/// A disk of a few megabytes beside those of the others.
#[test]
fn a_full_disk_ends_one_node_and_room_brings_it_back() {
    let mut cluster = Cluster::prepare(4, |_| ());
    let disk = Small::new(&cluster.nodes[VICTIM].data(), 64);
    let flags = ["--set", "storage.free_bytes_min=33554432"];
    cluster.nodes[..VICTIM].iter_mut().for_each(|node| node.start(&[]));
    cluster.nodes[VICTIM].start(&flags);
    cluster.nodes.iter_mut().for_each(Node::becomes_ready);
    let load = Load::start(&cluster, Duration::from_millis(100));
    disk.fill(cluster.nodes[VICTIM].pid(), 4);
    let victim = &mut cluster.nodes[VICTIM];
    if disk.is_a_disk() {
        victim.becomes_unready("the disk is nearly full");
    }
    let status = victim.process.as_mut().unwrap().exits(PATIENCE).expect("it writes on a full disk");
    let said = last_words(&victim.log_text());
    assert_eq!(status.code(), Some(1), "{said}");
    let data = victim.data().display().to_string();
    for part in [&data, disk.message()] {
        assert!(said.contains(part), "{part:?}: {said}");
    }
    victim.process = None;
    // The others do not need it.
    cluster.nodes[0].advances(20);
    disk.make_room();
    let victim = &mut cluster.nodes[VICTIM];
    victim.start(&flags);
    victim.becomes_ready();
    let accepted = load.stop();
    load::check(&cluster, &accepted);
    cluster.nodes.iter_mut().for_each(Node::stop);
}

/// Of one chain and one process, and one that can be written.
#[test]
fn a_data_directory_that_is_not_this_nodes_own_is_refused() {
    let other = Cluster::prepare(1, |genesis| genesis.network.id += 1).genesis;
    let mut cluster = Cluster::prepare(1, |_| ());
    let node = &mut cluster.nodes[0];
    node.start(&[]);
    node.becomes_ready();
    let data = node.data();

    // A second process has its own ports, and the same directory.
    let mut second = node.command(&["--rpc-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let second = second.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(last_words(&said).contains("is in use by another process; stop it first"), "{said}");
    stays(node);
    node.stop();

    let genesis = cluster.dir.path().join("genesis.json");
    let ours = fs::read(&genesis).unwrap();
    fs::write(&genesis, other.to_json()).unwrap();
    let said = node.fails_to_start(&[]);
    assert!(said.contains("use that chain's genesis or another data_dir"), "{said}");
    fs::write(&genesis, ours).unwrap();

    let chain = data.join("CHAIN");
    let text = fs::read_to_string(&chain).unwrap();
    for (damaged, expect) in [(Some("0x"), "CHAIN is damaged"), (None, "CHAIN is missing")] {
        match damaged {
            Some(damaged) => fs::write(&chain, damaged).unwrap(),
            None => fs::remove_file(&chain).unwrap(),
        }
        let said = node.fails_to_start(&[]);
        assert!(said.contains(expect) && said.contains(text.trim()), "{said}");
    }
    fs::write(&chain, text).unwrap();

    // As little as it needs to say so.
    let limited = ["-c", "ulimit -f 2048; exec \"$0\" \"$@\""];
    let mut command = Command::new("sh");
    let program = node.command(&[]);
    command.args(limited).arg(program.get_program()).args(program.get_args()).env("RUST_BACKTRACE", "0");
    fs::remove_dir_all(&data).unwrap();
    let said = command.stdin(Stdio::null()).output().unwrap();
    let said = last_words(&String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("may not become larger. Raise the limit"), "{said}");
    assert!(said.contains(data.to_str().unwrap()), "{said}");
}

/// A node that keeps a window and has nothing yet waits for others, for as long as it takes. It still ends when
/// it is told to.
#[test]
fn a_node_that_waits_for_others_ends_when_told() {
    let mut cluster = Cluster::prepare(4, |_| ());
    let node = &mut cluster.nodes[0];
    node.start(&["--set", "storage.history=50000"]);
    let waits = || node.log_text().contains("network started").then_some(());
    assert!(eventually(PATIENCE, waits).is_some(), "{}", node.log_text());
    node.stop();
    assert!(node.log_text().contains("stopping before the node has started"), "{}", node.log_text());
}

/// Nothing there can be written.
#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let mut cluster = Cluster::prepare(1, |_| ());
    let node = &mut cluster.nodes[0];
    node.start(&[]);
    node.becomes_ready();
    node.stop();
    let data = node.data();
    let closed = fs::Permissions::from_mode(0o500);
    let open = fs::metadata(&data).unwrap().permissions();
    fs::set_permissions(&data, closed).unwrap();
    // The superuser may write it all the same, unless its file system is read-only.
    let mounted = fs::write(data.join("probe"), "").is_ok().then(|| disk::read_only(&data));
    let said = node.fails_to_start(&[]);
    assert!(said.contains(&format!("writing {}", data.join("LOCK").display())), "{said}");
    let expect = if mounted.is_some() { "Mount it for writing" } else { "chown -R" };
    assert!(said.contains(expect), "{said}");
    drop(mounted);
    fs::set_permissions(&data, open).unwrap();
    node.start(&[]);
    node.becomes_ready();
}
