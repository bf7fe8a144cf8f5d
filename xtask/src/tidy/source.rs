//! Rust files: size, what must not stand in them, and signing domains. All text files: line ends.

use super::Files;

/// Lines of one Rust file, its tests not counted.
const LINES_MAX: usize = 600;

/// What must not stand in Rust, and why. Spelled in two halves, so that this file passes.
const FORBIDDEN: [(&str, &str, &str); 3] = [
    ("todo", "!(", "unfinished"),
    ("unimplemented", "!(", "unfinished"),
    ("#[ig", "nore", "a test runs or does not exist"),
];

/// The same outside tests and simulations, where some interfaces of the library ask for it.
const UNBOUNDED: [(&str, &str, &str); 3] = [
    ("unbounded", "_channel", "every queue has a limit"),
    ("mpsc::un", "bounded(", "every queue has a limit"),
    ("sync::mpsc::", "channel", "every queue has a limit: sync_channel"),
];

/// The files that spell signing domains: one per crate that knows no other of ours.
const DOMAINS: [&str; 2] = ["crates/types/src/domain.rs", "crates/vrf/src/domain.rs"];

pub fn problems(files: &Files) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in files {
        whitespace(path, text, &mut problems);
        if path.ends_with(".rs") {
            length(path, text, &mut problems);
            forbidden(path, text, &mut problems);
        }
    }
    domains(files, &mut problems);
    problems
}

fn whitespace(path: &str, text: &str, problems: &mut Vec<String>) {
    for (line, number) in text.lines().zip(1..) {
        if line.ends_with([' ', '\t', '\r']) {
            problems.push(format!("{path}:{number}: space at the end of the line"));
        }
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        problems.push(format!("{path}: must end with one newline"));
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn length(path: &str, text: &str, problems: &mut Vec<String>) {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    if !is_test(path) && lines > LINES_MAX {
        problems.push(format!("{path}: {lines} lines without tests; at most {LINES_MAX}, so split it"));
    }
}

fn forbidden(path: &str, text: &str, problems: &mut Vec<String>) {
    for (line, number) in text.lines().zip(1..) {
        let unbounded = UNBOUNDED.into_iter().filter(|_| !is_test(path) && !path.starts_with("sim/"));
        for (first, second, reason) in FORBIDDEN.into_iter().chain(unbounded) {
            let pattern = [first, second].concat();
            if line.contains(&pattern) {
                problems.push(format!("{path}:{number}: {pattern}: {reason}"));
            }
        }
    }
}

/// What follows a domain is not set off from it, so no domain may begin another.
fn domains(files: &Files, problems: &mut Vec<String>) {
    let marker = ["b\"_", "BATON_"].concat();
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs") && !is_test(path)) {
        for (line, number) in text.lines().zip(1..) {
            let Some((_, rest)) = line.split_once(&marker) else { continue };
            if !DOMAINS.contains(&&path[..]) {
                problems.push(format!("{path}:{number}: signing domains stand in {}", DOMAINS.join(" and ")));
            }
            found.push((rest.split('"').next().unwrap_or_default(), format!("{path}:{number}")));
        }
    }
    for (i, (one, place)) in found.iter().enumerate() {
        let clash = found.iter().enumerate().find(|(j, (other, _))| *j != i && other.starts_with(one));
        if let Some((_, (other, other_place))) = clash {
            problems.push(format!("{place}: _BATON_{one} begins _BATON_{other} of {other_place}"));
        }
    }
}
