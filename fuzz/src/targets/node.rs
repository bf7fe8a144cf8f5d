//! Files of a node's operator: configuration, keys, secrets, API tokens; and what an execution client replies.

use super::text;
use crate::{
    run::{Outcome, Target},
    seeds::Cluster,
};
use baton_l1::key;
use baton_node::{
    auditor::engine,
    config::{self, table},
    keys,
};
use serde_json::json;
use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};
use tempfile::TempDir;

pub fn targets(cluster: &Cluster) -> Vec<Target> {
    // Each dot in a key of TOML makes a table.
    let toml = |target| Target { memory_per_byte: 512, ..target };
    vec![
        toml(config_file()),
        config_values(),
        identity_file(cluster),
        share_file(cluster),
        vrf_file(cluster),
        toml(tokens_file()),
        jwt_file(),
        l1_key_file(),
        engine_reply(),
    ]
}

/// Decoders of files take paths, so each input is written to one.
fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn write(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    // Cut afterwards: file systems wait for the disk when a file is emptied and written anew.
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    });
    written.expect("a temporary file can be written");
}

fn config_file() -> Target {
    let directory = directory();
    text("config-file", vec![table::render(&[]).into()], move |text| {
        let path = directory.path().join("node.toml");
        write(&path, text);
        match config::load(Some(&path), &[], |_| None) {
            Ok(loaded) => {
                drop(loaded.config.peers());
                assert_eq!(loaded.settings.len(), table::KEYS.len());
                Outcome::Decoded
            }
            Err(error) => Outcome::Refused(error.to_string().replace(&path.display().to_string(), "")),
        }
    })
}

/// Lines of `key=value` are flags; behind a `$` they are variables of the environment.
fn config_values() -> Target {
    let lines = table::KEYS.iter().map(|key| {
        let value = key.default.unwrap_or("tokens.toml").trim_matches('"').to_owned();
        [format!("{}={value}", key.name), format!("${}={value}", key.env())].join("\n")
    });
    let mut seeds: Vec<Vec<u8>> = lines.map(String::into_bytes).collect();
    let identity = format!("0x{}", "11".repeat(32));
    seeds.push(format!("p2p.peers={identity}=10.0.0.2:30545").into());
    seeds.push(b"rpc.cors=https://example.org,https://example.com\nrpc.cors=*".to_vec());
    text("config-values", seeds, |text| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let (env, flags): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| name.starts_with('$'));
        let flags: Vec<_> =
            flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let variable = |wanted: &str| {
            env.iter().find(|(name, _)| name[1..] == *wanted).map(|(_, value)| (*value).to_owned())
        };
        match config::load(None, &flags, variable) {
            Ok(loaded) => {
                drop(loaded.config.peers());
                Outcome::Decoded
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    })
}

/// No error quotes a secret, not even a mistyped one.
fn without_secret(error: &str, text: &str) -> String {
    let secret = text.trim();
    assert!(secret.len() < 16 || !error.contains(secret), "the error quotes the file: {error}");
    error.to_owned()
}

fn identity_file(cluster: &Cluster) -> Target {
    let directory = directory();
    let seeds = cluster.keys.iter().enumerate().map(|(index, keys)| {
        let path = directory.path().join(index.to_string());
        keys::write_identity(&path, &keys.identity).expect("a temporary file can be written");
        fs::read(path.join("identity.key")).expect("a temporary file can be read")
    });
    let seeds = seeds.collect();
    text("identity-file", seeds, move |text| {
        let path = directory.path().join("identity.key");
        write(&path, text);
        let error = match keys::load_identity(directory.path()) {
            Ok(_) => return Outcome::Decoded,
            Err(error) => error.to_string().replace(&path.display().to_string(), ""),
        };
        Outcome::Refused(without_secret(&error, text))
    })
}

fn share_file(cluster: &Cluster) -> Target {
    let directory = directory();
    let seeds = cluster.keys.iter().enumerate().map(|(index, keys)| {
        let path = directory.path().join(index.to_string());
        keys::write_share(&path, &keys.share).expect("a temporary file can be written");
        fs::read(path.join("share.key")).expect("a temporary file can be read")
    });
    let seeds = seeds.collect();
    text("share-file", seeds, move |text| {
        let path = directory.path().join("share.key");
        write(&path, text);
        let error = match keys::take_share(directory.path()) {
            Ok(share) => {
                assert!(share.is_some(), "the file is there");
                return Outcome::Decoded;
            }
            Err(error) => error.to_string().replace(&path.display().to_string(), ""),
        };
        Outcome::Refused(without_secret(&error, text))
    })
}

