//! What comes through npm, pinned by lock files.

use eyre::{Result, WrapErr as _, ensure};
use std::{fs, path::Path, process::Command};

/// A copy of the lock file that was installed from.
const INSTALLED: &str = "node_modules/.installed-lock.json";

/// Installs what a folder's lock file pins, unless that is what is there.
pub fn install(folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock).wrap_err_with(|| format!("reading {}", lock.display()))?;
    let installed = folder.join(INSTALLED);
    if fs::read(&installed).is_ok_and(|known| known == wanted) {
        return Ok(());
    }
    // No script of a package runs: what we use needs none.
    let status = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .status()
        .wrap_err("starting npm; install Node.js 20 or newer")?;
    ensure!(status.success(), "`npm ci` in {} failed", folder.display());
    fs::write(&installed, wanted).wrap_err_with(|| format!("writing {}", installed.display()))
}
