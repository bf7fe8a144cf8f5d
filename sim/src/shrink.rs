//! Takes away what a failure does not need: halves first, then ever smaller parts, then one by one.

/// The smallest part of `0..len` found that still fails, by index. `fails` is asked at most `runs_max`
/// times; the whole is known to fail.
pub fn shrink(len: usize, runs_max: usize, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..len).collect();
    let mut runs = 0;
    let mut part = len.div_ceil(2);
    while part > 0 && !kept.is_empty() {
        let mut at = 0;
        let mut smaller = false;
        while at < kept.len() {
            if runs == runs_max {
                return kept;
            }
            runs += 1;
            let mut rest = kept.clone();
            rest.drain(at..(at + part).min(kept.len()));
            if fails(&rest) {
                kept = rest;
                smaller = true;
            } else {
                at += part;
            }
        }
        // At the smallest part, again for as long as it helps.
        if part > 1 {
            part = part.div_ceil(2);
        } else if !smaller {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::shrink;

    fn check(len: usize, needed: &[usize], runs_max: usize, expect: &[usize]) {
        let mut runs = 0;
        let found = shrink(len, runs_max, |kept| {
            runs += 1;
            needed.iter().all(|index| kept.contains(index))
        });
        assert_eq!(found, expect);
        assert!(runs <= runs_max);
    }

    #[test]
    fn finds_what_a_failure_needs() {
        check(0, &[], 100, &[]);
        check(1, &[0], 100, &[0]);
        check(20, &[], 100, &[]);
        check(20, &[7], 100, &[7]);
        check(20, &[0, 19], 100, &[0, 19]);
        check(33, &[3, 4, 30], 200, &[3, 4, 30]);
    }

    #[test]
    fn stops_after_so_many_runs() {
        check(4, &[0, 1, 2, 3], 3, &[0, 1, 2, 3]);
        check(8, &[7], 1, &[4, 5, 6, 7]);
    }

    /// Two events that only fail together with either of two others: any one answer is smallest.
    #[test]
    fn alternatives() {
        let found = shrink(10, 100, |kept| kept.contains(&2) && (kept.contains(&5) || kept.contains(&8)));
        assert!(found == [2, 5] || found == [2, 8], "{found:?}");
    }
}
