//! What members say to each other about the lottery, and what the node's parts tell the actor.

use baton_types::{
    Block, Context, Digest, MEMBERS_MAX, Payload, PublicKey, Round, Signature,
    block::payload_cfg,
    lottery::{Commitment, EVIDENCE_BYTES_MAX, Held},
};
use baton_vrf::PROOF_BYTES_MAX;
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, FixedSize as _, RangeCfg, Read, ReadExt as _, Write};
use commonware_cryptography::Digested;
use tokio::sync::oneshot;

/// Largest message of both channels.
pub fn message_bytes_max() -> usize {
    // Beside the largest part: rounds, digests, keys, signatures of all holders.
    let rest = 1_024 + MEMBERS_MAX.get() as usize * (1 + Signature::SIZE);
    let designation = EVIDENCE_BYTES_MAX + Payload::max_encode_size(MEMBERS_MAX);
    rest + designation.max(PROOF_BYTES_MAX)
}

#[allow(clippy::large_enum_variant, reason = "short-lived, and one in most views is a designation")]
pub enum Message {
    /// The sender's evidence for a view of its own.
    Reveal { round: Round, evidence: Bytes },
    /// The sender asks the drawn member for a block in `context`.
    Designate { context: Context, evidence: Bytes, payload: Option<Payload> },
    /// The sender's block for `round` is on its way to everybody.
    Built { round: Round, digest: Digest },
    /// The sender has the body proposed in `round`.
    Have { round: Round, digest: Digest },
    /// The sender's proof for an epoch.
    Proof { epoch: u64, proof: Bytes },
    /// The sender holds the receiver's proof with this commitment.
    Holds { epoch: u64, commitment: Commitment, signature: Signature },
    /// Enough members hold a proof.
    Held { epoch: u64, held: Held },
    /// The sender lacks this proof of `member`; an empty hash stands for any.
    Want { epoch: u64, member: u8, proof: Digest },
    /// What the receiver wanted.
    Copy { epoch: u64, member: u8, proof: Bytes },
}

impl Message {
    const fn tag(&self) -> u8 {
        match self {
            Self::Reveal { .. } => 0,
            Self::Designate { .. } => 1,
            Self::Built { .. } => 2,
            Self::Have { .. } => 3,
            Self::Proof { .. } => 4,
            Self::Holds { .. } => 5,
            Self::Held { .. } => 6,
            Self::Want { .. } => 7,
            Self::Copy { .. } => 8,
        }
    }
}

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        self.tag().write(buf);
        match self {
            Self::Reveal { round, evidence } => {
                round.write(buf);
                evidence.write(buf);
            }
            Self::Designate { context, evidence, payload } => {
                context.write(buf);
                evidence.write(buf);
                payload.write(buf);
            }
            Self::Built { round, digest } | Self::Have { round, digest } => {
                round.write(buf);
                digest.write(buf);
            }
            Self::Proof { epoch, proof } => {
                epoch.write(buf);
                proof.write(buf);
            }
            Self::Holds { epoch, commitment, signature } => {
                epoch.write(buf);
                commitment.write(buf);
                signature.write(buf);
            }
            Self::Held { epoch, held } => {
                epoch.write(buf);
                held.write(buf);
            }
            Self::Want { epoch, member, proof } => {
                epoch.write(buf);
                member.write(buf);
                proof.write(buf);
            }
            Self::Copy { epoch, member, proof } => {
                epoch.write(buf);
                member.write(buf);
                proof.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Reveal { round, evidence } => round.encode_size() + evidence.encode_size(),
            Self::Designate { context, evidence, payload } => {
                context.encode_size() + evidence.encode_size() + payload.encode_size()
            }
            Self::Built { round, digest } | Self::Have { round, digest } => {
                round.encode_size() + digest.encode_size()
            }
            Self::Proof { epoch, proof } => epoch.encode_size() + proof.encode_size(),
            Self::Holds { epoch, commitment, signature } => {
                epoch.encode_size() + commitment.encode_size() + signature.encode_size()
            }
            Self::Held { epoch, held } => epoch.encode_size() + held.encode_size(),
            Self::Want { epoch, member, proof } => {
                epoch.encode_size() + member.encode_size() + proof.encode_size()
            }
            Self::Copy { epoch, member, proof } => {
                epoch.encode_size() + member.encode_size() + proof.encode_size()
            }
        }
    }
}

/// Copied out of the message, which would live as long as its slice.
fn bytes(buf: &mut impl Buf, max: usize) -> Result<Bytes, Error> {
    let slice = Bytes::read_cfg(buf, &RangeCfg::new(0..=max))?;
    Ok(Bytes::copy_from_slice(&slice))
}

impl Read for Message {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(match u8::read(buf)? {
            0 => Self::Reveal { round: Round::read(buf)?, evidence: bytes(buf, EVIDENCE_BYTES_MAX)? },
            1 => Self::Designate {
                context: Context::read(buf)?,
                evidence: bytes(buf, EVIDENCE_BYTES_MAX)?,
                payload: Option::read_cfg(buf, &payload_cfg())?,
            },
            2 => Self::Built { round: Round::read(buf)?, digest: Digest::read(buf)? },
            3 => Self::Have { round: Round::read(buf)?, digest: Digest::read(buf)? },
            4 => Self::Proof { epoch: u64::read(buf)?, proof: bytes(buf, PROOF_BYTES_MAX)? },
            5 => Self::Holds {
                epoch: u64::read(buf)?,
                commitment: Commitment::read(buf)?,
                signature: Signature::read(buf)?,
            },
            6 => Self::Held { epoch: u64::read(buf)?, held: Held::read(buf)? },
            7 => Self::Want { epoch: u64::read(buf)?, member: u8::read(buf)?, proof: Digest::read(buf)? },
            8 => Self::Copy {
                epoch: u64::read(buf)?,
                member: u8::read(buf)?,
                proof: bytes(buf, PROOF_BYTES_MAX)?,
            },
            other => return Err(Error::InvalidEnum(other)),
        })
    }
}

/// What the node's own parts want of the actor.
#[allow(clippy::large_enum_variant, reason = "short-lived, and one in most views is a designation")]
pub enum Order {
    /// A view has ended, with a notarized block or without.
    Passed { round: Round, digest: Option<Digest> },
    /// The application wants a block of `author`.
    Designate {
        context: Context,
        author: PublicKey,
        evidence: Bytes,
        payload: Option<Payload>,
        reply: oneshot::Sender<Digest>,
    },
    /// The application proposes another's block.
    Proposed { round: Round, block: Digested<Block> },
    /// The application has a body that `committer` proposes.
    Have { committer: PublicKey, round: Round, digest: Digest },
    /// A block that this node was drawn for.
    BuiltHere { context: Context, digest: Digest },
}

/// What the node's own parts want of the keeper of proofs.
pub enum Errand {
    /// The chain lacks this node's commitment.
    Due,
    /// The prover has ended, with the proof that was due unless it failed.
    Proved { epoch: u64, made: Option<(Commitment, Bytes)> },
    /// Somebody asks for a proof.
    Read { epoch: u64, member: u8, reply: oneshot::Sender<Option<Bytes>> },
}
