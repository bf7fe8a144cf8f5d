//! The same work for many, on as many cores as there are. Its result depends on nothing but its arguments.

use std::{num::NonZero, thread};

/// Fewer are not worth a thread: each takes some tens of microseconds.
const PART_MIN: usize = 32;

/// Applies `work` to each; the results stand in the order of `items`.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let parts = cores.min(items.len() / PART_MIN).max(1);
    if parts == 1 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let mut chunks = items.chunks(items.len().div_ceil(parts));
        let own = chunks.next().unwrap_or_default();
        let others: Vec<_> =
            chunks.map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<_>>())).collect();
        let mut results: Vec<R> = own.iter().map(work).collect();
        for other in others {
            match other.join() {
                Ok(part) => results.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_stand_in_order() {
        for count in [0, 1, 31, 32, 33, 64, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(
                super::map(&items, |item| item * 3),
                items.iter().map(|item| item * 3).collect::<Vec<_>>()
            );
        }
    }
}
