//! One set of keys, two engines, each with its own part of the network.
//!
//! ```text
//!  left members ◄──► engine 0 ─┐                  Between twins every message carries the half it
//!                              ├─ one identity    comes from, and reaches the same half only.
//!  the others   ◄──► engine 1 ─┘
//! ```

use super::{
    Deeds,
    ends::{Conduct, Inbox, Mail, RawSender},
};
use crate::links::Links;
use baton_consensus::network::{Channel, Network as _};
use baton_types::PublicKey;
use commonware_p2p::Receiver as _;
use commonware_runtime::{IoBuf, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_utils::channel::mpsc;
use std::collections::{BTreeMap, BTreeSet};

/// Messages of one channel that a half may have waiting.
const INBOX_MAX: usize = 4_096;

type Lines = BTreeMap<Channel, (RawSender, Inbox)>;

/// Registers all channels, and deals what comes in to the half that it is for.
pub async fn lines(
    context: &Context,
    mut links: Links,
    sides: &[Vec<PublicKey>; 2],
    fellows: &BTreeSet<PublicKey>,
) -> [Lines; 2] {
    let mut lines = [Lines::new(), Lines::new()];
    for channel in Channel::ALL {
        let (sender, mut receiver) = links.register(channel).await;
        let (left, left_inbox) = mpsc::channel(INBOX_MAX);
        let (right, right_inbox) = mpsc::channel(INBOX_MAX);
        lines[0].insert(channel, (sender.clone(), Inbox::Half(left_inbox)));
        lines[1].insert(channel, (sender, Inbox::Half(right_inbox)));
        let (sides, fellows) = (sides.clone(), fellows.clone());
        drop(context.child("twin").spawn(move |_| async move {
            while let Ok((from, bytes)) = receiver.recv().await {
                let (half, bytes) = if fellows.contains(&from) {
                    (usize::from(bytes.as_ref()[0]), bytes.slice(1..))
                } else {
                    (usize::from(sides[1].contains(&from)), bytes)
                };
                // A half that does not keep up misses messages, as on any network.
                let _ = if half == 0 { left.try_send((from, bytes)) } else { right.try_send((from, bytes)) };
            }
        }));
    }
    lines
}

pub struct Half {
    half: u8,
    side: Vec<PublicKey>,
    fellows: BTreeSet<PublicKey>,
    deeds: Deeds,
}

impl Half {
    pub fn new(half: usize, side: Vec<PublicKey>, fellows: BTreeSet<PublicKey>, deeds: Deeds) -> Self {
        Self { half: u8::from(half == 1), side, fellows, deeds }
    }
}

impl Conduct for Half {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        let tagged = IoBuf::from([&[self.half], mail.bytes.as_ref()].concat());
        let to_fellows: Vec<_> = mail.to.iter().filter(|to| self.fellows.contains(to)).cloned().collect();
        let to_side: Vec<_> = mail.to.into_iter().filter(|to| self.side.contains(to)).collect();
        self.deeds.did(format!("half {}", self.half));
        if !to_side.is_empty() {
            out.push(Mail { channel: mail.channel, to: to_side, bytes: mail.bytes });
        }
        if !to_fellows.is_empty() {
            out.push(Mail { channel: mail.channel, to: to_fellows, bytes: tagged });
        }
    }
}
