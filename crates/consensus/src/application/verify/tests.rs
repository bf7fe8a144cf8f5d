//! Every reason to refuse a block, and nothing but the one rule broken each time.

use super::*;
use crate::{
    aliases::MarshalActor,
    epochs::LogRules,
    evm::Executions,
    observer::seed_bytes,
    shared::Shared,
    storage::{self, Archives, History},
    testing::Dealt,
};
use baton_types::{
    Body, ExecutionResult, Payload, PrivateKey, PublicKey, Rollup, RollupId, Scheme, Segment, Transaction,
    block::{ElectionKind, ParentSeed},
    domain,
    genesis::{Ordering, evm::Evm},
    merkle::{self, EMPTY},
    reshare,
    results::LAG_BLOCKS_MAX,
};
use bytes::Bytes;
use commonware_consensus::{
    marshal::{self, Start},
    simplex::{
        scheme::bls12381_threshold::vrf::Seedable as _,
        types::{Finalization, Finalize, Proposal},
    },
    types::{FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt::{Dealer, Info, Reveal},
        primitives::{sharing::Mode, variant::MinSig},
    },
    certificate::ConstantProvider,
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Runner as _, Supervisor as _, buffer::paged::CacheRef, deterministic, telemetry::metrics::MetricsExt as _,
};
use commonware_utils::{N3f1, NZU16, NZU64, NZUsize, non_empty};
use rand::{SeedableRng as _, rngs::StdRng};
use std::sync::Arc;

const NAMESPACE: &[u8] = b"ceremony";
/// View of the parent, and of the block that is judged.
const VIEWS: (u64, u64) = (3, 5);

struct Bench {
    dealt: Dealt,
    application: Application,
    parent: Digested<Block>,
    context: Context,
}

/// An application whose marshal answers nothing: what it would be asked for is in `infos`, or is not there.
async fn application(context: &deterministic::Context, dealt: &Dealt) -> Application {
    let genesis = &dealt.genesis;
    let block = genesis.block().unwrap().digested();
    let chain = block.inner().header().chain;
    let cache = CacheRef::new(NZU16!(4_096), NZUsize!(64));
    let verifier = Scheme::certificate_verifier(&domain::consensus(&chain), genesis.group_key().unwrap());
    let epocher = FixedEpocher::new(NZU64!(40));
    let config = storage::Config {
        prefix: "test".to_owned(),
        history: History::Full,
        limits: genesis.limits(),
        page_cache: cache.clone(),
    };
    let archives = Archives::open(context, &config).await.unwrap();
    let (_, marshal, _): (MarshalActor<_>, _, _) = MarshalActor::init(
        context.child("marshal"),
        archives.finalizations,
        archives.blocks,
        marshal::Config {
            provider: ConstantProvider::new(verifier.clone()),
            epocher: epocher.clone(),
            start: Start::Genesis(block),
            partition_prefix: "marshal".to_owned(),
            mailbox_size: NZUsize!(16),
            view_retention: ViewDelta::new(16),
            prunable_items_per_section: NZU64!(64),
            page_cache: cache,
            replay_buffer: NZUsize!(1_024),
            key_write_buffer: NZUsize!(1_024),
            value_write_buffer: NZUsize!(1_024),
            block_codec_config: genesis.limits(),
            max_repair: NZUsize!(1),
            max_pending_acks: NZUsize!(1),
            strategy: Sequential,
        },
    )
    .await;
    let shared =
        Shared::new(genesis, dealt.rules(), dealt.limits(), 7, Arc::new(|| 10_000), Executions::new());
    Application {
        key: dealt.keys[0].clone(),
        chain,
        election: genesis.election.kind(),
        timing: genesis.timing.clone(),
        logs: LogRules { namespace: NAMESPACE, reshare: genesis.reshare },
        verifier,
        epocher,
        marshal,
        shared: Arc::new(shared),
        infos: Arc::default(),
        refusals: context.family("blocks_refused", "blocks that this node would not vote for"),
        lottery: None,
        l1: None,
    }
}

