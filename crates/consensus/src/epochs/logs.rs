use baton_types::{EpochInfo, Payload, PublicKey, genesis::Reshare, reshare};
use commonware_cryptography::bls12381::{
    dkg::feldman_desmedt::{DealerLogSummary, Info, Reveal},
    primitives::{sharing::Mode, variant::MinSig},
};
use commonware_utils::N3f1;
use thiserror::Error;

/// Which dealer logs may enter a block.
#[derive(Clone, Copy, Debug)]
pub struct LogRules {
    /// Signing domain of the ceremonies.
    pub namespace: &'static [u8],
    pub reshare: Reshare,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogRefused {
    #[error("no reshare is due in this epoch")]
    NotDue,
    #[error("the ceremony's parameters are inconsistent: {0}")]
    Parameters(String),
    #[error("the dealer log is not signed by a dealer of this epoch")]
    Signature,
    #[error("the dealer log reveals the share of {0} player(s)")]
    Reveals(usize),
    #[error("the dealer log reveals more shares than the ceremony tolerates")]
    TooManyReveals,
}

impl LogRules {
    /// Whether `payload` may stand in a block of the epoch that `info` describes, with the header's
    /// `protocol_signal`.
    pub fn check(&self, info: &EpochInfo, signal: u32, payload: &Payload) -> Result<(), LogRefused> {
        let Payload::DealerLog(log) = payload else { return Ok(()) };
        let due = &info.players != info.output.players() || signal & reshare::DUE != 0;
        if self.reshare == Reshare::OnChange && !due {
            return Err(LogRefused::NotDue);
        }
        let ceremony = Info::<MinSig, PublicKey>::new::<N3f1>(
            self.namespace,
            info.epoch.get(),
            Some(info.output.clone()),
            Mode::NonZeroCounter,
            Reveal::V1,
            info.output.players().clone(),
            info.players.clone(),
        )
        .map_err(|error| LogRefused::Parameters(error.to_string()))?;
        let (_, log) = log.clone().check(&ceremony).ok_or(LogRefused::Signature)?;
        match log.summary() {
            DealerLogSummary::TooManyReveals => Err(LogRefused::TooManyReveals),
            DealerLogSummary::Ok { reveals, .. } if reveals.is_empty() => Ok(()),
            DealerLogSummary::Ok { reveals, .. } => Err(LogRefused::Reveals(reveals.len())),
        }
    }
}
