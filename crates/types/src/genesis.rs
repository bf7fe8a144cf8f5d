//! The genesis: everything all nodes must agree on before the first block. Public, shared, hashed.
//!
//! Its digest is the chain's identity and part of every signing domain:
//! SHA-256(_BATON_GENESIS ‖ the genesis as compact JSON, fields in the order below).

mod election;
pub mod evm;
pub mod settlement;

pub use election::Election;
pub use settlement::{Batches, Settlement};

use crate::{
    BlockLimits, Digest, Directory, EpochInfo, GroupKey, MEMBERS_MAX, Payload, PublicKey, RollupId, Sharing,
    block::{Block, Body, ElectionKind, Header, payload_cfg},
    domain, forced, hex,
    lottery::{self, Commitment, Lottery, LotteryPart},
    merkle::{EMPTY, Heads, History},
    results::{EvmRollups, ExecutionResult, Results},
};
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_consensus::types::Epoch;
use commonware_glue::dkg::types::EpochOutcome;
use commonware_p2p::Address;
use commonware_utils::ordered::Set;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fmt::{self, Display},
    net::SocketAddr,
};
use thiserror::Error;

/// A value that cannot stand, with its key and what is allowed.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("genesis: {key} = {value}: {allowed}")]
pub struct Invalid {
    pub key: String,
    pub value: String,
    pub allowed: String,
}

fn invalid(key: impl Display, value: impl Display, allowed: impl Display) -> Invalid {
    Invalid { key: key.to_string(), value: value.to_string(), allowed: allowed.to_string() }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    pub version: u32,
    pub network: NetworkName,
    pub key_generation: KeyGeneration,
    /// In ascending order of identity; a member's index is its place here.
    pub members: Vec<Member>,
    pub rollups: Vec<Rollup>,
    pub election: Election,
    /// Blocks per epoch. Each dealer must lead a block in the second half of an epoch.
    pub epoch_blocks: u64,
    pub reshare: Reshare,
    pub timing: Timing,
    /// Encoded segments of one block.
    pub block_bytes_max: usize,
    /// How far ahead `valid_until` may lie; also how long ids are remembered against repetition.
    pub validity_blocks_max: u64,
    /// Where and how the rollups settle; none for a cluster that knows nothing of L1.
    pub l1: Option<Box<Settlement>>,
    /// Of a cluster without L1 whose rollups settle in a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<Batches>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkName {
    pub name: String,
    pub id: u64,
}

/// One ceremony's group key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyGeneration {
    pub generation: u64,
    /// Who dealt the key: `dealer` (one party knew it: devnets and tests) or `ceremony`.
    pub origin: KeyOrigin,
    /// Compressed G2, 96 bytes.
    pub group_key: String,
    /// The ceremony's public result: commitments to every member's share.
    pub sharing: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrigin {
    Dealer,
    Ceremony,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// ed25519, 32 bytes.
    pub identity: String,
    /// Public key of its verifiable random function, 32 bytes; zero under elections that need none.
    pub vrf_key: String,
    /// Root over what it reveals in epoch 0, 32 bytes; the member shows the others the proof when it
    /// starts. Without a root it proves each of its turns of that epoch by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    /// Where the other members reach it.
    pub p2p: SocketAddr,
    pub weight: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollup {
    pub id: u32,
    /// `[a-z0-9-]{1,32}`
    pub name: String,
    pub kind: RollupKind,
    pub data: Data,
    pub ordering: Ordering,
    /// Payload of one transaction.
    pub transaction_bytes_max: usize,
    /// Encoded segment in one block.
    pub block_bytes_max: usize,
    /// Payloads waiting on one node.
    pub mempool_bytes_max: usize,
    /// Share of every block that other rollups cannot take from it, in percent.
    pub reserved_percent: u32,
    /// Of kind `evm`, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evm: Option<Box<evm::Evm>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RollupKind {
    /// Ordered, not executed.
    Opaque,
    /// Ethereum transactions, executed in the order of the cluster.
    Evm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// Any payload.
    Bytes,
    /// Exactly 32 bytes: a hash, its preimage kept elsewhere.
    Hash,
}

/// How a proposer orders the waiting transactions of one rollup. Fee hints of opaque
/// transactions bind nobody, so voters do not check this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ordering {
    /// First come, first served.
    #[serde(alias = "fcfs")]
    Arrival,
    /// Highest fee hint first; first come among equals.
    FeeHint,
    /// Of kind `evm`: highest tip per gas first, each sender's in the order of their nonces.
    PriorityFee,
}