/// The group's seed signature for a view.
fn seed(dealt: &Dealt, view: u64) -> ParentSeed {
    let genesis = &dealt.genesis;
    let namespace = domain::consensus(&genesis.digest());
    let members = genesis.identities().unwrap();
    let sharing = genesis.sharing().unwrap().public().clone();
    let schemes: Vec<_> = dealt
        .keys
        .iter()
        .map(|key| {
            let share = dealt.shares.get_value(&key.public_key()).unwrap().clone();
            Scheme::signer(&namespace, members.clone(), sharing.clone(), share).unwrap()
        })
        .collect();
    let round = Round::new(baton_types::Epoch::zero(), View::new(view));
    let proposal = Proposal::new(round, View::zero(), EMPTY);
    let votes: Vec<_> =
        schemes.iter().take(3).map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap()).collect();
    let finalization: baton_types::Finalization =
        Finalization::from_finalizes(&schemes[0], non_empty![@&votes], &Sequential).unwrap();
    seed_bytes(&finalization.seed())
}

/// A block that follows `parent` by all rules, to be changed.
struct Draft {
    header: Header,
    body: Body,
    signer: PrivateKey,
}

impl Draft {
    fn new(dealt: &Dealt, parent: &Block, views: (u64, u64), parent_seed: ParentSeed) -> Self {
        let signer = dealt.keys[1].clone();
        let height = parent.header().height + 1;
        let header = Header {
            view: views.1,
            parent_view: views.0,
            height,
            parent: parent.digest(),
            timestamp_ms: 1_000 * height,
            committer: signer.public_key(),
            author: signer.public_key(),
            election: ElectionKind::RoundRobin,
            parent_seed,
            ..parent.header().clone()
        };
        let body = Body {
            segments: Vec::new(),
            heads: parent.body().heads.clone(),
            peaks: parent.history_after().unwrap().peaks,
            payload: None,
            lottery: None,
            results: parent.body().results.clone(),
            l1: None,
        };
        let mut draft = Self { header, body, signer };
        draft.order(1, "something");
        draft
    }

    fn order(&mut self, rollup: u32, payload: &str) {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let transaction = Transaction { valid_until: 20, bundle: None, payload };
        let segment = Segment { rollup: RollupId(rollup), transactions: vec![transaction] };
        self.body.segments.push(segment);
        let ids = self.body.ids();
        let last = self.body.segments.len() - 1;
        let chained = [(RollupId(rollup), &ids[last][..])];
        merkle::advance_heads(&mut self.body.heads, self.header.height, chained.into_iter());
    }

    fn seal(self) -> Digested<Block> {
        Block::seal(self.header, self.body, Some(&self.signer)).digested()
    }
}

impl Bench {
    async fn new(context: &deterministic::Context) -> Self {
        Self::of(context, Dealt::new()).await
    }

    async fn of(context: &deterministic::Context, dealt: Dealt) -> Self {
        let application = application(context, &dealt).await;
        let genesis = dealt.genesis.block().unwrap();
        let parent = Draft::new(&dealt, &genesis, (0, VIEWS.0), [0; 48]).seal();
        let round = Round::new(baton_types::Epoch::zero(), View::new(VIEWS.1));
        let leader = dealt.keys[1].public_key();
        let context = Context { round, leader, parent: (View::new(VIEWS.0), parent.digest()) };
        Self { dealt, application, parent, context }
    }

    fn draft(&self) -> Draft {
        Draft::new(&self.dealt, self.parent.inner(), VIEWS, seed(&self.dealt, VIEWS.0))
    }

    /// What is wrong with the block, in words; empty when nothing is.
    async fn judge(&self, draft: Draft) -> (&'static str, String) {
        match self.application.check(&self.context, &draft.seal(), &self.parent).await {
            Ok(()) => ("", String::new()),
            Err(refused) => (refused.reason().reason, refused.to_string()),
        }
    }
}

fn run(test: impl AsyncFnOnce(deterministic::Context)) {
    deterministic::Runner::default().start(|context| test(context));
}

fn stranger() -> PrivateKey {
    PrivateKey::from_seed(99)
}

fn log(dealt: &Dealt) -> Payload {
    let info = dealt.genesis.epoch_info().unwrap();
    let round = Info::<MinSig, PublicKey>::new::<N3f1>(
        NAMESPACE,
        0,
        Some(info.output.clone()),
        Mode::NonZeroCounter,
        Reveal::V1,
        info.players.clone(),
        info.players,
    );
    let dealer = dealt.keys[1].clone();
    let share = dealt.shares.get_value(&dealer.public_key()).unwrap().clone();
    let mut rng = StdRng::seed_from_u64(2);
    let (dealing, _, _) = Dealer::start::<N3f1>(&mut rng, round.unwrap(), dealer, Some(share)).unwrap();
    Payload::DealerLog(dealing.finalize::<N3f1>())
}

