use super::*;
use crate::testing::Dealt;
use baton_types::{
    Epoch, PrivateKey, View,
    genesis::Election,
    hex,
    lottery::{Commitment, LotteryPart},
};
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::Signer as _;
use rand::{SeedableRng as _, rngs::StdRng};

mod declining;

/// Four members; those in `committed` have a commitment in force in epoch 0.
pub(super) struct World {
    pub genesis: Genesis,
    pub keys: Vec<PrivateKey>,
    pub secrets: Vec<SecretKey>,
}

impl World {
    pub fn new(committed: &[usize]) -> Self {
        let Dealt { mut genesis, keys, .. } = Dealt::new();
        let mut rng = StdRng::seed_from_u64(7);
        let secrets: Vec<_> = (0..4).map(|_| SecretKey::random(&mut rng)).collect();
        genesis.election = Election::ZkLottery;
        for (member, secret) in genesis.members.iter_mut().zip(&secrets) {
            member.vrf_key = hex::encode(&secret.public_key().to_bytes());
        }
        let bare = genesis.clone();
        for member in committed {
            genesis.members[*member].commitment = Some(hex::encode(&genesis_root(&bare, &secrets[*member])));
        }
        genesis.check().unwrap();
        Self { genesis, keys, secrets }
    }

    pub fn node(&self, member: usize) -> Lottery {
        let me = self.keys[member].public_key();
        let secret = Some(self.secrets[member].clone());
        Lottery::new(&self.genesis, &me, secret, Rotations::default()).unwrap().unwrap().0
    }

    pub fn state(&self) -> State {
        self.genesis.block().unwrap().body().lottery.as_ref().unwrap().state.clone()
    }

    /// Evidence of the committer of `view`, as that member makes it.
    fn shown(&self, view: u64) -> Shown {
        self.node(committer(view)).show(round(view), &mut StdRng::seed_from_u64(view)).unwrap()
    }

    /// The block of `view` on the genesis, changed before it is signed by whoever it names as author.
    pub fn block(&self, view: u64, change: impl FnOnce(&mut Draft)) -> Block {
        let shown = self.shown(view);
        let author = self.node(0).author(&self.state(), &shown.output);
        let mut draft = Draft { author, reveal: shown.opening, evidence: shown.evidence.to_vec() };
        change(&mut draft);
        let genesis = self.genesis.block().unwrap();
        let mut header = genesis.header().clone();
        (header.height, header.parent) = (1, genesis.digest());
        (header.view, header.reveal) = (view, draft.reveal);
        header.committer = self.keys[committer(view)].public_key();
        header.author = self.keys[draft.author].public_key();
        header.election = self.genesis.election.kind();
        let part = LotteryPart { evidence: draft.evidence.into(), held: Vec::new(), state: self.state() };
        let mut body = genesis.body().clone();
        body.lottery = Some(Box::new(part));
        body.peaks = genesis.history_after().unwrap().peaks;
        Block::seal(header, body, Some(&self.keys[draft.author]))
    }

    fn check(&self, block: &Block) -> Result<Elected, Unelected> {
        self.node(0).check(&self.state(), block)
    }
}

pub(super) struct Draft {
    pub author: usize,
    pub reveal: [u8; 32],
    pub evidence: Vec<u8>,
}

fn round(view: u64) -> Round {
    Round::new(Epoch::zero(), View::new(view))
}

pub(super) fn committer(view: u64) -> usize {
    usize::try_from(view % 4).unwrap()
}

#[test]
fn the_drawn_member_stands_and_any_other_does_not() {
    let world = World::new(&[0, 1, 2, 3]);
    for view in 1..12 {
        let mut drawn = 0;
        world.check(&world.block(view, |draft| drawn = draft.author)).unwrap();
        for other in (0..4).filter(|other| *other != drawn) {
            match world.check(&world.block(view, |draft| draft.author = other)) {
                Err(Unelected::Author { author, drawn: named }) => {
                    assert_eq!((author, named), (other, drawn))
                }
                result => panic!("view {view}, member {other}: {result:?}"),
            }
        }
    }
}

