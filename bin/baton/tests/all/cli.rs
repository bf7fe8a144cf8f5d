//! The command line without a cluster: help texts, usage errors, files.

use baton_types::api::ErrorData;
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn baton(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_baton"))
        .args(args)
        .env("COLUMNS", "100")
        .env_remove("BATON_URL")
        .env_remove("BATON_CONFIG")
        .output()
        .unwrap()
}

/// Exit code, and part of what stands on standard error.
fn check_error(args: &[&str], code: i32, expect: &str) {
    let output = baton(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(stderr.contains(expect), "{args:?}: expected {expect:?} in {stderr}");
}

#[test]
fn help_texts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    for command in [
        "",
        "devnet",
        "node",
        "submit",
        "status",
        "top",
        "tx",
        "rollups",
        "validators",
        "election",
        "proof",
        "evm-proof",
        "verify",
        "bench",
        "bench overload",
        "bench faults",
        "bench recovery",
        "bench dead",
        "bench elections",
        "bench idle",
        "bench derive",
        "bench evm",
        "bench settlement",
        "vrf",
        "vrf keygen",
        "vrf prove",
        "vrf verify",
        "vrf bench",
        "config",
        "config init",
        "config check",
        "config show",
        "derive",
        "completions",
    ] {
        let mut args: Vec<_> = command.split_whitespace().collect();
        args.push("--help");
        let output = baton(&args);
        assert!(output.status.success(), "{command}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Examples:"), "baton {command} --help has no examples");
        let name = if command.is_empty() { "baton".to_owned() } else { command.replace(' ', "-") };
        let path = dir.join(format!("{name}.txt"));
        if std::env::var_os("BATON_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "{} differs; BATON_BLESS=1 writes it anew", path.display());
    }
}

#[test]
fn usage_errors() {
    for (args, expect) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["devnet", "--nodes", "0"], "0 is not in 1..=16"),
        (&["devnet", "--nodes", "17"], "17 is not in 1..=16"),
        (&["devnet", "--rollup", "x:zip"], "NAME:hash"),
        (&["submit", "demo"], "<DATA>"),
        (&["submit", "demo", "0xzz"], "is not hex"),
        (&["submit", "demo", "@/absent/file"], "cannot open /absent/file"),
        (&["submit", "demo", "x", "--wait", "rejected"], "an end, not a goal"),
        (&["submit", "demo", "x", "--wait", "done"], "one of pending, replicated"),
        (&["submit", "demo", "x", "--timeout", "1x"], "unknown unit"),
        (&["tx", "0x12"], "expected 32 bytes of hex, got 1"),
        (&["tx", "12"], "expected hex starting with 0x"),
        (&["verify", "proof.json"], "--group-key"),
        (&["verify", "proof.json", "--group-key", "0x00"], "expected 0x and 192 hex digits"),
        (&["bench", "--size", "8"], "8 is not in 16..=1048576"),
        (&["bench", "--devnet", "4", "--urls", "http://127.0.0.1:1"], "cannot be used with"),
        (&["node", "--set", "log.filter"], "expected KEY=VALUE"),
        (&["vrf", "bench", "--rounds", "64"], "63, 127, 255, 511, 1023 or 2047"),
        (&["vrf", "verify", "p", "--public-key", "0x00"], "expected 32 bytes of hex, got 1"),
        (&["vrf", "verify", "p", "--public-key", CHAIN], "suite 95 is unknown"),
        (&["vrf", "prove", "k", "--epoch", "1", "--beacon", "x", "--out", "p"], "--chain <DIGEST>"),
    ] {
        check_error(args, 2, expect);
    }
}

#[test]
fn nobody_there_says_how_to_start_a_cluster() {
    // Reserved, so nothing listens there.
    for args in [&["status"][..], &["submit", "demo", "x"], &["rollups"], &["bench"]] {
        let url = if args == ["bench"] { "--urls" } else { "--url" };
        check_error(&[args, &[url, "http://127.0.0.1:1"]].concat(), 1, "`baton devnet` starts a cluster");
    }
    check_error(&["status", "--url", "https://127.0.0.1"], 1, "expected http://HOST:PORT");
    let output = baton(&["status", "--json", "--url", "http://127.0.0.1:1"]);
    let data: ErrorData = serde_json::from_slice(&output.stdout).unwrap();
    assert!(data.detail.contains("no node at"));
}

