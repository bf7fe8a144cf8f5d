use super::*;
use crate::{
    Place,
    testing::{Chain, ROLLUP, RULE, digest, signature, transaction},
};
use baton_types::{
    merkle::EMPTY,
    settlement::{DataKind, L1Address},
};

fn certified() -> Certified {
    let mut chain = Chain::new(false);
    chain.push(1_000, &[transaction(1, b"one")]);
    let contents = chain.push(9_000, &[]).unwrap();
    let terms = Terms {
        rollup: ROLLUP,
        l1_chain_id: 0,
        inbox: L1Address([0x61; 20]),
        queue: L1Address([0; 20]),
        key_generation: 0,
        data_kind: DataKind::Directory,
        slot_seconds: 1,
        first_height: 1,
        rule: RULE,
    };
    let data = crate::encode(&contents);
    let batch = terms.batch(Place::FIRST, &contents, data_commitment(DataKind::Directory, &data));
    Certified { batch, signature: signature(), data }
}

#[test]
fn a_file_comes_back_and_has_one_form() {
    let certified = certified();
    let file = certified.to_file();
    assert_eq!(file.len(), 15 + 205 + 48 + 4 + certified.data.len());
    let back = Certified::from_file(&file).unwrap();
    assert_eq!(
        (&back.batch, back.signature, &back.data),
        (&certified.batch, certified.signature, &certified.data)
    );
    assert_eq!(back.to_file(), file);
}

#[test]
fn a_cut_file_is_refused_wherever_it_ends() {
    let file = certified().to_file();
    for length in 0..file.len() {
        assert!(Certified::from_file(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
    let more = [&file[..], b"x"].concat();
    let error = Certified::from_file(&more).unwrap_err();
    let (found, expected) = (more.len(), file.len());
    assert!(
        matches!(error, FileError::Length { found: f, expected: e } if (f, e) == (found, expected)),
        "{error}"
    );
}

#[test]
fn a_batch_follows_one_state_only() {
    let certified = certified();
    let start = InboxState::start(1);
    certified.follows(&start).unwrap();
    for (state, expect) in [
        (InboxState { next_index: 1, ..start }, "is batch 0; batch 1"),
        (InboxState { next_height: 2, ..start }, "the next block is 2"),
        (InboxState { head: digest(1), ..start }, "does not follow"),
        (certified.after(), "is batch 0; batch 1"),
    ] {
        let error = certified.follows(&state).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    assert_eq!((start.head, certified.after().head), (EMPTY, certified.batch.head()));
}