#[test]
fn forged_and_misplaced_reveals_are_refused() {
    let world = World::new(&[0, 1, 2, 3]);
    let check = |change: &dyn Fn(&mut Draft), expect: fn(&Unelected) -> bool| {
        let error = world.check(&world.block(6, change)).unwrap_err();
        assert!(expect(&error), "{error}");
    };
    // Another turn of the same committer, and the same turn of another.
    check(&|draft| draft.evidence = world.shown(10).evidence.to_vec(), |error| {
        matches!(error, Unelected::Turn(2, 1))
    });
    check(&|draft| draft.evidence = world.shown(7).evidence.to_vec(), |error| {
        matches!(error, Unelected::Refused(_))
    });
    for at in [5, 20, 40, 100, 200] {
        check(&|draft| draft.evidence[at] ^= 1, |error| {
            matches!(error, Unelected::Refused(_) | Unelected::Malformed(_))
        });
    }
    check(&|draft| draft.evidence.clear(), |error| matches!(error, Unelected::Malformed(_)));
    check(&|draft| draft.evidence[0] = 9, |error| matches!(error, Unelected::Malformed(_)));
    check(&|draft| draft.evidence.push(0), |error| matches!(error, Unelected::Malformed(_)));
    check(&|draft| draft.reveal[3] ^= 1, |error| matches!(error, Unelected::Opening));
    let mut plain = world.block(6, |_| {}).body().clone();
    plain.lottery = None;
    let header = world.block(6, |_| {}).header().clone();
    let author = world.keys.iter().find(|key| key.public_key() == header.author).unwrap();
    assert!(matches!(world.check(&Block::seal(header, plain, Some(author))), Err(Unelected::Absent)));
}

#[test]
fn a_member_without_a_commitment_proves_the_view_and_one_with_may_not() {
    let without = World::new(&[0, 1, 3]);
    let block = without.block(6, |_| {});
    assert_eq!(block.body().lottery.as_ref().unwrap().evidence[0], SINGLE);
    without.check(&block).unwrap();
    // The same proof where its maker has a commitment would be a second candidate for the turn.
    let with = World::new(&[0, 1, 2, 3]);
    let known = with.node(2).epoch(0).unwrap();
    let proof = SingleProof::new(&with.secrets[2], &known.context, 6, &mut StdRng::seed_from_u64(1)).unwrap();
    let evidence = [&[SINGLE][..], &proof.to_bytes()].concat();
    let refused = with.check(&with.block(6, |draft| draft.evidence = evidence)).unwrap_err();
    assert!(matches!(refused, Unelected::Committed), "{refused}");
    // And a reveal where nothing is in force leads nowhere.
    let reveal = with.shown(6).evidence.to_vec();
    let refused = without.check(&without.block(6, |draft| draft.evidence = reveal)).unwrap_err();
    assert!(matches!(refused, Unelected::Uncommitted), "{refused}");
}

#[test]
fn with_no_commitments_at_all_every_view_is_proven() {
    let world = World::new(&[]);
    for view in 1..5 {
        let block = world.block(view, |_| {});
        assert_eq!(block.body().lottery.as_ref().unwrap().evidence[0], SINGLE);
        world.check(&block).unwrap();
    }
}

#[test]
fn turns_beyond_the_commitment_are_proven_one_by_one() {
    let world = World::new(&[0, 1, 2, 3]);
    let last = u64::from(rounds(&world.genesis).count()) - 1;
    for (turn, kind) in [(last, REVEAL), (last + 1, SINGLE)] {
        let block = world.block(4 * turn + 2, |_| {});
        assert_eq!(block.body().lottery.as_ref().unwrap().evidence[0], kind, "turn {turn}");
        world.check(&block).unwrap();
    }
}

/// Longer epochs than a proof covers do not pass the check of the genesis.
#[test]
fn a_proof_covers_the_longest_epoch() {
    assert_eq!(u64::from(Rounds::MAX.count()), baton_types::lottery::TURNS_MAX);
    let mut genesis = World::new(&[]).genesis;
    for (blocks, count) in [(16, 63), (63, 63), (64, 127), (2_000, 2_047), (2_047, 2_047)] {
        genesis.epoch_blocks = blocks;
        genesis.check().unwrap();
        assert_eq!(rounds(&genesis).count(), count, "{blocks} blocks");
    }
    genesis.epoch_blocks = 2_048;
    let refused = genesis.check().unwrap_err();
    assert!(refused.to_string().contains("16 to 2047"), "{refused}");
}

