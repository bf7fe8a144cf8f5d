//! Tests from outside of the crate.

#![allow(clippy::unwrap_used)]

mod vectors;
