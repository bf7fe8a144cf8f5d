use super::*;
use crate::{RollupId, TxId};

fn check(text: &str, expect: Result<&[u8], &str>) {
    match (decode(text), expect) {
        (Ok(bytes), Ok(expected)) => assert_eq!(bytes, expected, "{text}"),
        (Err(error), Err(part)) => assert!(error.contains(part), "{error}, not {part}"),
        (found, _) => panic!("{text}: {found:?}"),
    }
}

#[test]
fn text_to_bytes() {
    check("0x", Ok(&[]));
    check("0x00ff", Ok(&[0, 255]));
    check("0xAbCd", Ok(&[0xab, 0xcd]));
    check("", Err("starting with 0x"));
    check("00ff", Err("starting with 0x, got \"00ff\""));
    check("0X00", Err("starting with 0x"));
    check("0x0", Err("odd number of digits (1)"));
    check("0x0g", Err("\"0x0g\" is not hex"));
    check("0x 1", Err("is not hex"));
    check("0xä", Err("is not hex"));
    check(&format!("0x{}zz", "00".repeat(100)), Err("…\" is not hex"));
    check(&"ä".repeat(100), Err("…"));
}

#[test]
fn every_byte_there_and_back() {
    let all: Vec<u8> = (0..=255).collect();
    let text = encode(&all);
    assert_eq!(text.len(), 2 + 512);
    assert_eq!(text, text.to_lowercase());
    assert_eq!(decode(&text), Ok(all.clone()));
    assert_eq!(decode(&format!("0x{}", text[2..].to_uppercase())), Ok(all));
}

#[test]
fn arrays_have_their_length() {
    assert_eq!(decode_array::<2>("0x0102"), Ok([1, 2]));
    assert_eq!(decode_array::<2>("0x01"), Err("expected 2 bytes of hex, got 1".to_owned()));
    assert_eq!(decode_array::<0>("0x"), Ok([]));
}

#[test]
fn values_use_every_byte() {
    assert_eq!(decode_value::<RollupId>("0x00000007", &()), Ok(RollupId(7)));
    assert!(decode_value::<RollupId>("0x000007", &()).is_err());
    assert!(decode_value::<RollupId>("0x0000000700", &()).is_err());
    let id = TxId([0xab; 32]);
    assert_eq!(decode_value::<TxId>(&encode_value(&id), &()), Ok(id));
    assert_eq!(id.to_string(), encode_value(&id));
}

#[test]
fn json() {
    let bytes: Hex = serde_json::from_str("\"0x0aff\"").unwrap();
    assert_eq!(bytes, Hex(vec![10, 255]));
    assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"0x0aff\"");
    assert!(serde_json::from_str::<Hex>("\"0x0\"").unwrap_err().to_string().contains("odd number"));
    assert!(serde_json::from_str::<Hex>("7").is_err());
}
