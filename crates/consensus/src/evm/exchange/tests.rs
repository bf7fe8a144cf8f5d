use super::wire::*;
use baton_execution::evm::{Piece, Prefix, Wish, sync::PIECE_BYTES_MAX};
use baton_types::{RollupId, hex};
use bytes::Bytes;
use commonware_codec::Encode as _;

fn ask(wishes: Vec<Wish>) -> Message {
    Message::Ask { rollup: RollupId(2), number: 7, wishes }
}

fn answer(pieces: Vec<Piece>) -> Message {
    Message::Answer { rollup: RollupId(2), number: 7, pieces }
}

#[test]
fn messages_have_one_encoding_and_a_bound() {
    let key = [7; 32].into();
    let longest = Wish::Slots(key, Prefix::new(key, 64).expect("a whole key"));
    // What was closed for being full, with one piece too many.
    let mut full = vec![Piece::Split; Wish::MAX - 2];
    full.push(Piece::Whole(vec![1; ANSWER_BYTES].into()));
    full.push(Piece::Whole(vec![2; PIECE_BYTES_MAX].into()));
    for message in [
        ask(vec![Wish::Header, Wish::Accounts(Prefix::ALL), Wish::Code(key)]),
        ask(vec![longest; Wish::MAX]),
        answer(Vec::new()),
        answer(full),
    ] {
        let bytes = message.encode();
        assert!(bytes.len() <= message_bytes_max(), "{} bytes", bytes.len());
        assert_eq!(hex::from_bytes::<Message>(&bytes, &()).expect("just written"), message);
        assert!(hex::from_bytes::<Message>(&bytes[..bytes.len() - 1], &()).is_err());
    }
}

#[test]
fn what_nobody_may_send_does_not_decode() {
    for bad in [
        ask(Vec::new()),
        ask(vec![Wish::Header; Wish::MAX + 1]),
        answer(vec![Piece::Split; Wish::MAX + 1]),
        answer(vec![Piece::Whole(Bytes::from(vec![0; PIECE_BYTES_MAX + 1]))]),
    ] {
        assert!(hex::from_bytes::<Message>(&bad.encode(), &()).is_err());
    }
    assert!(hex::from_bytes::<Message>(&[2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0], &()).is_err());
}
