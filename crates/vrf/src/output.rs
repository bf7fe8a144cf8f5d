//! What a key's secret is good for: an output that nobody could choose, and the member it draws.

use crate::{Beacon, Context, Opening, PublicKey, domain};
use std::num::NonZeroU32;

/// Uniform bytes that are fixed by key, context and turn (or view), and by a beacon that appeared after
/// the key's owner was committed to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output(pub [u8; 32]);

/// Candidates of one draw before it goes on in order of index.
const CANDIDATES_MAX: u32 = 256;

impl Output {
    pub(crate) fn new(
        domain: &[u8],
        context: &Context,
        number: u64,
        key: &PublicKey,
        opening: &Opening,
        later: &Beacon,
    ) -> Self {
        Self(domain::hash(
            domain,
            &[
                &context.chain,
                &context.epoch.to_be_bytes(),
                &number.to_be_bytes(),
                &key.to_bytes(),
                &opening.to_bytes(),
                &later.0,
            ],
        ))
    }

    /// The first candidate that is not benched; none only if all are.
    pub fn draw(&self, members: NonZeroU32, benched: impl Fn(u32) -> bool) -> Option<u32> {
        self.candidates(members).find(|member| !benched(*member))
    }

    /// Members in the order in which they are drawn. Every one of them comes at last.
    ///
    /// Candidate j is a hash of the output and j, reduced from 256 bits modulo `members`. After the first 256
    /// follow the members from the last of them on, in order of index.
    pub fn candidates(self, members: NonZeroU32) -> impl Iterator<Item = u32> {
        let hashed = (0..CANDIDATES_MAX).map(move |counter| self.candidate(counter, members));
        let others = std::iter::once_with(move || self.candidate(CANDIDATES_MAX - 1, members))
            .flat_map(move |last| (last..members.get()).chain(0..last));
        hashed.chain(others)
    }

    fn candidate(&self, counter: u32, members: NonZeroU32) -> u32 {
        let members = u64::from(members.get());
        let hash = domain::hash(domain::DRAW, &[&self.0, &counter.to_be_bytes()]);
        let (digits, _) = hash.as_chunks::<4>();
        let rest = digits
            .iter()
            .fold(0, |rest, digits| ((rest << 32) | u64::from(u32::from_be_bytes(*digits))) % members);
        u32::try_from(rest).expect("below a modulus of 32 bits")
    }
}

#[cfg(test)]
mod tests;
