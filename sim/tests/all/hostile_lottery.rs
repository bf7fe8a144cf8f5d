//! Members that play the zero-knowledge lottery against its rules, as committer, as author, and as keeper of
//! proofs. The others keep all properties; a hostile member costs the views that it has a part in, and no more.

use crate::{
    byzantine::{deeds, metrics, withstands},
    lottery::{REVEAL, blocks, identities, lottery, state},
};
use baton_consensus::elections::EpochProofId;
use baton_sim::{
    Action, Behaviour, Chain, Report, Scenario,
    byzantine::{Kind, Trick},
    cluster::Cluster,
    load::Rate,
};
use baton_types::Block;

/// Whoever is hostile, where it does not matter who.
const HOSTILE: usize = 3;
const ALL: [usize; 3] = [0, 1, 2];

fn scenario(name: &'static str, seed: u64, trick: Trick) -> Scenario {
    hostile(name, seed, Behaviour::Lottery(trick))
}

fn hostile(name: &'static str, seed: u64, behaviour: Behaviour) -> Scenario {
    Scenario {
        name,
        seed,
        hostile: vec![(HOSTILE, behaviour)],
        stall_max_ms: Some(3_000),
        drain_ms: 30_000,
        min_height: 60,
        ..lottery()
    }
}

/// What a run came to, as its blocks tell.
struct Tale {
    blocks: Vec<Block>,
    /// Views without a block, by committer.
    missed: Vec<u64>,
    /// Of the hostile member: blocks that it built for others, and for its own views.
    drawn: usize,
    own: usize,
}

impl Tale {
    async fn of(cluster: &Cluster) -> Self {
        let blocks = blocks(cluster).await;
        let mut missed = vec![0; cluster.members.len()];
        for block in &blocks {
            let header = block.header();
            let turns = state(block).rotation().turns(header.epoch, header.parent_view + 1, header.view);
            turns.into_iter().for_each(|(member, turns)| missed[member] += turns);
        }
        let me = identities(cluster)[HOSTILE].clone();
        let built = blocks.iter().filter(|block| block.header().author == me);
        let own = built.clone().filter(|block| block.header().committer == me).count();
        Self { drawn: built.count() - own, own, blocks, missed }
    }

    /// Views that honest members lost as committers.
    fn honest_missed(&self) -> u64 {
        self.missed.iter().sum::<u64>() - self.missed[HOSTILE]
    }

    fn lost(&self) -> u64 {
        self.missed.iter().sum()
    }

    /// That next to nothing was lost: fresh engines may lose a view at the start of an epoch.
    fn hardly_any(&self, lost: u64) {
        let blocks = self.blocks.len() as u64;
        assert!(lost * 10 <= blocks, "{lost} views lost, {blocks} blocks; by committer {:?}", self.missed);
    }
}

fn withstood(scenario: Scenario, after: impl AsyncFnOnce(&Cluster, Tale)) -> Report {
    withstands(scenario, async |cluster| {
        let tale = Tale::of(cluster).await;
        after(cluster, tale).await;
    })
}

fn sum(cluster: &Cluster, name: &str, label: &str) -> u64 {
    metrics(cluster, name, label).iter().sum()
}

// ---- The committer ----

/// Reveals that nobody sees, or only some: the drawn member hears of it when it is asked.
#[test]
fn no_reveal() {
    for (seed, from) in [(501, ALL.to_vec()), (502, vec![1])] {
        withstood(
            scenario("no_reveal", seed, Trick::Hide(vec![Kind::Reveal], from)),
            async |cluster, tale| {
                assert!(deeds(cluster, HOSTILE, "hid Reveal") > 10);
                tale.hardly_any(tale.lost());
            },
        );
    }
}

#[test]
fn late_reveals() {
    let trick = Trick::Delay(vec![Kind::Reveal], 250);
    withstood(scenario("late_reveals", 503, trick), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "late Reveal") > 10);
        tale.hardly_any(tale.lost());
    });
}

/// With a forged path, for a wrong view, of another member: nobody believes them, and no view is lost.
#[test]
fn forged_reveals() {
    withstood(scenario("forged_reveals", 504, Trick::ForgeReveals), async |cluster, tale| {
        for forgery in [
            "damaged reveal",
            "nonsense reveal",
            "reveal of another view",
            "reveal of another member",
            "reveal for another's view",
        ] {
            assert!(deeds(cluster, HOSTILE, forgery) > 1, "{forgery}");
        }
        for refused in metrics(cluster, "lottery_bad_messages", "") {
            assert!(refused > 8, "{refused} refused");
        }
        tale.hardly_any(tale.lost());
    });
}

