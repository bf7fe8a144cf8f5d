use super::*;
use crate::{
    evm::testing::{contract, digest, rollup},
    testing::Rng,
};
use alloy_primitives::Address;

/// More than a piece, with code that is shared and storage that goes on over the end of a piece.
fn checkpoint(accounts: u64, slots: u64) -> Checkpoint {
    let mut state = State::genesis(rollup(8).evm.as_ref().unwrap());
    let mut changes = Changes::default();
    for index in 0..accounts {
        let address = Address::from_word(keccak256(index.to_be_bytes()));
        let code = (index % 1_000 == 0).then(|| vec![0x5b; 30].into());
        changes.put(address, index, U256::from(index + 1), code, BTreeMap::new());
    }
    let slots = (0..slots).map(|slot| (U256::from(slot), U256::from(slot + 1) << (slot % 200)));
    changes.put(contract(0), 1, U256::ZERO, Some(vec![0x5b; 30].into()), slots.collect());
    state.apply(&changes).unwrap();
    let header = Header { number: 7, state_root: state.root(), ..Header::default() };
    Checkpoint { state, header, through_height: 9, through_digest: digest(9) }
}

fn restore<'a>(pieces: impl IntoIterator<Item = &'a Vec<u8>>) -> Result<Checkpoint, RecordError> {
    let mut restoring = Restoring::default();
    pieces.into_iter().try_for_each(|piece| restoring.push(piece))?;
    restoring.finish()
}

#[test]
fn a_checkpoint_reads_back() {
    let checkpoint = checkpoint(3_000, 26_000);
    let pieces: Vec<_> = checkpoint.pieces().collect();
    assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() <= PIECE_BYTES_MAX));
    let mut again = restore(&pieces).unwrap();
    assert_eq!(
        (again.state.root(), again.state.count()),
        (checkpoint.state.root(), checkpoint.state.count())
    );
    let place = |checkpoint: &Checkpoint| {
        (checkpoint.header.clone(), checkpoint.through_height, checkpoint.through_digest)
    };
    assert_eq!(place(&again), place(&checkpoint));
    // It goes on like the original: the count of a shared code is right, too.
    let (mut removal, mut state) = (Changes::default(), checkpoint.state);
    removal.put(contract(0), 1, U256::ONE, None, BTreeMap::new());
    state.apply(&removal).unwrap();
    again.state.apply(&removal).unwrap();
    assert_eq!((again.state.root(), again.state.count()), (state.root(), state.count()));
}

#[test]
fn cut_swapped_and_flipped_checkpoints_are_not_good() {
    let pieces: Vec<_> = checkpoint(1_000, 24_000).pieces().collect();
    assert!(matches!(restore(&[]), Err(RecordError::Cut)));
    assert!(matches!(restore(&pieces[..pieces.len() - 1]), Err(RecordError::Cut)));
    assert!(matches!(restore(pieces.iter().skip(1)), Err(RecordError::Checksum)));
    let mut swapped = pieces.clone();
    swapped.swap(1, 2);
    assert!(matches!(restore(&swapped), Err(RecordError::Checksum)));
    let mut rng = Rng::new(1);
    for _ in 0..20 {
        let mut damaged = pieces.clone();
        let piece = &mut damaged[rng.below(pieces.len())];
        let at = rng.below(piece.len());
        if rng.chance(30) {
            piece.truncate(at);
        } else {
            piece[at] ^= 1 << rng.below(8);
        }
        assert!(matches!(restore(&damaged), Err(RecordError::Checksum | RecordError::Short { .. })));
    }
}

/// Behind good checksums: the root tells.
#[test]
fn a_state_that_its_header_does_not_name_is_not_good() {
    let good = checkpoint(100, 10);
    let header = Header { state_root: B256::ZERO, ..good.header.clone() };
    let pieces: Vec<_> = Checkpoint { header, ..good.clone() }.pieces().collect();
    assert!(matches!(restore(&pieces), Err(RecordError::StateRoot { number: 7, .. })));
    let mut rng = Rng::new(2);
    let pieces: Vec<_> = good.pieces().collect();
    for _ in 0..200 {
        let index = rng.below(pieces.len());
        let mut content = pieces[index][..pieces[index].len() - 32].to_vec();
        let at = rng.below(content.len());
        content[at] ^= 1 << rng.below(8);
        let checksum = domain::evm_checkpoint(u32::try_from(index).unwrap(), &content);
        content.extend_from_slice(&checksum);
        let mut mutant = pieces.clone();
        mutant[index] = content;
        if let Ok(other) = restore(&mutant) {
            // What the root does not cover, the caller compares: the header's other fields and the place.
            assert_eq!((index, other.state.root()), (0, good.state.root()));
        }
    }
}
