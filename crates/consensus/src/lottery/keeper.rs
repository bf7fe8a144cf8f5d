//! Commitments on their way to the chain, and the proofs behind them: made, shown, held, handed out.
//!
//! ```text
//! owner                                        every other member
//!   │ proves, and writes the proof to disk       │
//!   │ Proof ────────────────────────────────────►│ verifies it, writes it, syncs
//!   │ ◄──────────────────────────────────── Holds│ signed only then
//!   │ with 2f+1: Held ──────────────────────────►│ may go into a block
//!                                                │
//! a member that lacks a proof on chain ── Want ─►│ reads it from disk, verifies it again
//!   │ ◄───────────────────────────────────── Copy│
//! ```
//! - *Due.* The chain has the next epoch's context beacon, and not yet this node's commitment: the proof on
//!   disk if there is one, else a new one. So a node that was started again commits to the very same.
//! - *Proof.* Of the current epoch or the next. At most two of one member: its owner may have lost its disk once.
//! - *Lacking.* What the chain commits to and is not here is asked for, one at a time, of one member after the other.
//!
//! Invariant: what this node signed to hold is on its disk until the epoch after has ended. It has an actor
//! of its own, because verifying and syncing must not stand before the reveals that views wait for.
//!
//! Deliberately absent: a proof of a proof being held. f of 2f+1 holders may lie; the others serve it.

