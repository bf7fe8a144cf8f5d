//! What a connection sends before it is answered: how long it may take, and how much memory it holds.
//!
//! ```text
//!  Head ──(request understood)──► Body ──(answered)──► Head
//!    │ HTTP: bytes of a head start a clock      the handler limits the body itself
//!    └──(upgraded)──► Messages: bytes of a message start a clock and are counted until it is whole
//! ```
//! The transport tells it what arrived; whoever handles requests tells it where they begin and end.

use crate::session::Budget;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// What a message may have that is not counted: most are smaller.
const FREE_BYTES: usize = 16 * 1024;
/// Head of a ping or pong that a client sends.
const CONTROL_HEAD_BYTES: usize = 6;
/// Counted memory is taken in steps of this size.
const STEP_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It takes too long to arrive.
    Slow,
    /// The memory for requests in progress is used up.
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Body,
    Messages,
}

pub(super) struct Intake {
    budget: Budget,
    patience: Duration,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// When the first byte of what is incomplete came.
    since: Option<Instant>,
    bytes: usize,
    counted: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl Intake {
    pub(super) fn new(budget: Budget, patience: Duration) -> Arc<Self> {
        let state = State { phase: Phase::Head, since: None, bytes: 0, counted: 0, held: None };
        Arc::new(Self { budget, patience, state: Mutex::new(state) })
    }

    /// The lock is never held where something can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have arrived.
    pub(super) fn received(&self, bytes: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.phase == Phase::Body || bytes == 0 {
            return Ok(());
        }
        match state.since {
            Some(since) if since.elapsed() > self.patience => return Err(Refused::Slow),
            Some(_) => {}
            None => state.since = Some(Instant::now()),
        }
        if state.phase == Phase::Messages {
            state.bytes += bytes;
            while state.bytes > FREE_BYTES + state.counted {
                let more = self.budget.try_take(STEP_BYTES).ok_or(Refused::Memory)?;
                state.counted += STEP_BYTES;
                match &mut state.held {
                    Some(held) => held.merge(more),
                    None => state.held = Some(more),
                }
            }
        }
        Ok(())
    }

    pub(super) fn request_begins(&self) {
        let mut state = self.lock();
        (state.phase, state.since) = (Phase::Body, None);
    }

    pub(super) fn request_ends(&self) {
        self.lock().phase = Phase::Head;
    }

    pub(super) fn upgraded(&self) {
        self.lock().phase = Phase::Messages;
    }

    /// A ping or pong with so much payload is whole. Where nothing else has come no message is under way,
    /// and none is late; between the frames of a message it does not stop its clock.
    pub(super) fn control_ends(&self, payload: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(CONTROL_HEAD_BYTES + payload);
        if state.bytes == 0 {
            state.since = None;
        }
    }

    /// A message is whole. What it holds is the caller's until it is answered.
    pub(super) fn message_ends(&self) -> Option<OwnedSemaphorePermit> {
        let mut state = self.lock();
        (state.since, state.bytes, state.counted) = (None, 0, 0);
        state.held.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn heads_and_messages_have_a_clock_and_bodies_none() {
        // Whatever comes second is late.
        let intake = Intake::new(Budget::new(1 << 20), Duration::ZERO);
        let check = |expect: Result<(), Refused>| assert_eq!(intake.received(1), expect);
        check(Ok(()));
        check(Err(Refused::Slow));
        intake.request_begins();
        check(Ok(()));
        check(Ok(()));
        // Silence between requests is not slowness.
        intake.request_ends();
        check(Ok(()));
        check(Err(Refused::Slow));
        intake.request_begins();
        intake.request_ends();
        intake.upgraded();
        check(Ok(()));
        check(Err(Refused::Slow));
        intake.message_ends();
        check(Ok(()));
        // A subscriber that only answers pings is never late.
        intake.message_ends();
        for _ in 0..3 {
            assert_eq!(intake.received(CONTROL_HEAD_BYTES + 4), Ok(()));
            intake.control_ends(4);
        }
        // A ping within a message does not help it.
        check(Ok(()));
        check(Err(Refused::Slow));
        intake.control_ends(0);
    }

    #[tokio::test]
    async fn large_messages_share_a_budget() {
        let budget = Budget::new(2 * STEP_BYTES);
        let intake = || {
            let intake = Intake::new(budget.clone(), Duration::from_secs(30));
            intake.upgraded();
            intake
        };
        let (first, second) = (intake(), intake());
        assert_eq!(first.received(FREE_BYTES + 2 * STEP_BYTES), Ok(()));
        assert_eq!(second.received(FREE_BYTES), Ok(()), "small messages need none of it");
        assert_eq!(second.received(1), Err(Refused::Memory));
        let held = first.message_ends();
        assert_eq!(second.received(1), Err(Refused::Memory), "the first is not answered yet");
        drop(held);
        assert_eq!(second.received(1), Ok(()));
    }
}
