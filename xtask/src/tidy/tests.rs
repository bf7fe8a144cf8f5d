use super::*;

fn files(list: &[(&str, &str)]) -> Files {
    list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// Checks that each problem starts with the text expected in its place.
fn expect(problems: &[String], expected: &[&str]) {
    let matching = problems.len() == expected.len()
        && problems.iter().zip(expected).all(|(problem, start)| problem.starts_with(start));
    assert!(matching, "expected {expected:#?}\nfound {problems:#?}");
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}\n")
}

fn check_package(text: &str, expected: &[&str]) {
    let mut list = files(&[("p/Cargo.toml", text)]);
    for package in ["types", "execution", "settlement", "consensus"] {
        list.insert(format!("crates/{package}/clippy.toml"), String::new());
    }
    expect(&packages::problems(&list), expected);
}

#[test]
fn manifests() {
    check_package(&manifest("baton-rpc", "[dependencies]\nbaton-consensus.workspace = true"), &[]);
    check_package(
        &manifest("baton-types", "[dev-dependencies]\nbaton-execution.workspace = true"),
        &["p/Cargo.toml: baton-types may not depend on baton-execution"],
    );
    check_package(
        &manifest("baton-execution", "[dependencies]\nbaton-consensus = { workspace = true }"),
        &["p/Cargo.toml: baton-execution may not depend on baton-consensus"],
    );
    check_package(
        &manifest("baton-node", "[dependencies]\nbytes = \"1\"\ncommonware-codec = \"1\""),
        &["p/Cargo.toml: commonware-codec belongs in [workspace.dependencies]"],
    );
    check_package(&manifest("baton-vrf", "[dependencies]\np3-air.workspace = true"), &[]);
    check_package(
        &manifest("baton-vrf", "[dependencies]\np3-air = \"=1\"\nbaton-types.workspace = true"),
        &[
            "p/Cargo.toml: baton-vrf may not depend on baton-types",
            "p/Cargo.toml: p3-air belongs in [workspace.dependencies]",
        ],
    );
    check_package(
        &manifest("baton-consensus", "[dev-dependencies]\np3-air.workspace = true"),
        &["p/Cargo.toml: p3-air: only baton-vrf names the proof system"],
    );
    check_package(&manifest("baton-new", ""), &["p/Cargo.toml: baton-new has no line in ARROWS"]);
    check_package("[package]\nname = \"xtask\"\n", &["p/Cargo.toml: say `workspace = true` under [lints]"]);
    check_package("[package", &["p/Cargo.toml: "]);
}

#[test]
fn commonware_and_the_proof_system_have_one_exact_version_each() {
    let check = |dependencies: &str, expected: &[&str]| {
        check_package(&format!("[workspace.dependencies]\n{dependencies}"), expected);
    };
    check("commonware-codec = \"=1\"\ncommonware-p2p = { version = \"=1\" }\nbytes = \"1\"\n", &[]);
    check("commonware-codec = \"1\"\n", &["p/Cargo.toml: commonware-codec = \"1\"; pin"]);
    check(
        "commonware-codec = \"=1\"\ncommonware-p2p = \"=2\"\n",
        &["p/Cargo.toml: commonware-* crates of several versions"],
    );
    check("commonware-codec = \"=1\"\np3-air = \"=2\"\n", &[]);
    check("p3-air = \"2\"\n", &["p/Cargo.toml: p3-air = \"2\"; pin"]);
    check("p3-air = \"=1\"\np3-fri = \"=2\"\n", &["p/Cargo.toml: p3-* crates of several versions"]);
}

#[test]
fn strict_clippy_settings_are_alike() {
    let mut list = files(&[
        ("crates/types/clippy.toml", "a"),
        ("crates/execution/clippy.toml", "a"),
        ("crates/settlement/clippy.toml", "a"),
        ("crates/consensus/clippy.toml", "a"),
    ]);
    expect(&packages::problems(&list), &[]);
    list.insert("crates/consensus/clippy.toml".to_owned(), "b".to_owned());
    expect(&packages::problems(&list), &["clippy.toml: must be there and the same"]);
    list.remove("crates/consensus/clippy.toml");
    expect(&packages::problems(&list), &["clippy.toml: must be there and the same"]);
}

fn check_source(path: &str, text: &str, expected: &[&str]) {
    expect(&source::problems(&files(&[(path, text)])), expected);
}

