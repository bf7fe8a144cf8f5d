use super::{
    actor::Request,
    wire::{EpochStart, Floor, Forged, Message, Offer},
    *,
};
use crate::{
    testing::Dealt,
    votes::{Testimony, VOTE_BYTES_MAX, VOTES_MAX},
};
use baton_types::{
    Block, BlockLimits, Digest, Epoch, Finalization, Header, Payload, Round, Scheme, View, domain,
};
use commonware_codec::{Decode as _, Encode as _};
use commonware_consensus::{simplex::types::Proposal, types::FixedEpocher};
use commonware_cryptography::{Digestible as _, Signer as _};
use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::NZU64;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::mpsc;

/// As the genesis of [`Dealt`].
const EPOCH_BLOCKS: u64 = 40;

struct World {
    dealt: Dealt,
    chain: Digest,
}

impl World {
    fn new() -> Self {
        let dealt = Dealt::new();
        let chain = dealt.genesis.block().expect("checked").header().chain;
        Self { dealt, chain }
    }

    fn checks(&self) -> Checks {
        let group_key = self.dealt.genesis.group_key().expect("checked");
        Checks {
            chain: self.chain,
            verifier: Scheme::certificate_verifier(&domain::consensus(&self.chain), group_key),
            epocher: FixedEpocher::new(NZU64!(EPOCH_BLOCKS)),
        }
    }

    fn block(&self, height: u64, payload: Option<Payload>) -> Block {
        let genesis = self.dealt.genesis.block().expect("checked");
        let key = &self.dealt.keys[0];
        let header = Header {
            epoch: height / EPOCH_BLOCKS,
            view: height % EPOCH_BLOCKS + 1,
            height,
            committer: key.public_key(),
            author: key.public_key(),
            ..genesis.header().clone()
        };
        let mut body = genesis.body().clone();
        body.peaks = vec![baton_types::merkle::EMPTY; height.count_ones() as usize];
        body.payload = payload;
        Block::seal(header, body, Some(key))
    }

    fn certificate(&self, epoch: u64, view: u64, payload: Digest) -> Finalization {
        let round = Round::new(Epoch::new(epoch), View::new(view));
        self.dealt.certify(&self.chain, Proposal::new(round, View::zero(), payload))
    }

    fn certified(&self, block: &Block) -> Finalization {
        self.certificate(block.header().epoch, block.header().view, block.digest())
    }

    fn floor(&self, height: u64) -> Floor {
        let block = self.block(height, None);
        Floor { certificate: self.certified(&block), header: block.header().clone() }
    }

    fn epoch_info(&self, epoch: u64) -> EpochInfo {
        EpochInfo { epoch: Epoch::new(epoch), ..self.dealt.genesis.epoch_info().expect("checked") }
    }

    fn epoch_start(&self, epoch: u64) -> EpochStart {
        let block = self.block(epoch * EPOCH_BLOCKS - 1, Some(Payload::EpochInfo(self.epoch_info(epoch))));
        EpochStart { certificate: self.certified(&block), block: Arc::new(block) }
    }
}

fn limits(world: &World) -> BlockLimits {
    world.dealt.genesis.limits()
}

#[test]
fn messages_survive_the_wire() {
    let world = World::new();
    let offers = [Offer { lowest: 0, floor: None }, Offer { lowest: 7, floor: Some(world.floor(90)) }];
    let messages = [
        Message::Ask,
        Message::AskEpoch(Epoch::new(u64::MAX)),
        Message::EpochStart(Box::new(world.epoch_start(2))),
        Message::AskVotes,
        Message::NoShare(Epoch::new(u64::MAX)),
        Message::Votes(Testimony {
            epoch: Epoch::new(u64::MAX),
            votes: vec![vec![7; VOTE_BYTES_MAX].into(); VOTES_MAX],
        }),
    ];
    for message in offers.map(Message::Offer).into_iter().chain(messages) {
        let bytes = message.encode();
        assert!(bytes.len() <= message_bytes_max(4, &limits(&world)));
        assert!(Message::decode_cfg(bytes, &limits(&world)).expect("it decodes") == message);
    }
    assert!(Message::decode_cfg(vec![9], &limits(&world)).is_err());
}