/// Of blocks that nobody built, of epochs and members that are not, answers to no question: it costs no view.
#[test]
fn false_words() {
    withstood(scenario("false_words", 521, Trick::FalseWords), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "false words") > 10);
        for refused in metrics(cluster, "bad_messages", "") {
            assert!(refused > 10, "{refused} refused");
        }
        tale.hardly_any(tale.lost());
    });
}

/// Its views pass, the next committer's turn comes, and it is suspended for what it missed.
#[test]
fn no_designation() {
    let trick = Trick::Hide(vec![Kind::Reveal, Kind::Designate], ALL.to_vec());
    withstood(scenario("no_designation", 505, trick), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "hid Designate") > 4);
        assert!(tale.missed[HOSTILE] > 4, "{:?}", tale.missed);
        assert!(tale.drawn > 4, "it still builds what others draw it for: {}", tale.drawn);
        assert!(tale.blocks.iter().any(|block| state(block).suspended.contains(HOSTILE)));
        tale.hardly_any(tale.honest_missed());
    });
}

/// Wrong members, wrong parents, many at once, twice, and ahead of time: only its own views suffer. With little to
/// order, blocks are under way for long, and could be disturbed.
#[test]
fn wild_designations() {
    let scenario = Scenario {
        rate: Rate { every_ms: 900, batch: 1, ..Rate::default() },
        run_ms: 24_000,
        ..scenario("wild_designations", 506, Trick::WildDesignations)
    };
    withstood(scenario, async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "asked wildly") > 8);
        assert!(deeds(cluster, HOSTILE, "asked for many parents") > 2);
        assert!(deeds(cluster, HOSTILE, "asked too early") > 10);
        assert!(sum(cluster, "lottery_builds_refused", "") > 0);
        assert!(sum(cluster, "lottery_bad_messages", "") > 8);
        tale.hardly_any(tale.honest_missed());
    });
}

/// A committer that lets every block pass that is not its own: counted in the chain and by every member, and
/// suspended for an epoch, in which nobody waits for it.
#[test]
fn a_committer_that_declines_what_it_dislikes() {
    let mut scenario = scenario("a_committer_that_declines_what_it_dislikes", 507, Trick::Decline);
    (scenario.run_ms, scenario.min_height) = (12_000, 120);
    withstood(scenario, async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "declined") > 8);
        let of_epoch = |epoch| tale.blocks.iter().filter(move |block| block.header().epoch == epoch);
        let me = identities(cluster)[HOSTILE].clone();
        for block in of_epoch(0).chain(of_epoch(2)) {
            assert!(state(block).suspended.is_empty());
            let header = block.header();
            assert!(header.committer != me || header.author == me, "only its own pass: {}", header.height);
        }
        for block in of_epoch(1) {
            assert_eq!(state(block).suspended.iter().collect::<Vec<_>>(), [HOSTILE]);
            assert!(block.header().committer != me && block.header().author != me);
        }
        assert!(tale.missed[HOSTILE] >= 8, "{:?}", tale.missed);
        tale.hardly_any(tale.honest_missed());
        for (_, client) in cluster.running() {
            let tally = client.tally().since_start;
            let counted: Vec<_> = tally.counts.iter().map(|counts| counts.turns_missed).collect();
            assert_eq!(counted, tale.missed);
            assert!(tally.counts[HOSTILE].suspensions >= 1);
        }
    });
}

/// A committer that signs the drawn member's block itself.
#[test]
fn a_committer_as_author() {
    withstood(scenario("a_committer_as_author", 508, Trick::Usurp), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "impostor's block") > 4);
        for refused in metrics(cluster, "blocks_refused", "reason=\"unelected\"") {
            assert!(refused > 4, "{refused}");
        }
        tale.hardly_any(tale.honest_missed());
    });
}

// ---- The author ----

/// Whoever is not drawn builds in vain.
#[test]
fn a_wrong_author() {
    withstood(scenario("a_wrong_author", 509, Trick::Intrude), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "impostor's block") > 20);
        tale.hardly_any(tale.lost());
    });
}

