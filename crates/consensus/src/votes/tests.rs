use super::{
    journal::{Kept, said},
    *,
};
use crate::{client::Silence, shared::Shared, storage::WRITE_BUFFER, sync, testing::Dealt};
use baton_types::{Digest, PrivateKey, Round, Scheme, View, domain};
use commonware_codec::{Encode as _, varint::UInt};
use commonware_consensus::{
    Viewable as _,
    simplex::types::{Artifact, Finalization, Finalize, Notarize, Nullify, Proposal, Vote},
};
use commonware_cryptography::{Signer as _, certificate::Verifier as _};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Blob as _, Runner as _, Storage as _, Supervisor as _, WriteOptions, buffer::paged::CacheRef,
    deterministic,
};
use commonware_storage::journal::segmented::variable::{Config, Journal};
use commonware_utils::{NZU16, NZUsize, non_empty};

fn members(count: u64) -> Vec<PublicKey> {
    (0..count).map(|seed| PrivateKey::from_seed(seed).public_key()).collect()
}

#[test]
fn the_last_votes_of_each_member_are_kept() {
    let all = members(3);
    let heard = Heard::new(&Set::from_iter_dedup(all[..2].iter().cloned()));
    for number in 0..40u8 {
        heard.hear(&all[0], &[number]);
        heard.hear(&all[2], &[number]);
    }
    heard.hear(&all[1], &[1]);
    heard.hear(&all[1], &[2]);
    // As often as it likes.
    heard.hear(&all[1], &[1]);
    heard.hear(&all[1], &[0; VOTE_BYTES_MAX + 1]);
    let expect: Vec<Bytes> = (24..40u8).map(|number| vec![number].into()).collect();
    assert_eq!(heard.of(&all[0]), expect);
    assert_eq!(heard.of(&all[1]), [vec![1], vec![2]]);
    assert!(heard.of(&all[2]).is_empty(), "not a member");
}

fn schemes() -> Vec<Scheme> {
    let dealt = Dealt::new();
    let genesis = &dealt.genesis;
    let (members, sharing) = (genesis.identities().expect("checked"), genesis.sharing().expect("checked"));
    let namespace = domain::consensus(&genesis.block().expect("checked").header().chain);
    let scheme = |key: &PrivateKey| {
        let share = dealt.shares.get_value(&key.public_key()).expect("every member has one").clone();
        Scheme::signer(&namespace, members.clone(), sharing.public().clone(), share).expect("its share")
    };
    dealt.keys.iter().map(scheme).collect()
}

#[test]
fn a_journal_covers_what_is_on_it_and_what_was_pruned() {
    let schemes = schemes();
    let digest = |byte: u8| Digest::from([byte; 32]);
    let round = |view: u64| Round::new(Epoch::new(2), View::new(view));
    let proposal = |view: u64, byte: u8| Proposal::new(round(view), View::new(view - 1), digest(byte));
    let notarize = |view, byte| Notarize::sign(&schemes[0], proposal(view, byte)).expect("it signs");
    let nullify = |view| Nullify::sign::<Digest>(&schemes[0], round(view)).expect("it signs");
    let finalize = |view, byte| Finalize::sign(&schemes[0], proposal(view, byte)).expect("it signs");
    let votes: Vec<_> =
        schemes.iter().map(|scheme| Finalize::sign(scheme, proposal(20, 1)).expect("it signs")).collect();
    let finalization = Finalization::from_finalizes(&schemes[0], non_empty![@votes.iter()], &Sequential);
    let mut kept = Kept::default();
    assert!(!kept.covers(&said(&Vote::Nullify(nullify(1)))), "nothing is on it");
    for artifact in [
        Artifact::Notarize(notarize(10, 1)),
        Artifact::Nullify(nullify(11)),
        Artifact::Finalize(finalize(12, 2)),
        Artifact::Finalization(finalization.expect("a quorum")),
        Artifact::Notarize(notarize(30, 3)),
    ] {
        kept.add(artifact);
    }
    for (vote, covered) in [
        (Vote::Notarize(notarize(10, 1)), true),
        (Vote::Nullify(nullify(11)), true),
        (Vote::Finalize(finalize(12, 2)), true),
        (Vote::Notarize(notarize(30, 3)), true),
        // Another block, another kind, another view; also below a finalization, where something is left.
        (Vote::Notarize(notarize(10, 2)), false),
        (Vote::Finalize(finalize(10, 1)), false),
        (Vote::Nullify(nullify(12)), false),
        (Vote::Notarize(notarize(31, 3)), false),
        // Older than anything on it.
        (Vote::Nullify(nullify(9)), true),
    ] {
        assert_eq!(kept.covers(&said(&vote)), covered, "{vote:?}");
    }
}

