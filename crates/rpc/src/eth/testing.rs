//! A rollup in one process, over the real executor and the real pool. What the cluster does is done here at
//! once: `propose` executes a block ahead, `finalize` makes what was proposed final.

#![allow(clippy::unwrap_used, reason = "for tests, which may stand in another crate")]

use super::backend::{Asked, Backend, Block, Event, Head, Heads, Place, Rejected};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, b256, keccak256};
pub use baton_execution::evm::testing::{
    CHAIN_ID, ETHER, GWEI, INVALID, STORE, Wallet, call, contract, create, delegation, deploy, legacy,
    with_access_list, words,
};
use baton_execution::evm::{
    Chain, ChainLimits, ClusterBlock, Entry, EvmPool, EvmPoolLimits, Executed, OpenBlock, Params, Past, Room,
    Sealed, Signed, Turn,
};
use baton_types::{
    Digest, Rollup as RollupFacts,
    genesis::{
        Ordering,
        evm::{AllocAccount, Cadence, Evm},
    },
    hex::{Hex, HexArray},
    receipt::{Reason, Refusal},
};
use futures::{FutureExt as _, future::BoxFuture};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::broadcast;

/// Of the mnemonic `test test test test test test test test test test test junk`.
const SECRETS: [B256; 5] = [
    b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
    b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
    b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
    b256!("47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"),
];

/// One of the rich ones.
pub fn rich(index: usize) -> Wallet {
    Wallet::of(SECRETS[index])
}

pub fn poor() -> Wallet {
    Wallet::of(keccak256("poor"))
}

/// Returns the word in slot 0.
pub const LOAD: &[u8] = &[0x60, 0x00, 0x54, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];
/// Emits its first word as data, with the caller as topic.
pub const LOG: &[u8] = &[0x60, 0x00, 0x35, 0x60, 0x00, 0x52, 0x33, 0x60, 0x20, 0x60, 0x00, 0xa1, 0x00];
/// Reverts with its input.
pub const REVERT: &[u8] = &[0x36, 0x60, 0x00, 0x60, 0x00, 0x37, 0x36, 0x60, 0x00, 0xfd];
/// Calls STORE with its own input, and then LOG.
pub const CALLER: &[u8] = &[
    0x36, 0x60, 0x00, 0x60, 0x00, 0x37, // calldatacopy
    0x60, 0x00, 0x60, 0x00, 0x36, 0x60, 0x00, 0x60, 0x00, 0x73, // call(gas, STORE, 0, 0, size, 0, 0)
    0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0,
    0xc0, 0xc0, 0xc0, 0x5a, 0xf1, 0x50, 0x60, 0x00, 0x60, 0x00, 0x36, 0x60, 0x00, 0x60, 0x00,
    0x73, // and LOG
    0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2, 0xc2,
    0xc2, 0xc2, 0xc2, 0x5a, 0xf1, 0x50, 0x00,
];

/// Those of the genesis, in the order of [`contract`].
pub const CONTRACTS: [&[u8]; 6] = [STORE, LOAD, LOG, REVERT, INVALID, CALLER];

/// What the genesis says of it.
pub fn facts(cadence: Cadence, ordering: Ordering) -> RollupFacts {
    let mut evm = Evm::new(CHAIN_ID);
    evm.cadence = cadence;
    for wallet in (0..SECRETS.len()).map(rich) {
        let account = AllocAccount { balance: 10_000 * ETHER, ..AllocAccount::default() };
        evm.alloc.insert(HexArray(wallet.address.0.0), account);
    }
    for (index, code) in (0..).zip(CONTRACTS) {
        let account = AllocAccount { nonce: 1, code: Some(Hex(code.to_vec())), ..AllocAccount::default() };
        evm.alloc.insert(HexArray(contract(index).0.0), account);
    }
    RollupFacts { ordering, ..RollupFacts::evm(2, "evm", evm) }
}

const LIMITS: ChainLimits = ChainLimits { branches_max: 64, history_max: 4 };
const POOL: EvmPoolLimits =
    EvmPoolLimits { transactions_max: 1_000, bytes_max: 1 << 20, sender_transactions_max: 16 };

