//! One target for each decoder, by the crate it is in.

mod consensus;
mod disk;
mod eth;
mod execution;
mod l1;
mod lottery;
mod node;
mod rpc;
mod settlement;
mod types;

use crate::{
    run::{MEMORY_MIN, Outcome, Target},
    seeds::{Cluster, Vectors},
};
use baton_types::hex;
use commonware_codec::{Encode, Read};

/// What one byte of input may take in memory, for most: values are larger than their encoding, and are
/// encoded again.
const MEMORY_PER_BYTE: usize = 64;

/// All of them.
pub fn targets() -> Vec<Target> {
    let (vectors, cluster) = (Vectors::read(), Cluster::deal());
    let mut all = types::targets(&vectors, &cluster);
    all.extend(execution::targets(&vectors));
    all.extend(consensus::targets(&vectors, &cluster));
    all.extend(lottery::targets(&vectors, &cluster));
    all.extend(rpc::targets(&vectors));
    all.extend(eth::targets());
    all.extend(settlement::targets(&vectors));
    all.extend(l1::targets(&settlement::flat_signature(&vectors)));
    all.extend(disk::targets(&vectors, &cluster));
    all.extend(node::targets(&cluster));
    all
}

/// A format of bytes.
fn binary(name: &'static str, seeds: Vec<Vec<u8>>, check: impl Fn(&[u8]) -> Outcome + 'static) -> Target {
    Target {
        name,
        seeds,
        text: false,
        memory_min: MEMORY_MIN,
        memory_per_byte: MEMORY_PER_BYTE,
        cost: 1,
        check: Box::new(check),
    }
}

/// A format of the codec: what decodes encodes to the same bytes.
fn codec<T>(name: &'static str, cfg: T::Cfg, seeds: Vec<Vec<u8>>) -> Target
where
    T: Read<Cfg: 'static> + Encode,
{
    let check = move |input: &[u8]| match hex::from_bytes::<T>(input, &cfg) {
        Ok(value) => {
            assert_eq!(value.encode(), input, "two encodings of one value");
            Outcome::Decoded
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    binary(name, seeds, check)
}

/// A format of the codec whose values may have several encodings: one comes back for ever.
fn loose_codec<T>(name: &'static str, cfg: T::Cfg, seeds: Vec<Vec<u8>>) -> Target
where
    T: Read<Cfg: 'static + Clone> + Encode,
{
    let limits = cfg.clone();
    let check = move |input: &[u8]| match hex::from_bytes::<T>(input, &limits) {
        Ok(value) => {
            let once = value.encode();
            assert_eq!(once.len(), input.len(), "another length");
            let again = hex::from_bytes::<T>(&once, &limits).expect("what was encoded decodes");
            assert_eq!(again.encode(), once, "an encoding that changes");
            Outcome::Decoded
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    Target { check: Box::new(check), ..codec::<T>(name, cfg, seeds) }
}

/// A format of words.
fn text(name: &'static str, seeds: Vec<Vec<u8>>, check: impl Fn(&str) -> Outcome + 'static) -> Target {
    let check = move |input: &[u8]| match str::from_utf8(input) {
        Ok(text) => check(text),
        Err(_) => check(&String::from_utf8_lossy(input)),
    };
    Target { text: true, ..binary(name, seeds, check) }
}
