//! Rules about a header that need no body.

use crate::fixtures::{committee, genesis};
use baton_types::{Header, reshare};

#[test]
fn a_wish_for_a_reshare_stands_to_the_end_of_its_epoch_and_is_heeded_in_the_next() {
    const BOTH: u32 = reshare::WANTED | reshare::DUE;
    let genesis = genesis(&committee()).block().unwrap().header().clone();
    for (signal, same, next) in [
        (0, 0, 0),
        (reshare::WANTED, reshare::WANTED, reshare::DUE),
        (reshare::DUE, reshare::DUE, 0),
        (BOTH, BOTH, reshare::DUE),
    ] {
        let header = Header { epoch: 7, protocol_signal: signal, ..genesis.clone() };
        assert_eq!((header.reshare_after(7), header.reshare_after(8)), (same, next));
        assert_eq!(header.reserved_in_use(true), None);
    }
    for bit in 0..30 {
        let header = Header { protocol_signal: 1 << bit, ..genesis.clone() };
        assert_eq!(header.reserved_in_use(true), Some("protocol_signal"));
    }
}
