//! The light client, the explorer and the documentation's site: built with tools that npm brings, pinned by the
//! lock file; the explorer is tried in a real browser against a real cluster.

use crate::{
    clients, contracts, npm,
    steps::{Tally, cargo, check, run_counted},
};
use eyre::{Result, WrapErr as _, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const CHROMIUM: &str = "/usr/bin/chromium";

pub fn run(root: &Path) -> Result<Tally> {
    let folder = root.join("web");
    npm::install(&folder)?;
    let npm_bin = |name: &str| folder.join("node_modules/.bin").join(name);
    let mut tally = check(command(&folder, npm_bin("tsc"), &["-p", "light-client"]))?;
    tally += check(command(&folder, npm_bin("tsc"), &["-p", "explorer"]))?;
    // Written anew only on purpose: what is committed is what a node serves.
    let build: &[&str] = match std::env::var_os("BATON_BLESS") {
        Some(_) => &["explorer/build.mjs"],
        None => &["explorer/build.mjs", "--check"],
    };
    tally += check(command(&folder, "node", build))?;
    tally += check(command(&folder, "node", &["docs/build.mjs"]))?;
    tally += node_tests(&folder, "light-client/dist/test/")?;
    browser()?;
    // The local L1 of a devnet comes with them.
    contracts::install(root)?;
    binary(root)?;
    tally += node_tests(&folder, "explorer/test/")?;
    Ok(tally)
}

fn command(folder: &Path, program: impl Into<PathBuf>, args: &[&str]) -> Command {
    let mut command = Command::new(program.into());
    command.current_dir(folder).args(args);
    command
}

/// Debian's Chromium, where there is none.
fn browser() -> Result<()> {
    if std::env::var_os("CHROMIUM").is_some() || Path::new(CHROMIUM).exists() {
        return Ok(());
    }
    for args in [&["update"][..], &["install", "-y", "--no-install-recommends", "chromium"]] {
        let status = Command::new("apt-get").args(args).stdout(Stdio::null()).status();
        let installed = status.wrap_err("starting apt-get")?.success();
        ensure!(installed, "no {CHROMIUM}, and apt-get cannot install it; name a Chromium in CHROMIUM");
    }
    Ok(())
}

/// The node under test, with the same features as the tests of the workspace, so that they share what is compiled.
fn binary(root: &Path) -> Result<()> {
    let mut build = cargo(root, &["test", "--workspace", "--no-run", "--quiet", "--features"]);
    build.arg(clients::FEATURES);
    let status = build.status().wrap_err("building the node")?;
    ensure!(status.success(), "the node does not build");
    Ok(())
}

/// Node would take every file of the folder for a test. The time is that of a whole file.
fn node_tests(folder: &Path, under: &str) -> Result<Tally> {
    let mut command = command(folder, "node", &["--test", "--test-reporter=tap", "--test-timeout=1200000"]);
    let entries = fs::read_dir(folder.join(under)).wrap_err_with(|| format!("listing web/{under}"))?;
    for entry in entries {
        let name = entry.wrap_err_with(|| format!("listing web/{under}"))?.file_name();
        if name.to_string_lossy().contains(".test.") && !name.to_string_lossy().ends_with(".d.ts") {
            command.arg(Path::new(under).join(name));
        }
    }
    run_counted(command, parse_tap)
}

/// Reads `# pass 3` and `# fail 0`.
fn parse_tap(line: &str) -> Option<Tally> {
    let count = |name: &str| line.strip_prefix(name)?.trim().parse().ok();
    if let Some(passed) = count("# pass ") {
        return Some(Tally { passed, failed: 0 });
    }
    ["# fail ", "# cancelled "].into_iter().find_map(count).map(|failed| Tally { passed: 0, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_node_are_read() {
        let check = |line: &str, expect: Option<(u64, u64)>| {
            let expect = expect.map(|(passed, failed)| Tally { passed, failed });
            assert_eq!(parse_tap(line), expect, "{line}");
        };
        check("# pass 12", Some((12, 0)));
        check("# fail 2", Some((0, 2)));
        check("# cancelled 1", Some((0, 1)));
        check("# tests 14", None);
        check("ok 1 - # pass", None);
    }
}
