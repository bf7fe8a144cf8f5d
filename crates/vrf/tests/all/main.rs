//! The crate as its users see it. One program, so that the proof system is linked once.

#![allow(clippy::unwrap_used)]

mod distribution;
mod epoch;
mod fixtures;
mod mutants;
mod single;
mod values;
mod vectors;
