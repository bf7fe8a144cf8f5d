//! Markdown: links that lead somewhere, and no paths of one machine.

use super::Files;
use std::{collections::BTreeSet, path::Path};

/// Beginnings of paths that exist on somebody's machine only.
const MACHINE: [&str; 3] = ["/root", "/home/", "/tmp/"];

pub fn problems(root: &Path, files: &Files) -> Vec<String> {
    let exists = |path: &str| root.join(path).exists();
    check(files, &exists)
}

pub fn check(files: &Files, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, number) in text.lines().zip(1..) {
            for start in MACHINE {
                if line.match_indices(start).any(|(at, _)| begins_a_path(line, at, start)) {
                    problems.push(format!("{path}:{number}: {start} is a path of one machine"));
                }
            }
        }
        for (number, link) in links(text) {
            if let Some(problem) = follow(path, &link, files, exists) {
                problems.push(format!("{path}:{number}: {link}: {problem}"));
            }
        }
    }
    problems
}

/// Whether `start` is the beginning of an absolute path, as in `/tmp/x`, and not the middle of a
/// relative one or of an address.
fn begins_a_path(line: &str, at: usize, start: &str) -> bool {
    let before = line[..at].chars().next_back();
    let after = line[at + start.len()..].chars().next();
    let inside =
        before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '/' | '-' | '_' | '~' | '}'));
    let word_goes_on = !start.ends_with('/') && after.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !inside && !word_goes_on
}

/// Targets of `[…](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Every second piece between backquotes is code.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for (_, rest) in line.match_indices("](").map(|(at, found)| line.split_at(at + found.len())) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push((number, target.split(' ').next().unwrap_or(target).to_owned()));
            }
        }
    }
    found
}

/// The lines outside fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

fn follow(from: &str, link: &str, files: &Files, exists: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let Some(target) = resolve(from, file) else {
        return Some("leads out of the repository");
    };
    if !exists(&target) {
        return Some("no such file");
    }
    match files.get(&target) {
        Some(text) if !anchor.is_empty() && !anchors(text).contains(anchor) => Some("no such heading"),
        _ => None,
    }
}

/// The path from the root that `link` means in the file `from`.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Headings as GitHub names them in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|(_, line)| line.starts_with('#').then_some(line));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}
