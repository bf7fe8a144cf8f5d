//! Many mutants for the decoders of bytes from outside; the tests run a few.

use crate::steps::cargo;
use eyre::{Result, WrapErr as _};
use std::{path::Path, process::ExitCode};

/// Runs the targets in a release build. `args` are those of the program in `fuzz/`.
pub fn run(root: &Path, args: &[&str]) -> Result<ExitCode> {
    let mut command = cargo(root, &["run", "--release", "--quiet", "--package", "baton-fuzz", "--"]);
    let status = command.args(args).status().wrap_err_with(|| format!("starting {command:?}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
