//! The proof system's tower of types, named here once, and the parameters of each kind of proof.
//!
//! FRI over KoalaBear with hiding commitments: each committed column is masked by as many random
//! values as it has rows, each Merkle leaf is salted, and each opening carries D random columns.

use crate::words::F;
use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_commit::ExtensionMmcs;
use p3_dft::Radix2DitParallel;
use p3_field::{
    ExtensionField, TwoAdicField,
    extension::{BinomialExtensionField, QuinticTrinomialExtensionField},
};
use p3_fri::{FriParameters, HidingFriPcs};
use p3_merkle_tree::MerkleTreeHidingMmcs;
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_uni_stark::StarkConfig;
use rand::{SeedableRng as _, rngs::StdRng};

/// Where challenges of epoch proofs come from: 155 bits.
pub type Quintic = QuinticTrinomialExtensionField<F>;
/// Where challenges of single-round proofs come from: 124 bits.
pub type Quartic = BinomialExtensionField<F, 4>;

/// Random elements in each leaf of a commitment: 124 bits.
const SALT: usize = 4;

type Commitments = MerkleTreeHidingMmcs<
    F,
    u8,
    SerializingHasher<Blake3>,
    CompressionFunctionFromHasher<Blake3, 2, 32>,
    StdRng,
    2,
    32,
    SALT,
>;
type FoldCommitments<E> = ExtensionMmcs<F, E, Commitments>;
type Openings<E> = HidingFriPcs<F, Radix2DitParallel<F>, Commitments, FoldCommitments<E>, StdRng>;
type Challenger = SerializingChallenger32<F, HashChallenger<u8, Blake3, 32>>;

pub type Config<E> = StarkConfig<Openings<E>, E, Challenger>;
pub type Proof<E> = p3_uni_stark::Proof<Config<E>>;

/// An extension of the field that challenges are drawn from.
pub trait Challenge: ExtensionField<F> + TwoAdicField {}

impl<E: ExtensionField<F> + TwoAdicField> Challenge for E {}

/// What sets the security and the size of a proof.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub log_blowup: usize,
    pub queries: usize,
    pub query_grinding_bits: usize,
    pub log_final_polynomial: usize,
    pub log_arity_max: usize,
    pub cap_height: usize,
}

impl Parameters {
    pub fn fri<M>(&self, mmcs: M) -> FriParameters<M> {
        FriParameters {
            log_blowup: self.log_blowup,
            log_final_poly_len: self.log_final_polynomial,
            max_log_arity: self.log_arity_max,
            num_queries: self.queries,
            batch_proof_of_work_bits: 0,
            commit_proof_of_work_bits: 0,
            query_proof_of_work_bits: self.query_grinding_bits,
            mmcs,
        }
    }

    /// A run of the protocol about the statement that `transcript` is the hash of.
    ///
    /// Every mask and salt comes from `masks`: it must be unpredictable and never used twice. A
    /// verifier draws nothing from it.
    pub fn config<E: Challenge>(&self, transcript: [u8; 32], mut masks: StdRng) -> Config<E> {
        let salts = StdRng::from_rng(&mut masks);
        let hasher = SerializingHasher::new(Blake3);
        let compression = CompressionFunctionFromHasher::new(Blake3);
        let commitments = Commitments::new(hasher, compression, self.cap_height, salts);
        // A clone of a hiding commitment scheme continues with a seed of its own.
        let fri = self.fri(FoldCommitments::<E>::new(commitments.clone()));
        let openings = Openings::new(Radix2DitParallel::default(), commitments, fri, E::DIMENSION, masks);
        Config::new(openings, Challenger::from_hasher(transcript.to_vec(), Blake3))
    }
}
