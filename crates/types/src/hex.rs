//! Hex with a `0x` prefix, as the API, the genesis and proof files write bytes.

use commonware_codec::{Copying, Decode as _, Encode, Error, Read};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::borrow::Cow;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 + 2 * bytes.len());
    out.push_str("0x");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Decodes `0x…`; the error names what is wrong.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| format!("expected hex starting with 0x, got {:?}", shorten(text)))?;
    if digits.len() % 2 != 0 {
        return Err(format!("hex has an odd number of digits ({})", digits.len()));
    }
    let digits = digits.as_bytes();
    let mut out = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => out.push(high << 4 | low),
            _ => return Err(format!("{:?} is not hex", shorten(text))),
        }
    }
    Ok(out)
}

/// Decodes hex of an exact number of bytes.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = decode(text)?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| format!("expected {N} bytes of hex, got {len}"))
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Decodes a codec value from hex; trailing bytes are an error.
pub fn decode_value<T: Read>(text: &str, cfg: &T::Cfg) -> Result<T, String> {
    from_bytes(&decode(text)?, cfg).map_err(|error| error.to_string())
}

/// Decodes a codec value from bytes; trailing bytes are an error.
pub fn from_bytes<T: Read>(bytes: &[u8], cfg: &T::Cfg) -> Result<T, Error> {
    T::decode_cfg(Copying(bytes), cfg)
}

pub fn encode_value(value: &impl Encode) -> String {
    encode(&value.encode())
}

/// Bytes written as `0x…` in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hex(pub Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        decode(&text).map(Self).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Hex {
    fn schema_name() -> Cow<'static, str> {
        "Hex".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"})
    }
}

#[cfg(test)]
mod tests;
