use super::*;
use baton_types::{Directory, Epoch, PrivateKey, Sharing, reshare};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt::{Dealer, Player, deal},
        primitives::group::Share,
    },
};
use commonware_glue::dkg::types::EpochOutcome;
use commonware_utils::ordered::{Map, Set};
use rand::{SeedableRng as _, rngs::StdRng};

const NAMESPACE: &[u8] = b"ceremony";
const EVERY: LogRules = LogRules { namespace: NAMESPACE, reshare: Reshare::EveryEpoch };

struct Ceremony {
    members: Vec<PrivateKey>,
    sharing: Sharing,
    shares: Map<PublicKey, Share>,
    info: EpochInfo,
}

fn ceremony() -> Ceremony {
    let members: Vec<_> = (0..4).map(PrivateKey::from_seed).collect();
    let players = Set::from_iter_dedup(members.iter().map(PrivateKey::public_key));
    let mut rng = StdRng::seed_from_u64(1);
    let (sharing, shares) =
        deal::<MinSig, _, N3f1>(&mut rng, Mode::NonZeroCounter, players.clone()).expect("four members");
    let info = EpochInfo {
        outcome: EpochOutcome::Success,
        epoch: Epoch::new(3),
        output: sharing.clone(),
        players: players.clone(),
        next_players: players,
        directory: Directory::from_iter([]),
    };
    Ceremony { members, sharing, shares, info }
}

/// The log of member 0, with acknowledgements of all players but the last `silent`.
fn log(ceremony: &Ceremony, silent: usize) -> Payload {
    let players = ceremony.info.players.clone();
    let round = Info::<MinSig, PublicKey>::new::<N3f1>(
        NAMESPACE,
        ceremony.info.epoch.get(),
        Some(ceremony.sharing.clone()),
        Mode::NonZeroCounter,
        Reveal::V1,
        players.clone(),
        players,
    )
    .expect("sound parameters");
    let dealer = ceremony.members[0].clone();
    let share = ceremony.shares.get_value(&dealer.public_key()).expect("dealt").clone();
    let mut rng = StdRng::seed_from_u64(2);
    let (mut dealing, public, private) =
        Dealer::start::<N3f1>(&mut rng, round.clone(), dealer.clone(), Some(share)).expect("a dealer");
    let away: Vec<_> = ceremony.members.iter().rev().take(silent).map(PrivateKey::public_key).collect();
    for (player, message) in private {
        if away.contains(&player) {
            continue;
        }
        let key = ceremony.members.iter().find(|key| key.public_key() == player).expect("a member").clone();
        let mut receiver = Player::<MinSig, PrivateKey>::new(round.clone(), key).expect("a player");
        let ack = receiver
            .dealer_message::<N3f1>(dealer.public_key(), public.clone(), message)
            .expect("readable")
            .expect("a good dealing is acknowledged");
        dealing.receive_player_ack(player, ack).expect("a good acknowledgement");
    }
    Payload::DealerLog(dealing.finalize::<N3f1>())
}

#[test]
fn a_log_that_reveals_a_share_is_refused() {
    let ceremony = ceremony();
    assert_eq!(EVERY.check(&ceremony.info, 0, &log(&ceremony, 0)), Ok(()));
    assert_eq!(EVERY.check(&ceremony.info, 0, &log(&ceremony, 1)), Err(LogRefused::Reveals(1)));
    assert_eq!(EVERY.check(&ceremony.info, 0, &log(&ceremony, 2)), Err(LogRefused::TooManyReveals));
}

#[test]
fn a_log_stands_only_in_an_epoch_that_deals() {
    let ceremony = ceremony();
    let on_change = LogRules { reshare: Reshare::OnChange, ..EVERY };
    for signal in [0, reshare::WANTED] {
        assert_eq!(on_change.check(&ceremony.info, signal, &log(&ceremony, 0)), Err(LogRefused::NotDue));
    }
    for signal in [reshare::DUE, reshare::DUE | reshare::WANTED] {
        assert_eq!(on_change.check(&ceremony.info, signal, &log(&ceremony, 0)), Ok(()));
        assert_eq!(on_change.check(&ceremony.info, signal, &log(&ceremony, 1)), Err(LogRefused::Reveals(1)));
    }
    let mut joined = ceremony.info.clone();
    joined.players = Set::from_iter_dedup((0..5).map(|seed| PrivateKey::from_seed(seed).public_key()));
    assert_ne!(on_change.check(&joined, 0, &log(&ceremony, 0)), Err(LogRefused::NotDue));
}

#[test]
fn a_log_of_another_epoch_or_network_is_refused() {
    let ceremony = ceremony();
    let mut later = ceremony.info.clone();
    later.epoch = Epoch::new(4);
    assert_eq!(EVERY.check(&later, 0, &log(&ceremony, 0)), Err(LogRefused::Signature));
    let elsewhere = LogRules { namespace: b"elsewhere", ..EVERY };
    assert_eq!(elsewhere.check(&ceremony.info, 0, &log(&ceremony, 0)), Err(LogRefused::Signature));
}

#[test]
fn what_is_not_a_log_is_not_judged_here() {
    let ceremony = ceremony();
    let info = Payload::EpochInfo(ceremony.info.clone());
    assert_eq!(LogRules { reshare: Reshare::OnChange, ..EVERY }.check(&ceremony.info, 0, &info), Ok(()));
}
