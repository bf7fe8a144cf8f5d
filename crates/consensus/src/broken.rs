//! What a node ends with when its disk fails it.
//!
//! Without its disk a node must not go on, so it panics. The panic carries a [`Broken`] instead of words:
//! whoever hears of it need not guess from a text what failed. Parts of the library end with words of
//! their own.

use std::{fmt, panic};
use thiserror::Error;

/// The storage that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{access} {partition}: {cause}")]
pub struct Broken {
    /// A partition, or what the names of those that belong together begin with.
    pub partition: String,
    pub access: Access,
    pub cause: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Reading,
    Writing,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reading => "reading",
            Self::Writing => "writing",
        })
    }
}

impl Broken {
    pub(crate) fn reading(partition: &str, cause: impl fmt::Display) -> Self {
        Self { partition: partition.to_owned(), access: Access::Reading, cause: cause.to_string() }
    }

    pub(crate) fn end(self) -> ! {
        panic::panic_any(self)
    }
}

/// Results of storage without which the node cannot go on.
pub(crate) trait OrEnd<T> {
    fn read_from(self, partition: &str) -> T;
    fn written_to(self, partition: &str) -> T;
}

impl<T, E: fmt::Display> OrEnd<T> for Result<T, E> {
    fn read_from(self, partition: &str) -> T {
        self.unwrap_or_else(|error| Broken::reading(partition, error).end())
    }

    fn written_to(self, partition: &str) -> T {
        self.unwrap_or_else(|error| {
            Broken { access: Access::Writing, ..Broken::reading(partition, error) }.end()
        })
    }
}
