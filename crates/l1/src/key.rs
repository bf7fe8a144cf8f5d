//! The key that pays on L1: a file with the key in hex, or an encrypted keystore with the password in another file.
//! Never an argument, never in a message.

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("{path} can be read by others; `chmod 600` it")]
    Exposed { path: String },
    #[error("{path} holds no key: 0x and 64 hex digits, or a keystore in JSON")]
    Malformed { path: String },
    #[error("{path} is an encrypted keystore; name the file with its password")]
    NoPassword { path: String },
    #[error("{path} does not open with this password: {error}")]
    Locked { path: String, error: String },
}

fn private(path: &Path) -> Result<String, KeyError> {
    let name = || path.display().to_string();
    let unreadable = |error| KeyError::Unreadable { path: name(), error };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: name() });
    }
    fs::read_to_string(path).map_err(unreadable)
}

/// Reads the key at `path`.
pub fn load(path: &Path, password: Option<&Path>) -> Result<PrivateKeySigner, KeyError> {
    let name = || path.display().to_string();
    let text = private(path)?;
    if text.trim_start().starts_with('{') {
        let password = private(password.ok_or_else(|| KeyError::NoPassword { path: name() })?)?;
        return PrivateKeySigner::decrypt_keystore(path, password.trim_end_matches(['\r', '\n']))
            .map_err(|error| KeyError::Locked { path: name(), error: error.to_string() });
    }
    parse(&text).ok_or_else(|| KeyError::Malformed { path: name() })
}

/// A key in hex.
pub fn parse(text: &str) -> Option<PrivateKeySigner> {
    let key: B256 = text.trim().parse().ok()?;
    PrivateKeySigner::from_bytes(&key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    /// The example of the format's definition.
    const KEYSTORE: &str = r#"{"crypto":{"cipher":"aes-128-ctr",
        "cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
        "kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256",
        "salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    const KEYSTORE_KEY: &str = "0x7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn plain_and_encrypted_keys() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, password) = (folder.path().join("key"), folder.path().join("password"));
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        write(&plain, &format!("{}\n", signer.to_bytes()), 0o600);
        assert_eq!(load(&plain, None).unwrap().address(), signer.address());

        let store = folder.path().join("store");
        write(&store, KEYSTORE, 0o600);
        write(&password, "testpassword\n", 0o600);
        let loaded = load(&store, Some(&password)).unwrap();
        assert_eq!(loaded.to_bytes().to_string(), KEYSTORE_KEY);
        assert!(matches!(load(&store, None), Err(KeyError::NoPassword { .. })));
        write(&password, "wrong", 0o600);
        assert!(matches!(load(&store, Some(&password)), Err(KeyError::Locked { .. })));
    }

    #[test]
    fn exposed_and_broken_files_are_refused_without_being_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write(&path, "0xsecret", 0o600);
        let error = load(&path, None).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }) && !error.to_string().contains("secret"));
        write(&path, &B256::repeat_byte(7).to_string(), 0o640);
        assert!(matches!(load(&path, None), Err(KeyError::Exposed { .. })));
        assert!(matches!(load(&folder.path().join("none"), None), Err(KeyError::Unreadable { .. })));
    }
}