#[test]
fn a_good_block_passes() {
    run(async |context| {
        let bench = Bench::new(&context).await;
        assert_eq!(bench.judge(bench.draft()).await.0, "");
    });
}

#[test]
fn every_broken_rule_of_the_header_is_named() {
    type Change = fn(&mut Draft);
    let cases: &[(&str, Change)] = &[
        ("chain", |draft| draft.header.chain = EMPTY),
        ("context", |draft| draft.header.view += 1),
        ("context", |draft| draft.header.epoch += 1),
        ("context", |draft| draft.header.parent_view -= 1),
        ("context", |draft| draft.header.parent = EMPTY),
        ("context", |draft| draft.header.committer = stranger().public_key()),
        ("author", |draft| {
            draft.signer = stranger();
            draft.header.author = stranger().public_key();
        }),
        ("election", |draft| draft.header.election = ElectionKind::ThresholdLottery),
        ("election", |draft| draft.header.election = ElectionKind::Genesis),
        // As many peaks as the right one has, or it could not be sealed.
        ("height", |draft| draft.header.height = 4),
        ("height", |draft| draft.header.height = 1),
        ("time", |draft| draft.header.timestamp_ms = 999),
        ("unknown_rollup", |draft| draft.order(9, "x")),
        ("segment_order", |draft| draft.order(1, "x")),
        ("not_a_hash", |draft| draft.order(2, "x")),
        ("heads", |draft| {
            draft.body.heads.insert(RollupId(1), EMPTY);
        }),
        ("history", |draft| draft.body.peaks[0] = EMPTY),
    ];
    run(async |context| {
        let bench = Bench::new(&context).await;
        for (index, (reason, change)) in cases.iter().enumerate() {
            let mut draft = bench.draft();
            change(&mut draft);
            let (refused, words) = bench.judge(draft).await;
            assert_eq!(refused, *reason, "case {index}: {words}");
            assert!(!words.is_empty());
        }
    });
}

#[test]
fn fields_of_later_parts_must_be_zero() {
    type Change = fn(&mut Header);
    let cases: &[(&str, Change)] = &[
        ("reveal", |header| header.reveal[31] = 1),
        ("l1_number", |header| header.l1_number = 1),
        ("l1_hash", |header| header.l1_hash.0[0] = 1),
        ("bench_report", |header| header.bench_report[0] = 1),
        ("protocol_signal", |header| header.protocol_signal = 1),
    ];
    run(async |context| {
        let bench = Bench::new(&context).await;
        for (field, change) in cases {
            let mut draft = bench.draft();
            change(&mut draft.header);
            let (refused, words) = bench.judge(draft).await;
            assert_eq!(refused, "reserved", "{field}");
            assert!(words.contains(&format!("field {field} ")), "{field}: {words}");
        }
    });
}

#[test]
fn a_wish_for_a_reshare_may_be_added_and_nothing_else() {
    run(async |context| {
        let bench = Bench::new(&context).await;
        for (signal, expected) in [
            (0, ""),
            (reshare::WANTED, ""),
            (reshare::DUE, "reshare"),
            (reshare::WANTED | reshare::DUE, "reshare"),
        ] {
            let mut draft = bench.draft();
            draft.header.protocol_signal = signal;
            assert_eq!(bench.judge(draft).await.0, expected, "{signal:#x}");
        }
    });
}

/// With and without the certificate of the parent's view at hand.
#[test]
fn the_seed_must_be_the_group_s_for_the_parent_s_view() {
    run(async |context| {
        let bench = Bench::new(&context).await;
        let good = seed(&bench.dealt, VIEWS.0);
        let mut flipped = good;
        flipped[20] ^= 1;
        let cases = [
            (good, ""),
            (flipped, "seed"),
            ([0; 48], "seed"),
            ([0xff; 48], "seed"),
            (seed(&bench.dealt, VIEWS.0 + 1), "seed"),
        ];
        for known in [false, true] {
            if known {
                let round = Round::new(baton_types::Epoch::zero(), View::new(VIEWS.0));
                bench.application.shared.notarized(round, &bench.parent.digest(), good);
            }
            for (parent_seed, reason) in cases {
                let mut draft = bench.draft();
                draft.header.parent_seed = parent_seed;
                assert_eq!(bench.judge(draft).await.0, reason, "known: {known}");
            }
        }
    });
}