/// The drawn member sends nothing, or sends it when its committer has given up.
#[test]
fn no_block_or_a_late_one() {
    let late = vec![Kind::Body, Kind::Built];
    for (seed, trick, deed) in [
        (510, Trick::Hide(late.clone(), ALL.to_vec()), "hid Body"),
        (511, Trick::Delay(late, 700), "late Body"),
    ] {
        withstood(scenario("no_block_or_a_late_one", seed, trick), async |cluster, tale| {
            assert!(deeds(cluster, HOSTILE, deed) > 8);
            assert_eq!(tale.drawn, 0);
            assert!(tale.own > 0, "its own views need nobody");
            assert!(sum(cluster, "views_declined", "reason=\"author_silent\"") > 8);
        });
    }
}

/// Late, and still within what a committer waits.
#[test]
fn a_block_that_is_just_in_time() {
    let trick = Trick::Delay(vec![Kind::Body, Kind::Built], 60);
    withstood(scenario("a_block_that_is_just_in_time", 512, trick), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "late Body") > 8);
        assert!(tale.drawn > 8, "{}", tale.drawn);
        tale.hardly_any(tale.lost());
    });
}

#[test]
fn a_block_for_another_parent() {
    let trick = Trick::OtherParent { corrects: false };
    withstood(scenario("a_block_for_another_parent", 613, trick), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "another parent") > 8);
        assert_eq!(tale.drawn, 0);
        assert!(sum(cluster, "blocks_refused", "reason=\"context\"") > 8);
        assert!(sum(cluster, "views_declined", "reason=\"invalid\"") > 8);
    });
}

/// As one that has not heard of the parent yet and builds ahead: it is asked again within the view.
#[test]
fn a_block_for_another_parent_until_it_is_asked_again() {
    let trick = Trick::OtherParent { corrects: true };
    let name = "a_block_for_another_parent_until_it_is_asked_again";
    withstood(scenario(name, 514, trick), async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "another parent") > 8);
        assert!(deeds(cluster, HOSTILE, "the right parent") > 8);
        assert!(tale.drawn > 8, "{}", tale.drawn);
        tale.hardly_any(tale.lost());
    });
}

#[test]
fn two_blocks_for_one_view() {
    let scenario = hostile("two_blocks_for_one_view", 515, Behaviour::Equivocate);
    withstood(scenario, async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "two blocks") > 8);
        assert!(tale.drawn > 4, "those that got the other block get this one from its committer");
        assert!(sum(cluster, "lottery_relays", "") > 4);
        tale.hardly_any(tale.honest_missed());
    });
}

#[test]
fn a_body_for_the_committer_alone() {
    let scenario = scenario("a_body_for_the_committer_alone", 516, Trick::OneReceiver);
    withstood(scenario, async |cluster, tale| {
        assert!(deeds(cluster, HOSTILE, "one receiver") > 8);
        assert!(tale.drawn > 8, "the committer sends it on: {}", tale.drawn);
        assert!(sum(cluster, "lottery_relays", "") > 8);
        tale.hardly_any(tale.lost());
    });
}

/// What is wrong with the blocks of this author, by the reason that members must give.
const BREACHES: [(&str, &str); 10] = [
    ("unelected", "damaged evidence"),
    ("unelected", "evidence of another view"),
    ("unelected", "no evidence"),
    ("unelected", "nonsense for evidence"),
    ("unelected", "another opening"),
    ("unelected", "no state"),
    ("lottery", "another beacon"),
    ("lottery", "a suspension"),
    ("lottery", "a commitment that one member holds"),
    ("lottery", "a report of nobody"),
];

#[test]
fn an_author_that_forges_the_draw() {
    let mut scenario = scenario("an_author_that_forges_the_draw", 517, Trick::BreakDraws);
    scenario.run_ms = 8_000;
    withstood(scenario, async |cluster, tale| {
        for (reason, breach) in BREACHES {
            assert!(deeds(cluster, HOSTILE, breach) > 0, "{breach}");
            assert!(sum(cluster, "blocks_refused", &format!("reason=\"{reason}\"")) > 0, "{reason}");
        }
        let refused = sum(cluster, "blocks_refused", "");
        let forged: u64 = BREACHES.iter().map(|(_, breach)| deeds(cluster, HOSTILE, breach)).sum();
        // One of the last may still be on its way.
        assert!(refused + 2 >= forged, "{refused} times refused, {forged} forged");
        assert_eq!((tale.drawn, tale.own), (0, 0));
    });
}

