use super::*;
use std::fs;

fn no_env(_: &str) -> Option<String> {
    None
}

fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    fs::write(&path, text).unwrap();
    load(Some(&path), &[], no_env)
}

fn check_error(text: &str, expect: &str) {
    let error = load_text(text).unwrap_err().to_string();
    let (_, error) = error.split_once("node.toml").unwrap_or_else(|| panic!("no file named in {error:?}"));
    assert_eq!(error, expect, "{text}");
}

#[test]
fn the_written_file_gives_the_defaults() {
    let text = table::render(&[]);
    let from_file = load_text(&text).unwrap();
    let defaults = load(None, &[], no_env).unwrap();
    assert_eq!(from_file.config.limits, defaults.config.limits);
    assert_eq!(from_file.config.rpc, defaults.config.rpc);
    assert_eq!(from_file.config.evm.states, baton_consensus::evm::Settings::default().history_max);
    for key in KEYS {
        assert!(text.contains(&format!("{} = ", key.name.split('.').next_back().unwrap())), "{}", key.name);
        assert!(!key.doc.is_empty(), "{}", key.name);
    }
}

#[test]
fn errors_name_file_key_value_and_what_is_allowed() {
    for (text, expect) in [
        ("worker_threads = 0", ": worker_threads = 0: a whole number from 1 to 256"),
        ("worker_threads = \"2\"", ": worker_threads = \"2\": a whole number from 1 to 256"),
        ("worker_thread = 1", ": worker_thread: unknown key; did you mean worker_threads?"),
        (
            "[rpc]\nlisten = \"8545\"",
            ": rpc.listen = \"8545\": an address and port, such as \"127.0.0.1:8545\"",
        ),
        ("[evm]\nstates = 255", ": evm.states = 255: a whole number from 256 to 1000000"),
        ("[log]\nformat = \"xml\"", ": log.format = \"xml\": one of pretty, json"),
        (
            "[surprise]\nkey = 1",
            ": surprise: unknown key; `baton config init` writes all keys with their meaning",
        ),
        (
            "[ops]\nlisten = \"127.0.0.1:8545\"",
            ": ops.listen = 127.0.0.1:8545: an address of its own; rpc.listen has this one",
        ),
        (
            "[limits]\nclient_bytes_max = 268435457",
            ": limits.client_bytes_max = 268435457: at most limits.mempool_bytes_max (268435456)",
        ),
        (
            "[rpc]\ncors = [\"example.org\"]",
            ": rpc.cors = [\"example.org\"]: \"*\" or a list of origins, such as [\"https://example.org\"]",
        ),
    ] {
        check_error(text, expect);
    }
    assert!(load_text("worker_threads = ").unwrap_err().to_string().contains("is not TOML"));
    assert!(
        load(Some(Path::new("absent.toml")), &[], no_env).unwrap_err().to_string().contains("config init")
    );
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    fs::write(&path, "worker_threads = 3\n[log]\nfilter = \"warn\"\n[rpc]\nbatch_max = 7\n").unwrap();
    let env = |name: &str| match name {
        "BATON_WORKER_THREADS" => Some("4".to_owned()),
        "BATON_LOG_FILTER" => Some("debug".to_owned()),
        _ => None,
    };
    let flags = [("worker_threads".to_owned(), "5".to_owned())];
    let loaded = load(Some(&path), &flags, env).unwrap();
    assert_eq!(loaded.config.worker_threads, 5);
    assert_eq!(loaded.config.log.filter, "debug");
    assert_eq!(loaded.config.rpc.batch_max, 7);
    let source = |name: &str| {
        loaded
            .settings
            .iter()
            .find(|setting| setting.key.name == name)
            .map(|setting| setting.source.to_string())
    };
    assert_eq!(source("worker_threads").unwrap(), "flag");
    assert_eq!(source("log.filter").unwrap(), "environment BATON_LOG_FILTER");
    assert_eq!(source("rpc.batch_max").unwrap(), path.display().to_string());
    assert_eq!(source("rpc.listen").unwrap(), "default");
}

#[test]
fn paths_start_at_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    fs::write(&path, "data_dir = \"state\"\nkeys_dir = \"/keys\"").unwrap();
    let flags = [("genesis".to_owned(), "here.json".to_owned())];
    let config = load(Some(&path), &flags, no_env).unwrap().config;
    assert_eq!(config.data_dir, dir.path().join("state"));
    assert_eq!(config.keys_dir, Path::new("/keys"));
    assert_eq!(config.genesis, Path::new("here.json"));
}

#[test]
fn text_values_of_flags() {
    let identity = format!("0x{}", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let flags = [
        ("rpc.cors".to_owned(), "*".to_owned()),
        ("p2p.peers".to_owned(), format!("{identity}=10.0.0.2:30545")),
    ];
    let config = load(None, &flags, no_env).unwrap().config;
    assert_eq!(config.rpc.cors.origins(), None);
    assert_eq!(config.peers().len(), 1);
    for (key, value) in [("rpc.cors", "nowhere"), ("p2p.peers", "0x00=10.0.0.2:1"), ("no.such", "1")] {
        assert!(load(None, &[(key.to_owned(), value.to_owned())], no_env).is_err(), "{key}={value}");
    }
}

#[test]
fn tokens_stay_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.toml");
    fs::write(&path, "indexer = \"0123456789abcdef\"").unwrap();
    let flags = [("rpc.tokens_file".to_owned(), path.display().to_string())];
    let config = load(None, &flags, no_env).unwrap().config;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(config.load_tokens().unwrap_err().to_string().contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let tokens = config.load_tokens().unwrap();
    assert_eq!(format!("{tokens:?}"), "{\"indexer\": Token(…)}");
    fs::write(&path, "indexer = \"short\"").unwrap();
    let error = config.load_tokens().unwrap_err().to_string();
    assert!(error.contains("16 characters") && !error.contains("short"), "{error}");
}

/// What the file says about memory is what the API keeps to.
#[test]
fn the_memory_of_a_connection_is_told() {
    let doc = table::find("rpc.memory_bytes_max").unwrap().doc.join(" ");
    let expect = format!("Each connection takes up to {} KiB more", CONNECTION_BYTES_MAX / 1_024);
    assert!(doc.contains(&expect), "{doc}");
}
