//! States of EVM rollups for members that joined above them.
//!
//! ```text
//!  driver ── fetch(attested result) ─► actor ── ask: state after block N, these pieces ─► some members
//!                                        ▲◄──── answer: pieces, each verified by itself
//!                                        └───── ask of others ─► answered from a state that is kept
//! ```
//!
//! - *Trust.* The root stands in a final block. A piece that does not verify is refused, counted, and its sender is
//!   talked to no more; its wishes go to others.
//! - *Bounds.* At most `ASKED_MAX` members are asked at once, one ask each; an answer has half a megabyte and one
//!   piece at most. Open wishes are bounded by the depth of the trie.
//! - *A member does not answer*: it rests, others are asked. *It does not have the state*: it is asked no more for
//!   that. When nobody has it, or nobody answered for `PATIENCE`, the driver chooses a newer state.
//! - *Serving.* Whoever asks of a state holds it for `PIN`, so that it does not go while it is fetched: one per
//!   member and rollup, and it shares with the others what is equal.
//!
//! Deliberately absent: a download that survives a restart of the one who downloads.

mod actor;
mod wire;

pub use actor::{Actor, Config, Mailbox};
pub use wire::{Message, message_bytes_max};

use std::time::Duration;

/// Members that are asked at once.
const ASKED_MAX: usize = 4;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a member that did not answer is left alone.
const REST: Duration = Duration::from_secs(5);
/// How long a state is fetched without any piece of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a state is held after the last ask.
const PIN: Duration = Duration::from_secs(30);
/// How often is looked after what did not come.
const TICK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
