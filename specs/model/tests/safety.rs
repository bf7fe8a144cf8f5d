//! Every run of the model, for rules that are safe; and for rules that are not, the run of chapter 4 that
//! shows it.

use baton_model::{AGREEMENT, Action, GENESIS, Restart, Rules, Simplex, View, Vote};
use stateright::{Checker as _, HasDiscoveries, Model as _, Path};
use std::time::Instant;

/// Tries everything: all properties hold, and whatever should happen does. The number of states is that
/// of the chapter.
fn holds(name: &str, model: Simplex, states: usize) {
    let started = Instant::now();
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).symmetry().spawn_dfs().join();
    println!("{name}: {} states in {:?}", checker.unique_state_count(), started.elapsed());
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), states, "{name}");
}

/// The checker finds some run that breaks agreement; and `run` does, with its last step.
fn broken(name: &str, model: Simplex, run: &[&[Action]]) {
    let started = Instant::now();
    let finish = HasDiscoveries::AllOf([AGREEMENT].into());
    let checker = model.checker().finish_when(finish).symmetry().spawn_dfs().join();
    println!("{name}: broken, found after {} states, {:?}", checker.unique_state_count(), started.elapsed());
    let run = run.concat();
    let (model, start) = (checker.model(), checker.model().init_states().remove(0));
    let before = Path::from_actions(model, start, run.split_last().map_or(&[][..], |(_, before)| before));
    let agreed = before.is_some_and(|before| model.agrees(before.last_state()));
    assert!(agreed, "{name}: the rules allow the run, and nothing is wrong before its last step");
    checker.assert_discovery(AGREEMENT, run);
}

fn votes(members: &[usize], vote: Vote) -> Vec<Action> {
    members.iter().map(|member| Action::Vote(*member, vote)).collect()
}

#[test]
fn agreement_holds_with_fewer_than_a_third_faulty() {
    // Equivocation in every one of three views is too much to try.
    let one_block_per_parent = |model| Simplex { siblings: 1, ..model };
    holds("1 faulty of 4, 2 views", Simplex::new(3, 1, 3, 2), 62_432);
    holds("1 faulty of 4, 3 views", one_block_per_parent(Simplex::new(3, 1, 3, 3)), 1_247_333);
    holds("1 faulty of 5, 2 views", Simplex::new(4, 1, 4, 2), 314_376);
    holds("2 faulty of 7, 2 views", one_block_per_parent(Simplex::new(5, 2, 5, 2)), 422_105);
}

#[test]
fn agreement_survives_restarts() {
    let model = Simplex { restarts: 2, ..Simplex::new(3, 1, 3, 2) };
    holds("2 restarts, journal", Simplex { restart: Restart::Journal, ..model.clone() }, 187_296);
    holds("2 restarts, silent", Simplex { restart: Restart::Silent, ..model }, 424_092);
}

#[test]
fn a_majority_is_not_enough() {
    let model = Simplex::new(4, 1, 3, 1);
    let (x, y) = (model.block(1, GENESIS, 0), model.block(1, GENESIS, 1));
    let run = [
        &votes(&[0, 1], Vote::Notarize(x))[..],
        &votes(&[2, 3], Vote::Notarize(y)),
        &votes(&[0, 1], Vote::Finalize(x)),
        &votes(&[2, 3], Vote::Finalize(y)),
    ];
    broken("3 of 5", model, &run);
}

#[test]
fn a_third_faulty_is_too_many() {
    let model = Simplex::new(2, 2, 3, 1);
    let (x, y) = (model.block(1, GENESIS, 0), model.block(1, GENESIS, 1));
    let run = [
        &votes(&[0], Vote::Notarize(x))[..],
        &votes(&[1], Vote::Notarize(y)),
        &votes(&[0], Vote::Finalize(x)),
        &votes(&[1], Vote::Finalize(y)),
    ];
    broken("2 faulty of 4", model, &run);
}

#[test]
fn a_member_that_forgets_its_votes_is_faulty() {
    let model = Simplex { restarts: 1, restart: Restart::Forgets, ..Simplex::new(3, 1, 3, 1) };
    let (x, y) = (model.block(1, GENESIS, 0), model.block(1, GENESIS, 1));
    let run = [
        &votes(&[0, 1], Vote::Notarize(x))[..],
        &votes(&[0, 1], Vote::Finalize(x)),
        &[Action::Restart(1)],
        &votes(&[1, 2], Vote::Notarize(y)),
        &votes(&[1, 2], Vote::Finalize(y)),
    ];
    broken("1 faulty of 4, 1 forgets", model, &run);
}

/// Nobody is Byzantine and no leader proposes twice: a power failure is enough.
#[test]
fn two_members_that_forget_are_too_many() {
    let model = Simplex { siblings: 1, restarts: 2, restart: Restart::Forgets, ..Simplex::new(4, 0, 3, 2) };
    let (x, y) = (model.block(1, GENESIS, 0), model.block(2, GENESIS, 0));
    let run = [
        &votes(&[0, 1, 2], Vote::Notarize(x))[..],
        &votes(&[0, 1, 2], Vote::Finalize(x)),
        &[Action::Restart(1), Action::Restart(2)],
        &votes(&[1, 2, 3], Vote::Nullify(View(1))),
        &votes(&[1, 2, 3], Vote::Notarize(y)),
        &votes(&[1, 2, 3], Vote::Finalize(y)),
    ];
    broken("4 correct members, 2 forget", model, &run);
}

/// The run is the same but for what the missing rule would have forbidden.
#[test]
fn every_rule_is_needed() {
    let all = Simplex { siblings: 1, ..Simplex::new(3, 1, 3, 2) };
    let (x, y) = (all.block(1, GENESIS, 0), all.block(2, GENESIS, 0));
    let first = [votes(&[0, 1], Vote::Notarize(x)), votes(&[0, 1], Vote::Finalize(x))].concat();
    let second = [votes(&[1, 2], Vote::Notarize(y)), votes(&[1, 2], Vote::Finalize(y))].concat();
    let either = Simplex { rules: Rules { nullify_or_finalize: false, ..Rules::ALL }, ..all.clone() };
    let given_up = votes(&[1, 2], Vote::Nullify(View(1)));
    broken("nullify and finalize", either, &[&first[..], &given_up, &second]);
    let skip = Simplex { rules: Rules { skipped_views_nullified: false, ..Rules::ALL }, ..all };
    broken("skip a view that is not given up", skip, &[&first[..], &second]);
}