fn vrf_file(cluster: &Cluster) -> Target {
    let directory = directory();
    let seeds = cluster.keys.iter().enumerate().map(|(index, keys)| {
        let path = directory.path().join(index.to_string());
        keys::write_vrf(&path, &keys.vrf).expect("a temporary file can be written");
        fs::read(path.join("vrf.key")).expect("a temporary file can be read")
    });
    let seeds = seeds.collect();
    text("vrf-file", seeds, move |text| {
        let path = directory.path().join("vrf.key");
        write(&path, text);
        let error = match keys::load_vrf(directory.path()) {
            Ok(key) => {
                assert!(key.is_some(), "the file is there");
                return Outcome::Decoded;
            }
            Err(error) => error.to_string().replace(&path.display().to_string(), ""),
        };
        Outcome::Refused(without_secret(&error, text))
    })
}

fn tokens_file() -> Target {
    let directory = directory();
    let path = directory.path().join("tokens.toml");
    let flags = [("rpc.tokens_file".to_owned(), path.display().to_string())];
    let config = config::load(None, &flags, |_| None).expect("the defaults are valid").config;
    let seeds = vec![b"alice = \"0123456789abcdef\"\nbob = \"fedcba9876543210\"\n".to_vec()];
    text("tokens-file", seeds, move |text| {
        // The directory lives as long as the check.
        write(&directory.path().join("tokens.toml"), text);
        match config.load_tokens() {
            Ok(tokens) => {
                assert!(tokens.values().all(|token| token.0.len() >= 16));
                Outcome::Decoded
            }
            Err(error) => {
                let error = error.to_string().replace(&path.display().to_string(), "");
                let values = toml::from_str::<toml::Table>(text).unwrap_or_default();
                let names = values.keys().cloned().collect::<String>();
                for secret in values.values().filter_map(toml::Value::as_str) {
                    // The name of a token is no secret, even where it is the same.
                    if !names.contains(secret) {
                        without_secret(&error, secret);
                    }
                }
                Outcome::Refused(error)
            }
        }
    })
}

fn jwt_file() -> Target {
    let directory = directory();
    let seeds = ["0x", ""].map(|prefix| format!("{prefix}{}\n", "7a".repeat(32)).into_bytes());
    text("jwt-file", seeds.into(), move |text| {
        let path = directory.path().join("jwt.hex");
        write(&path, text);
        let error = match engine::read_secret(&path) {
            Ok(_) => return Outcome::Decoded,
            Err(error) => error.to_string().replace(&path.display().to_string(), ""),
        };
        Outcome::Refused(without_secret(&error, text))
    })
}

/// Keys in hex; keystores take long on purpose, and are the library's.
fn l1_key_file() -> Target {
    let directory = directory();
    let seeds = vec![format!("0x{}\n", "7a".repeat(32)).into_bytes(), b"{}".to_vec()];
    let target = text("l1-key-file", seeds, move |text| {
        let path = directory.path().join("l1.key");
        write(&path, text);
        let error = match key::load(&path, None) {
            Ok(_) => return Outcome::Decoded,
            Err(error) => error.to_string().replace(&path.display().to_string(), ""),
        };
        Outcome::Refused(without_secret(&error, text))
    });
    Target { cost: 5, ..target }
}

fn engine_reply() -> Target {
    let status = |status: &str| json!({"status": status, "latestValidHash": null, "validationError": "why"});
    let results = [
        status("VALID"),
        status("INVALID"),
        status("SYNCING"),
        json!({"payloadStatus": status("VALID"), "payloadId": null}),
        json!({"number": "0x9", "hash": format!("0x{}", "11".repeat(32)), "parentHash": null}),
    ];
    let replies = results.map(|result| json!({"jsonrpc": "2.0", "id": 1, "result": result}));
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -38_002, "message": "no such state"}});
    let seeds = replies.into_iter().chain([error]).map(|reply| reply.to_string().into_bytes());
    let target = text("engine-reply", seeds.collect(), |text| {
        let read = engine::READERS.map(|read| read(text.as_bytes()));
        if read.iter().any(Result::is_ok) {
            return Outcome::Decoded;
        }
        Outcome::Refused(read.map(|read| read.err().unwrap_or_default()).join(", "))
    });
    Target { memory_per_byte: 256, ..target }
}
