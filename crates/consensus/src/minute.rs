//! What became final in the last minute, second by second: where charts begin.

use std::collections::VecDeque;

/// Seconds that are kept; the last of them goes on.
pub const SECONDS: usize = 61;
/// Times to finality that are kept of one second.
const TIMES_MAX: usize = 256;

/// What became final in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Unix seconds.
    pub at: u64,
    pub blocks: u64,
    pub transactions: u64,
    /// From proposed to finalized, of blocks that this node saw proposed.
    pub finality_ms: Vec<u64>,
}

/// Oldest first; seconds in which nothing became final are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastMinute(VecDeque<Second>);

impl LastMinute {
    /// `proposed_ms` is 0 where this node did not see the block proposed.
    pub fn finalized(&mut self, now_ms: u64, proposed_ms: u64, transactions: u64) {
        let at = now_ms / 1_000;
        // A clock that is set back does not open a second again.
        if self.0.back().is_none_or(|last| last.at < at) {
            self.0.push_back(Second { at, ..Second::default() });
        }
        while self.0.front().is_some_and(|first| first.at + SECONDS as u64 <= at) {
            self.0.pop_front();
        }
        let Some(last) = self.0.back_mut() else { return };
        last.blocks += 1;
        last.transactions += transactions;
        if proposed_ms != 0 && last.finality_ms.len() < TIMES_MAX {
            last.finality_ms.push(now_ms.saturating_sub(proposed_ms));
        }
    }

    pub fn seconds(&self) -> impl Iterator<Item = &Second> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_in_the_second_they_became_final_in() {
        let mut minute = LastMinute::default();
        minute.finalized(10_100, 10_040, 3);
        minute.finalized(10_900, 0, 4);
        minute.finalized(12_000, 11_950, 5);
        let second = |at, blocks, transactions, finality_ms: &[u64]| Second {
            at,
            blocks,
            transactions,
            finality_ms: finality_ms.to_vec(),
        };
        let expect = [second(10, 2, 7, &[60]), second(12, 1, 5, &[50])];
        assert_eq!(minute.seconds().cloned().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn it_ends_after_a_minute_and_is_bounded() {
        let mut minute = LastMinute::default();
        minute.finalized(10_000, 9_000, 1);
        minute.finalized(70_000, 69_000, 1);
        assert_eq!(minute.seconds().count(), 2);
        minute.finalized(71_000, 70_000, 1);
        assert_eq!(minute.seconds().map(|second| second.at).collect::<Vec<_>>(), [70, 71]);
        for _ in 0..2 * TIMES_MAX {
            minute.finalized(71_500, 71_400, 1);
        }
        minute.finalized(60_000, 59_000, 1);
        let last = minute.seconds().last().unwrap();
        assert_eq!((last.blocks, last.finality_ms.len()), (2 + 2 * TIMES_MAX as u64, TIMES_MAX));
    }
}
