//! More than anybody asked for.

use super::{
    Player,
    conduct::UNITS_ASKING,
    ends::{Conduct, Mail},
};
use baton_consensus::network::Channel;
use baton_execution::pool::Unit;
use baton_types::{Digest, Height, PublicKey, RollupId, Round, Transaction, View};
use commonware_codec::RangeCfg;
use commonware_codec::{Decode as _, Encode as _, varint::UInt};
use commonware_consensus::{marshal::resolver::handler::Key, types::Epoch};
use commonware_p2p::utils::mux;
use commonware_runtime::IoBuf;
use rand::{Rng as _, RngExt as _};
use std::collections::VecDeque;

/// Ticks that garbage goes to one channel before the next: one second.
const GARBAGE_TICKS: usize = 200;
/// Messages kept to be sent again.
const STALE_MAX: usize = 1_024;
/// Transactions kept to be sent again.
const RESENT_MAX: usize = 4_096;
/// In one message.
const UNITS: usize = 50;

pub struct Garbage {
    player: Player,
    ticks: usize,
}

impl Garbage {
    pub fn new(player: Player) -> Self {
        Self { player, ticks: 0 }
    }

    fn channel(&self) -> Channel {
        Channel::ALL[self.ticks / GARBAGE_TICKS % Channel::ALL.len()]
    }
}

impl Conduct for Garbage {
    fn send(&mut self, mut mail: Mail, out: &mut Vec<Mail>) {
        if mail.channel == self.channel() && !mail.bytes.is_empty() {
            let mut bytes = mail.bytes.as_ref().to_vec();
            let at = self.player.rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << self.player.rng.random_range(0..8);
            mail.bytes = bytes.into();
            self.player.deeds.did(format!("damaged {:?}", mail.channel));
        }
        out.push(mail);
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        self.ticks += 1;
        if !self.ticks.is_multiple_of(4) {
            return;
        }
        let channel = self.channel();
        // Often well begun: an epoch that there is, a number, a tag.
        let mut bytes = vec![0; self.player.rng.random_range(0..300)];
        self.player.rng.fill_bytes(&mut bytes);
        let keep = self.player.rng.random_range(0..10).min(bytes.len());
        bytes[..keep].fill(0);
        self.player.deeds.did(format!("random {channel:?}"));
        out.push(Mail { channel, to: self.player.others.clone(), bytes: bytes.into() });
    }
}

pub struct Requests(Player);

impl Requests {
    pub fn new(player: Player) -> Self {
        Self(player)
    }

    fn key(&mut self) -> Key<Digest> {
        let digest = self.0.random_digest();
        let rng = &mut self.0.rng;
        let number = if rng.random_range(0..4) == 0 { rng.next_u64() } else { rng.random_range(0..100) };
        match rng.random_range(0..3) {
            0 => Key::Block(digest),
            1 => Key::Finalized { height: Height::new(number) },
            _ => Key::Notarized { round: Round::new(Epoch::zero(), View::new(number)) },
        }
    }
}

impl Conduct for Requests {
    fn tick(&mut self, out: &mut Vec<Mail>) {
        const REQUEST: u8 = 0;
        for _ in 0..2 {
            let key = self.key();
            let player = &mut self.0;
            let number = player.rng.next_u64();
            let bytes = (number, REQUEST, key).encode();
            out.push(Mail { channel: Channel::Backfill, to: player.others.clone(), bytes: bytes.into() });
            let view = if number.is_multiple_of(4) { number } else { number % 100 };
            let bytes = (UInt(0u64), number, REQUEST, view).encode();
            out.push(Mail { channel: Channel::Resolver, to: player.others.clone(), bytes: bytes.into() });
            player.deeds.did("request");
        }
    }
}

pub struct Stale {
    player: Player,
    kept: VecDeque<(Channel, IoBuf)>,
    seen: u64,
}

impl Stale {
    pub fn new(player: Player) -> Self {
        Self { player, kept: VecDeque::new(), seen: 0 }
    }