const PREFIX: &str = "node";

/// Guards of one node over several starts, and what its peers have seen.
struct Watched<'a> {
    context: &'a deterministic::Context,
    schemes: Vec<Scheme>,
    shared: Arc<Shared>,
    starts: u64,
}

impl<'a> Watched<'a> {
    fn new(context: &'a deterministic::Context) -> Self {
        let dealt = Dealt::new();
        let executions = crate::evm::Executions::new();
        let (rules, limits) = (dealt.rules(), dealt.limits());
        let shared = Shared::new(&dealt.genesis, rules, limits, 1, Arc::new(|| 0), executions);
        Self { context, schemes: schemes(), shared: Arc::new(shared), starts: 0 }
    }

    fn cache() -> CacheRef {
        CacheRef::new(NZU16!(1_024), NZUsize!(16))
    }

    /// A vote of member `signer` to end a view.
    fn vote(&self, signer: usize, epoch: u64, view: u64) -> Nullify<Scheme> {
        let round = Round::new(Epoch::new(epoch), View::new(view));
        Nullify::sign::<Digest>(&self.schemes[signer], round).expect("it signs")
    }

    /// What a peer says that is in `epoch`: votes as they came over the network.
    fn testimony(epoch: u64, votes: &[Nullify<Scheme>]) -> Testimony {
        let message = |vote: &Nullify<Scheme>| {
            let vote: Vote<Scheme, Digest> = Vote::Nullify(vote.clone());
            Bytes::from([UInt(epoch).encode().to_vec(), vote.encode().to_vec()].concat())
        };
        Testimony { epoch: Epoch::new(epoch), votes: votes.iter().map(message).collect() }
    }

    fn journal(epoch: u64) -> String {
        format!("{PREFIX}-orchestrator_consensus_{epoch}")
    }

    /// Writes votes of this node as its engine does.
    async fn write(&mut self, epoch: u64, votes: &[Nullify<Scheme>]) {
        self.starts += 1;
        let config = Config {
            partition: Self::journal(epoch),
            compression: None,
            codec_config: self.schemes[0].certificate_codec_config(),
            page_cache: Self::cache(),
            write_buffer: WRITE_BUFFER,
        };
        let context = self.context.child("engine").with_attribute("start", self.starts);
        let mut journal = Journal::init(context, config).await.expect("it is readable");
        for vote in votes {
            let (section, artifact) = (vote.view().get(), Artifact::<_, Digest>::Nullify(vote.clone()));
            (journal, _, _) = journal.append(section, &artifact).await.expect("it takes writes");
            journal = journal.sync(section).await.expect("it takes writes");
        }
    }

    /// A guard as at the start of the node, whose peers have seen this.
    async fn start(&mut self, seen: Vec<Testimony>) -> Guard<deterministic::Context> {
        self.starts += 1;
        let context = self.context.child("guard").with_attribute("start", self.starts);
        let peers = sync::Mailbox::telling(context.child("peers"), seen);
        let settings =
            Settings { prefix: PREFIX.to_owned(), page_cache: Self::cache(), faults: 1, peers: Some(peers) };
        Guard::open(context, settings, self.shared.clone()).await
    }

    /// Whether it may vote in an epoch, and what the node says why not.
    async fn may(&self, guard: &mut Guard<deterministic::Context>, epoch: u64) -> (bool, Option<Silence>) {
        let may = guard.may_vote(Epoch::new(epoch), &self.schemes[0]).await;
        (may, self.shared.live().silence)
    }

    async fn has_journal(&self, epoch: u64) -> bool {
        self.context.scan(&Self::journal(epoch)).await.is_ok_and(|files| !files.is_empty())
    }
}