pub struct Lone {
    params: Params,
    events: broadcast::Sender<Event>,
    inner: Mutex<Inner>,
}

struct Inner {
    chain: Chain,
    pool: EvmPool,
    /// Newest block of the cluster, and its number.
    tip: (Digest, u64),
    ms: u64,
    /// What was executed ahead, by hash.
    ahead: BTreeMap<B256, Arc<Signed>>,
    blocks: Vec<Arc<Block>>,
    /// The final block with this number is shown with a wrong state root.
    damaged: Option<u64>,
    numbers: BTreeMap<B256, u64>,
    places: BTreeMap<B256, Place>,
}

fn digest(height: u64) -> Digest {
    Digest::from(keccak256(height.to_be_bytes()).0)
}

impl Lone {
    pub fn new(cadence: Cadence) -> Arc<Self> {
        Self::with(cadence, Ordering::PriorityFee)
    }

    pub fn with(cadence: Cadence, ordering: Ordering) -> Arc<Self> {
        let facts = facts(cadence, ordering);
        let params = Params::new(&facts).unwrap();
        let chain = Chain::new(&facts, digest(0), LIMITS).unwrap();
        let head = chain.head();
        let genesis = Block {
            head: Arc::new(Head { header: head.header.clone(), hash: head.hash }),
            transactions: Vec::new(),
            receipts: Vec::new(),
        };
        let numbers = [(head.hash, 0)].into();
        let inner = Inner {
            pool: EvmPool::new(POOL, ordering),
            tip: (digest(0), 0),
            ms: 1_700_000_000_000,
            ahead: BTreeMap::new(),
            blocks: vec![Arc::new(genesis)],
            damaged: None,
            numbers,
            places: BTreeMap::new(),
            chain,
        };
        Arc::new(Self { params, events: broadcast::channel(64).0, inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A block of the cluster with what waits, executed ahead.
    pub fn propose(&self, after_ms: u64) {
        self.inner().propose(&self.params, after_ms);
    }

    /// Everything proposed becomes final.
    pub fn finalize(&self) {
        for block in self.inner().finalize() {
            // Nobody may listen.
            self.events.send(Event::Head(block)).ok();
        }
    }

    /// The last bit of a state root is flipped, once the block is final.
    pub fn damage(&self, number: u64) {
        self.inner().damaged = Some(number);
    }

    /// One block of the cluster, final.
    pub fn advance(&self) {
        self.propose(1_000);
        self.finalize();
    }
}

impl Inner {
    fn state_at_tip(&self) -> baton_execution::evm::State {
        self.chain.executed(&self.tip.0).map_or_else(
            || self.chain.open().map_or(&self.chain.head().state, |open| &open.state).snapshot(),
            |executed| executed.state().snapshot(),
        )
    }

    fn next(&self, after_ms: u64, entries: Vec<Entry>) -> ClusterBlock {
        let height = self.tip.1 + 1;
        ClusterBlock {
            digest: digest(height),
            parent: self.tip.0,
            height,
            timestamp_ms: self.ms + after_ms,
            parent_seed: [u8::try_from(height % 251).unwrap(); 48],
            entries,
        }
    }

    fn pending(&self) -> OpenBlock {
        self.chain.pending(&self.next(1_000, Vec::new())).unwrap()
    }

    fn propose(&mut self, params: &Params, after_ms: u64) {
        let open = self.pending();
        let (order_fee, base_fee) = (open.env.base_fee, open.env.base_fee);
        let room = Room { order_fee, base_fee, gas: params.gas_limit - open.gas_used };
        let turn = |hash: &B256| if self.ahead.contains_key(hash) { Turn::Ordered } else { Turn::Ready };
        let chosen = self.pool.select(room, 1 << 20, turn);
        self.ahead.extend(chosen.iter().map(|signed| (signed.hash(), signed.clone())));
        let entries = chosen.into_iter().map(|signed| Entry { transaction: Ok(signed), bundle: None });
        let block = self.next(after_ms, entries.collect());
        self.chain.execute(&block).unwrap();
        self.ms = block.timestamp_ms;
        self.tip = (block.digest, block.height);
    }

    fn shown(&self, sealed: &Sealed) -> Block {
        let mut block = Block::from(sealed);
        if self.damaged == Some(sealed.header.number) {
            let state_root = sealed.header.state_root ^ B256::with_last_byte(1);
            let header = Header { state_root, ..sealed.header.clone() };
            block.head = Arc::new(Head { hash: header.hash_slow(), header });
        }
        block
    }

    fn finalize(&mut self) -> Vec<Arc<Block>> {
        let path: Vec<Arc<Executed>> = self.chain.finalize(&self.tip.0).unwrap();
        let made: Vec<_> = path.iter().filter_map(|executed| executed.made.as_ref()).collect();
        let blocks: Vec<_> = made.iter().map(|made| Arc::new(self.shown(&made.sealed))).collect();
        for block in &blocks {
            let number = block.head.header.number;
            self.numbers.insert(block.head.hash, number);
            for (index, signed) in block.transactions.iter().enumerate() {
                self.places.insert(signed.hash(), Place { number, index });
                self.ahead.remove(&signed.hash());
                let state = &self.chain.head().state;
                self.pool.update(&signed.sender(), *state.account(&signed.sender()).unwrap());
            }
            self.blocks.push(block.clone());
        }
        blocks
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Asked<'a, T> {
    async move { Ok(value) }.boxed()
}

impl Backend for Lone {
    fn params(&self) -> &Params {
        &self.params
    }

    fn heads(&self) -> Heads {
        let latest = self.inner().chain.head().clone();
        let finalized = latest.header.number / 2;
        Heads { latest, finalized, oldest: 0, syncing: false }
    }

    fn pending(&self) -> Asked<'_, OpenBlock> {
        ready(self.inner().pending())
    }

    fn past(&self, number: u64) -> Asked<'_, Option<Arc<Past>>> {
        let inner = self.inner();
        let past = inner.chain.past(number).cloned();
        if past.is_none() && number < inner.chain.head().header.number {
            let refusal = Refusal::new(Reason::Pruned, format!("the state of block {number} is not kept"));
            return async move { Err(refusal) }.boxed();
        }
        ready(past)
    }

    fn number(&self, block: B256) -> Asked<'_, Option<u64>> {
        ready(self.inner().numbers.get(&block).copied())
    }

    fn header(&self, number: u64) -> Asked<'_, Option<Arc<Head>>> {
        let blocks = &self.inner().blocks;
        ready(
            usize::try_from(number)
                .ok()
                .and_then(|number| blocks.get(number))
                .map(|block| block.head.clone()),
        )
    }