/// The first block of an epoch has no parent in it, and no seed.
#[test]
fn without_a_parent_in_the_epoch_there_is_no_seed() {
    run(async |context| {
        let mut bench = Bench::new(&context).await;
        bench.parent = bench.dealt.genesis.block().unwrap().digested();
        bench.context.parent = (View::zero(), bench.parent.digest());
        for (parent_seed, reason) in [([0; 48], ""), (seed(&bench.dealt, 1), "seed")] {
            let draft = Draft::new(&bench.dealt, bench.parent.inner(), (0, VIEWS.1), parent_seed);
            assert_eq!(bench.judge(draft).await.0, reason);
        }
    });
}

#[test]
fn a_dealer_log_needs_an_epoch_that_deals() {
    run(async |context| {
        let bench = Bench::new(&context).await;
        let with_log = || {
            let mut draft = bench.draft();
            draft.body.payload = Some(log(&bench.dealt));
            draft
        };
        // Not the proposer's fault: `verify` abstains.
        assert_eq!(bench.judge(with_log()).await.0, "unknown_epoch");
        let info = bench.dealt.genesis.epoch_info().unwrap();
        bench.application.infos.lock().insert(info.epoch, info);
        assert_eq!(bench.judge(with_log()).await.0, "log");
        assert_eq!(bench.judge(bench.draft()).await.0, "");
    });
}

/// A block at a height that says this of rollup 3 and may have something of it.
fn claiming(bench: &Bench, height: u64, result: ExecutionResult, payload: Option<&str>) -> Digested<Block> {
    let mut draft = bench.draft();
    draft.header.height = height;
    draft.body.peaks = vec![EMPTY; height.count_ones() as usize];
    draft.body.results = [(RollupId(3), result)].into();
    if let Some(payload) = payload {
        draft.order(3, payload);
    }
    draft.seal()
}

#[test]
fn claims_follow_those_of_the_parent() {
    run(async |context| {
        let mut dealt = Dealt::new();
        let rollup = Rollup { ordering: Ordering::PriorityFee, ..Rollup::evm(3, "evm", Evm::new(7)) };
        dealt.genesis.rollups.push(rollup);
        let bench = Bench::of(&context, dealt).await;
        let known = ExecutionResult { executed_to: 5, number: 2, base_fee: 1, ..ExecutionResult::default() };
        let at = |executed_to, number| ExecutionResult { executed_to, number, ..known };
        let other = ExecutionResult { base_fee: 2, ..known };
        let judge = |height, claim, payload| {
            let parent = claiming(&bench, height - 1, known, None);
            let block = claiming(&bench, height, claim, payload);
            let checked = bench.application.check_claims(block.inner(), parent.inner());
            checked.err().map_or("", |refused| refused.reason().reason)
        };
        for (height, claim, payload, expect) in [
            (8, known, None, ""),
            (8, at(7, 2), None, ""),
            (8, at(6, 3), None, ""),
            (8, at(8, 2), None, "claim"),
            (8, at(4, 2), None, "claim"),
            (8, at(6, 1), None, "claim"),
            (8, other, None, "claim"),
            (8, known, Some("no transaction"), "unsigned"),
            (5 + LAG_BLOCKS_MAX, known, Some("no transaction"), "unsigned"),
            (6 + LAG_BLOCKS_MAX, known, Some("no transaction"), "lag"),
            (6 + LAG_BLOCKS_MAX, known, None, ""),
        ] {
            assert_eq!(judge(height, claim, payload), expect, "{height}, {claim:?}, {payload:?}");
        }
        let parent = claiming(&bench, 7, known, None).inner().clone();
        let mut bare = bench.draft();
        bare.body.results.clear();
        let checked = bench.application.check_claims(bare.seal().inner(), &parent);
        assert!(matches!(checked, Err(Refused::Claim(RollupId(3)))));
    });
}
