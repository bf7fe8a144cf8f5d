//! An L1 with the contracts, and everything to watch and post to it.

use crate::cluster::{EVM, GENESIS, Group, OPAQUE, RULE, Source};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::{BlockId, eip2718::Encodable2718 as _};
use alloy_network::TxSignerSync as _;
use alloy_primitives::{Address, B256, TxKind};
use alloy_rpc_types_eth::{Filter, Log};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, SolEvent as _};
use baton_l1::{
    Client,
    anvil::{self, Anvil, Options},
    contracts::{BatchInbox, ForcedQueue},
    da::{self, Backend, BlobSource, Blobs, Calldata, Directory},
    deploy::{self, Cluster, Plan, Settings, deploy},
    poster::{Poster, PosterConfig},
    watcher::{Depth, Watcher, WatcherConfig},
};
use baton_settlement::Terms;
use baton_types::{
    RollupId, domain,
    merkle::EMPTY,
    settlement::{DataKind, L1Address},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Of anvil's own accounts; their keys are public.
const KEYS: [&str; 3] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];
pub const L1_CHAIN: u64 = 31_337;

pub fn signer(number: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&KEYS[number].parse().unwrap()).unwrap()
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct World {
    pub anvil: Anvil,
    pub client: Arc<Client>,
    pub plan: Plan,
    pub start_block: u64,
    pub group_key: baton_types::GroupKey,
    pub source: Arc<Source>,
    pub kind: DataKind,
    pub folder: TempDir,
}

pub async fn start_anvil(folder: &Path) -> Anvil {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = anvil::find(None, &root).unwrap();
    let log = folder.join("anvil.log");
    let options =
        Options { port: free_port(), chain_id: L1_CHAIN, block_seconds: None, log: &log, state: None };
    Anvil::start(&program, &options).await.unwrap()
}

impl World {
    /// Rollups that settle by this kind of data.
    pub async fn new(kind: DataKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anvil = start_anvil(folder.path()).await;
        let client = Arc::new(Client::new(std::slice::from_ref(&anvil.url), L1_CHAIN).unwrap());
        let deployer = signer(0);
        let group = Group::deal(7);
        let group_key = group.key();
        let plan = Plan::new(deployer.address(), 0, [OPAQUE, EVM]);
        let cluster = Cluster { genesis: GENESIS, group_key: &group_key, members: EMPTY };
        let message = deploy::possession(L1_CHAIN, &plan, &Settings::DEVNET, &cluster);
        let possession = group.sign(domain::L1_POSSESSION, &message);
        let start_block =
            deploy(&client, &deployer, &plan, &Settings::DEVNET, &cluster, &possession).await.unwrap();
        assert_eq!(start_block, plan.transactions());
        assert!(deploy::is_deployed(&client, &plan).await.unwrap());
        let terms = [OPAQUE, EVM].map(|rollup| terms_of(&plan, rollup, kind));
        let source = Source::new(group, terms);
        Self { anvil, client, plan, start_block, group_key, source, kind, folder }
    }

    pub fn terms(&self, rollup: RollupId) -> Terms {
        terms_of(&self.plan, rollup, self.kind)
    }

    pub fn backend(&self) -> Arc<dyn Backend> {
        match self.kind {
            DataKind::Blobs => {
                let source = BlobSource { url: self.anvil.url.clone(), block_id: da::BlockId::Number };
                Arc::new(Blobs::new(self.client.clone(), vec![source]))
            }
            DataKind::Calldata => Arc::new(Calldata::new(self.client.clone())),
            DataKind::Directory => Arc::new(Directory::open(&self.folder.path().join("data")).unwrap()),
        }
    }

    pub fn config() -> PosterConfig {
        PosterConfig {
            poll: Duration::from_millis(50),
            mined_within: Duration::from_millis(1_000),
            degraded_poll: Duration::from_millis(200),
            failures_max: 3,
            raises_max: 3,
            ..PosterConfig::default()
        }
    }

    pub fn poster(&self, account: usize, rollups: &[RollupId], config: PosterConfig) -> Poster {
        let rollups = rollups.iter().map(|rollup| (self.terms(*rollup), self.backend())).collect();
        Poster::new(self.client.clone(), signer(account), self.source.clone(), rollups, config)
    }

