//! Who posts, among posters that know of each other only what L1 shows.
//!
//! - **Others first**: a batch waits `patience` before this poster sends it. One with less patience is before this one.
//! - **Taken over**: whoever had to post after all goes on without waiting, as long as nobody else posts: a backlog would
//!   grow otherwise.
//! - **Given back**: at the first batch of another poster. Until then both may send the same batch, and one pays for a
//!   refused transaction.
//! - **A term**: one that comes back and loses every such race still gets its turn, because the others come first again
//!   after [`TERM`] times the patience.

use std::time::{Duration, Instant};

/// With the one before it gone, a poster waits for a ninth of the time.
const TERM: u32 = 8;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    /// Since when the batch at this index could be posted.
    since: Option<(u64, Instant)>,
    /// Behind the newest batch of this poster, and until when it goes on.
    held: Option<(u64, Instant)>,
}

impl Lease {
    /// How long others may still go first with this batch.
    pub fn others_first(&mut self, index: u64, patience: Duration, now: Instant) -> Option<Duration> {
        // Below it after a reorg: the same batches are posted again.
        self.held.take_if(|(next, until)| index > *next || now >= *until);
        if self.held.is_some() {
            return None;
        }
        let since = match self.since {
            Some((known, since)) if known == index => since,
            _ => self.since.insert((index, now)).1,
        };
        patience.checked_sub(now.duration_since(since)).filter(|rest| !rest.is_zero())
    }

    /// L1 has a batch of this poster; `next` is behind it.
    pub fn posted(&mut self, next: u64, patience: Duration, now: Instant) {
        let until = self.held.map_or(now + patience * TERM, |(_, until)| until);
        self.held = Some((next, until));
    }

    /// L1 has a batch of another poster where this one wanted to put its own.
    pub fn lost(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    /// Of a block of L1.
    const BLOCK: Duration = Duration::from_secs(2);

    /// A poster that is alone from batch `from` to batch `to`, each a block of L1 later. Time spent waiting.
    fn alone(lease: &mut Lease, from: u64, to: u64, now: &mut Instant) -> Duration {
        let mut waited = Duration::ZERO;
        for index in from..to {
            while let Some(rest) = lease.others_first(index, PATIENCE, *now) {
                *now += rest;
                waited += rest;
            }
            *now += BLOCK;
            lease.posted(index + 1, PATIENCE, *now);
        }
        waited
    }

    #[test]
    fn one_that_took_over_goes_on_without_waiting() {
        let (mut lease, mut now) = (Lease::default(), Instant::now());
        assert_eq!(alone(&mut lease, 0, 30, &mut now), PATIENCE);
    }

    #[test]
    fn the_others_come_first_again_when_its_term_is_over() {
        let (mut lease, mut now) = (Lease::default(), Instant::now());
        // Forty blocks of L1 to a term.
        assert_eq!(alone(&mut lease, 0, 200, &mut now), 5 * PATIENCE);
    }

    #[test]
    fn a_batch_of_another_gives_the_lease_back() {
        let (mut lease, mut now) = (Lease::default(), Instant::now());
        alone(&mut lease, 0, 3, &mut now);
        assert_eq!(lease.others_first(3, PATIENCE, now), None);
        // Batch 3 was another's, and so is every one that comes in time.
        for index in 4..10 {
            assert_eq!(lease.others_first(index, PATIENCE, now), Some(PATIENCE));
            now += PATIENCE / 2;
            assert_eq!(lease.others_first(index, PATIENCE, now), Some(PATIENCE / 2));
        }
        // It is gone once more.
        assert_eq!(alone(&mut lease, 10, 13, &mut now), PATIENCE);
    }

    #[test]
    fn a_lost_race_gives_the_lease_back() {
        let (mut lease, mut now) = (Lease::default(), Instant::now());
        alone(&mut lease, 0, 3, &mut now);
        lease.lost();
        assert_eq!(lease.others_first(3, PATIENCE, now), Some(PATIENCE));
        // Without patience nothing is to be lost.
        let mut first = Lease::default();
        first.lost();
        assert_eq!(first.others_first(3, Duration::ZERO, now), None);
    }

    #[test]
    fn what_a_reorg_drops_is_posted_again_without_waiting() {
        let (mut lease, mut now) = (Lease::default(), Instant::now());
        alone(&mut lease, 0, 5, &mut now);
        assert_eq!(alone(&mut lease, 2, 6, &mut now), Duration::ZERO);
    }
}
