//! The contracts of a devnet. Their addresses follow from the deployer and its nonce alone, so a genesis can name them
//! before they are there; the cluster's number on L1 in turn follows from the genesis.

use crate::{
    bls,
    client::{Client, L1Error},
    contracts::{BatchCarrier, BatchInbox, ClusterRegistry, ForcedQueue, OpenPolicy},
    transaction::{Draft, Fees},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, TxKind};
use alloy_rpc_types_eth::{TransactionReceipt, TransactionRequest};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, SolConstructor as _};
use baton_types::{Digest, GroupKey, RollupId, SeedPoint, settlement::L1Address};
use commonware_cryptography::{Hasher as _, Sha256};
use eyre::{WrapErr as _, bail, ensure};
use std::{collections::BTreeMap, time::Duration};

const MINED_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// Addresses of one rollup's contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupContracts {
    pub queue: L1Address,
    pub inbox: L1Address,
}

/// Where everything will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub deployer: Address,
    first_nonce: u64,
    pub registry: L1Address,
    pub policy: L1Address,
    pub carrier: L1Address,
    pub rollups: BTreeMap<RollupId, RollupContracts>,
}

impl Plan {
    /// Of an account that has sent `first_nonce` transactions.
    pub fn new(deployer: Address, first_nonce: u64, rollups: impl IntoIterator<Item = RollupId>) -> Self {
        let mut nonce = first_nonce;
        let mut next = || {
            let address = L1Address(deployer.create(nonce).0.0);
            nonce += 1;
            address
        };
        let (registry, policy, carrier) = (next(), next(), next());
        let rollups =
            rollups.into_iter().map(|id| (id, RollupContracts { queue: next(), inbox: next() })).collect();
        Self { deployer, first_nonce, registry, policy, carrier, rollups }
    }

    /// How many it takes, the registration included.
    pub fn transactions(&self) -> u64 {
        3 + 2 * self.rollups.len() as u64 + 1
    }
}

/// What the contracts are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub first_height: u64,
    pub slot_seconds: u64,
    /// Slots in which the policy binds.
    pub grace_slots: u64,
    /// Seconds without a batch that open the hatch.
    pub silence: u64,
    /// Seconds of notice for a new policy or key.
    pub delay: u64,
    /// Seconds from a forced entry to its deadline.
    pub window: u64,
    pub entry_bytes_max: u32,
    pub entry_gas_max: u64,
    pub block_bytes_max: u32,
    pub block_gas_max: u64,
}

impl Settings {
    /// Short times, so that everything can be seen.
    pub const DEVNET: Self = Self {
        first_height: 1,
        slot_seconds: 12,
        grace_slots: 5,
        silence: 600,
        delay: 600,
        window: 120,
        entry_bytes_max: 16 * 1_024,
        entry_gas_max: 5_000_000,
        block_bytes_max: 64 * 1_024,
        block_gas_max: 15_000_000,
    };
}

/// The cluster as the registry knows it.
pub struct Cluster<'a> {
    pub genesis: Digest,
    pub group_key: &'a GroupKey,
    /// Hash of the member set.
    pub members: Digest,
}

impl Cluster<'_> {
    /// Its number on L1.
    fn id(&self) -> B256 {
        B256::from(Sha256::hash(&[&self.genesis, &bls::key(self.group_key)]).0)
    }
}

/// What the group signs, under [`baton_types::domain::L1_POSSESSION`], for its first registration.
pub fn possession(chain_id: u64, plan: &Plan, settings: &Settings, cluster: &Cluster<'_>) -> Vec<u8> {
    let (generation, vetoes) = (0_u32.to_be_bytes(), 0_u32.to_be_bytes());
    [
        &chain_id.to_be_bytes()[..],
        &plan.registry.0,
        cluster.id().as_slice(),
        &generation,
        &vetoes,
        &settings.first_height.to_be_bytes(),
        &cluster.members,
        &bls::key(cluster.group_key),
    ]
    .concat()
}

struct Deployer<'a> {
    client: &'a Client,
    signer: &'a PrivateKeySigner,
    nonce: u64,
}