impl Display for Ordering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrival => "arrival",
            Self::FeeHint => "fee-hint",
            Self::PriorityFee => "priority-fee",
        })
    }
}

/// When the key is dealt again. The group key stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reshare {
    /// In epochs whose members differ from the holders of the key.
    OnChange,
    EveryEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// An idle cluster makes one empty block per this interval; below half of the leader timeout.
    pub idle_ms: u64,
    /// At most one block per this interval.
    pub block_interval_min_ms: u64,
    /// How long a view waits for its leader's block.
    pub leader_timeout_ms: u64,
    /// How long a view waits for its certificate; above the leader timeout.
    pub certification_timeout_ms: u64,
    /// How far ahead of a voter's clock a block may be.
    pub drift_max_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            idle_ms: 300,
            block_interval_min_ms: 40,
            leader_timeout_ms: 700,
            certification_timeout_ms: 1_200,
            drift_max_ms: 100,
        }
    }
}

impl Rollup {
    /// An opaque rollup with the usual limits.
    pub fn opaque(id: u32, name: &str, data: Data) -> Self {
        Self {
            id,
            name: name.to_owned(),
            kind: RollupKind::Opaque,
            data,
            ordering: Ordering::Arrival,
            transaction_bytes_max: 128 * 1024,
            block_bytes_max: 2 * 1024 * 1024,
            mempool_bytes_max: 64 * 1024 * 1024,
            reserved_percent: 0,
            evm: None,
        }
    }

    /// A rollup that executes Ethereum transactions, with the usual limits.
    pub fn evm(id: u32, name: &str, evm: evm::Evm) -> Self {
        let kind = RollupKind::Evm;
        Self { kind, evm: Some(Box::new(evm)), ..Self::opaque(id, name, Data::Bytes) }
    }

    pub const fn id(&self) -> RollupId {
        RollupId(self.id)
    }

    fn check(&self, index: usize, block_bytes_max: usize) -> Result<(), Invalid> {
        let key = |field: &str| format!("rollups[{index}].{field}");
        let name_ok = (1..=32).contains(&self.name.len())
            && self.name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !name_ok {
            return Err(invalid(key("name"), format!("{:?}", self.name), "1 to 32 of a-z, 0-9, -"));
        }
        if self.id == 0 {
            return Err(invalid(key("id"), self.id, "1 or more"));
        }
        if !(1..=block_bytes_max).contains(&self.block_bytes_max) {
            return Err(invalid(
                key("block_bytes_max"),
                self.block_bytes_max,
                format!("1 to {block_bytes_max}"),
            ));
        }
        // A transaction's own encoding needs a few bytes beside its payload.
        let transaction_max = self.block_bytes_max.saturating_sub(64);
        if !(1..=transaction_max).contains(&self.transaction_bytes_max) {
            let allowed = format!("1 to {transaction_max}: it must fit the rollup's share of a block");
            return Err(invalid(key("transaction_bytes_max"), self.transaction_bytes_max, allowed));
        }
        if self.data == Data::Hash && self.transaction_bytes_max < 32 {
            return Err(invalid(
                key("transaction_bytes_max"),
                self.transaction_bytes_max,
                "32 or more for hashes",
            ));
        }
        if self.mempool_bytes_max < self.transaction_bytes_max {
            let allowed = format!("at least transaction_bytes_max ({})", self.transaction_bytes_max);
            return Err(invalid(key("mempool_bytes_max"), self.mempool_bytes_max, allowed));
        }
        if self.reserved_percent > 100 {
            return Err(invalid(key("reserved_percent"), self.reserved_percent, "0 to 100"));
        }
        evm::check(self, key)
    }
}

