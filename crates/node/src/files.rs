//! Open files: as many as the system allows, and connections of clients never take those of the storage.
//!
//! A connection is an open file. Without a bound of their own, clients could use up all that this process may
//! have; then the storage cannot open its next file, and a node that cannot write has to end.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Raises this process's limit to the most that the system lets it have. How many connections the API may
/// have of the `wanted`: at most half of the files.
pub fn connections(wanted: usize) -> usize {
    let limit = raise();
    let allowed = share(wanted, limit);
    if allowed < wanted {
        warn!(
            rpc.connections_max = wanted,
            allowed,
            open_files = limit,
            "too few files may be open for so many connections; raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
    allowed
}

fn share(wanted: usize, open_files: Option<u64>) -> usize {
    let half = open_files.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX));
    wanted.min(half.max(1))
}

/// None where there is no limit.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => {
            info!(from = current, to = maximum, "raised the limit of open files");
            maximum
        }
        Err(error) => {
            warn!(%error, "cannot raise the limit of open files");
            current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_of_the_files() {
        for (wanted, open_files, expect) in
            [(1_024, Some(1_024), 512), (1_024, Some(20_000), 1_024), (1_024, None, 1_024), (10, Some(1), 1)]
        {
            assert_eq!(share(wanted, open_files), expect, "{wanted} of {open_files:?}");
        }
        let limit = raise();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum);
    }
}
