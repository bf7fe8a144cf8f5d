//! Hex with a `0x` prefix, as the API, the genesis and proof files write bytes.

use commonware_codec::{Copying, Decode as _, Encode, Error, Read};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{borrow::Cow, fmt};

/// Appends the two digits of each byte. Branch-free, so that the compiler can vectorize it: ids and
/// payloads go through here by the megabyte.
fn push_digits(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in out[start..].chunks_exact_mut(2).zip(bytes) {
        pair[0] = digit(byte >> 4);
        pair[1] = digit(byte & 15);
    }
}

pub fn encode(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(2 + 2 * bytes.len());
    out.extend_from_slice(b"0x");
    push_digits(&mut out, bytes);
    String::from_utf8(out).expect("digits are ASCII")
}

/// Decodes `0x…`; the error names what is wrong.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| format!("expected hex starting with 0x, got {:?}", shorten(text)))?;
    if digits.len() % 2 != 0 {
        return Err(format!("hex has an odd number of digits ({})", digits.len()));
    }
    let mut out = vec![0; digits.len() / 2];
    let mut bad = 0;
    // One pass that never branches on the data; whether all were digits is asked once, at the end.
    for (byte, pair) in out.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let (high, low) = (nibble(pair[0]), nibble(pair[1]));
        bad |= high | low;
        *byte = high << 4 | low & 15;
    }
    if bad > 15 {
        return Err(format!("{:?} is not hex", shorten(text)));
    }
    Ok(out)
}

/// Decodes hex of an exact number of bytes.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = decode(text)?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| format!("expected {N} bytes of hex, got {len}"))
}

/// The value of a digit; above 15 for anything else.
const fn nibble(digit: u8) -> u8 {
    let decimal = digit.wrapping_sub(b'0');
    let letter = (digit | 0x20).wrapping_sub(b'a');
    let decimal = if decimal < 10 { decimal } else { 0xf0 };
    let letter = if letter < 6 { letter + 10 } else { 0xf0 };
    if decimal < letter { decimal } else { letter }
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
        /// Reads the text where it lies, without a copy.
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = Hex;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("hex starting with 0x")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hex, E> {
                decode(text).map(Hex).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
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

/// Exactly `N` bytes written as `0x…` in JSON, also as a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HexArray<const N: usize>(pub [u8; N]);

impl<const N: usize> Default for HexArray<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> fmt::Display for HexArray<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

impl<const N: usize> fmt::Debug for HexArray<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for HexArray<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for HexArray<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        decode_array(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<const N: usize> schemars::JsonSchema for HexArray<N> {
    fn schema_name() -> Cow<'static, str> {
        format!("Hex{N}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let pattern = format!("^0x[0-9a-fA-F]{{{}}}$", 2 * N);
        schemars::json_schema!({"type": "string", "pattern": pattern})
    }
}

#[cfg(test)]
mod tests;