// ---- Silence ----

/// A liar, and one member that really has not heard the accused: 2f+1 authors are needed, and nobody is benched.
/// With one more there are as many.
#[test]
fn silence_that_a_liar_reports() {
    for (seed, deaf, benched) in [(518, vec![0], false), (519, vec![0, 1], true)] {
        let cuts = deaf.iter().map(|deaf| (500, Action::Cut(2, *deaf)));
        let scenario = Scenario {
            chain: Chain { epoch_blocks: 200, ..lottery().chain },
            events: cuts.collect(),
            run_ms: 14_000,
            stall_max_ms: None,
            min_height: 130,
            heals: true,
            ..scenario("silence_that_a_liar_reports", seed, Trick::Accuse(vec![2]))
        };
        withstood(scenario, async |cluster, tale| {
            assert!(deeds(cluster, HOSTILE, "accused") > 10);
            let reported = |author: usize| {
                let author = &identities(cluster)[author];
                let mut blocks = tale.blocks.iter().map(Block::header);
                blocks.any(|header| header.author == *author && header.bench_report != [0; 32])
            };
            assert!(reported(HOSTILE) && deaf.iter().all(|deaf| reported(*deaf)));
            let benches = tale.blocks.iter().map(|block| state(block).bench);
            let found = benches.filter(|bench| bench.contains(2)).count();
            assert_eq!(found > 0, benched, "{found} of {} blocks", tale.blocks.len());
        });
    }
}

// ---- Proofs ----

/// Its commitment never comes in force; it proves its views one by one, and the others go on as ever.
#[test]
fn proofs_that_prove_nothing() {
    let mut scenario = scenario("proofs_that_prove_nothing", 520, Trick::FalseProofs);
    (scenario.run_ms, scenario.min_height) = (9_000, 100);
    withstood(scenario, async |cluster, tale| {
        for spoilt in ["nonsense proof", "damaged proof", "half a proof", "another's proof"] {
            assert!(deeds(cluster, HOSTILE, spoilt) > 0, "{spoilt}");
        }
        for refused in metrics(cluster, "lottery_proofs_bad_messages", "") {
            assert!(refused > 2, "{refused}");
        }
        let me = identities(cluster)[HOSTILE].clone();
        let later = tale.blocks.iter().filter(|block| block.header().epoch > 0);
        for block in later.clone() {
            let part = block.body().lottery.as_ref().expect("every block has it");
            let committed: Vec<_> = part.state.commitments.iter().map(Option::is_some).collect();
            assert_eq!(committed, [true, true, true, false]);
            assert_eq!(part.evidence[0] == REVEAL, block.header().committer != me);
        }
        assert!(later.filter(|block| block.header().committer == me).count() > 4);
        tale.hardly_any(tale.lost());
    });
}

/// It says that it holds proofs and hands out none, and that others hold what they do not. Two of three holders
/// are honest, and whoever lacks a proof gets it from them.
#[test]
fn holders_that_lie() {
    let scenario = Scenario {
        events: vec![(400, Action::Crash(0)), (3_000, Action::Restart(0))],
        run_ms: 9_000,
        min_height: 100,
        ..scenario("holders_that_lie", 521, Trick::FalseHolds)
    };
    withstood(scenario, async |cluster, tale| {
        for lie in ["claims to hold", "false signature", "false holders"] {
            assert!(deeds(cluster, HOSTILE, lie) > 0, "{lie}");
        }
        assert!(sum(cluster, "lottery_proofs_bad_messages", "") > 2);
        let last = tale.blocks.last().expect("there are blocks");
        // A claim that nobody signed would be in force here.
        for (member, commitment) in state(last).commitments.iter().enumerate() {
            let commitment = commitment.expect("all are in force");
            for (index, client) in cluster.running() {
                let found = client.epoch_proof(EpochProofId::Hash(commitment.proof)).await;
                let found =
                    found.map_err(|refusal| format!("{index}: {refusal}")).expect("every member holds it");
                assert_eq!(usize::from(found.member), member);
            }
        }
    });
}