use super::{
    Lottery,
    store::Proofs,
    wire::{Errand, Message},
};
use crate::aliases::Runtime;
use baton_types::{
    Digest, PrivateKey, PublicKey, Signature, domain,
    lottery::{Commitment, Held, held_message},
    merkle::EMPTY,
    quorum,
};
use baton_vrf::{Context, EpochSecrets};
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::{Signer as _, Verifier as _, sha256};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{
    Handle, IoBuf,
    telemetry::metrics::{Counter, MetricsExt as _},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

/// A proof that is not on chain, or not with everybody, is offered again after this long, then twice that,
/// up to 32 times.
const OFFER_AGAIN: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(500);
/// Proofs handed to one member per tick: each is much larger than its request.
const SERVED_MAX: u32 = 4;

pub struct Keeper<E: Runtime, S: Sender<PublicKey = PublicKey>> {
    context: E,
    lottery: Lottery,
    key: PrivateKey,
    sender: S,
    proofs: Proofs<E>,
    mine: Option<Mine>,
    /// Whether a prover runs. One at a time: each takes a core.
    proving: bool,
    /// Called first on the prover's thread.
    background: fn(),
    served: BTreeMap<PublicKey, u32>,
    /// What is asked for, and how often something was.
    wanted: Option<(u64, u8, Commitment)>,
    asked: usize,
    counters: Counters,
}

/// This node's commitment for an epoch on its way to the chain.
struct Mine {
    epoch: u64,
    beacon: Digest,
    proof: Option<(Commitment, Bytes)>,
    holders: BTreeMap<u8, Signature>,
    offered: SystemTime,
    offers: u32,
    /// Whether the chain still lacked it lately.
    wanted: bool,
}

struct Counters {
    bad_messages: Counter,
    made: Counter,
    kept: Counter,
    fetched: Counter,
    served: Counter,
    lost: Counter,
}

impl<E: Runtime, S: Sender<PublicKey = PublicKey>> Keeper<E, S> {
    /// Opens what is on disk.
    pub async fn open(
        context: E,
        prefix: &str,
        lottery: Lottery,
        key: PrivateKey,
        sender: S,
        background: fn(),
    ) -> Self {
        let counters = Counters {
            bad_messages: context.counter("bad_messages", "messages that did not decode or did not hold"),
            made: context.counter("made", "proofs of an epoch that this node made"),
            kept: context.counter("kept", "proofs of other members that this node wrote to disk"),
            fetched: context.counter("fetched", "proofs that this node lacked and got from a holder"),
            served: context.counter("served", "proofs that this node handed to members that lacked them"),
            lost: context.counter("lost", "proofs on disk that could not be read any more"),
        };
        let proofs = Proofs::open(context.child("disk"), prefix, lottery.clone()).await;
        counters.lost.inc_by(proofs.lost);
        Self {
            lottery,
            key,
            sender,
            proofs,
            mine: None,
            proving: false,
            background,
            served: BTreeMap::new(),
            wanted: None,
            asked: 0,
            counters,
            context,
        }
    }

    pub fn start<R: Receiver<PublicKey = PublicKey>>(
        mut self,
        errands: mpsc::Receiver<Errand>,
        receiver: R,
    ) -> Handle<()> {
        let context = self.context.child("keeper");
        context.spawn(move |_| async move { self.run(errands, receiver).await })
    }

    async fn run<R: Receiver<PublicKey = PublicKey>>(
        &mut self,
        mut errands: mpsc::Receiver<Errand>,
        mut receiver: R,
    ) {
        let mut tick = self.context.current();
        loop {
            let now = self.context.current();
            if now >= tick {
                self.tick(now).await;
                tick = now + TICK;
            }
            let wake = self.context.sleep_until(tick);
            select! {
                errand = errands.recv() => {
                    let Some(errand) = errand else { return };
                    self.run_errand(errand).await;
                },
                message = receiver.recv() => {
                    let Ok((peer, message)) = message else { return };
                    if !self.hear(&peer, message).await {
                        self.counters.bad_messages.inc();
                    }
                },
                _ = wake => {},
            }
        }
    }

    fn send(&mut self, to: Recipients<PublicKey>, message: &Message) {
        // What is lost is offered, or asked for, again.
        let _ = self.sender.send(to, message.encode(), false);
    }

    async fn tick(&mut self, now: SystemTime) {
        self.served.clear();
        self.proofs.retain(self.lottery.current().saturating_sub(1)).await;
        self.prepare().await;
        self.offer(now);
        self.ask();
    }

    async fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Due => self.prepare().await,
            Errand::Proved { epoch, made } => {
                self.proving = false;
                if let Some((commitment, proof)) = made {
                    self.proved(epoch, commitment, proof).await;
                }
                self.prepare().await;
            }
            Errand::Read { epoch, member, reply } => {
                let proof = self.read(epoch, member, &EMPTY).await;
                let _ = reply.send(proof);
            }
        }
    }

    async fn hear(&mut self, peer: &PublicKey, message: IoBuf) -> bool {
        match Message::decode(message) {
            Ok(Message::Proof { epoch, proof }) => self.take_proof(peer, epoch, &proof).await,
            Ok(Message::Holds { epoch, commitment, signature }) => {
                self.holds(peer, epoch, &commitment, signature).await
            }
            Ok(Message::Held { epoch, held }) => self.take_held(epoch, held),
            Ok(Message::Want { epoch, member, proof }) => self.serve(peer, epoch, member, &proof).await,
            Ok(Message::Copy { epoch, member, proof }) => self.take_copy(epoch, member, &proof).await,
            Ok(_) => false,
            Err(error) => {
                debug!(%peer, %error, "undecodable message on the channel of proofs");
                false
            }
        }
    }

    // ---- This node's own commitment ----

    async fn prepare(&mut self) {
        let Some((epoch, beacon)) = self.lottery.due() else { return };
        if let Some(mine) = self.mine.as_mut().filter(|mine| mine.epoch == epoch && mine.beacon == beacon) {
            mine.wanted = true;
            return;
        }
        if self.proving {
            return;
        }
        let (offered, holders) = (SystemTime::UNIX_EPOCH, BTreeMap::new());
        self.mine = Some(Mine { epoch, beacon, proof: None, holders, offered, offers: 0, wanted: true });
        let me = self.lottery.index();
        if let Some(commitment) = self.proofs.commitments(epoch, me).first().copied()
            && let Some(proof) = self.read(epoch, me, &commitment.proof).await
        {
            info!(epoch, "going on with the commitment on disk");
            return self.adopt(epoch, commitment, proof).await;
        }
        self.prove(epoch, self.lottery.context(epoch, &beacon));
    }

    /// Hundreds of milliseconds of one core, which views must not wait for.
    fn prove(&mut self, epoch: u64, context: Context) {
        self.proving = true;
        let (lottery, background) = (self.lottery.clone(), self.background);
        self.context.child("prover").dedicated().spawn(move |mut rt| async move {
            background();
            let secrets: Arc<EpochSecrets> = lottery.secrets(context);
            let made = match secrets.prove(&mut rt) {
                Ok(proof) => {
                    let root = sha256::Digest(secrets.root());
                    let commitment = Commitment { root, proof: sha256::Digest(proof.hash()) };
                    Some((commitment, proof.to_bytes().into()))
                }
                Err(error) => {
                    warn!(epoch, %error, "no commitment for the next epoch: its views are proven one by one");
                    None
                }
            };
            lottery.made(epoch, made).await;
        });
    }

    async fn proved(&mut self, epoch: u64, commitment: Commitment, proof: Bytes) {
        let Some(beacon) = self.mine.as_ref().filter(|mine| mine.epoch == epoch).map(|mine| mine.beacon)
        else {
            return;
        };
        self.counters.made.inc();
        // Before anybody sees it: after a crash this node must not come with another.
        self.proofs.put(epoch, self.lottery.index(), commitment, &beacon.0, &proof).await;
        self.adopt(epoch, commitment, proof).await;
    }

    /// Shows a proof that is on disk, with the signatures that were collected for it.
    async fn adopt(&mut self, epoch: u64, commitment: Commitment, proof: Bytes) {
        let me = self.lottery.index();
        let mut holders = BTreeMap::from([(me, self.sign(epoch, me, &commitment))]);
        if let Some(held) = self.proofs.holders(epoch).await.filter(|held| held.commitment == commitment) {
            for (holder, signature) in held.holders {
                if self.signed(holder, epoch, &commitment, &signature) {
                    holders.insert(holder, signature);
                }
            }
        }
        let Some(mine) = self.mine.as_mut().filter(|mine| mine.epoch == epoch) else { return };
        (mine.proof, mine.holders) = (Some((commitment, proof)), holders);
        self.count_holders();
        self.offer(self.context.current());
    }

    fn sign(&self, epoch: u64, member: u8, commitment: &Commitment) -> Signature {
        let message = held_message(epoch, member, commitment);
        self.key.sign(&domain::held(&self.lottery.rules().chain), &message)
    }

    /// Whether member `holder` signed that it holds this node's proof.
    fn signed(&self, holder: u8, epoch: u64, commitment: &Commitment, signature: &Signature) -> bool {
        let rules = self.lottery.rules();
        let message = held_message(epoch, self.lottery.index(), commitment);
        let holder = self.lottery.member(usize::from(holder));
        holder.is_some_and(|key| key.verify(&domain::held(&rules.chain), &message, signature))
    }

    /// Offers this node's proof to the others, as long as the chain lacks it.
    fn offer(&mut self, now: SystemTime) {
        let all = self.lottery.rules().members.len();
        let Some(mine) = &mut self.mine else { return };
        let Some((_, proof)) = mine.proof.clone() else { return };
        let pause = OFFER_AGAIN * (1 << mine.offers.min(5));
        if (!mine.wanted && mine.holders.len() == all) || now < mine.offered + pause {
            return;
        }
        (mine.offered, mine.wanted) = (now, false);
        mine.offers += 1;
        let epoch = mine.epoch;
        self.send(Recipients::All, &Message::Proof { epoch, proof });
        self.count_holders();
    }

    async fn holds(
        &mut self,
        peer: &PublicKey,
        epoch: u64,
        commitment: &Commitment,
        signature: Signature,
    ) -> bool {
        let Some(holder) = self.lottery.index_of(peer) else { return false };
        if !self.signed(holder, epoch, commitment, &signature) {
            return false;
        }
        let Some(mine) = self.mine.as_mut().filter(|mine| mine.epoch == epoch) else { return true };
        let own = mine.proof.as_ref().is_some_and(|(own, _)| own == commitment);
        if own && mine.holders.insert(holder, signature).is_none() {
            let holders = mine.holders.iter().map(|(holder, signature)| (*holder, signature.clone()));
            let held =
                Held { member: self.lottery.index(), commitment: *commitment, holders: holders.collect() };
            self.proofs.put_holders(epoch, &held).await;
            self.count_holders();
        }
        true
    }

    /// Tells everybody once enough members hold this node's proof.
    fn count_holders(&mut self) {
        let n = u32::try_from(self.lottery.rules().members.len()).expect("clusters are small");
        let Some(mine) = &self.mine else { return };
        let Some((commitment, _)) = &mine.proof else { return };
        let needed = quorum(n) as usize;
        if mine.holders.len() < needed {
            return;
        }
        let holders =
            mine.holders.iter().take(needed).map(|(holder, signature)| (*holder, signature.clone()));
        let held = Held { member: self.lottery.index(), commitment: *commitment, holders: holders.collect() };
        let epoch = mine.epoch;
        debug!(epoch, "enough members hold this node's commitment");
        self.lottery.keep_held(epoch, held.clone());
        self.send(Recipients::All, &Message::Held { epoch, held });
    }

    // ---- Commitments of others ----

    async fn take_proof(&mut self, peer: &PublicKey, epoch: u64, proof: &Bytes) -> bool {
        // Of an epoch that is over, or not known here yet: it is offered again.
        let Some(context) = self.lottery.proven_over(epoch) else { return true };
        let Some(owner) = self.lottery.index_of(peer) else { return false };
        let commitment = match self.lottery.proven(owner, &context, proof) {
            Ok(commitment) => commitment,
            Err(error) => {
                warn!(%peer, epoch, %error, "a member's proof does not hold");
                return false;
            }
        };
        if !self.lottery.agrees(epoch, owner, &commitment.root.0) {
            warn!(%peer, epoch, "a member's proof is for another root than the one in force");
            return false;
        }
        let known = self.proofs.commitments(epoch, owner).contains(&commitment);
        if !self.proofs.put(epoch, owner, commitment, &context.beacon.0, proof).await {
            debug!(%peer, epoch, "a member shows one proof after the other");
            return false;
        }
        self.counters.kept.inc_by(u64::from(!known));
        let signature = self.sign(epoch, owner, &commitment);
        self.send(Recipients::One(peer.clone()), &Message::Holds { epoch, commitment, signature });
        true
    }

    fn take_held(&mut self, epoch: u64, held: Held) -> bool {
        if epoch <= self.lottery.current() || self.lottery.proven_over(epoch).is_none() {
            return true;
        }
        if self.lottery.rules().check_holders(epoch, &held).is_err() {
            return false;
        }
        self.lottery.keep_held(epoch, held);
        true
    }

    /// Asks for a proof that the chain commits to and this node lacks.
    fn ask(&mut self) {
        let lacking = self.lottery.on_chain().into_iter().find(|(epoch, member, commitment)| {
            self.proofs.find(*epoch, *member, &commitment.proof).is_none()
        });
        self.wanted = lacking;
        let Some((epoch, member, commitment)) = lacking else { return };
        let rules = self.lottery.rules();
        let me = usize::from(self.lottery.index());
        let others: Vec<_> = (0..rules.members.len()).filter(|other| *other != me).collect();
        if others.is_empty() {
            return;
        }
        let of = others[self.asked % others.len()];
        self.asked = self.asked.wrapping_add(1);
        if let Some(holder) = self.lottery.member(of).cloned() {
            self.send(Recipients::One(holder), &Message::Want { epoch, member, proof: commitment.proof });
        }
    }

    async fn take_copy(&mut self, epoch: u64, member: u8, proof: &Bytes) -> bool {
        // Late, or from somebody who was not asked.
        let Some((_, _, wanted)) = self.wanted.filter(|(e, m, _)| (*e, *m) == (epoch, member)) else {
            return true;
        };
        let Some(context) = self.lottery.proven_over(epoch) else { return true };
        let Ok(commitment) = self.lottery.proven(member, &context, proof) else { return false };
        if commitment.root != wanted.root || (wanted.proof != EMPTY && wanted.proof != commitment.proof) {
            return false;
        }
        if self.proofs.put(epoch, member, commitment, &context.beacon.0, proof).await {
            self.counters.fetched.inc();
            self.wanted = None;
        }
        true
    }

    async fn serve(&mut self, peer: &PublicKey, epoch: u64, member: u8, hash: &Digest) -> bool {
        let served = self.served.entry(peer.clone()).or_default();
        if *served >= SERVED_MAX {
            return false;
        }
        *served += 1;
        if let Some(proof) = self.read(epoch, member, hash).await {
            self.counters.served.inc();
            self.send(Recipients::One(peer.clone()), &Message::Copy { epoch, member, proof });
        }
        true
    }

    async fn read(&mut self, epoch: u64, member: u8, hash: &Digest) -> Option<Bytes> {
        let commitment = self.proofs.find(epoch, member, hash)?;
        let before = self.proofs.lost;
        let proof = self.proofs.read(epoch, member, commitment).await;
        self.counters.lost.inc_by(self.proofs.lost - before);
        proof
    }
}
