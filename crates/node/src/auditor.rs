//! An unmodified execution client, from another hand, executes every final block of a rollup once more.
//!
//! ```text
//!  final blocks ──pulled──► auditor ── engine_newPayloadV4, engine_forkchoiceUpdatedV3 ──► client executes
//!  (Backend)                   │  ◄──────────── VALID │ INVALID │ SYNCING ────────────────────┘
//!                              ▼
//!                            Board ──► log, metrics, /readyz
//! ```
//! Rules by answer:
//! - *VALID*: the client found the same header, so the same state, receipts and logs. On to the next block.
//! - *INVALID*: one of the two is wrong. It is told with both state roots, and the audit ends: what follows
//!   would only say it again.
//! - *SYNCING*: it wants more time, as for many transactions; it is asked again until it knows.
//! - *None, or an error*: tried again for ever. The client may be restarted at any time: the audit goes on
//!   where it stands.
//!
//! Nothing waits for the auditor: it pulls blocks that are final already, one at a time, and an error of the
//! client's changes neither votes nor answers of this node. What the node itself executed wrongly it does not
//! find out first: the other members do, in the attested results.
//!
//! Only a rollup that Ethereum's rules cover as they are can be audited: blocks in slots, because the seconds of
//! blocks must rise, and Ethereum's base fee, which clients have built in.

pub mod engine;
pub mod genesis;
#[cfg(test)]
mod tests;

use crate::config::AuditorConfig;
use alloy_primitives::{B256, Bytes};
use baton_execution::evm::Scene;
use baton_rpc::eth::{Backend, backend::Block};
use baton_types::{Genesis, Rollup, genesis::evm::Cadence, receipt::Refusal};
use engine::{Engine, EngineError, Payload, Status};
use eyre::{WrapErr as _, bail, eyre};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

/// How often new blocks are looked for, and a client that is SYNCING is asked.
const POLL: Duration = Duration::from_millis(250);
/// Before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// A client that is SYNCING for longer is asked where it stands: it may have lost blocks.
const SYNCING_MAX: Duration = Duration::from_secs(120);
/// Of a client's words.
const WORDS_MAX: usize = 500;

/// What the client has found so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    pub rollup: String,
    /// The last block that it found to be the same.
    pub number: u64,
    pub standing: Standing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has found the same, so far.
    Agrees,
    /// It cannot be asked now; this is tried again.
    Waits(String),
    /// It has found something else.
    Differs(Difference),
    /// It is a client of another chain.
    Stopped(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub number: u64,
    pub own_root: B256,
    /// Where the client names one.
    pub client_root: Option<B256>,
    /// In the client's words.
    pub why: String,
}

/// The newest word, for whoever looks.
pub struct Board(Mutex<Audit>);

impl Board {
    pub fn audit(&self) -> Audit {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Audit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Auditor {
    rollup: Arc<dyn Backend>,
    engine: Engine,
    board: Arc<Board>,
}

/// Why the audit does not go on now.
enum Trouble {
    Later(String),
    For(Standing),
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Later(format!("this node cannot say: {refusal}"))
    }
}

/// What the configuration asks for: the name of the rollup to audit, and the client.
pub fn configured(config: &AuditorConfig, genesis: &Genesis) -> eyre::Result<Option<(String, Engine)>> {
    let AuditorConfig { rollup: Some(name), url: Some(url), jwt_file: Some(jwt_file) } = config else {
        return Ok(None);
    };
    let rollup = genesis.rollups.iter().find(|rollup| rollup.name == *name).ok_or_else(|| {
        let names: Vec<_> = genesis.rollups.iter().map(|rollup| rollup.name.as_str()).collect();
        eyre!("auditor.rollup = {name}: the genesis has {}", names.join(", "))
    })?;
    check_rules(rollup).wrap_err("auditor.rollup")?;
    Ok(Some((name.clone(), Engine::new(url, engine::read_secret(jwt_file)?)?)))
}

/// Whether an unmodified client can follow the rollup.
pub fn check_rules(rollup: &Rollup) -> eyre::Result<()> {
    let (name, evm) = (&rollup.name, &rollup.evm);
    let evm = evm.as_ref().ok_or_else(|| eyre!("rollup {name} is not of kind evm"))?;
    if matches!(evm.cadence, Cadence::PerBlock) {
        bail!(
            "rollup {name} makes blocks with equal seconds (cadence per-block), which clients of Ethereum refuse; \
             only a slotted rollup can be followed"
        );
    }
    if (evm.base_fee.elasticity, evm.base_fee.denominator) != (2, 8) {
        bail!(
            "rollup {name} has base_fee.elasticity {} and base_fee.denominator {}; clients of Ethereum know 2 and 8 \
             only",
            evm.base_fee.elasticity,
            evm.base_fee.denominator
        );
    }
    Ok(())
}

impl Auditor {
    pub fn new(name: String, rollup: Arc<dyn Backend>, engine: Engine) -> Self {
        let audit = Audit { rollup: name, number: 0, standing: Standing::Agrees };
        Self { rollup, engine, board: Arc::new(Board(Mutex::new(audit))) }
    }

