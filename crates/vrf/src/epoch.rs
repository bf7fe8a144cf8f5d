//! All turns of an epoch at once: a key's owner proves once that its leaves come from the key, and then
//! reveals one opening per turn.
//!
//! ```text
//! secret ─► openings ─► leaves ─┬─► argument        EpochProof: leaves and argument, to whoever asks
//!                               └─► tree ─► root    Commitment: root and hash of the proof, on chain
//!                       opening of a turn, path ─► root      Reveal: checked against the root alone
//! ```
//! The tree has the leaves in order of turns and the key in the last place. Its root also covers the
//! suite, the number of rounds, the context and the key, so that it means nothing anywhere else.

use crate::{
    Beacon, Context, Leaf, Malformed, Opening, Output, ProveError, PublicKey, Refused, SecretKey, Suite,
    circuit::{EpochCircuit, indexed},
    domain, permutation,
    stark::{self, Transcript},
    tree::{self, Node, Tree},
};
use rand::{CryptoRng, rngs::StdRng};
use std::fmt;
use zeroize::Zeroizing;

/// Largest encoding of a proof that is looked at, in bytes.
pub const PROOF_BYTES_MAX: usize = 256 * 1024;

/// Turns that one proof covers: one less than a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rounds {
    depth: u8,
}

impl Rounds {
    /// Fewer would not hide the secret.
    pub const MIN: Self = Self { depth: 6 };
    /// More would not fit in [`PROOF_BYTES_MAX`].
    pub const MAX: Self = Self { depth: 11 };

    pub fn new(count: u32) -> Result<Self, Malformed> {
        Self::all().find(|rounds| rounds.count() == count).ok_or(Malformed::Rounds(count))
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (Self::MIN.depth..=Self::MAX.depth).map(|depth| Self { depth })
    }

    pub const fn count(self) -> u32 {
        (1 << self.depth) - 1
    }

    /// The same, for lengths.
    const fn len(self) -> usize {
        (1 << self.depth) - 1
    }

    /// Length of a path.
    fn depth(self) -> usize {
        self.depth.into()
    }

    fn from_depth(depth: usize) -> Option<Self> {
        Self::all().find(|rounds| rounds.depth() == depth)
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(f)
    }
}

/// What goes on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// What reveals are checked against.
    pub root: Node,
    /// Names the proof among all that could be made for this root.
    pub proof_hash: [u8; 32],
}

fn bottom(leaves: &[Leaf], key: &PublicKey) -> Vec<Node> {
    leaves.iter().map(Leaf::to_bytes).chain([key.to_bytes()]).collect()
}

fn root(top: Node, rounds: Rounds, context: &Context, key: &PublicKey) -> Node {
    let head = [Suite::CURRENT.number(), rounds.depth];
    domain::hash(domain::ROOT, &[&head, &context.to_bytes(), &key.to_bytes(), &top])
}

/// The root covers everything that the statement says.
fn transcript(root: Node) -> Transcript {
    Transcript(domain::hash(domain::EPOCH_TRANSCRIPT, &[&root]))
}

/// All openings of one key in one epoch. They follow from the key, so nothing of this needs a disk.
pub struct EpochSecrets {
    secret: SecretKey,
    key: PublicKey,
    context: Context,
    rounds: Rounds,
    openings: Zeroizing<Vec<Opening>>,
    leaves: Vec<Leaf>,
    tree: Tree,
}

impl EpochSecrets {
    pub fn new(secret: &SecretKey, context: Context, rounds: Rounds) -> Self {
        let (key, link) = permutation::key_and_link(secret.0);
        let key = PublicKey(key);
        let input = context.epoch_input();
        let openings: Zeroizing<Vec<Opening>> = Zeroizing::new(
            (1..=rounds.len())
                .map(|index| Opening(permutation::opening(indexed(input, index), link)))
                .collect(),
        );
        let leaves: Vec<_> = openings.iter().map(Opening::leaf).collect();
        let tree = Tree::new(bottom(&leaves, &key));
        Self { secret: secret.clone(), key, context, rounds, openings, leaves, tree }
    }

    pub fn root(&self) -> Node {
        root(self.tree.top(), self.rounds, &self.context, &self.key)
    }

    /// Takes tens to hundreds of milliseconds of one core: for a thread in the background, before the
    /// epoch begins.
    pub fn prove(&self, rng: &mut impl CryptoRng) -> Result<EpochProof, ProveError> {
        self.prove_masked(stark::masks(rng, self.secret.0, transcript(self.root())))
    }

    /// Compiled here whatever the caller's generator is, so that it is optimised in every build.
    fn prove_masked(&self, masks: StdRng) -> Result<EpochProof, ProveError> {
        let circuit = EpochCircuit::new(self.key.0, self.leaves.iter().map(|leaf| leaf.0));
        let input = self.context.epoch_input();
        let argument = stark::prove(
            &circuit,
            circuit.witness(self.secret.0, input),
            &EpochCircuit::public_values(self.key.0, input),
            transcript(self.root()),
            masks,
        )?;
        Ok(EpochProof { rounds: self.rounds, leaves: self.leaves.clone(), argument })
    }

