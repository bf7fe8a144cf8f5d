//! One node as a process: configuration, keys, wiring, lifecycle, health. No domain logic.

pub mod config;
mod disk;
mod failure;
pub mod health;
pub mod keys;
mod machine;
pub mod run;
mod tcp;
mod watcher;