fn scratch(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, text).unwrap();
    (dir, path)
}

/// The generator of G2: a key of the right form.
const GROUP_KEY: &str = "0x93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8";

#[test]
fn broken_proofs_are_refused_with_the_reason() {
    let file = |certificate: &str, format: &str| {
        format!(
            r#"{{"format":"{format}","rollup":1,"id":"0x{}","index":0,"position":0,"path":"0x","header":"0x",
            "history":null,"certificate":"{certificate}"}}"#,
            "11".repeat(32)
        )
    };
    for (text, expect) in [
        ("", "is no proof: EOF"),
        ("{}", "missing field `format`"),
        ("[1]", "is no proof"),
        (&file("0x", "baton-proof-9"), "this program reads baton-proof-1"),
        (&file("0x", "baton-proof-1"), "is no proof: path"),
        (&file("zz", "baton-proof-1"), "is no proof: "),
        (r#"{"format":"baton-evm-proof-1"}"#, "missing field `rollup`"),
    ] {
        let (_dir, path) = scratch(text);
        check_error(&["verify", path.to_str().unwrap(), "--group-key", GROUP_KEY], 1, expect);
    }
    check_error(&["verify", "/absent", "--group-key", GROUP_KEY], 1, "cannot open /absent");
}

/// Those of the vectors hold under their key; under another key, or with a change, they do not.
#[test]
fn proofs_of_evm_rollups_are_verified() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors/evm-proof.json");
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let key = vectors["group_key"].as_str().unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let file = &case["file"];
        let (_dir, path) = scratch(&file.to_string());
        let path = path.to_str().unwrap();
        let proven = json(&["verify", path, "--group-key", key]);
        assert_eq!((&proven["block"], &proven["rollup"]), (&case["block"], &file["rollup"]));
        let (subject, field) =
            if file["account"].is_object() { ("account", "nonce") } else { ("receipt", "index") };
        assert!(proven[subject][field].is_u64(), "{proven}");
        assert_eq!(proven[subject][field], file[subject][field]);
        check_error(&["verify", path, "--group-key", GROUP_KEY], 1, "the proof does not hold");
        let mut lie = file.clone();
        lie[subject][field] = (lie[subject][field].as_u64().unwrap() + 1).into();
        fs::write(path, lie.to_string()).unwrap();
        check_error(&["verify", path, "--group-key", key], 1, "the proof does not hold");
    }
}

#[test]
fn configuration_errors_name_file_key_value_and_range() {
    for (text, expect) in [
        ("worker_threads = 0", ": worker_threads = 0: a whole number from 1 to 256"),
        ("[rpc]\nlisten = 8545", ": rpc.listen = 8545: an address and port"),
        ("[rpc]\nlisen = \"\"", ": rpc.lisen: unknown key; did you mean rpc.listen?"),
        ("[", "is not TOML"),
    ] {
        let (_dir, path) = scratch(text);
        for command in ["check", "show"] {
            let path = path.to_str().unwrap();
            check_error(&["config", command, "--config", path], 1, expect);
            check_error(&["config", command, "--config", path], 1, path);
        }
    }
    check_error(&["config", "check", "--config", "/absent.toml"], 1, "`baton config init` writes one");
    let (_dir, path) = scratch("");
    check_error(&["config", "check", "--config", path.to_str().unwrap()], 1, "genesis = ");
}

#[test]
fn a_written_configuration_shows_where_values_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    let path = path.to_str().unwrap();
    assert!(baton(&["config", "init", path]).status.success());
    check_error(&["config", "init", path], 1, "move an existing one away first");
    let output = Command::new(env!("CARGO_BIN_EXE_baton"))
        .args(["config", "show", "--config", path, "--log-format", "json", "--json"])
        .env("BATON_LOG_FILTER", "debug")
        .output()
        .unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    for expect in [
        r#"{"key":"log.format","value":"json","source":"flag"}"#,
        r#"{"key":"log.filter","value":"debug","source":"environment BATON_LOG_FILTER"}"#,
        &format!(r#"{{"key":"worker_threads","value":2,"source":"{path}"}}"#),
        r#"{"key":"rpc.tokens_file","value":null,"source":"default"}"#,
    ] {
        assert!(shown.lines().any(|line| line == expect), "{expect} in {shown}");
    }
}