    pub fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Ends when nothing more can be found out.
    pub async fn run(self) {
        // None: where the client stands is to be asked.
        let mut next = None;
        loop {
            let before = next;
            match self.step(&mut next).await {
                Ok(()) if next == before => sleep(POLL).await,
                Ok(()) => {}
                Err(Trouble::Later(why)) => {
                    self.waits(why);
                    next = None;
                    sleep(RETRY).await;
                }
                Err(Trouble::For(standing)) => return self.ends(standing),
            }
        }
    }

    /// Has the next block checked, if there is one.
    async fn step(&self, next: &mut Option<u64>) -> Result<(), Trouble> {
        let number = match *next {
            Some(number) => number,
            None => self.place().await? + 1,
        };
        if number <= self.rollup.heads().latest.header.number {
            let block = self.rollup.block(number).await?;
            let block = block.ok_or_else(|| Trouble::Later(format!("block {number} is not here")))?;
            self.check(&block).await?;
            self.agrees(number);
            *next = Some(number + 1);
        } else {
            self.agrees(number - 1);
            *next = Some(number);
        }
        Ok(())
    }

    /// The block at which the client stands.
    async fn place(&self) -> Result<u64, Trouble> {
        let head = self.engine.head().await?;
        let newest = self.rollup.heads().latest.header.number;
        if head.number > newest {
            let why = format!("the client is at block {}, this node at {newest}", head.number);
            return Err(Trouble::Later(why));
        }
        let own = self.rollup.block(head.number).await?.map(|block| block.head.hash);
        if own == Some(head.hash) {
            return Ok(head.number);
        }
        let why = format!(
            "the client has another block {}: {} instead of {}; start it without data, with the genesis that \
             `baton config client-genesis` writes",
            head.number,
            head.hash,
            own.unwrap_or_default()
        );
        Err(Trouble::For(Standing::Stopped(why)))
    }

    /// Returns when the client has found the same.
    async fn check(&self, block: &Block) -> Result<(), Trouble> {
        let requests = self.requests(block).await?;
        let payload = Payload::of(block, requests);
        let mut status = self.engine.new_payload(&payload).await?;
        let since = Instant::now();
        loop {
            if let Status::Invalid { why } = status {
                return Err(Trouble::For(Standing::Differs(difference(block, &why))));
            }
            // What is valid becomes the head, because the next block follows it; what is not known yet is executed
            // for that.
            status = self.engine.set_head(block.head.hash).await?;
            match status {
                Status::Valid => return Ok(()),
                Status::Syncing if since.elapsed() > SYNCING_MAX => {
                    let why = format!("SYNCING at block {} for {SYNCING_MAX:?}", block.head.header.number);
                    return Err(Trouble::Later(why));
                }
                Status::Syncing => sleep(POLL).await,
                Status::Invalid { .. } => {}
            }
        }
    }

    /// What the system contracts asked for at the end of the block, which its header has the hash of.
    async fn requests(&self, block: &Block) -> Result<Vec<Bytes>, Trouble> {
        let header = &block.head.header;
        if header.requests_hash == Some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH) {
            return Ok(Vec::new());
        }
        let parent = self.rollup.past(header.number.saturating_sub(1)).await?;
        let parent = parent.ok_or_else(|| Trouble::Later("its parent is not here".to_owned()))?;
        let requests = Scene::requests(self.rollup.params(), &parent, header, &block.transactions);
        Ok(requests.iter().cloned().collect())
    }

    fn agrees(&self, number: u64) {
        let mut audit = self.board.lock();
        if audit.standing != Standing::Agrees {
            info!(rollup = audit.rollup, number, "the auditing client answers again");
        }
        (audit.number, audit.standing) = (number, Standing::Agrees);
    }

    fn waits(&self, why: String) {
        let mut audit = self.board.lock();
        let standing = Standing::Waits(why.clone());
        if audit.standing != standing {
            warn!(rollup = audit.rollup, why, "the auditing client cannot be asked; trying again");
        }
        audit.standing = standing;
    }

    fn ends(&self, standing: Standing) {
        let mut audit = self.board.lock();
        let rollup = &audit.rollup;
        match &standing {
            Standing::Differs(Difference { number, own_root, client_root, why }) => error!(
                rollup,
                number,
                %own_root,
                client_root = client_root.map_or_else(|| "not told".to_owned(), |root| root.to_string()),
                client = why,
                "AN AUDITING CLIENT FOUND ANOTHER RESULT than this node: one of the two executes wrongly"
            ),
            other => error!(rollup, ?other, "the audit has ended"),
        }
        audit.standing = standing;
    }
}

fn difference(block: &Block, why: &str) -> Difference {
    let own_root = block.head.header.state_root;
    Difference {
        number: block.head.header.number,
        own_root,
        client_root: other_root(why, own_root),
        why: why.chars().take(WORDS_MAX).collect(),
    }
}

/// The first 32 bytes in hexadecimal that are not ours: clients name the root that they computed.
fn other_root(why: &str, own: B256) -> Option<B256> {
    let words = why.split(|c: char| !c.is_ascii_alphanumeric());
    let mut roots = words.filter_map(|word| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        (digits.len() == 64).then(|| digits.parse::<B256>().ok()).flatten()
    });
    roots.find(|root| *root != own)
}
