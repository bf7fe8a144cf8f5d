//! A second verifier, written from `specs/3-proofs.md` alone: JSON, SHA-256 and one pairing check.
//! Where it and [`baton_types::proof`] disagree, the chapter is wrong or one of them is.

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::{
    Hasher as _, Sha256,
    bls12381::primitives::{
        ops,
        variant::{MinSig, Variant},
    },
};
use serde_json::{Map, Value};

type Hash = [u8; 32];
type Check<T> = Result<T, &'static str>;

const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
const HEADER_BYTES: usize = 582;

fn sha(parts: &[&[u8]]) -> Hash {
    Sha256::hash(parts).0
}

fn require(condition: bool, problem: &'static str) -> Check<()> {
    if condition { Ok(()) } else { Err(problem) }
}

/// Bytes still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Check<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("too short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Check<[u8; N]> {
        Ok(self.take(N)?.try_into().unwrap())
    }

    /// Seven bits per byte, lowest first; no longer than it must be.
    fn varint(&mut self) -> Check<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            require(bits << shift >> shift == bits, "varint over 64 bits")?;
            value |= bits << shift;
            if byte & 0x80 == 0 {
                require(byte != 0 || shift == 0, "varint with a useless last byte")?;
                return Ok(value);
            }
        }
        Err("varint too long")
    }

    fn hashes(&mut self, max: u64) -> Check<Vec<Hash>> {
        let count = self.varint()?;
        require(count <= max, "too many hashes")?;
        (0..count).map(|_| self.array()).collect()
    }

    fn end(self) -> Check<()> {
        require(self.0.is_empty(), "bytes left over")
    }
}

struct Header {
    bytes: Vec<u8>,
}

impl Header {
    fn new(bytes: Vec<u8>) -> Check<Self> {
        require(bytes.len() == HEADER_BYTES && bytes[0] == 1, "not a header of version 1")?;
        Ok(Self { bytes })
    }

    fn hash_at(&self, offset: usize) -> &[u8] {
        &self.bytes[offset..offset + 32]
    }

    fn u64_at(&self, offset: usize) -> u64 {
        u64::from_be_bytes(self.bytes[offset..offset + 8].try_into().unwrap())
    }

    fn chain(&self) -> &[u8] {
        self.hash_at(1)
    }

    fn height(&self) -> u64 {
        self.u64_at(57)
    }

    fn digest(&self) -> Hash {
        sha(&[b"_BATON_HEADER", &self.bytes])
    }
}

fn member<'a>(object: &'a Map<String, Value>, key: &str) -> Check<&'a Value> {
    object.get(key).ok_or("a field is missing")
}

fn number(object: &Map<String, Value>, key: &str) -> Check<u32> {
    let value = member(object, key)?.as_u64().ok_or("not a number")?;
    value.try_into().map_err(|_| "number over 32 bits")
}

fn bytes(object: &Map<String, Value>, key: &str) -> Check<Vec<u8>> {
    let text = member(object, key)?.as_str().ok_or("not a string")?;
    let digits = text.strip_prefix("0x").ok_or("not hex")?;
    require(digits.len() % 2 == 0 && digits.is_ascii(), "not hex")?;
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| "not hex"))
        .collect()
}

fn object<'a>(value: &'a Value, keys: &[&str]) -> Check<&'a Map<String, Value>> {
    let object = value.as_object().ok_or("not an object")?;
    require(object.keys().all(|key| keys.contains(&&key[..])), "an unknown field")?;
    Ok(object)
}

/// Steps 2 and 3: the transaction is in the tree of the block.
fn check_path(proof: &Map<String, Value>, body_root: &[u8]) -> Check<()> {
    let id = bytes(proof, "id")?;
    require(id.len() == 32, "not an id")?;
    let rollup = number(proof, "rollup")?.to_be_bytes();
    let index = number(proof, "index")?.to_be_bytes();
    let mut place = number(proof, "position")?;
    let path = bytes(proof, "path")?;
    let mut path = Reader(&path);
    let leaves = u32::from_be_bytes(path.array()?);
    let siblings = path.hashes(32)?;
    path.end()?;
    require(place < leaves, "position outside the tree")?;
    let mut siblings = siblings.iter();
    let leaf = sha(&[b"_BATON_LEAF", &rollup, &index, &id]);
    let mut node = sha(&[&place.to_be_bytes(), &leaf]);
    let mut width = leaves;
    while width > 1 {
        node = if place % 2 == 1 {
            sha(&[siblings.next().ok_or("path too short")?, &node])
        } else if place + 1 == width {
            sha(&[&node, &node])
        } else {
            sha(&[&node, siblings.next().ok_or("path too short")?])
        };
        place /= 2;
        width = width.div_ceil(2);
    }
    require(siblings.next().is_none(), "path too long")?;
    require(sha(&[&leaves.to_be_bytes(), &node]) == body_root, "not in the block")
}

