use super::*;
use crate::{
    lottery::{
        context, rounds,
        tests::{Draft, World, committer},
    },
    testing::{Dealt, change_leaf},
};
use baton_types::{
    Finalization, GroupKey, View,
    election::ElectionFile,
    merkle::{EMPTY, hasher},
    proof::HistoryProof,
};
use baton_vrf::EpochSecrets;
use commonware_consensus::simplex::types::Proposal;
use commonware_storage::merkle::mmr;
use rand::{SeedableRng as _, rngs::StdRng};

const VIEW: u64 = 6;

/// What 2f+1 members sign, whatever it is.
fn certificate(header: &Header) -> Finalization {
    let proposal = Proposal::new(header.round(), View::new(header.parent_view), header.digest());
    Dealt::new().certify(&header.chain, proposal)
}

fn group_key() -> GroupKey {
    Dealt::new().genesis.group_key().unwrap()
}

fn proof_of(world: &World, change: impl FnOnce(&mut Draft)) -> ElectionProof {
    let (parent, block) = (world.genesis.block().unwrap(), world.block(VIEW, change));
    let part = |block: &baton_types::Block| block.body().lottery.clone().unwrap();
    ElectionProof {
        genesis: world.genesis.clone(),
        header: block.header().clone(),
        evidence: part(&block).evidence,
        parent: parent.header().clone(),
        held: part(&parent).held,
        state: part(&parent).state,
        history: None,
        certificate: certificate(block.header()),
    }
}

/// The same election under the certificate of a block two heights above.
fn with_history(mut proof: ElectionProof) -> ElectionProof {
    let headers = [proof.parent.digest(), proof.header.digest(), EMPTY];
    let mut accumulated = mmr::mem::Mmr::new();
    let batch = headers.iter().fold(accumulated.new_batch(), |batch, digest| batch.add(&hasher(), digest));
    accumulated.apply_batch(&batch.merkleize(&accumulated, &hasher())).unwrap();
    let certified = Header {
        height: 3,
        view: VIEW + 2,
        parent_view: VIEW + 1,
        history_root: accumulated.root(&hasher(), 0).unwrap(),
        ..proof.header.clone()
    };
    proof.certificate = certificate(&certified);
    let location = mmr::Location::new(proof.header.height);
    let range = accumulated.proof(&hasher(), location, 0).unwrap();
    proof.history = Some(HistoryProof { certified, proof: range });
    proof
}

fn verify_with(proof: &ElectionProof, extras: Extras<'_>) -> Result<ElectionView, Refused> {
    verify(&mut StdRng::seed_from_u64(1), proof, &group_key(), extras)
}

#[test]
fn an_election_is_shown_from_the_certificate_to_the_author() {
    for committed in [&[0, 1, 2, 3][..], &[]] {
        let world = World::new(committed);
        let mut author = 0;
        let proof = proof_of(&world, |draft| author = draft.author);
        let view = verify_with(&proof, Extras { genesis: Some(&world.genesis), epoch_proof: None }).unwrap();
        assert_eq!((view.height, view.view, view.parent_view, view.views_missed), (1, VIEW, 0, VIEW - 1));
        assert_eq!((view.committer, view.author), (number(committer(VIEW)), number(author)));
        let lottery = view.lottery.unwrap();
        assert_eq!(lottery.draw.last().unwrap().member, number(author));
        assert_eq!(lottery.commitment.is_some(), !committed.is_empty());
        assert_eq!(lottery.turn, VIEW / 4);
        // It survives being written down.
        let text = serde_json::to_string(&ElectionFile::from(&proof)).unwrap();
        let file: ElectionFile = serde_json::from_str(&text).unwrap();
        assert_eq!(ElectionProof::try_from(&file).unwrap(), proof);
    }
}

#[test]
fn a_later_certificate_covers_an_election() {
    let world = World::new(&[0, 1, 2, 3]);
    let sound = proof_of(&world, |_| ());
    let later = with_history(sound.clone());
    let view = verify_with(&later, Extras::default()).unwrap();
    assert_eq!(view, verify_with(&sound, Extras::default()).unwrap());
    // The certificate is of the header above: alone it says nothing of this one, and of another header neither.
    let alone = ElectionProof { history: None, ..later.clone() };
    assert!(matches!(verify_with(&alone, Extras::default()), Err(Refused::NotFinal(_))));
    let mut other = later;
    other.header.timestamp_ms += 1;
    assert!(matches!(verify_with(&other, Extras::default()), Err(Refused::NotFinal(_))));
}