#[test]
fn lines_and_files_end_well() {
    check_source("a.md", "one\ntwo\n", &[]);
    check_source("a.md", "", &[]);
    check_source("a.md", "one \ntwo\t\n", &["a.md:1: space", "a.md:2: space"]);
    check_source("a.md", "one", &["a.md: must end with one newline"]);
    check_source("a.md", "one\n\n", &["a.md: must end with one newline"]);
}

#[test]
fn files_stay_short() {
    let long = "x\n".repeat(601);
    check_source("src/a.rs", &long, &["src/a.rs: 601 lines"]);
    check_source("src/a/tests.rs", &long, &[]);
    check_source("tests/a.rs", &"x\n".repeat(600), &[]);
    check_source("crates/a/tests/a.rs", &long, &[]);
    check_source("src/a.rs", &format!("x\n#[cfg(test)]\n{long}"), &[]);
}

#[test]
fn forbidden_words() {
    for (first, second) in [
        ("    todo", "!()"),
        ("unimplemented", "!(\"x\")"),
        ("#[ig", "nore = \"slow\"]"),
        ("let (a, b) = unbounded", "_channel();"),
        ("mpsc::un", "bounded()"),
        ("std::sync::mpsc::", "channel()"),
    ] {
        check_source("src/a.rs", &format!("x\n{first}{second}\n"), &["src/a.rs:2: "]);
    }
    check_source("src/a.rs", "mpsc::sync_channel(1)\n", &[]);
    let queue = ["unbounded", "_channel()\n"].concat();
    check_source("sim/src/a.rs", &queue, &[]);
    check_source("src/a/tests.rs", &queue, &[]);
}

#[test]
fn domains_are_prefix_free_and_in_one_file() {
    let constant = |name: &str| format!("const X: &[u8] = b\"_{name}\";\n");
    let home = "crates/types/src/domain.rs";
    let two = |a: &str, b: &str| constant(a) + &constant(b);
    check_source(home, &two("BATON_HEADS", "BATON_LEAF"), &[]);
    check_source(
        home,
        &two("BATON_HEAD", "BATON_HEADER"),
        &["crates/types/src/domain.rs:1: _BATON_HEAD begins"],
    );
    check_source(
        home,
        &two("BATON_A", "BATON_A"),
        &["crates/types/src/domain.rs:1:", "crates/types/src/domain.rs:2:"],
    );
    check_source("src/a.rs", &constant("BATON_A"), &["src/a.rs:1: signing domains stand in"]);
    let vrf = "crates/vrf/src/domain.rs";
    check_source(vrf, &constant("BATON_A"), &[]);
    let (one, two) = (constant("BATON_VRF"), constant("BATON_VRF_KEY"));
    expect(
        &source::problems(&files(&[(home, &one), (vrf, &two)])),
        &["crates/types/src/domain.rs:1: _BATON_VRF begins"],
    );
}

fn check_docs(text: &str, expected: &[&str]) {
    let list =
        files(&[("docs/a.md", text), ("README.md", "# The start\n"), ("docs/b/c.md", "# It's `here` now\n")]);
    let exists = |path: &str| list.contains_key(path) || path == "docs/b";
    expect(&docs::check(&list, &exists), expected);
}

#[test]
fn links_lead_somewhere() {
    check_docs("[a](../README.md) [b](b/c.md) [d](b) [e](#title)\n# Title\n", &[]);
    check_docs("[a](https://example.org/x) [b](mailto:a@example.org)\n", &[]);
    check_docs("[a](../README.md#the-start) [b](./b/c.md#its-here-now)\n", &[]);
    check_docs("x\n[a](missing.md) ![b](b.png)\n", &["docs/a.md:2: missing.md", "docs/a.md:2: b.png"]);
    check_docs("[a](../README.md#the-end)\n", &["docs/a.md:1: ../README.md#the-end: no such heading"]);
    check_docs("[a](../../x.md)\n", &["docs/a.md:1: ../../x.md: leads out"]);
    check_docs("```\n[a](missing.md)\n```\n`[a](missing.md)`\n", &[]);
}

#[test]
fn docs_name_no_machine() {
    for start in ["/root", "/home/me/x", "/tmp/x"] {
        check_docs(&format!("run `{start}` now\n"), &["docs/a.md:1: "]);
    }
    check_docs("target/tmp/x https://a.org/home/x /rootless\n", &[]);
}