/// What a node has to prepare follows from the finalized chain alone, so a restart changes nothing.
#[test]
fn what_is_due_follows_from_the_chain() {
    let world = World::new(&[0, 1, 2, 3]);
    let node = world.node(1);
    let base = world.genesis.context_beacon();
    assert_eq!(node.due(), Some((0, base)), "the others lack the proof of epoch 0");
    let mut state = world.state();
    let beacon = baton_types::merkle::EMPTY;
    state.next_context_beacon = Some(beacon);
    node.come(3, 0, &state);
    assert_eq!(node.due(), Some((1, beacon)));
    assert!(node.proven_over(1).is_some() && node.proven_over(0).is_some() && node.proven_over(2).is_none());
    let commitment = Commitment { root: beacon, proof: base };
    state.next_commitments[1] = Some(commitment);
    node.come(4, 0, &state);
    assert_eq!(node.due(), None, "it is on chain");
    assert!(node.on_chain().contains(&(1, 1, commitment)));
    state.next_commitments[1] = None;
    node.come(node.rules().close(0), 0, &state);
    assert_eq!(node.due(), None, "too late for this epoch");
    // Far behind: the proof of epoch 0 helps nobody any more.
    let late = world.node(1);
    late.begin(1_000);
    assert_eq!(late.due(), None);
}

#[test]
fn benched_and_suspended_members_are_not_drawn() {
    let world = World::new(&[0, 1, 2, 3]);
    let node = world.node(0);
    let mut state = world.state();
    state.bench.insert(1);
    state.suspended.insert(2);
    let drawn: std::collections::BTreeSet<_> =
        (1..64).map(|view| node.author(&state, &world.shown(view).output)).collect();
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn only_silence_of_several_turns_of_everybody_is_reported() {
    let node = World::new(&[]).node(1);
    let report = |votes: [Option<u64>; 4], view| -> Vec<usize> {
        baton_types::lottery::Indices(node.silent(&votes, view)).iter().collect()
    };
    assert_eq!(report([Some(20), None, Some(8), Some(7)], 20), [3], "never itself");
    assert_eq!(report([None; 4], 12), [] as [usize; 0], "an epoch begins with nobody heard");
    assert_eq!(report([None; 4], 13), [0, 2, 3]);
}

#[test]
fn keys_that_are_missing_or_foreign_stop_the_node() {
    let world = World::new(&[]);
    let me = world.keys[1].public_key();
    let start = |secret| Lottery::new(&world.genesis, &me, secret, Rotations::default()).map(|_| ());
    assert!(matches!(start(None), Err(KeyError::Missing)));
    assert!(matches!(start(Some(world.secrets[0].clone())), Err(KeyError::Foreign)));
    start(Some(world.secrets[1].clone())).unwrap();
    let other = Dealt::new().genesis;
    assert!(Lottery::new(&other, &me, None, Rotations::default()).unwrap().is_none(), "another election");
}

#[test]
fn a_genesis_changed_after_its_commitments_stops_the_node() {
    let mut world = World::new(&[1]);
    world.genesis.timing.idle_ms += 1;
    let me = world.keys[1].public_key();
    let secret = Some(world.secrets[1].clone());
    let Err(error) = Lottery::new(&world.genesis, &me, secret, Rotations::default()) else {
        panic!("it could neither reveal nor prove its turns")
    };
    assert!(error.to_string().contains("changed after the commitments were made"), "{error}");
}

#[test]
fn messages_round_trip_and_broken_ones_do_not_decode() {
    let commitment = Commitment { root: baton_types::merkle::EMPTY, proof: baton_types::merkle::EMPTY };
    let signature = PrivateKey::from_seed(1).sign(b"n", b"m");
    let digest = baton_types::merkle::EMPTY;
    let held = Held { member: 1, commitment, holders: vec![(0, signature.clone())] };
    let context = baton_types::Context {
        round: round(3),
        leader: PrivateKey::from_seed(2).public_key(),
        parent: (View::new(2), digest),
    };
    let evidence = bytes::Bytes::from_static(&[1, 2, 3]);
    let messages = [
        wire::Message::Reveal { round: round(1), evidence: evidence.clone() },
        wire::Message::Designate { context, evidence: evidence.clone(), payload: None },
        wire::Message::Built { round: round(1), digest },
        wire::Message::Have { round: round(1), digest },
        wire::Message::Proof { epoch: 1, proof: evidence },
        wire::Message::Holds { epoch: 1, commitment, signature },
        wire::Message::Held { epoch: 1, held },
        wire::Message::Want { epoch: 1, member: 3, proof: digest },
        wire::Message::Copy { epoch: 1, member: 3, proof: bytes::Bytes::from_static(&[4, 5]) },
    ];
    for message in messages {
        let bytes = message.encode();
        assert_eq!(wire::Message::decode(bytes.clone()).unwrap().encode(), bytes);
        for cut in 0..bytes.len() {
            assert!(wire::Message::decode(bytes.slice(..cut)).is_err());
        }
        let long = [&bytes[..], &[0]].concat();
        assert!(wire::Message::decode(bytes::Bytes::from(long)).is_err());
    }
    assert!(wire::Message::decode(bytes::Bytes::from_static(&[9, 0, 0])).is_err());
}
