//! Runs the checks one after the other and counts what passed. A failing step does not stop the
//! others: one run shows everything that is wrong.

use crate::{clients, contracts, tidy, web};
use eyre::{Result, WrapErr as _};
use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    ops::AddAssign,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl Tally {
    pub const PASS: Self = Self { passed: 1, failed: 0 };
    pub const FAIL: Self = Self { passed: 0, failed: 1 };
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

pub struct Step {
    name: &'static str,
    run: fn(&Path) -> Result<Tally>,
}

const FORMAT: Step = Step { name: "format", run: |root| check(cargo(root, &["fmt", "--all", "--check"])) };

const CLIPPY: Step = Step {
    name: "clippy",
    run: |root| {
        check(cargo(
            root,
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                clients::FEATURES,
                "--",
                "-D",
                "warnings",
            ],
        ))
    },
};

pub const TIDY: Step = Step {
    name: "tidy",
    run: |root| {
        let problems = tidy::problems(root)?;
        for problem in &problems {
            println!("{problem}");
        }
        Ok(if problems.is_empty() { Tally::PASS } else { Tally::FAIL })
    },
};

pub const DOCS: Step = Step {
    name: "docs",
    run: |root| {
        let mut command = cargo(root, &["doc", "--workspace", "--no-deps", "--document-private-items"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        check(command)
    },
};

/// Those with other programs too, so that everything is compiled once.
const TESTS: Step = Step {
    name: "tests",
    run: |root| {
        clients::install(root)?;
        tests(cargo(root, &["test", "--workspace", "--no-fail-fast", "--features", clients::FEATURES]))
    },
};

pub const VECTORS: Step = Step {
    name: "vectors",
    run: |root| {
        let written = |args: &[&str]| {
            let mut command = cargo(root, &["test"]);
            command.args(args).env("BATON_BLESS", "1");
            tests(command)
        };
        let packages = ["--package", "baton-types", "--package", "baton-vrf", "--package", "baton-execution"];
        let mut tally = written(&[&packages[..], &["--test", "all", "vectors"]].concat())?;
        for package in ["baton-settlement", "baton-consensus"] {
            tally += written(&["--package", package, "--lib", "vectors"])?;
        }
        Ok(tally)
    },
};

pub const CONTRACTS: Step = Step { name: "contracts", run: contracts::check };

pub const WEB: Step = Step { name: "web", run: web::run };
pub const CLIENTS: Step = Step { name: "clients", run: clients::check };

/// Everything, in order of how soon it fails. The last line printed is `N passed, N failed`.
pub fn test(root: &Path) -> Result<ExitCode> {
    // Without them the steps that need them fail on their own.
    if let Err(error) = install_components(root) {
        println!("{error:#}");
    }
    let mut total = Tally::default();
    for step in [TIDY, FORMAT, CLIPPY, DOCS, CONTRACTS, TESTS, WEB] {
        total += timed(root, &step);
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(exit_code(total))
}

pub fn one(root: &Path, step: &Step) -> Result<ExitCode> {
    Ok(exit_code(timed(root, step)))
}

fn exit_code(tally: Tally) -> ExitCode {
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn timed(root: &Path, step: &Step) -> Tally {
    println!("==> {}", step.name);
    let started = Instant::now();
    let tally = (step.run)(root).unwrap_or_else(|error| {
        println!("{error:#}");
        Tally::FAIL
    });
    let verdict = if tally.failed == 0 { "ok" } else { "FAILED" };
    println!("<== {}: {verdict} in {:.1} s", step.name, started.elapsed().as_secs_f64());
    tally
}

/// Adds rustfmt and clippy to a minimal toolchain.
fn install_components(root: &Path) -> Result<()> {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let mut probe = cargo(root, &[tool, "--version"]);
        let found = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_ok_and(|status| status.success()) {
            continue;
        }
        let mut add = Command::new("rustup");
        add.current_dir(root).args(["component", "add", component]);
        let status = add.status().wrap_err_with(|| format!("cargo {tool} is missing; starting rustup"))?;
        eyre::ensure!(status.success(), "cargo {tool} is missing; `rustup component add {component}` failed");
    }
    Ok(())
}

pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root).args(args);
    command
}

/// One check: passed when the command succeeds.
pub fn check(mut command: Command) -> Result<Tally> {
    let status = command.status().wrap_err_with(|| format!("starting {command:?}"))?;
    Ok(if status.success() { Tally::PASS } else { Tally::FAIL })
}

/// As many checks as the test programs report, shown while they run.
pub fn tests(command: Command) -> Result<Tally> {
    run_counted(command, parse_result)
}

pub fn run_counted(mut command: Command, parse: fn(&str) -> Option<Tally>) -> Result<Tally> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().wrap_err_with(|| format!("starting {command:?}"))?;
    let output = child.stdout.take().expect("the output is piped");
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.wrap_err("reading the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(result) = parse(&line) {
            tally += result;
        }
    }
    let status = child.wait().wrap_err("waiting for the tests")?;
    // A test that does not compile, or a test program that dies, reports no result.
    if !status.success() && tally.failed == 0 {
        tally += Tally::FAIL;
    }
    Ok(tally)
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
fn parse_result(line: &str) -> Option<Tally> {
    parse_counts(line, "test result:")
}

pub fn parse_counts(line: &str, prefix: &str) -> Option<Tally> {
    // Colours of forge.
    let plain = line.replace("\u{1b}[32m", "").replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
    let (_, counts) = plain.trim().strip_prefix(prefix)?.split_once(". ")?;
    let count = |name: &str| {
        counts.split(';').find_map(|part| part.trim().strip_suffix(name)?.trim().parse::<u64>().ok())
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")? })
}

#[cfg(test)]
mod tests;
