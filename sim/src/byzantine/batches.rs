//! Lies about batches.

use super::{
    Player,
    ends::{Conduct, Mail},
};
use baton_consensus::{network::Channel, settlement::Message};
use baton_types::domain;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::{ops::threshold, variant::MinSig};
use commonware_utils::Participant;
use rand::{Rng as _, RngExt as _};

/// In place of one message.
const COPIES: usize = 20;

/// Signs other batches, in the name of others, with damaged bytes, many times over; and makes up certificates.
pub struct FalseBatches {
    player: Player,
    turn: u32,
}

impl FalseBatches {
    pub const fn new(player: Player) -> Self {
        Self { player, turn: 0 }
    }
}

impl Conduct for FalseBatches {
    fn send(&mut self, mail: Mail, out: &mut Vec<Mail>) {
        let message = (mail.channel == Channel::Batches).then(|| Message::decode(mail.bytes.clone()).ok());
        let Some(Some(Message::Partial { position, epoch, mut partial })) = message else {
            return out.push(mail);
        };
        self.turn += 1;
        let Self { player, turn } = self;
        let other = threshold::sign_message::<MinSig>(&player.share, domain::L1_BATCH, &turn.to_be_bytes());
        let (name, message) = match *turn % 4 {
            0 => ("another batch", Message::Partial { position, epoch, partial: other }),
            1 => {
                partial.index = Participant::new((partial.index.get() + 1) % 4);
                ("in the name of another", Message::Partial { position, epoch, partial })
            }
            2 => ("a false certificate", Message::Certificate { position, signature: other.value }),
            _ => {
                player.deeds.did("damaged");
                let mut bytes = mail.bytes.as_ref().to_vec();
                let at = player.rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << player.rng.random_range(0..8);
                out.push(Mail { bytes: bytes.into(), ..mail.clone() });
                let mut noise = vec![0; 80];
                player.rng.fill_bytes(&mut noise);
                return out.push(Mail { bytes: noise.into(), ..mail });
            }
        };
        player.deeds.did(name);
        for _ in 0..COPIES {
            out.push(Mail { bytes: message.encode().into(), ..mail.clone() });
        }
    }
}