const CHAIN: &str = "0x5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c";

/// The object that a successful command prints.
fn json(args: &[&str]) -> Value {
    let output = baton(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_epoch_is_proven_and_a_turn_revealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key, proof) = (path("vrf.key"), path("epoch.proof"));
    let public = json(&["vrf", "keygen", &key])["public_key"].as_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    check_error(&["vrf", "keygen", &key], 1, "move an existing key away first");

    let statement = ["--chain", CHAIN, "--epoch", "7", "--beacon", "rain", "--rounds", "63"];
    let prove = [&["vrf", "prove", &key, "--out", &proof], &statement[..]].concat();
    check_error(&[&prove[..], &["--reveal", "63"]].concat(), 1, "the turns of this proof are 0 to 62");
    let proven = json(&[&prove[..], &["--reveal", "5", "--reveal", "62"]].concat());
    assert_eq!((&proven["public_key"], &proven["rounds"]), (&public.clone().into(), &63.into()));
    check_error(&prove, 1, "move an existing one away first");

    let verify = [&["vrf", "verify", &proof, "--public-key", &public], &statement[..]].concat();
    let checked = json(&verify);
    assert_eq!((&checked["root"], &checked["proof_hash"]), (&proven["root"], &proven["proof_hash"]));
    let reveal = proven["reveals"][1].as_str().unwrap();
    let with_reveal =
        [&verify[..], &["--reveal", reveal, "--later-beacon", "sun", "--members", "4"]].concat();
    let turn = json(&with_reveal);
    assert_eq!(turn["turn"], 62);
    let drawn = turn["drawn"].as_u64().unwrap().to_string();
    let benched = json(&[&with_reveal[..], &["--benched", &drawn]].concat());
    assert_eq!(benched["output"], turn["output"]);
    assert_ne!(benched["drawn"].as_u64().unwrap().to_string(), drawn);

    // Each case is the command with one word replaced.
    let other_key = json(&["vrf", "keygen", &path("other.key")])["public_key"].as_str().unwrap().to_owned();
    let other_reveal = reveal.replacen("0x0000003e", "0x0000003d", 1);
    for (word, other, expect) in [
        (CHAIN, CHAIN.replace("5f", "6f"), "the proof does not hold"),
        ("7", "8".to_owned(), "the proof does not hold"),
        ("rain", "snow".to_owned(), "the proof does not hold"),
        ("63", "127".to_owned(), "covers 63 rounds; this chain asks for 127"),
        (&public, other_key, "the proof does not hold"),
        (&proof, key.clone(), "is no proof"),
        (&proof, path("absent"), "cannot open"),
        (reveal, other_reveal, "the reveal does not hold"),
        (reveal, reveal[..40].to_owned(), "--reveal is no reveal"),
        (reveal, "5".to_owned(), "--reveal: expected hex"),
    ] {
        let args: Vec<_> =
            with_reveal.iter().map(|arg| if *arg == word { &other[..] } else { arg }).collect();
        check_error(&args, 1, expect);
    }
}

#[test]
fn vrf_keys_are_kept_private() {
    let (_dir, path) = scratch("0xdeadbeef\n");
    let file = path.to_str().unwrap();
    let prove =
        ["vrf", "prove", file, "--chain", CHAIN, "--epoch", "1", "--beacon", "x", "--out", "/absent/proof"];
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    check_error(&prove, 1, "has mode 644: others may read it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    check_error(&prove, 1, "expected a key that `baton vrf keygen` wrote");
    let stderr = String::from_utf8(baton(&prove).stderr).unwrap();
    assert!(!stderr.contains("dead"), "{stderr}");
}

#[test]
fn a_bench_of_proofs_reports_each_kind() {
    let output = baton(&["vrf", "bench", "--rounds", "63", "--runs", "1", "--json"]);
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.iter().map(|line| line["rounds"].as_u64().unwrap()).collect::<Vec<_>>(), [63, 0]);
    assert!(lines.iter().all(|line| line["prove_ms"].as_f64() > line["verify_ms"].as_f64()));
    assert_eq!((&lines[0]["proven_bits"], &lines[1]["proven_bits"]), (&103.into(), &57.into()));
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = baton(&["completions", shell]);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("devnet"), "{shell}");
    }
}
