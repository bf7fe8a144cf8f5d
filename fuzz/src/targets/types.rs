//! Formats of `baton-types`: blocks and what is in them, proofs, keys, the genesis, hex.

use super::{MEMORY_PER_BYTE, codec, text};
use crate::{
    run::{MEMORY_MIN, Outcome, Target},
    seeds::{Cluster, Vectors, outcome},
};
use baton_execution::{Rules, check_accumulators, check_body};
use baton_types::{
    Block, BlockLimits, Body, Finalization, Genesis, GroupKey, Header, Payload, PrivateKey, PublicKey, Seed,
    Segment, Sharing, Signature, Transaction,
    block::payload_cfg,
    hex,
    merkle::{self, History},
    proof::{HistoryProof, Proof, ProofFile},
};
use commonware_codec::{Encode as _, FixedSize as _};
use commonware_consensus::BoundedBlock as _;
use commonware_cryptography::Signer as _;
use rand::{SeedableRng as _, rngs::StdRng};

pub fn targets(vectors: &Vectors, cluster: &Cluster) -> Vec<Target> {
    let genesis = vectors.genesis();
    let limits = genesis.limits();
    let (_, logs) = cluster.ceremony();
    let payloads = [outcome(&genesis), logs].concat();
    vec![
        codec::<Transaction>("transaction", limits.transaction_bytes_max, vectors.of::<Transaction>(&1_000)),
        codec::<Segment>("segment", limits, segments(vectors)),
        codec::<Header>("header", (), vectors.of::<Header>(&())),
        Target { cost: 20, ..codec::<Block>("block", limits, vectors.of::<Block>(&limits)) },
        signed_block(vectors),
        Target { cost: 200, ..codec::<Payload>("ceremony-material", payload_cfg(), payloads) },
        Target {
            cost: 200,
            ..codec::<Sharing>("sharing", payload_cfg(), vectors.of::<Sharing>(&payload_cfg()))
        },
        Target { cost: 20, ..codec::<GroupKey>("group-key", (), vectors.of::<GroupKey>(&())) },
        codec::<PublicKey>("identity", (), vectors.of::<PublicKey>(&())),
        codec::<Signature>("signature", (), vectors.of::<Signature>(&())),
        Target { cost: 10, ..codec::<Seed>("seed", (), seeds_of_views(vectors)) },
        Target { cost: 20, ..codec::<Finalization>("finalization", (), vectors.of::<Finalization>(&())) },
        codec::<HistoryProof>("history-proof", (), history_proofs(vectors)),
        Target { cost: 20, ..proof(vectors) },
        Target { cost: 20, ..proof_file(vectors) },
        Target { cost: 100, ..genesis_file(vectors, cluster) },
        hex_text(),
    ]
}

fn blocks(vectors: &Vectors, limits: &BlockLimits) -> Vec<Block> {
    let bytes = vectors.of::<Block>(limits);
    bytes.iter().filter_map(|bytes| hex::from_bytes(bytes, limits).ok()).collect()
}

fn segments(vectors: &Vectors) -> Vec<Vec<u8>> {
    let limits = vectors.genesis().limits();
    let blocks = blocks(vectors, &limits);
    blocks.iter().flat_map(|block| &block.body().segments).map(|segment| segment.encode().to_vec()).collect()
}

fn proofs(vectors: &Vectors) -> Vec<Proof> {
    vectors.of::<Proof>(&()).iter().filter_map(|bytes| hex::from_bytes(bytes, &()).ok()).collect()
}

fn history_proofs(vectors: &Vectors) -> Vec<Vec<u8>> {
    proofs(vectors).iter().filter_map(|proof| Some(proof.history.as_ref()?.encode().to_vec())).collect()
}

fn seeds_of_views(vectors: &Vectors) -> Vec<Vec<u8>> {
    let certificates = vectors.of::<Finalization>(&());
    let certificates =
        certificates.iter().filter_map(|bytes| hex::from_bytes::<Finalization>(bytes, &()).ok());
    certificates
        .map(|certificate| {
            let round = certificate.proposal.round.encode();
            let both = certificate.certificate.encode();
            // The vote comes first, then the seed.
            [&round[..], &both[both.len() / 2..]].concat()
        })
        .collect()
}

/// What voters see of a leader that may do anything: header and body as the input says, completed with the
/// roots and signed. Blocks as bytes seldom get past their signature.
fn signed_block(vectors: &Vectors) -> Target {
    let genesis = vectors.genesis();
    let (limits, rules) = (genesis.limits(), Rules::new(&genesis));
    let parent = genesis.block().expect("the genesis of the vectors is valid");
    let mut seeds: Vec<_> =
        blocks(vectors, &limits).iter().map(|block| (block.header().clone(), block.body().clone())).collect();
    seeds.extend(seeds.clone().into_iter().map(|(header, body)| child_of(&parent, header, body)));
    let seeds =
        seeds.iter().map(|(header, body)| [&header.encode()[..], &body.encode()[..]].concat()).collect();
    let author = PrivateKey::from_seed(1);
    let check = move |input: &[u8]| {
        let (header, body) = input.split_at(Header::SIZE.min(input.len()));
        let decoded = hex::from_bytes::<Header>(header, &());
        let (mut header, body) =
            match decoded.and_then(|header| Ok((header, hex::from_bytes::<Body>(body, &limits)?))) {
                Ok(parts) => parts,
                Err(error) => return Outcome::Refused(error.to_string()),
            };
        if (History { leaves: header.height, peaks: body.peaks.clone() }).root().is_none() {
            // The lowest height with so many one bits, which are as many as peaks.
            let Some(height) = 1u64.checked_shl(u32::try_from(body.peaks.len()).unwrap_or(u32::MAX)) else {
                return Outcome::Refused("too many peaks".to_owned());
            };
            header.height = height - 1;
        }
        if (History { leaves: header.height, peaks: body.peaks.clone() }).root().is_none() {
            return Outcome::Refused("no such history".to_owned());
        }
        header.author = author.public_key();
        let block = Block::seal(header, body, Some(&author));
        let bytes = block.encode();
        assert!(bytes.len() <= Block::max_encode_size(&limits));
        let block = hex::from_bytes::<Block>(&bytes, &limits).expect("a sealed block is valid");
        assert_eq!(block.encode(), bytes);
        drop(block.history_after());
        check_body(&rules, &block).and_then(|()| check_accumulators(&parent, &block)).into()
    };
    Target {
        name: "signed-block",
        seeds,
        text: false,
        memory_min: MEMORY_MIN,
        memory_per_byte: 4 * MEMORY_PER_BYTE,
        cost: 20,
        check: Box::new(check),
    }
}

