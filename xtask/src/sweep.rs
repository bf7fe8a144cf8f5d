//! Drawn clusters under drawn faults, as many as time allows; the tests run a few.

use crate::steps::cargo;
use eyre::{Result, WrapErr as _};
use std::{os::unix::process::CommandExt as _, path::Path, process::ExitCode};

/// Becomes the program in `sim/`, so that Ctrl-C reaches it and nobody else. `args` are its own.
pub fn run(root: &Path, args: &[&str]) -> Result<ExitCode> {
    let mut command = cargo(
        root,
        &["run", "--profile", "sim", "--quiet", "--package", "baton-sim", "--bin", "sweep", "--"],
    );
    let error = command.args(args).exec();
    Err(error).wrap_err_with(|| format!("starting {command:?}"))
}