impl Member {
    pub fn identity(&self) -> Result<PublicKey, String> {
        hex::decode_value(&self.identity, &())
    }
}

impl Genesis {
    /// Most rollups of one cluster.
    pub const ROLLUPS_MAX: usize = 1_024;
    /// Largest weight of one member.
    pub const WEIGHT_MAX: u64 = 1 << 48;

    /// Reads and checks a genesis.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        let genesis: Self = serde_json::from_str(text)
            .map_err(|error| invalid("(file)", format!("line {}", error.line()), error))?;
        genesis.check()?;
        Ok(genesis)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a genesis has only string keys")
    }

    pub fn digest(&self) -> Digest {
        let json = serde_json::to_vec(self).expect("a genesis has only string keys");
        domain::hash(domain::GENESIS, &[&json])
    }

    pub fn check(&self) -> Result<(), Invalid> {
        if self.version != 1 {
            return Err(invalid("version", self.version, "this program reads version 1"));
        }
        self.check_members()?;
        // Before the rollups, whose limits stay below it.
        if !(4_096..=16 * 1024 * 1024).contains(&self.block_bytes_max) {
            return Err(invalid("block_bytes_max", self.block_bytes_max, "4096 to 16777216"));
        }
        self.check_rollups()?;
        let sharing = self.sharing().map_err(|error| invalid("key_generation.sharing", "…", error))?;
        let identities = self.identities().map_err(|error| invalid("members", "…", error))?;
        if sharing.players() != &identities {
            return Err(invalid("key_generation.sharing", "…", "must name exactly the members as holders"));
        }
        if hex::encode_value(sharing.public().public()) != self.key_generation.group_key {
            let allowed = "must be the key of key_generation.sharing";
            return Err(invalid("key_generation.group_key", &self.key_generation.group_key, allowed));
        }
        let n = self.members.len() as u64;
        if !(2..=1_000_000).contains(&self.epoch_blocks) || self.epoch_blocks < 2 * n {
            let allowed = format!("{} to 1000000: two blocks per member", (2 * n).max(2));
            return Err(invalid("epoch_blocks", self.epoch_blocks, allowed));
        }
        if !(16..=100_000).contains(&self.validity_blocks_max) {
            return Err(invalid("validity_blocks_max", self.validity_blocks_max, "16 to 100000"));
        }
        self.check_election()?;
        self.timing.check()?;
        self.l1.as_ref().map_or(Ok(()), |l1| l1.check(self))?;
        self.batches.as_ref().map_or(Ok(()), |batches| batches.check(self))
    }

    /// The lottery's part of the genesis block.
    fn lottery(&self) -> Result<Option<LotteryPart>, String> {
        if self.election != Election::ZkLottery {
            return Ok(None);
        }
        let commitments: Vec<_> = self
            .members
            .iter()
            .map(|member| member.commitment.as_ref().map(|root| Commitment::unproven(root)).transpose())
            .collect::<Result<_, _>>()?;
        // Commitments are made over the first and cannot contain it; the second comes after them.
        let later = domain::hash(domain::BEACON, &[&self.digest(), &self.group_key()?.encode()]);
        let state = Lottery::genesis(self.context_beacon(), later, commitments);
        Ok(Some(LotteryPart { evidence: Bytes::new(), held: Vec::new(), state }))
    }

    /// The context beacon of epoch 0: this genesis without its commitments.
    pub fn context_beacon(&self) -> Digest {
        let mut bare = self.clone();
        bare.members.iter_mut().for_each(|member| member.commitment = None);
        domain::hash(domain::BEACON, &[&bare.digest()])
    }

    /// What the lottery knows of this chain.
    pub fn lottery_rules(&self) -> Result<lottery::Rules, String> {
        Ok(lottery::Rules {
            chain: self.digest(),
            members: self.identities()?,
            epoch_blocks: self.epoch_blocks,
        })
    }

    fn check_members(&self) -> Result<(), Invalid> {
        let max = MEMBERS_MAX.get() as usize;
        if !(1..=max).contains(&self.members.len()) {
            return Err(invalid("members", self.members.len(), format!("1 to {max}")));
        }
        let mut previous = None;
        for (index, member) in self.members.iter().enumerate() {
            let key = format!("members[{index}].identity");
            let identity = member.identity().map_err(|error| invalid(&key, &member.identity, error))?;
            if previous.as_ref() >= Some(&identity) {
                return Err(invalid(
                    &key,
                    &member.identity,
                    "members stand in ascending order of identity, once each",
                ));
            }
            previous = Some(identity);
            hex::decode_array::<32>(&member.vrf_key)
                .map_err(|error| invalid(format!("members[{index}].vrf_key"), &member.vrf_key, error))?;
        }
        Ok(())
    }

    fn check_rollups(&self) -> Result<(), Invalid> {
        if !(1..=Self::ROLLUPS_MAX).contains(&self.rollups.len()) {
            return Err(invalid("rollups", self.rollups.len(), format!("1 to {}", Self::ROLLUPS_MAX)));
        }
        let (mut ids, mut names, mut chain_ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (index, rollup) in self.rollups.iter().enumerate() {
            rollup.check(index, self.block_bytes_max)?;
            if !ids.insert(rollup.id) {
                return Err(invalid(format!("rollups[{index}].id"), rollup.id, "used once"));
            }
            if !names.insert(&rollup.name) {
                return Err(invalid(format!("rollups[{index}].name"), &rollup.name, "used once"));
            }
            if let Some(evm) = &rollup.evm
                && !chain_ids.insert(evm.chain_id)
            {
                let key = format!("rollups[{index}].evm.chain_id");
                return Err(invalid(key, evm.chain_id, "used once: signatures would count on both"));
            }
        }
        let executed = self.evm_rollups().count();
        if executed > EvmRollups::MAX {
            let allowed =
                format!("at most {} of kind evm: every node holds their states in memory", EvmRollups::MAX);
            return Err(invalid("rollups[].kind", format!("{executed} of kind evm"), allowed));
        }
        let reserved: u32 = self.rollups.iter().map(|rollup| rollup.reserved_percent).sum();
        if reserved > 100 {
            return Err(invalid("rollups[].reserved_percent", reserved, "at most 100 together"));
        }
        Ok(())
    }

    pub fn sharing(&self) -> Result<Sharing, String> {
        hex::decode_value(&self.key_generation.sharing, &payload_cfg())
    }

    pub fn group_key(&self) -> Result<GroupKey, String> {
        hex::decode_value(&self.key_generation.group_key, &())
    }

    pub fn identities(&self) -> Result<Set<PublicKey>, String> {
        let keys: Vec<_> = self.members.iter().map(Member::identity).collect::<Result<_, _>>()?;
        Ok(Set::from_iter_dedup(keys))
    }

    /// Where members reach each other.
    pub fn directory(&self) -> Result<Directory, String> {
        self.members.iter().map(|member| Ok((member.identity()?, Address::Symmetric(member.p2p)))).collect()
    }

    pub fn rollup(&self, id: RollupId) -> Option<&Rollup> {
        self.rollups.iter().find(|rollup| rollup.id == id.0)
    }

    /// A rollup by its name, or by its id in decimal.
    pub fn find_rollup(&self, name: &str) -> Option<&Rollup> {
        self.rollups
            .iter()
            .find(|rollup| rollup.name == name)
            .or_else(|| self.rollup(RollupId(name.parse().ok()?)))
    }

    pub fn limits(&self) -> BlockLimits {
        BlockLimits {
            block_bytes_max: self.block_bytes_max,
            transaction_bytes_max: self.rollups.iter().map(|r| r.transaction_bytes_max).max().unwrap_or(0),
            rollups_max: self.rollups.len(),
            evm: EvmRollups::new(self.evm_rollups().map(Rollup::id)),
            l1: self.l1.as_ref().map(|l1| l1.limits()),
        }
    }

    /// Whether rollups are cut into batches that the group signs.
    pub const fn settles(&self) -> bool {
        self.l1.is_some() || self.batches.is_some()
    }

    fn evm_rollups(&self) -> impl Iterator<Item = &Rollup> {
        self.rollups.iter().filter(|rollup| rollup.kind == RollupKind::Evm)
    }

    /// Nothing is attested in block 0.
    fn results(&self) -> Results {
        let result = |rollup: &Rollup| {
            let start = rollup.evm.as_ref().map_or(0, |evm| evm.base_fee.start);
            (rollup.id(), ExecutionResult::genesis(start))
        };
        self.evm_rollups().map(result).collect()
    }

    /// Nothing of L1 is known in block 0.
    fn forced(&self) -> Option<forced::L1Part> {
        let rollups = self.l1.as_ref()?.rollups.iter().map(settlement::SettledRollup::id);
        Some(forced::L1Part { state: forced::State::genesis(rollups), ..forced::L1Part::default() })
    }

    /// The committee and sharing of epoch 0.
    pub fn epoch_info(&self) -> Result<EpochInfo, String> {
        let members = self.identities()?;
        Ok(EpochInfo {
            outcome: EpochOutcome::Success,
            epoch: Epoch::zero(),
            output: self.sharing()?,
            players: members.clone(),
            next_players: members,
            directory: self.directory()?,
        })
    }

    /// Block 0. It has no author and is never voted on.
    pub fn block(&self) -> Result<Block, String> {
        let first = self.members.first().ok_or("a genesis without members")?.identity()?;
        let header = Header {
            chain: self.digest(),
            epoch: 0,
            view: 0,
            parent_view: 0,
            height: 0,
            parent: EMPTY,
            timestamp_ms: 0,
            committer: first.clone(),
            author: first,
            election: ElectionKind::Genesis,
            reveal: [0; 32],
            reveal_evidence: EMPTY,
            parent_seed: [0; 48],
            body_root: EMPTY,
            heads_root: EMPTY,
            history_root: EMPTY,
            results_root: EMPTY,
            l1_number: 0,
            l1_hash: EMPTY,
            forced_root: EMPTY,
            members_root: EMPTY,
            bench_report: [0; 32],
            payload_root: EMPTY,
            protocol_signal: 0,
        };
        let body = Body {
            segments: Vec::new(),
            heads: Heads::new(),
            peaks: History::new().peaks,
            payload: Some(Payload::EpochInfo(self.epoch_info()?)),
            lottery: self.lottery()?.map(Box::new),
            results: self.results(),
            l1: self.forced().map(Box::new),
        };
        Ok(Block::seal(header, body, None))
    }
}