/// Step 4: the block's header is among those before the certified one.
fn check_history(header: &Header, certified: &Header, proof: &[u8]) -> Check<()> {
    require(header.chain() == certified.chain(), "headers of two chains")?;
    let mut reader = Reader(proof);
    let (leaves, inactive) = (reader.varint()?, reader.varint()?);
    let hashes = reader.hashes(128)?;
    reader.end()?;
    require(leaves == certified.height() && leaves <= 1 << 62 && inactive == 0, "another history")?;
    require(header.height() < leaves, "not an earlier header")?;
    let mut hashes = hashes.iter();
    let mut next = || hashes.next().copied().ok_or("history too short");
    // The mountain with the header, those before it, and those after it.
    let (mut start, mut mine, mut before, mut after) = (0, (0, 0), 0, 0);
    for height in (0..63).rev().filter(|height| leaves >> height & 1 == 1) {
        if header.height() >= start + (1 << height) {
            before += 1;
        } else if header.height() >= start {
            mine = (height, start);
        } else {
            after += 1;
        }
        start += 1 << height;
    }
    let before = if before > 0 { Some(next()?) } else { None };
    let after = (0..after).map(|_| next()).collect::<Check<Vec<_>>>()?;
    let peak = climb(mine.0, mine.1, header.height(), &header.digest(), &mut next)?;
    let mut folded = before.map_or(peak, |before| sha(&[&before, &peak]));
    for peak in after {
        folded = sha(&[&folded, &peak]);
    }
    require(next().is_err(), "history too long")?;
    let root = sha(&[&[0, 0], &leaves.to_be_bytes(), &folded]);
    require(root == certified.hash_at(HISTORY_ROOT), "not in the history")
}

/// The hash of the node of `height` over the leaves from `start`, which contain `leaf`.
fn climb(
    height: u32,
    start: u64,
    leaf: u64,
    digest: &Hash,
    next: &mut impl FnMut() -> Check<Hash>,
) -> Check<Hash> {
    let first = 2 * start - u64::from(start.count_ones());
    let position = (first + (2 << height) - 2).to_be_bytes();
    if height == 0 {
        return Ok(sha(&[&position, digest]));
    }
    let middle = start + (1 << (height - 1));
    let (left, right) = if leaf < middle {
        let left = climb(height - 1, start, leaf, digest, next)?;
        (left, next()?)
    } else {
        let left = next()?;
        (left, climb(height - 1, middle, leaf, digest, next)?)
    };
    Ok(sha(&[&position, &left, &right]))
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

/// What a signature is over: the length of the namespace, the namespace, the message.
pub fn signed_bytes(chain: &[u8], suffix: &[u8], message: &[u8]) -> Vec<u8> {
    payload(&[b"_BATON_CONSENSUS", chain, suffix].concat(), message)
}

/// Namespace and message as they are signed.
pub fn payload(namespace: &[u8], message: &[u8]) -> Vec<u8> {
    [&varint(namespace.len() as u64), namespace, message].concat()
}

/// Step 5: the certificate is for the certified header, under the group key.
fn check_certificate(certificate: &[u8], header: &Header, group_key: &[u8]) -> Check<()> {
    let mut reader = Reader(certificate);
    let numbers = [reader.varint()?, reader.varint()?, reader.varint()?];
    require(numbers == [header.u64_at(33), header.u64_at(41), header.u64_at(49)], "for another round")?;
    let digest: Hash = reader.array()?;
    require(digest == header.digest(), "for another block")?;
    let (vote, seed) = (reader.take(48)?, reader.take(48)?);
    reader.end()?;
    let round = [varint(numbers[0]), varint(numbers[1])].concat();
    let proposal = [&round[..], &varint(numbers[2]), &digest].concat();
    let key = <MinSig as Variant>::Public::decode(Copying(group_key)).map_err(|_| "not a group key")?;
    let check = |suffix: &[u8], message: &[u8], signature: &[u8]| {
        let signature = <MinSig as Variant>::Signature::decode(Copying(signature))
            .map_err(|_| "not a point of the group")?;
        let payload = signed_bytes(header.chain(), suffix, message);
        ops::verify::<MinSig>(&key, DST, &payload, &signature).map_err(|_| "signature does not verify")
    };
    check(b"_FINALIZE", &proposal, vote)?;
    check(b"_SEED", &round, seed)
}

const BODY_ROOT: usize = 282;
const HISTORY_ROOT: usize = 346;

pub fn verify(json: &str, group_key: &[u8]) -> Check<()> {
    let keys = ["format", "rollup", "id", "index", "position", "path", "header", "history", "certificate"];
    let proof: Value = serde_json::from_str(json).map_err(|_| "not JSON")?;
    let proof = object(&proof, &keys)?;
    require(member(proof, "format")? == "baton-proof-1", "another format")?;
    let header = Header::new(bytes(proof, "header")?)?;
    check_path(proof, header.hash_at(BODY_ROOT))?;
    let certified = match proof.get("history") {
        None | Some(Value::Null) => header,
        Some(history) => {
            let history = object(history, &["certified", "proof"])?;
            let certified = Header::new(bytes(history, "certified")?)?;
            check_history(&header, &certified, &bytes(history, "proof")?)?;
            certified
        }
    };
    check_certificate(&bytes(proof, "certificate")?, &certified, group_key)
}