    /// What to publish in `turn`, from 0; none beyond the rounds.
    pub fn reveal(&self, turn: u32) -> Option<Reveal> {
        let position = usize::try_from(turn).ok()?;
        let opening = *self.openings.get(position)?;
        Some(Reveal { turn, opening, path: self.tree.path(position) })
    }
}

impl fmt::Debug for EpochSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochSecrets")
            .field("key", &self.key)
            .field("context", &self.context)
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

/// That all leaves come from the secret behind one key. As bytes: the suite, the binary logarithm of the
/// number of leaves and one, the leaves in order of turns, and the argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochProof {
    rounds: Rounds,
    leaves: Vec<Leaf>,
    argument: Vec<u8>,
}

impl EpochProof {
    const HEAD: usize = 2;

    pub const fn rounds(&self) -> Rounds {
        self.rounds
    }

    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// What to put on chain, if the proof holds.
    pub fn verify(&self, key: &PublicKey, context: &Context, rounds: Rounds) -> Result<Commitment, Refused> {
        if self.rounds != rounds {
            return Err(Refused::Rounds { found: self.rounds.count(), expected: rounds.count() });
        }
        let root = root(Tree::new(bottom(&self.leaves, key)).top(), rounds, context, key);
        let circuit = EpochCircuit::new(key.0, self.leaves.iter().map(|leaf| leaf.0));
        let public_values = EpochCircuit::public_values(key.0, context.epoch_input());
        stark::verify(&circuit, &public_values, transcript(root), &self.argument)?;
        Ok(Commitment { root, proof_hash: self.hash() })
    }

    /// Names these very bytes.
    pub fn hash(&self) -> [u8; 32] {
        domain::hash(domain::EPOCH_PROOF, &[&self.to_bytes()])
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![Suite::CURRENT.number(), self.rounds.depth];
        bytes.reserve_exact(self.leaves.len() * 32 + self.argument.len());
        bytes.extend(self.leaves.iter().flat_map(Leaf::to_bytes));
        bytes.extend(&self.argument);
        bytes
    }

    /// Whether the argument is one, only [`Self::verify`] tells.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let bad_length =
            |expected: String| Malformed::Length { what: "epoch proof", found: bytes.len(), expected };
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(bad_length(format!("at most {PROOF_BYTES_MAX}")));
        }
        let (&[suite, depth], rest) = bytes
            .split_first_chunk::<{ Self::HEAD }>()
            .ok_or_else(|| bad_length("a suite and a depth".to_owned()))?;
        Suite::try_from(suite)?;
        let rounds = Rounds::from_depth(depth.into()).ok_or_else(|| {
            Malformed::Rounds(1u32.checked_shl(depth.into()).map_or(u32::MAX, |count| count - 1))
        })?;
        let (leaves, argument) = rest
            .split_at_checked(32 * rounds.len())
            .ok_or_else(|| bad_length(format!("{rounds} leaves of 32")))?;
        let leaves = leaves.chunks_exact(32).map(Leaf::from_bytes).collect::<Result<_, _>>()?;
        Ok(Self { rounds, leaves, argument: argument.to_vec() })
    }
}

/// One turn's opening, and the way from its leaf to the root. As bytes: the turn in four, the opening, the
/// siblings from the bottom up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    pub turn: u32,
    pub opening: Opening,
    pub path: Vec<Node>,
}

impl Reveal {
    /// The turn's output, if the reveal leads to the root in force for this key and context.
    pub fn verify(
        &self,
        root_in_force: &Node,
        key: &PublicKey,
        context: &Context,
        later: &Beacon,
    ) -> Result<Output, Refused> {
        let rounds = Rounds::from_depth(self.path.len()).ok_or(Refused::Root)?;
        if self.turn >= rounds.count() {
            return Err(Refused::Turn { turn: self.turn, rounds: rounds.count() });
        }
        let top = tree::climb(self.opening.leaf().to_bytes(), self.turn, &self.path);
        if root(top, rounds, context, key) != *root_in_force {
            return Err(Refused::Root);
        }
        Ok(Output::new(domain::TURN_OUTPUT, context, self.turn.into(), key, &self.opening, later))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.turn.to_be_bytes()[..], &self.opening.to_bytes(), self.path.as_flattened()].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let bad_length = || Malformed::Length {
            what: "reveal",
            found: bytes.len(),
            expected: format!(
                "36 and 32 for each of {} to {} siblings",
                Rounds::MIN.depth,
                Rounds::MAX.depth
            ),
        };
        let (turn, rest) = bytes.split_first_chunk::<4>().ok_or_else(bad_length)?;
        let (opening, path) = rest.split_first_chunk::<32>().ok_or_else(bad_length)?;
        let (path, over) = path.as_chunks::<32>();
        if !over.is_empty() || Rounds::from_depth(path.len()).is_none() {
            return Err(bad_length());
        }
        Ok(Self {
            turn: u32::from_be_bytes(*turn),
            opening: Opening::from_bytes(opening)?,
            path: path.to_vec(),
        })
    }
}