    /// Keeps the first messages for ever, and of later ones some.
    fn keep(&mut self, channel: Channel, bytes: &IoBuf) {
        self.seen += 1;
        if self.kept.len() < STALE_MAX {
            self.kept.push_back((channel, bytes.clone()));
        } else if self.seen.is_multiple_of(8) {
            self.kept.swap_remove_back(STALE_MAX / 2);
            self.kept.push_back((channel, bytes.clone()));
        }
    }
}

impl Conduct for Stale {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        self.keep(mail.channel, &mail.bytes);
        out.push(mail);
    }

    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        self.keep(channel, &bytes);
        Some(bytes)
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        if self.kept.is_empty() {
            return;
        }
        let (channel, bytes) = self.kept[self.player.rng.random_range(0..self.kept.len())].clone();
        let muxed = !matches!(channel, Channel::Blocks | Channel::Mempool | Channel::Backfill);
        let mut mail = Mail { channel, to: self.player.others.clone(), bytes };
        self.player.deeds.did("stale message");
        if muxed
            && self.player.rng.random_range(0..4) == 0
            && let Ok((_, inner)) = mux::parse(mail.bytes.clone())
        {
            let epoch = self.player.rng.next_u64() >> self.player.rng.random_range(0..64);
            let mut bytes = UInt(epoch).encode().to_vec();
            bytes.extend_from_slice(inner.as_ref());
            mail.bytes = bytes.into();
            self.player.deeds.did("message of another epoch");
        }
        out.push(mail);
    }
}

/// A message with units that ask to be acknowledged.
fn asking(player: &mut Player, units: Vec<Unit>) -> Mail {
    let number = player.rng.next_u64();
    let bytes = (UNITS_ASKING, number, units).encode();
    Mail { channel: Channel::Mempool, to: player.others.clone(), bytes: bytes.into() }
}

pub struct Flood {
    player: Player,
    /// A height that cannot be long past.
    height: u64,
}

impl Flood {
    pub fn new(player: Player) -> Self {
        Self { player, height: 0 }
    }
}

impl Conduct for Flood {
    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel == Channel::Blocks
            && let Ok(block) = baton_types::Block::decode_cfg(bytes.clone(), &self.player.limits)
        {
            self.height = self.height.max(block.header().height);
        }
        Some(bytes)
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        let units = (0..UNITS)
            .map(|_| {
                let valid_until = self.height + self.player.rng.random_range(50..500);
                let payload = self.player.random_digest().to_vec().into();
                let transaction = Transaction { valid_until, bundle: None, payload };
                let rollup = RollupId(self.player.rng.random_range(1..=3));
                Unit::Single { rollup, transaction, fee_hint: u64::MAX }
            })
            .collect();
        self.player.deeds.did("flood");
        out.push(asking(&mut self.player, units));
    }
}

pub struct Resend {
    player: Player,
    units: Vec<Unit>,
}

impl Resend {
    pub fn new(player: Player) -> Self {
        Self { player, units: Vec::new() }
    }
}

impl Conduct for Resend {
    fn hear(&mut self, channel: Channel, _: &PublicKey, bytes: IoBuf) -> Option<IoBuf> {
        if channel == Channel::Mempool && bytes.as_ref()[0] <= UNITS_ASKING {
            let config = (RangeCfg::new(0..=RESENT_MAX), self.player.limits);
            if let Ok(units) = Vec::<Unit>::decode_cfg(bytes.slice(9..), &config) {
                self.units.extend(units);
                self.units.truncate(RESENT_MAX);
            }
        }
        Some(bytes)
    }

    fn tick(&mut self, out: &mut Vec<Mail>) {
        if self.units.is_empty() {
            return;
        }
        let first = self.player.rng.random_range(0..self.units.len());
        let units = self.units.iter().skip(first).take(UNITS).cloned().collect();
        self.player.deeds.did("resent");
        out.push(asking(&mut self.player, units));
    }
}
