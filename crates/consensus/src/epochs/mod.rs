//! Epochs: which members hold the key, and dealing it again without changing it.
//!
//! The library's orchestrator runs one simplex engine per epoch and its reshare actor runs the
//! ceremonies (`commonware_glue::dkg`, ALPHA: kept behind this module). Here stand the parts it
//! leaves to us: secrets on disk, the schemes of the epochs, who belongs to a committee, and the
//! rules for dealer logs in blocks.
//!
//! Rules for a dealer log (§ epochs):
//! - with `reshare: on-change`, only in epochs whose players are not the holders already;
//! - never one that reveals the share of a player: a revealed share is public for ever. (A player
//!   marked faulty on chain would be an exception; nothing marks players yet.)
//!
//! A block with a log that breaks a rule is refused by every honest voter; an honest dealer
//! withholds such a log of its own. The ceremony then fails and the old sharing carries on.

mod committee;
mod logs;
mod schemes;
mod secrets;

pub(crate) use committee::Committee;
pub use logs::{LogRefused, LogRules};
pub(crate) use schemes::{SchemeRegistrar, Schemes};
pub(crate) use secrets::Secrets;