impl Timing {
    fn check(&self) -> Result<(), Invalid> {
        let key = |field: &str| format!("timing.{field}");
        if !(50..=60_000).contains(&self.leader_timeout_ms) {
            return Err(invalid(key("leader_timeout_ms"), self.leader_timeout_ms, "50 to 60000"));
        }
        // Waiting for transactions counts against the leader timeout.
        if self.idle_ms == 0 || self.idle_ms >= self.leader_timeout_ms.div_ceil(2) {
            let allowed =
                format!("1 to {}: below half of the leader timeout", (self.leader_timeout_ms - 1) / 2);
            return Err(invalid(key("idle_ms"), self.idle_ms, allowed));
        }
        if self.block_interval_min_ms > self.idle_ms {
            let allowed = format!("0 to {}, the idle interval", self.idle_ms);
            return Err(invalid(key("block_interval_min_ms"), self.block_interval_min_ms, allowed));
        }
        if !(self.leader_timeout_ms + 1..=120_000).contains(&self.certification_timeout_ms) {
            let allowed = format!("{} to 120000: above the leader timeout", self.leader_timeout_ms + 1);
            return Err(invalid(key("certification_timeout_ms"), self.certification_timeout_ms, allowed));
        }
        if self.drift_max_ms > 10_000 {
            return Err(invalid(key("drift_max_ms"), self.drift_max_ms, "0 to 10000"));
        }
        Ok(())
    }
}
