use super::{super::tests::state, *};
use crate::{evm::Past, testing::Rng};
use baton_types::hex;
use bytes::Bytes as RawBytes;
use commonware_codec::Encode as _;

fn past() -> Past {
    let state = state();
    let header = Header { number: 5, state_root: state.root(), ..Header::default() };
    Past { hash: header.hash_slow(), header, state }
}

fn fetch(past: &Past) -> Fetch<u8> {
    Fetch::new(past.hash, past.header.state_root)
}

fn honest(past: &Past, wishes: &[Wish]) -> Vec<Piece> {
    wishes.iter().map(|wish| past.piece(wish).expect("it is in the state")).collect()
}

fn check(past: &Past, fetch: Fetch<u8>) {
    assert!(fetch.splits.is_empty() && fetch.open() == 0);
    let (header, state) = fetch.finish().unwrap();
    assert_eq!(
        (header, state.root(), state.count()),
        (past.header.clone(), past.state.root(), past.state.count())
    );
}

#[test]
fn a_state_comes_from_several_peers_in_any_order() {
    let past = past();
    for seed in 0..2 {
        let (mut rng, mut fetch) = (Rng::new(seed), fetch(&past));
        let mut open_max = 0;
        while !fetch.is_complete() {
            for peer in 0..4 {
                fetch.ask(&peer);
            }
            let peer = u8::try_from(rng.below(4)).unwrap();
            let Some(wishes) = fetch.asked.get(&peer).cloned() else { continue };
            if rng.chance(20) {
                fetch.give_up(&peer);
                continue;
            }
            // Some of what was asked for, as a server does whose answers would be too long.
            let pieces = honest(&past, &wishes[..1 + rng.below(wishes.len())]);
            assert!(fetch.answer(&peer, &pieces).is_empty());
            open_max = open_max.max(fetch.open());
        }
        assert!(open_max < 200, "{open_max} wishes open");
        check(&past, fetch);
    }
}

/// Peer 0 damages, mixes up, invents, or says that parts are too large. It is found out, and the state arrives.
#[test]
fn liars_are_named() {
    let past = past();
    for seed in 0..10 {
        let (mut rng, mut fetch) = (Rng::new(seed), fetch(&past));
        let trick = usize::try_from(seed % 5).unwrap();
        let (mut found_out, mut steps) = (false, 0);
        while !fetch.is_complete() {
            steps += 1;
            assert!(steps < 2_000 && fetch.open() < 2_000, "seed {seed}, trick {trick}");
            for peer in u8::from(found_out)..3 {
                let Some(wishes) = fetch.ask(&peer) else { continue };
                let mut pieces = honest(&past, &wishes);
                if peer == 0 {
                    spoil(&mut rng, trick, &wishes, &mut pieces);
                }
                for (liar, lie) in fetch.answer(&peer, &pieces) {
                    assert_eq!(liar, 0, "seed {seed}, trick {trick}: {lie}");
                    found_out = true;
                }
            }
        }
        assert!(found_out, "seed {seed}, trick {trick}");
        check(&past, fetch);
    }
}

fn spoil(rng: &mut Rng, trick: usize, wishes: &[Wish], pieces: &mut Vec<Piece>) {
    let at = rng.below(pieces.len());
    match trick {
        0 => {
            pieces[at] = match &pieces[at] {
                Piece::Whole(bytes) if !bytes.is_empty() => {
                    let mut bytes = bytes.to_vec();
                    let byte = rng.below(bytes.len());
                    bytes[byte] ^= 1 << rng.below(8);
                    Piece::Whole(bytes.into())
                }
                _ => Piece::Whole(RawBytes::from_static(b"?")),
            }
        }
        1 => pieces.push(Piece::Split),
        2 => pieces[at] = Piece::Whole(RawBytes::new()),
        3 => {
            let parts = wishes.iter().zip(pieces).filter(|(wish, _)| wish.under(Prefix::ALL).is_some());
            parts.for_each(|(_, piece)| *piece = Piece::Split);
        }
        _ => {
            let other = pieces.iter().find(|piece| **piece != pieces[at]);
            pieces[at] = other.cloned().unwrap_or(Piece::Whole(RawBytes::from_static(&[1])));
        }
    }
}

#[test]
fn wishes_have_one_encoding() {
    let key = B256::repeat_byte(0xab);
    let prefix = Prefix::new(key, 3).unwrap();
    for wish in [Wish::Header, Wish::Accounts(prefix), Wish::Slots(key, prefix), Wish::Code(key)] {
        let bytes = wish.encode();
        assert_eq!((bytes.len(), hex::from_bytes(&bytes, &()).unwrap()), (wish.encode_size(), wish));
    }
    for bad in [&[4][..], &[1, 65], &[1, 1, 0xab], &[1, 3, 0xab]] {
        assert!(hex::from_bytes::<Wish>(bad, &()).is_err(), "{bad:?}");
    }
}
