//! What can go wrong, and how it is done to a cluster.

use crate::{
    cluster::{Cluster, LinkSpec},
    disk::Damage,
    l1::L1Action,
};
use std::fmt;

/// A fault, or its end. One that does not apply (a crash of a member that is down) has no effect, so
/// that any part of a scenario's events is a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process dies. What it had not synced fares as the scenario's `unsynced` says.
    Crash(usize),
    Restart(usize),
    CrashAll,
    RestartAll,
    /// The process dies at the write or sync after so many more, before it is done or after.
    CrashAtWrite(usize, u64),
    /// Starts a member that is down, and it dies at the write or sync after so many.
    RestartToDie(usize, u64),
    /// The process dies and its disk is replaced by an empty one.
    Wipe(usize),
    /// Damages the partitions of a member that is down whose names contain this.
    Rot(usize, &'static str, Damage),
    /// Copies the member's disk.
    Copy(usize),
    /// The process dies and its disk is what was copied last, if it was.
    Restore(usize),
    /// The process stands still; messages wait for it.
    Pause(usize),
    Resume(usize),
    /// Cuts these members off from the others.
    Partition(Vec<usize>),
    /// Nothing gets from the first to the second any more. The other direction stays.
    Cut(usize, usize),
    /// Ends partitions and cuts.
    Heal,
    /// All links.
    Link(LinkSpec),
    /// Of so many messages one comes again, and an old one with it; 0 for none.
    Replay(u64),
    /// Messages from and to the member take so many ms longer.
    Slow(usize, u64),
    /// The member sends no more than so many bytes a second, or as many as it likes.
    Uplink(usize, Option<usize>),
    /// The member's clock is so many ms ahead, from now on.
    Skew(usize, i64),
    /// Syncs and reads of the member's disk take so many ms.
    SlowDisk(usize, u64),
    /// Writes fail from now on, or no longer. The process is expected to end.
    FullDisk(usize, bool),
    /// Reads fail from now on, or no longer. The process is expected to end, or to go on without what it could
    /// not read.
    UnreadableDisk(usize, bool),
    /// Syncs do nothing from now on. No node survives that; it shows that the properties can fail.
    LyingDisk(usize),
    /// On L1, where the cluster settles.
    L1(L1Action),
}

impl Action {
    /// Does it. Whoever wipes a member has to forget what that member alone had promised.
    pub async fn apply(&self, cluster: &mut Cluster) {
        let all = 0..cluster.members.len();
        match self {
            Self::Crash(index) => cluster.crash(*index),
            Self::Restart(index) => restart(cluster, *index).await,
            Self::CrashAll => all.for_each(|index| cluster.crash(index)),
            Self::RestartAll => {
                for index in all {
                    restart(cluster, index).await;
                }
            }
            Self::CrashAtWrite(index, writes) => {
                cluster.members[*index].disk.set(|faults| faults.dies_after = Some(*writes));
            }
            Self::RestartToDie(index, writes) => {
                if cluster.members[*index].running.is_none() {
                    restart(cluster, *index).await;
                    cluster.members[*index].disk.set(|faults| faults.dies_after = Some(*writes));
                }
            }
            Self::Wipe(index) => cluster.wipe(*index),
            Self::Rot(index, part, damage) => {
                let member = &cluster.members[*index];
                if member.running.is_none() {
                    member.disk.rot(part, *damage);
                }
            }
            Self::Copy(index) => cluster.members[*index].disk.copy(),
            Self::Restore(index) => cluster.restore(*index),
            Self::Pause(index) => cluster.members[*index].pause(true),
            Self::Resume(index) => cluster.members[*index].pause(false),
            Self::Partition(side) => cluster.partition(side).await,
            Self::Cut(from, to) => cluster.cut(*from, *to).await,
            Self::Heal => cluster.heal().await,
            Self::Link(link) => cluster.set_link(*link).await,
            Self::Replay(every) => cluster.replays.every(*every),
            Self::Slow(index, ms) => cluster.slow(*index, *ms).await,
            Self::Uplink(index, bytes_per_s) => cluster.limit_uplink(*index, *bytes_per_s).await,
            Self::Skew(index, ms) => cluster.members[*index].set_skew(*ms),
            Self::SlowDisk(index, ms) => {
                cluster.members[*index].disk.set(|faults| faults.latency_ms = *ms);
            }
            Self::FullDisk(index, full) => cluster.members[*index].disk.set(|faults| faults.full = *full),
            Self::UnreadableDisk(index, unreadable) => {
                cluster.members[*index].disk.set(|faults| faults.unreadable = *unreadable);
            }
            Self::LyingDisk(index) => cluster.members[*index].disk.set(|faults| faults.lies = true),
            Self::L1(action) => cluster.on_l1(*action),
        }
    }
}

async fn restart(cluster: &mut Cluster, index: usize) {
    cluster.members[index].disk.set(|faults| faults.dies_after = None);
    cluster.start(index).await;
}

/// Ends all faults: every member runs, on links and disks as they were at the start.
pub async fn end_all(cluster: &mut Cluster, link: LinkSpec, disk_ms: u64) {
    cluster.set_link(link).await;
    cluster.heal().await;
    cluster.replays.every(0);
    cluster.on_l1(L1Action::Clear);
    for index in 0..cluster.members.len() {
        cluster.slow(index, 0).await;
        cluster.limit_uplink(index, None).await;
        let member = &cluster.members[index];
        member.set_skew(0);
        member.pause(false);
        member.disk.set(|faults| {
            faults.latency_ms = disk_ms;
            faults.full = false;
            faults.unreadable = false;
            faults.dies_after = None;
        });
        cluster.start(index).await;
    }
}

/// As Rust source, within `Action::…`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(side) => write!(f, "Partition(vec!{side:?})"),
            Self::Rot(index, part, damage) => write!(f, "Rot({index}, {part:?}, Damage::{damage:?})"),
            Self::L1(action) => write!(f, "L1(L1Action::{action})"),
            other => write!(f, "{other:?}"),
        }
    }
}