#[test]
fn each_step_has_its_reason() {
    let world = World::new(&[0, 1, 2, 3]);
    let sound = proof_of(&world, |_| ());
    let check = |change: &dyn Fn(&mut ElectionProof), expect: &str| {
        let mut proof = sound.clone();
        change(&mut proof);
        let error = verify_with(&proof, Extras::default()).unwrap_err().to_string();
        assert!(error.contains(expect), "{error} instead of {expect}");
    };
    // Certified by the members themselves, so that only the step in question is left to refuse it.
    let certified = |change: fn(&mut Header)| {
        move |proof: &mut ElectionProof| {
            change(&mut proof.header);
            proof.certificate = certificate(&proof.header);
        }
    };
    check(&|proof| proof.header.timestamp_ms += 1, "not final");
    check(&|proof| proof.genesis.timing.idle_ms += 1, "and its genesis of chain");
    check(&certified(|header| header.chain = EMPTY), "and its genesis of chain");
    check(&certified(|header| header.election = ElectionKind::RoundRobin), "round-robin");
    check(&certified(|header| header.parent = EMPTY), "the parent given");
    check(&|proof| proof.parent.timestamp_ms += 1, "the parent given");
    check(&certified(|header| header.height = 2), "height does not follow");
    check(&certified(|header| header.epoch = 1), "epoch does not follow");
    check(&certified(|header| header.parent_view = 1), "parent view does not follow");
    check(&|proof| proof.state.later_beacon = EMPTY, "the lottery state");
    check(&|proof| proof.evidence = vec![0; 3].into(), "the evidence");
    check(&certified(|header| header.committer = header.author.clone()), "whose turn the view is");
    check(&certified(|header| header.reveal[5] ^= 1), "the opening");
    check(&certified(|header| header.view += 4), "turn");
}

#[test]
fn members_cannot_certify_an_author_that_was_not_drawn() {
    let world = World::new(&[0, 1, 2, 3]);
    for step in 1..4 {
        let proof = proof_of(&world, |draft| draft.author = (draft.author + step) % 4);
        let result = verify_with(&proof, Extras::default());
        assert!(matches!(result, Err(Refused::Unelected(Unelected::Author { .. }))), "{result:?}");
    }
}

#[test]
fn a_verifier_may_know_the_genesis() {
    let world = World::new(&[0, 1, 2, 3]);
    let mut other = world.genesis.clone();
    other.timing.idle_ms += 1;
    let result = verify_with(&proof_of(&world, |_| ()), Extras { genesis: Some(&other), epoch_proof: None });
    assert!(matches!(result, Err(Refused::OtherChain { .. })), "{result:?}");
}

#[test]
fn the_proof_of_the_epoch_belongs_to_the_committer_and_its_commitment() {
    let world = World::new(&[0, 1, 2, 3]);
    let base = world.genesis.context_beacon();
    let prove = |member: usize, epoch| {
        let secret = &world.secrets[member];
        let secrets = EpochSecrets::new(secret, context(&base, epoch, &base), rounds(&world.genesis));
        secrets.prove(&mut StdRng::seed_from_u64(2)).unwrap().to_bytes()
    };
    let election = proof_of(&world, |_| ());
    let check = |proof: &[u8]| verify_with(&election, Extras { genesis: None, epoch_proof: Some(proof) });
    let sound = prove(committer(VIEW), 0);
    check(&sound).unwrap();
    let another = prove(committer(VIEW + 1), 0);
    assert!(matches!(check(&another), Err(Refused::EpochProof(_))), "another member's");
    let later = prove(committer(VIEW), 1);
    assert!(matches!(check(&later), Err(Refused::EpochProof(_))), "of another epoch");
    assert!(matches!(check(&sound[1..]), Err(Refused::EpochProof(_))), "cut");
    let alone = proof_of(&World::new(&[]), |_| ());
    let result = verify_with(&alone, Extras { genesis: None, epoch_proof: Some(&sound) });
    assert!(matches!(result, Err(Refused::NothingCommitted)), "{result:?}");
}

/// Elections in full, as the API shows and proves them: what other verifiers are tested with.
#[test]
fn vectors() {
    // As text: the order of the genesis' fields is part of its digest, and a JSON value would sort them.
    let case = |name: &str, proof: &ElectionProof| {
        let file = serde_json::to_string(&ElectionFile::from(proof)).unwrap();
        let election = serde_json::to_string(&verify_with(proof, Extras::default()).unwrap()).unwrap();
        let key = baton_types::hex::encode_value(&group_key());
        format!(r#"{{"name":"{name}","group_key":"{key}","file":{file},"election":{election}}}"#)
    };
    let revealed = proof_of(&World::new(&[0, 1, 2, 3]), |_| ());
    let alone = proof_of(&World::new(&[]), |_| ());
    let cases = [
        case("reveal", &revealed),
        case("single-proof", &alone),
        case("history", &with_history(revealed.clone())),
    ];
    let expected = format!("[\n{}\n]\n", cases.join(",\n"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/election.json");
    if std::env::var_os("BATON_BLESS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "specs/vectors/election.json differs; if that is meant: cargo xtask vectors");
}

#[test]
fn every_field_of_the_file_matters() {
    let world = World::new(&[0, 1, 2, 3]);
    let alone = proof_of(&world, |_| ());
    let mut changed = 0;
    for (sound, digit) in [alone.clone(), with_history(alone)]
        .iter()
        .flat_map(|proof| [0, 1, 40, 97, 333, 700].map(|digit| (proof, digit)))
    {
        let sound = serde_json::to_value(ElectionFile::from(sound)).unwrap();
        for leaf in 0.. {
            let mut value = sound.clone();
            if !change_leaf(&mut value, &mut leaf.clone(), digit) {
                break;
            }
            changed += 1;
            let Ok(file) = serde_json::from_value::<ElectionFile>(value.clone()) else { continue };
            let Ok(proof) = ElectionProof::try_from(&file) else { continue };
            assert!(verify_with(&proof, Extras::default()).is_err(), "leaf {leaf}, digit {digit}: {value}");
        }
    }
    assert!(changed > 12 * 60, "{changed} changes");
}
