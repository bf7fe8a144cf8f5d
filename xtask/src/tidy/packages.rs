//! Cargo manifests: who may depend on whom, the lints, one exact version of Commonware and one of the
//! proof system, and the stricter clippy settings of the crates that must replay.

use super::Files;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// Which internal packages a package may name. A new arrow is a design decision.
const ARROWS: [(&str, &[&str]); 13] = [
    ("baton-types", &[]),
    ("baton-vrf", &[]),
    ("baton-execution", &["baton-types"]),
    ("baton-settlement", &["baton-types"]),
    ("baton-l1", &["baton-types", "baton-execution", "baton-settlement"]),
    ("baton-consensus", &["baton-types", "baton-vrf", "baton-execution", "baton-settlement"]),
    ("baton-rpc", &["baton-types", "baton-execution", "baton-consensus"]),
    (
        "baton-node",
        &[
            "baton-types",
            "baton-vrf",
            "baton-execution",
            "baton-settlement",
            "baton-l1",
            "baton-consensus",
            "baton-rpc",
        ],
    ),
    ("baton", &["baton-types", "baton-vrf", "baton-settlement", "baton-l1", "baton-node"]),
    ("baton-sim", &["baton-types", "baton-execution", "baton-settlement", "baton-consensus", "baton-node"]),
    ("baton-model", &[]),
    (
        "baton-fuzz",
        &[
            "baton-types",
            "baton-vrf",
            "baton-execution",
            "baton-settlement",
            "baton-l1",
            "baton-consensus",
            "baton-rpc",
            "baton-node",
        ],
    ),
    ("xtask", &[]),
];

/// Crates whose results must be the same on every machine.
const DETERMINISTIC: [&str; 4] =
    ["crates/types", "crates/execution", "crates/settlement", "crates/consensus"];

/// Families of crates that come in one exact version.
const PINNED: [&str; 2] = ["commonware-", PROOF_SYSTEM];

const PROOF_SYSTEM: &str = "p3-";

const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub fn problems(files: &Files) -> Vec<String> {
    let mut problems = Vec::new();
    let manifests = files.iter().filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml"));
    for (path, text) in manifests {
        match text.parse::<Table>() {
            Ok(manifest) if manifest.contains_key("package") => package(path, &manifest, &mut problems),
            Ok(manifest) => workspace(path, &manifest, &mut problems),
            Err(error) => problems.push(format!("{path}: {error}")),
        }
    }
    same_clippy(files, &mut problems);
    problems
}

fn package(path: &str, manifest: &Table, problems: &mut Vec<String>) {
    let at = |keys: &[&str]| keys.iter().try_fold(manifest, |table, key| table.get(*key)?.as_table());
    let name = at(&["package"]).and_then(|package| package.get("name")?.as_str()).unwrap_or_default();
    let lints = at(&["lints"]).and_then(|lints| lints.get("workspace")?.as_bool());
    if lints != Some(true) {
        problems.push(format!("{path}: say `workspace = true` under [lints]"));
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(package, _)| *package == name) else {
        problems.push(format!("{path}: {name} has no line in ARROWS of xtask/src/tidy/packages.rs"));
        return;
    };
    for (dependency, value) in DEPENDENCIES.iter().filter_map(|key| manifest.get(*key)?.as_table()).flatten()
    {
        let internal = ARROWS.iter().any(|(package, _)| package == dependency);
        if internal && !allowed.contains(&&dependency[..]) {
            problems.push(format!("{path}: {name} may not depend on {dependency}"));
        }
        let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
        if dependency.starts_with(PROOF_SYSTEM) && name != "baton-vrf" {
            problems.push(format!("{path}: {dependency}: only baton-vrf names the proof system"));
        }
        if !inherited && (internal || PINNED.iter().any(|family| dependency.starts_with(family))) {
            problems.push(format!("{path}: {dependency} belongs in [workspace.dependencies]"));
        }
    }
}

fn workspace(path: &str, manifest: &Table, problems: &mut Vec<String>) {
    let dependencies =
        manifest.get("workspace").and_then(|workspace| workspace.get("dependencies")?.as_table());
    for family in PINNED {
        let mut versions = BTreeSet::new();
        for (name, value) in dependencies.into_iter().flatten().filter(|(name, _)| name.starts_with(family)) {
            let version = value.as_str().or_else(|| value.get("version")?.as_str()).unwrap_or_default();
            if !version.starts_with('=') {
                problems.push(format!("{path}: {name} = {version:?}; pin one version with `=`"));
            }
            versions.insert(version);
        }
        if versions.len() > 1 {
            problems.push(format!("{path}: {family}* crates of several versions: {versions:?}"));
        }
    }
}

fn same_clippy(files: &Files, problems: &mut Vec<String>) {
    let texts: BTreeSet<_> =
        DETERMINISTIC.iter().map(|package| files.get(&format!("{package}/clippy.toml"))).collect();
    if texts.len() != 1 || texts.contains(&None) {
        problems.push(format!("clippy.toml: must be there and the same in {}", DETERMINISTIC.join(", ")));
    }
}