    pub fn watcher_config(&self) -> WatcherConfig {
        WatcherConfig {
            rollups: vec![self.terms(OPAQUE), self.terms(EVM)],
            start_block: self.start_block,
            depth: Depth::Blocks(2),
            propose_after: Duration::ZERO,
            poll: Duration::from_millis(50),
            still_after: Duration::from_secs(600),
        }
    }

    pub fn watcher(&self) -> Watcher {
        Watcher::new(self.client.clone(), self.watcher_config())
    }

    pub async fn ask(&self, method: &'static str, params: Value) -> Value {
        self.client.ask(method, params).await.unwrap()
    }

    /// Puts a forced entry into the queue.
    pub async fn force(&self, rollup: RollupId, data: &[u8]) {
        let call = ForcedQueue::forceCall { gas: 21_000, data: data.to_vec().into() };
        self.call(self.plan.rollups[&rollup].queue, call.abi_encode()).await;
    }

    /// After a silence of the cluster takes the entries before `to`.
    pub async fn escape(&self, rollup: RollupId, to: u64) {
        let silence = Settings::DEVNET.silence.max(Settings::DEVNET.window) + 1;
        self.ask("evm_increaseTime", json!([silence])).await;
        self.mine(1).await;
        let call = BatchInbox::escapeCall { to };
        self.call(self.plan.rollups[&rollup].inbox, call.abi_encode()).await;
        self.source.escaped(rollup, to);
    }

    async fn call(&self, to: L1Address, input: Vec<u8>) {
        self.send(TxKind::Call(Address::from(to.0)), input).await;
    }

    /// From an account that posts nothing else. Returns when a block has it.
    pub async fn send(&self, to: TxKind, input: Vec<u8>) {
        let sender = signer(2);
        let nonce = self.client.nonce(sender.address()).await.unwrap();
        let mut transaction = TxEip1559 {
            chain_id: L1_CHAIN,
            nonce,
            gas_limit: 1_000_000,
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 1,
            to,
            input: input.into(),
            ..TxEip1559::default()
        };
        let signature = sender.sign_transaction_sync(&mut transaction).unwrap();
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        self.client.send(&raw).await.unwrap();
        until("a block has it", async || self.client.nonce(sender.address()).await.unwrap() > nonce).await;
    }

    pub async fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Replaces the newest blocks by empty ones.
    pub async fn reorg(&self, depth: u64) {
        self.ask("anvil_reorg", json!([depth, []])).await;
    }

    pub async fn next_index(&self, rollup: RollupId) -> u64 {
        let inbox = Address::from(self.plan.rollups[&rollup].inbox.0);
        self.client.read(inbox, &BatchInbox::nextIndexCall {}, BlockId::latest()).await.unwrap()
    }

    pub async fn forced_cursor(&self, rollup: RollupId) -> u64 {
        let inbox = Address::from(self.plan.rollups[&rollup].inbox.0);
        self.client.read(inbox, &BatchInbox::forcedCursorCall {}, BlockId::latest()).await.unwrap()
    }

    /// Each batch that an inbox took, in their order.
    pub async fn batch_events(&self) -> Vec<(Address, BatchInbox::BatchPosted)> {
        let filter = Filter::new().from_block(0).event_signature(BatchInbox::BatchPosted::SIGNATURE_HASH);
        let logs = self.client.logs(&filter).await.unwrap();
        let event = |log: &Log| BatchInbox::BatchPosted::decode_log(&log.inner).unwrap().data;
        logs.iter().map(|log| (log.address(), event(log))).collect()
    }

    pub async fn head(&self, rollup: RollupId) -> B256 {
        let inbox = Address::from(self.plan.rollups[&rollup].inbox.0);
        self.client.read(inbox, &BatchInbox::headCall {}, BlockId::latest()).await.unwrap()
    }
}

fn terms_of(plan: &Plan, rollup: RollupId, data_kind: DataKind) -> Terms {
    let contracts = plan.rollups[&rollup];
    Terms {
        rollup,
        l1_chain_id: L1_CHAIN,
        inbox: contracts.inbox,
        queue: contracts.queue,
        key_generation: 0,
        data_kind,
        slot_seconds: Settings::DEVNET.slot_seconds,
        first_height: 1,
        rule: RULE,
    }
}

pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !done().await {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