#[test]
fn a_floor_that_is_not_what_it_seems_is_refused() {
    let world = World::new();
    let (checks, mut rng) = (world.checks(), StdRng::seed_from_u64(1));
    let mut check = |lowest: u64, floor: Floor, expect: Result<(), Forged>| {
        assert_eq!(checks.offer(&mut rng, &Offer { lowest, floor: Some(floor) }), expect);
    };
    check(0, world.floor(90), Ok(()));
    check(90, world.floor(90), Ok(()));
    check(91, world.floor(90), Err(Forged::Missing));
    let other = world.floor(91);
    check(0, Floor { header: other.header.clone(), ..world.floor(90) }, Err(Forged::OtherBlock));
    // A header that nobody certified, under a certificate that names it.
    let digest = other.header.digest();
    let mut forged = world.floor(90);
    forged.certificate.proposal.payload = digest;
    check(0, Floor { header: other.header.clone(), ..forged }, Err(Forged::Certificate));
    // Certified, but a block of another epoch cannot have this height.
    let mut block = world.block(90, None).header().clone();
    block.epoch = 1;
    let certificate = world.certificate(1, block.view, block.digest());
    check(0, Floor { certificate, header: block }, Err(Forged::Height));
    let mut block = world.block(90, None).header().clone();
    block.chain = baton_types::merkle::EMPTY;
    let certificate = world.certificate(2, block.view, block.digest());
    check(0, Floor { certificate, header: block }, Err(Forged::Chain));
    // The last block of an epoch may be certified in a later view, never in a later epoch.
    let last = world.block(EPOCH_BLOCKS - 1, None);
    let later = world.certificate(0, 77, last.digest());
    check(0, Floor { certificate: later, header: last.header().clone() }, Ok(()));
    let later = world.certificate(1, 1, last.digest());
    check(0, Floor { certificate: later, header: last.header().clone() }, Err(Forged::OtherBlock));
}

#[test]
fn only_the_end_of_the_epoch_before_says_who_holds_the_key() {
    let world = World::new();
    let (checks, mut rng) = (world.checks(), StdRng::seed_from_u64(1));
    let mut check = |epoch: u64, start: EpochStart| {
        checks.epoch_start(&mut rng, Epoch::new(epoch), &start).map(|info| info.epoch.get())
    };
    assert_eq!(check(2, world.epoch_start(2)), Ok(2));
    assert_eq!(check(3, world.epoch_start(2)), Err(Forged::Height));
    assert_eq!(check(0, world.epoch_start(1)), Err(Forged::Height));
    let wrong = world.block(2 * EPOCH_BLOCKS - 1, Some(Payload::EpochInfo(world.epoch_info(3))));
    let start = EpochStart { certificate: world.certified(&wrong), block: Arc::new(wrong) };
    assert_eq!(check(2, start), Err(Forged::Epoch));
    let empty = world.block(2 * EPOCH_BLOCKS - 1, None);
    let start = EpochStart { certificate: world.certified(&empty), block: Arc::new(empty) };
    assert_eq!(check(2, start), Err(Forged::Epoch));
    let start = EpochStart { certificate: world.epoch_start(1).certificate, ..world.epoch_start(2) };
    assert_eq!(check(2, start), Err(Forged::OtherBlock));
}

/// Answers every survey with `offers`, or not at all.
fn answering(context: &deterministic::Context, offers: Option<Vec<Offer>>, info: EpochInfo) -> Mailbox {
    let (sender, mut requests) = mpsc::channel(4);
    drop(context.child("answers").spawn(move |_| async move {
        let mut unanswered = Vec::new();
        while let Some(request) = requests.recv().await {
            match (request, &offers) {
                (Request::Survey { reply, .. }, Some(offers)) => drop(reply.send(offers.clone())),
                (Request::Survey { reply, .. }, None) => unanswered.push(reply),
                (Request::Epoch { epoch, reply }, _) => {
                    let _ = reply.send(EpochInfo { epoch, ..info.clone() });
                }
                (Request::Attach(_) | Request::Votes { .. }, _) => {}
            }
        }
    }));
    Mailbox(sender)
}

