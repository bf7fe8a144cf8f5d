//! Chains to load: a cluster, an anvil, or whatever answers at an address.

use super::accounts::{Account, arguments};
use crate::{
    cluster::Cluster,
    output::note,
    rpc::{Api, NONE},
};
use alloy_primitives::{Address, B256, TxKind, U64, U256, hex};
use eyre::{WrapErr as _, bail, eyre};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{net::TcpListener, path::Path, process::Stdio, time::Duration};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// What each account has, in ether: enough for the fees of any load.
pub const BALANCE_ETHER: u128 = 1_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// Calls in one request of the preparation.
const BATCH: usize = 100;
/// Holders that get their tokens in one transaction.
const GIVEN_AT_ONCE: usize = 200;
const GIFT_GAS: u64 = 12_000_000;
const DEPLOYMENT_GAS: u64 = 3_000_000;
/// How long a chain may take to start, or for a transaction of the preparation.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Gas of a block of anvil's: as much in a second as the cluster has in ten blocks.
const ANVIL_GAS_LIMIT: u64 = 300_000_000;

/// Its bytecode is that of contracts/test/LoadToken.sol.
const TOKEN: &str = include_str!("../../../../../../contracts/artifacts/LoadToken.json");

/// How anvil makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// One for every transaction.
    Auto,
    /// One every second.
    EverySecond,
}

pub struct Target {
    pub name: String,
    /// Requests go to all in turn; receipts come from the first.
    pub urls: Vec<String>,
    pub pids: Vec<u32>,
    pub chain_id: u64,
    pub token: Address,
    /// Most transactions per second that it is measured with; none: any.
    pub rate_max: Option<u32>,
    /// Ends with this program.
    _process: Option<Child>,
}

impl Target {
    pub async fn of_cluster(cluster: &Cluster, accounts: &mut [Account]) -> eyre::Result<Self> {
        let layout = cluster.layout();
        let all = || 0..layout.nodes();
        let urls = all().map(|index| format!("{}/rollup/evm", layout.rpc_url(index))).collect();
        let pids = all().filter_map(|index| cluster.pid(index)).collect();
        Self::prepare(format!("{} nodes", layout.nodes()), urls, pids, None, accounts).await
    }

    pub async fn of_url(url: String, pids: Vec<u32>, accounts: &mut [Account]) -> eyre::Result<Self> {
        Self::prepare(url.clone(), vec![url], pids, None, accounts).await
    }