fn watched(test: impl AsyncFnOnce(Watched<'_>)) {
    deterministic::Runner::seeded(7).start(|context| async move { test(Watched::new(&context)).await });
}

#[test]
fn a_vote_that_is_on_the_journal_silences_nobody() {
    watched(async |mut node| {
        let votes = [node.vote(0, 3, 8), node.vote(0, 3, 9)];
        node.write(3, &votes).await;
        // Of other members, of other epochs, and what is none.
        let mut other = Watched::testimony(3, &[node.vote(1, 3, 10)]);
        other.votes.push(Bytes::from_static(&[3, 255]));
        let seen = vec![Watched::testimony(3, &votes), Watched::testimony(2, &[node.vote(0, 2, 50)]), other];
        let mut guard = node.start(seen).await;
        assert_eq!(node.may(&mut guard, 3).await, (true, None));
        assert!(node.has_journal(3).await);
    });
}

#[test]
fn a_vote_that_is_missing_silences_until_the_next_epoch_over_restarts() {
    watched(async |mut node| {
        let told = [node.vote(0, 3, 8), node.vote(0, 3, 9)];
        node.write(3, &told[..1]).await;
        let mut guard = node.start(vec![Watched::testimony(3, &told)]).await;
        assert_eq!(node.may(&mut guard, 3).await, (false, Some(Silence::VotesLost)));
        assert!(!node.has_journal(3).await, "an engine without a share would take its own votes for others'");
        assert_eq!(node.may(&mut guard, 4).await, (true, None));
        drop(guard);
        // The peers have been started since and remember nothing.
        let mut guard = node.start(Vec::new()).await;
        assert_eq!(node.may(&mut guard, 3).await, (false, Some(Silence::VotesLost)));
        assert_eq!(node.may(&mut guard, 4).await, (true, None));
    });
}

#[test]
fn a_journal_that_cannot_be_read_is_no_journal() {
    watched(async |mut node| {
        let vote = node.vote(0, 3, 8);
        node.write(3, &[vote]).await;
        let name = node.context.scan(&Watched::journal(3)).await.expect("it is there").remove(0);
        let (blob, len) = node.context.open(&Watched::journal(3), &name).await.expect("it opens");
        let length = usize::try_from(len).expect("it is small");
        blob.write_at(0, vec![0xff; length], WriteOptions::SYNC).await.expect("it takes writes");
        drop(blob);
        // Cut back to what can be read, which is nothing, or refused: with its peers' memory it is silent.
        let mut guard = node.start(vec![Watched::testimony(3, &[node.vote(0, 3, 8)])]).await;
        assert_eq!(node.may(&mut guard, 3).await, (false, Some(Silence::VotesLost)));
        assert_eq!(node.may(&mut guard, 4).await, (true, None));
    });
}

#[test]
fn an_epoch_that_the_others_have_left_is_over() {
    watched(async |mut node| {
        // One may lie.
        let mut guard = node.start(vec![Watched::testimony(9, &[]), Watched::testimony(3, &[])]).await;
        assert_eq!(node.may(&mut guard, 3).await, (true, None));
        drop(guard);
        let mut guard = node.start(vec![Watched::testimony(9, &[]), Watched::testimony(4, &[])]).await;
        assert!(!node.may(&mut guard, 3).await.0);
        assert_eq!(node.may(&mut guard, 4).await, (true, None));
    });
}

/// Without a share, votes of an earlier life go, and with them the right to vote in that epoch.
#[test]
fn votes_without_their_share_are_forgotten_for_good() {
    watched(async |mut node| {
        let (third, fifth) = (node.vote(0, 3, 8), node.vote(0, 5, 1));
        node.write(3, &[third]).await;
        node.write(5, &[fifth]).await;
        let mut guard = node.start(Vec::new()).await;
        for epoch in [2, 3] {
            guard.abstain(Epoch::new(epoch), &node.schemes[0]).await;
        }
        assert!(!node.has_journal(3).await && node.has_journal(5).await);
        assert_eq!(node.may(&mut guard, 5).await, (true, None));
        drop(guard);
        let mut guard = node.start(Vec::new()).await;
        assert!(!node.may(&mut guard, 3).await.0);
        // What is later stays on record.
        guard.abstain(Epoch::new(5), &node.schemes[0]).await;
        node.write(4, &[node.vote(0, 4, 1)]).await;
        guard.abstain(Epoch::new(4), &node.schemes[0]).await;
        drop(guard);
        let mut guard = node.start(Vec::new()).await;
        assert!(!node.may(&mut guard, 5).await.0);
        assert!(node.may(&mut guard, 6).await.0);
    });
}