#[test]
fn a_node_joins_where_it_cannot_or_need_not_go_on() {
    const WINDOW: u64 = 1_000;
    struct Case {
        processed: Option<u64>,
        /// Lowest height and floor of each member that answers; none where nobody does.
        offers: Option<Vec<(u64, Option<u64>)>>,
        joins: Option<u64>,
    }
    let case = |processed, offers: &[(u64, Option<u64>)], joins| Case {
        processed,
        offers: Some(offers.to_vec()),
        joins,
    };
    let cases = [
        // A new cluster, and one whose members still have everything.
        case(None, &[(0, None), (0, None)], None),
        case(None, &[(0, Some(500)), (0, Some(480))], None),
        // More than this node would keep.
        case(None, &[(0, Some(1_002)), (0, None)], Some(1_002)),
        // The beginning is gone.
        case(None, &[(0, Some(500)), (400, Some(520))], Some(520)),
        case(Some(398), &[(400, Some(500)), (400, Some(500))], Some(500)),
        case(Some(399), &[(400, Some(500)), (400, Some(500))], None),
        // Nobody has a floor above what is here.
        case(Some(600), &[(601, Some(600)), (650, Some(590))], None),
        // The cluster is down.
        Case { processed: Some(10), offers: None, joins: None },
    ];
    deterministic::Runner::seeded(1).start(|context| async move {
        let world = World::new();
        for (number, Case { processed, offers, joins }) in cases.into_iter().enumerate() {
            let offers = offers.map(|offers| {
                let floor = |height: Option<u64>| height.map(|height| world.floor(height));
                offers.into_iter().map(|(lowest, height)| Offer { lowest, floor: floor(height) }).collect()
            });
            let context = context.child("case").with_attribute("number", number);
            let prefix = format!("case{number}");
            let mailbox = answering(&context, offers, world.epoch_info(0));
            let mut record = Record::open(context.child("record"), &prefix).await;
            let standing = Standing { processed, window: WINDOW };
            let joined = decide(&context, &mailbox, &mut record, world.epoch_info(0), standing).await;
            assert_eq!(joined.as_ref().map(|joined| joined.height), joins, "case {number}");
            assert_eq!(record.get(), joined, "what is decided is on disk");
            if let Some(joined) = joined {
                assert_eq!(joined.sync.info.epoch, joined.sync.floor.epoch());
            }
        }
    });
}

#[test]
fn a_join_that_was_cut_short_goes_on() {
    deterministic::Runner::seeded(2).start(|context| async move {
        let world = World::new();
        let info = world.epoch_info(0);
        let offer = |height: u64| vec![Offer { lowest: 400, floor: Some(world.floor(height)) }];
        let mut number = 0;
        let mut start = async |offers: Option<Vec<Offer>>, processed: Option<u64>| {
            number += 1;
            let context = context.child("start").with_attribute("number", number);
            let mut record = Record::open(context.child("record"), "node").await;
            let mailbox = answering(&context, offers, info.clone());
            let standing = Standing { processed, window: 1_000 };
            let joined = decide(&context, &mailbox, &mut record, info.clone(), standing).await;
            joined.map(|joined| joined.height)
        };
        assert_eq!(start(Some(offer(500)), None).await, Some(500));
        // The floor has not arrived; the cluster is down, or has nothing newer, or something newer.
        assert_eq!(start(None, Some(0)).await, Some(500));
        assert_eq!(start(Some(offer(490)), Some(0)).await, Some(500));
        assert_eq!(start(Some(offer(560)), Some(0)).await, Some(560));
        // It has.
        assert_eq!(start(Some(offer(600)), Some(559)).await, None);
        assert_eq!(start(None, Some(700)).await, None);
    });
}
