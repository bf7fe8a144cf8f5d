//! One node as a process: configuration, keys, wiring, lifecycle, health. No domain logic.

pub mod config;
pub mod health;
pub mod keys;
pub mod run;
mod tcp;