impl Deployer<'_> {
    async fn send(&mut self, to: TxKind, input: Bytes) -> eyre::Result<TransactionReceipt> {
        let request = TransactionRequest { to: Some(to), ..TransactionRequest::default() }
            .from(self.signer.address())
            .input(input.clone().into());
        let gas = self.client.estimate(&request).await.wrap_err("L1 says it would fail")?;
        let fees = Fees::market(self.client, false).await?;
        let draft = Draft { nonce: self.nonce, to, input, gas: gas + gas / 4, fees, sidecar: None };
        let (hash, raw) =
            draft.sign(self.signer, self.client.chain_id()).map_err(|error| eyre::eyre!(error))?;
        self.client.send(&raw).await?;
        let started = std::time::Instant::now();
        loop {
            if let Some(receipt) = self.client.receipt(hash).await? {
                ensure!(receipt.status(), "transaction {hash} failed on L1");
                self.nonce += 1;
                return Ok(receipt);
            }
            ensure!(
                started.elapsed() < MINED_TIMEOUT,
                "transaction {hash} is not in a block of L1 after 120 s"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    async fn create(
        &mut self,
        what: &str,
        code: &Bytes,
        arguments: Vec<u8>,
        at: &L1Address,
    ) -> eyre::Result<()> {
        let input = [&code[..], &arguments].concat();
        let receipt = self
            .send(TxKind::Create, input.into())
            .await
            .wrap_err_with(|| format!("cannot deploy {what}"))?;
        let (found, planned) = (receipt.contract_address, Address::from(at.0));
        ensure!(
            found == Some(planned),
            "{what} is at {found:?} and not at {planned}: another nonce was used"
        );
        Ok(())
    }
}

/// Deploys what `plan` says and registers the cluster, whose group has signed [`possession`]. Returns the block of L1
/// in which everything is there.
pub async fn deploy(
    client: &Client,
    signer: &PrivateKeySigner,
    plan: &Plan,
    settings: &Settings,
    cluster: &Cluster<'_>,
    possession: &SeedPoint,
) -> eyre::Result<u64> {
    let nonce = client.nonce(signer.address()).await?;
    if nonce != plan.first_nonce {
        bail!(
            "{} has sent {nonce} transactions, the plan begins after {}",
            signer.address(),
            plan.first_nonce
        );
    }
    let mut deployer = Deployer { client, signer, nonce };
    let Settings { first_height, slot_seconds, grace_slots, silence, delay, window, .. } = *settings;
    let (owner, registry) = (signer.address(), Address::from(plan.registry.0));
    let arguments = ClusterRegistry::constructorCall { owner_: owner, rotationDelay_: delay }.abi_encode();
    deployer.create("ClusterRegistry", &ClusterRegistry::BYTECODE, arguments, &plan.registry).await?;
    deployer.create("OpenPolicy", &OpenPolicy::BYTECODE, Vec::new(), &plan.policy).await?;
    deployer.create("BatchCarrier", &BatchCarrier::BYTECODE, Vec::new(), &plan.carrier).await?;

    for (rollup, contracts) in &plan.rollups {
        let arguments = ForcedQueue::constructorCall {
            rollup_: rollup.0,
            window_: window,
            entryBytesMax_: settings.entry_bytes_max,
            entryGasMax_: settings.entry_gas_max,
            blockBytesMax_: settings.block_bytes_max,
            blockGasMax_: settings.block_gas_max,
        };
        deployer
            .create("ForcedQueue", &ForcedQueue::BYTECODE, arguments.abi_encode(), &contracts.queue)
            .await?;
        let config = BatchInbox::Config {
            owner,
            registry,
            cluster: cluster.id(),
            queue: Address::from(contracts.queue.0),
            policy: Address::from(plan.policy.0),
            carrier: Address::from(plan.carrier.0),
            firstHeight: first_height,
            slotSeconds: slot_seconds,
            graceSlots: grace_slots,
            silence,
            policyDelay: delay,
        };
        let arguments = BatchInbox::constructorCall { c: config }.abi_encode();
        deployer.create("BatchInbox", &BatchInbox::BYTECODE, arguments, &contracts.inbox).await?;
    }
    let next = ClusterRegistry::NextKey {
        key: bls::key(cluster.group_key),
        fromHeight: first_height,
        members: B256::from(cluster.members.0),
    };
    let possession = bls::signature(possession);
    let call = ClusterRegistry::registerCall { genesis: B256::from(cluster.genesis.0), next, possession };
    let registered = deployer.send(TxKind::Call(registry), call.abi_encode().into()).await;
    Ok(registered.wrap_err("cannot register the cluster")?.block_number.unwrap_or_default())
}

/// Whether the contracts of a plan are there.
pub async fn is_deployed(client: &Client, plan: &Plan) -> Result<bool, L1Error> {
    let last = plan.rollups.values().next_back().map_or(plan.carrier, |contracts| contracts.inbox);
    let code: Bytes = client.ask("eth_getCode", (Address::from(last.0), BlockId::latest())).await?;
    Ok(!code.is_empty())
}