/// Header and body such that they keep every rule as a child of `parent`.
fn child_of(parent: &Block, header: Header, mut body: Body) -> (Header, Body) {
    let height = parent.header().height + 1;
    body.peaks = parent.history_after().expect("the parent has a child").peaks;
    body.heads = parent.body().heads.clone();
    let ids = body.ids();
    let segments = body.segments.iter().zip(&ids).map(|(segment, ids)| (segment.rollup, &ids[..]));
    merkle::advance_heads(&mut body.heads, height, segments);
    (Header { height, ..header }, body)
}

/// A proof has one form: whatever verifies is a vector.
fn verify(proof: &Proof, group_key: &GroupKey, known: &[Vec<u8>]) -> Outcome {
    let result = proof.verify(&mut StdRng::seed_from_u64(1), group_key);
    assert!(result.is_err() || known.contains(&proof.encode().to_vec()), "a changed proof verifies");
    result.into()
}

fn proof(vectors: &Vectors) -> Target {
    let known = vectors.of::<Proof>(&());
    let group_key = vectors.genesis().group_key().expect("the genesis of the vectors is valid");
    let seeds = known.clone();
    let check = move |input: &[u8]| match hex::from_bytes::<Proof>(input, &()) {
        Ok(proof) => {
            assert_eq!(proof.encode(), input, "two encodings of one proof");
            verify(&proof, &group_key, &known)
        }
        Err(error) => Outcome::Refused(error.to_string()),
    };
    Target { check: Box::new(check), ..codec::<Proof>("proof", (), seeds) }
}

fn proof_file(vectors: &Vectors) -> Target {
    let known = vectors.of::<Proof>(&());
    let group_key = vectors.genesis().group_key().expect("the genesis of the vectors is valid");
    let files = proofs(vectors);
    let seeds = files.iter().map(|proof| serde_json::to_vec(&ProofFile::from(proof)).unwrap_or_default());
    text("proof-file", seeds.collect(), move |text| {
        let file: ProofFile = match serde_json::from_str(text) {
            Ok(file) => file,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match Proof::try_from(&file) {
            Ok(proof) => {
                // Hex takes capitals, so the file's own text need not come back.
                assert_eq!(Proof::try_from(&ProofFile::from(&proof)), Ok(proof.clone()));
                verify(&proof, &group_key, &known)
            }
            Err(error) => Outcome::Refused(error),
        }
    })
}

fn genesis_file(vectors: &Vectors, cluster: &Cluster) -> Target {
    let seeds = vec![vectors.text("genesis.json").into(), cluster.genesis.to_json().into()];
    text("genesis-file", seeds, |text| match Genesis::from_json(text) {
        Ok(genesis) => {
            let again = Genesis::from_json(&genesis.to_json()).expect("a genesis can be read again");
            assert_eq!((again.digest(), &again), (genesis.digest(), &genesis));
            // What a node does with it before it starts.
            let block = genesis.block().expect("a checked genesis has a block").encode();
            hex::from_bytes::<Block>(&block, &genesis.limits()).expect("and the block is valid");
            assert!(baton_consensus::engine::max_message_size(&genesis) as usize > block.len());
            drop(Rules::new(&genesis));
            Outcome::Decoded
        }
        Err(error) => Outcome::Refused(error.to_string()),
    })
}

/// Against a decoder that goes digit by digit.
fn hex_text() -> Target {
    let plain = |text: &str| {
        let digits: Vec<char> = text.strip_prefix("0x")?.chars().collect();
        let values: Option<Vec<_>> = digits.iter().map(|digit| digit.to_digit(16)).collect();
        let pairs = values.filter(|values| values.len() % 2 == 0)?;
        pairs.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect::<Option<Vec<u8>>>()
    };
    let seeds = ["0x", "0x00ff", "0xDEADbeef0123456789", "0xé"].map(|text| text.as_bytes().to_vec());
    text("hex", seeds.into(), move |text| {
        let decoded = hex::decode(text);
        assert_eq!(decoded.as_ref().ok(), plain(text).as_ref());
        match decoded {
            Ok(bytes) => {
                assert_eq!(hex::encode(&bytes), text.to_ascii_lowercase());
                assert_eq!(hex::decode_array::<8>(text).is_ok(), bytes.len() == 8);
                Outcome::Decoded
            }
            Err(error) => {
                assert!(error.len() < 400, "an error of {} bytes", error.len());
                Outcome::Refused(error)
            }
        }
    })
}
