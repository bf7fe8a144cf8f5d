//! Arguments that are not plain numbers or names.

use eyre::{WrapErr as _, bail};
use std::{fs, io::Read as _, time::Duration};

/// Most bytes read from a file or standard input as one payload.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Payload bytes: `0x…` is hex, `@file` a file, `-` standard input, anything else UTF-8.
pub fn read(argument: &str) -> eyre::Result<Vec<u8>> {
    if argument == "-" {
        return read_bounded(std::io::stdin().lock(), "standard input");
    }
    if let Some(path) = argument.strip_prefix('@') {
        let file = fs::File::open(path).wrap_err_with(|| format!("cannot open {path}"))?;
        return read_bounded(file, path);
    }
    if argument.starts_with("0x") {
        return baton_types::hex::decode(argument)
            .map_err(|error| eyre::eyre!("DATA: {error}; put text that starts with 0x in a @file"));
    }
    Ok(argument.as_bytes().to_vec())
}

fn read_bounded(reader: impl std::io::Read, name: &str) -> eyre::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .wrap_err_with(|| format!("cannot read {name}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > INPUT_BYTES_MAX) {
        bail!("{name} is larger than {INPUT_BYTES_MAX} bytes, more than any rollup takes");
    }
    Ok(bytes)
}

/// `500ms`, `30s`, `2m`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        unit => return Err(format!("unknown unit {unit:?}; use ms, s, m or h, as in 30s")),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration; write it as 500ms, 30s or 2m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("payload");
        fs::write(&path, [1, 2, 3]).unwrap();
        assert_eq!(read("hello").unwrap(), b"hello");
        assert_eq!(read("").unwrap(), b"");
        assert_eq!(read("0x00ff").unwrap(), [0, 255]);
        assert_eq!(read(&format!("@{}", path.display())).unwrap(), [1, 2, 3]);
        for (argument, expect) in
            [("0x0", "odd number"), ("0xzz", "not hex"), ("@absent", "cannot open absent")]
        {
            let error = format!("{:#}", read(argument).unwrap_err());
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn durations() {
        for (text, expect) in
            [("250ms", 250), ("30s", 30_000), ("30", 30_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(expect)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