    pub async fn start_anvil(program: &Path, mining: Mining, accounts: &mut [Account]) -> eyre::Result<Self> {
        // Free a moment ago; anvil says so when it is not any more.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.wrap_err("no free port")?.port();
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--chain-id", "2211", "--hardfork", "prague"]);
        command.args(["--gas-limit", &ANVIL_GAS_LIMIT.to_string()]);
        if mining == Mining::EverySecond {
            command.args(["--block-time", "1"]);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .wrap_err_with(|| format!("--anvil {}: cannot start it", program.display()))?;
        let url = format!("http://127.0.0.1:{port}");
        let api = Api::new(&url)?;
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = api.call::<U64>("eth_chainId", NONE).await {
            if Instant::now() > deadline {
                bail!("--anvil {}: no answer after {PATIENCE:?}: {error}", program.display());
            }
            sleep(POLL).await;
        }
        let (name, rate_max) = match mining {
            // With more it makes a block of one transaction after the other for minutes.
            Mining::Auto => ("anvil, auto-mine", Some(200)),
            Mining::EverySecond => ("anvil, 1 s blocks", None),
        };
        let pids = process.id().into_iter().collect();
        let target = Self::prepare(name.to_owned(), vec![url], pids, rate_max, accounts).await?;
        Ok(Self { _process: Some(process), ..target })
    }

    /// Sees to it that the accounts have what they need.
    async fn prepare(
        name: String,
        urls: Vec<String>,
        pids: Vec<u32>,
        rate_max: Option<u32>,
        accounts: &mut [Account],
    ) -> eyre::Result<Self> {
        note(format!("{name}: preparing {} accounts", accounts.len()));
        let api = Api::new(&urls[0])?;
        let chain_id: U64 = api.call("eth_chainId", NONE).await?;
        let mut target = Self {
            name,
            urls,
            pids,
            chain_id: chain_id.to(),
            token: Address::ZERO,
            rate_max,
            _process: None,
        };
        fund(&api, accounts).await?;
        target.read_nonces(accounts).await?;
        target.deploy(&api, accounts).await?;
        Ok(target)
    }

    /// What the chain says of every account.
    pub async fn read_nonces(&self, accounts: &mut [Account]) -> eyre::Result<()> {
        let api = Api::new(&self.urls[0])?;
        let ask = |account: &Account| ("eth_getTransactionCount", json!([account.address, "pending"]));
        let nonces: Vec<U64> = calls(&api, accounts.iter().map(ask).collect()).await?;
        accounts.iter_mut().zip(nonces).for_each(|(account, nonce)| account.nonce = nonce.to());
        Ok(())
    }

    /// Deploys the token, and gives everybody some.
    async fn deploy(&mut self, api: &Api, accounts: &mut [Account]) -> eyre::Result<()> {
        #[derive(Deserialize)]
        struct Artifact {
            bytecode: String,
        }
        let artifact: Artifact = serde_json::from_str(TOKEN).wrap_err("the token's artifact")?;
        let code = hex::decode(artifact.bytecode).wrap_err("the token's bytecode")?;
        let holders: Vec<_> = accounts.iter().map(|account| account.address).collect();
        let chain_id = self.chain_id;
        let owner = accounts.first_mut().ok_or_else(|| eyre!("--accounts: at least one"))?;
        self.token = owner.address.create(owner.nonce);
        let mut sent = vec![owner.sign(chain_id, TxKind::Create, DEPLOYMENT_GAS, code.into(), 0)?];
        for part in holders.chunks(GIVEN_AT_ONCE) {
            let number = |number: usize| B256::from(U256::from(number));
            let mut words = vec![number(32), number(part.len())];
            words.extend(part.iter().map(|holder| holder.into_word()));
            let input = arguments("give(address[])", &words);
            sent.push(owner.sign(chain_id, TxKind::Call(self.token), GIFT_GAS, input, 0)?);
        }
        for (raw, hash) in sent {
            let _: B256 = api.call("eth_sendRawTransaction", Some([raw])).await?;
            let receipt = receipt(api, &hash).await?;
            if receipt["status"] != "0x1" {
                bail!("{}: deploying the token failed: {receipt}", api.url());
            }
        }
        Ok(())
    }
}

/// Sees to it that everybody can pay.
async fn fund(api: &Api, accounts: &[Account]) -> eyre::Result<()> {
    let ask = |account: &Account| ("eth_getBalance", json!([account.address, "latest"]));
    let balances: Vec<U256> = calls(api, accounts.iter().map(ask).collect()).await?;
    let poor = || accounts.iter().zip(&balances).filter(|(_, balance)| **balance < U256::from(ETHER));
    let Some((first, _)) = poor().next() else { return Ok(()) };
    let gift = U256::from(BALANCE_ETHER * ETHER);
    let give = |(account, _): (&Account, _)| ("anvil_setBalance", json!([account.address, gift]));
    let given: eyre::Result<Vec<Value>> = calls(api, poor().map(give).collect()).await;
    given.map(|_| ()).wrap_err_with(|| {
        format!(
            "{} of {} accounts have less than an ether at {}, {} first, and it does not let anvil_setBalance \
             give them any: put what `baton bench evm --alloc` prints into its genesis",
            poor().count(),
            accounts.len(),
            api.url(),
            first.address
        )
    })
}

async fn receipt(api: &Api, hash: &B256) -> eyre::Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let receipt: Value = api.call("eth_getTransactionReceipt", Some([hash])).await?;
        if !receipt.is_null() {
            return Ok(receipt);
        }
        if Instant::now() > deadline {
            bail!("{}: no receipt of {hash} after {PATIENCE:?}", api.url());
        }
        sleep(POLL).await;
    }
}

/// Many calls in few requests; results in order.
async fn calls<T: DeserializeOwned>(api: &Api, all: Vec<(&str, Value)>) -> eyre::Result<Vec<T>> {
    #[derive(Deserialize)]
    struct Reply<T> {
        id: usize,
        result: Option<T>,
        error: Option<Value>,
    }
    let mut results = Vec::with_capacity(all.len());
    for part in all.chunks(BATCH) {
        let call = |(id, (method, params)): (usize, &(&str, Value))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let body = Value::Array(part.iter().enumerate().map(call).collect()).to_string();
        let answer = api.post(body.into()).await?;
        let text = String::from_utf8_lossy(answer.as_ref());
        let mut replies: Vec<Reply<T>> = serde_json::from_str(&text)
            .wrap_err_with(|| format!("{}: no batch of answers: {text:.200}", api.url()))?;
        replies.sort_by_key(|reply| reply.id);
        if replies.len() != part.len() {
            bail!("{}: {} answers to {} calls", api.url(), replies.len(), part.len());
        }
        for Reply { id, result, error } in replies {
            let method = part.get(id).map_or("an answer to nothing", |(method, _)| method);
            if let Some(error) = error {
                bail!("{}: {method}: {error}", api.url());
            }
            // Null is the result of some.
            let result = result.map_or_else(|| T::deserialize(Value::Null), Ok);
            results.push(result.wrap_err_with(|| format!("{}: {method}", api.url()))?);
        }
    }
    Ok(results)
}