    fn block(&self, number: u64) -> Asked<'_, Option<Arc<Block>>> {
        let blocks = &self.inner().blocks;
        ready(usize::try_from(number).ok().and_then(|number| blocks.get(number)).cloned())
    }

    fn place(&self, transaction: B256) -> Asked<'_, Option<Place>> {
        ready(self.inner().places.get(&transaction).copied())
    }

    fn waiting(&self, transaction: B256) -> Asked<'_, Option<Arc<Signed>>> {
        let inner = self.inner();
        ready(inner.pool.get(&transaction).or_else(|| inner.ahead.get(&transaction)).cloned())
    }

    fn next_nonce(&self, sender: Address) -> Asked<'_, u64> {
        let inner = self.inner();
        let executed = inner.state_at_tip().account(&sender).map_or(0, |facts| facts.nonce);
        ready(inner.pool.next_nonce(&sender).map_or(executed, |next| next.max(executed)))
    }

    fn submit(&self, _: Arc<str>, raw: Bytes) -> BoxFuture<'_, Result<B256, Rejected>> {
        async move {
            let signed = Arc::new(Signed::decode(&raw, &self.params).map_err(Rejected::Invalid)?);
            let hash = signed.hash();
            {
                let mut inner = self.inner();
                let account = inner.chain.head().state.account(&signed.sender()).copied().unwrap_or_default();
                inner.pool.admit(signed.clone(), account).map_err(Rejected::Pool)?;
            }
            self.events.send(Event::Waiting(signed)).ok();
            Ok(hash)
        }
        .boxed()
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}
