//! What the genesis says about a rollup that executes Ethereum transactions.

use super::{Data, Invalid, Ordering, Rollup, RollupKind, invalid};
use crate::hex::{Hex, HexArray};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An account's address, 20 bytes.
pub type Address = HexArray<20>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evm {
    /// In every signature of its users (EIP-155); no other chain they use may have it.
    pub chain_id: u64,
    /// Of every block.
    pub gas_limit: u64,
    pub base_fee: BaseFee,
    /// Receives the tips; base fees are burned.
    pub fee_recipient: Address,
    pub cadence: Cadence,
    /// Accounts of block 0, beside the four system contracts.
    pub alloc: BTreeMap<Address, AllocAccount>,
}

/// How the price of gas follows the demand (EIP-1559).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseFee {
    /// Of block 0, in wei per gas.
    pub start: u64,
    /// A block aims at the gas limit divided by this.
    pub elasticity: u64,
    /// The price changes from block to block by at most one in this many parts.
    pub denominator: u64,
}

/// When the rollup's blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Cadence {
    /// Each block of the cluster with transactions of the rollup is one; their seconds may repeat.
    PerBlock,
    /// One per slot with transactions, with strictly rising seconds; blocks of the cluster are its parts.
    Slotted { ms: u64 },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllocAccount {
    /// In wei, decimal.
    #[serde(with = "decimal")]
    #[schemars(with = "String")]
    pub balance: u128,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nonce: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Hex>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub storage: BTreeMap<HexArray<32>, HexArray<32>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// JSON numbers lose digits beyond 2^53 in many readers.
mod decimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is not a decimal number below 2^128")))
    }
}

/// Where every Prague chain has its system contracts (EIP-4788, 2935, 7002, 7251).
pub const SYSTEM_CONTRACTS: [Address; 4] = [
    HexArray([
        0x00, 0x0f, 0x3d, 0xf6, 0xd7, 0x32, 0x80, 0x7e, 0xf1, 0x31, 0x9f, 0xb7, 0xb8, 0xbb, 0x85, 0x22, 0xd0,
        0xbe, 0xac, 0x02,
    ]),
    HexArray([
        0x00, 0x00, 0xf9, 0x08, 0x27, 0xf1, 0xc5, 0x3a, 0x10, 0xcb, 0x7a, 0x02, 0x33, 0x5b, 0x17, 0x53, 0x20,
        0x00, 0x29, 0x35,
    ]),
    HexArray([
        0x00, 0x00, 0x09, 0x61, 0xef, 0x48, 0x0e, 0xb5, 0x5e, 0x80, 0xd1, 0x9a, 0xd8, 0x35, 0x79, 0xa6, 0x4c,
        0x00, 0x70, 0x02,
    ]),
    HexArray([
        0x00, 0x00, 0xbb, 0xdd, 0xc7, 0xce, 0x48, 0x86, 0x42, 0xfb, 0x57, 0x9f, 0x8b, 0x00, 0xf3, 0xa5, 0x90,
        0x00, 0x72, 0x51,
    ]),
];

/// EIP-2294.
const CHAIN_ID_MAX: u64 = u64::MAX / 2 - 36;
const GAS_LIMIT: std::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000_000;
const BASE_FEE_MAX: u64 = 1_000_000_000_000_000;
/// EIP-170.
const CODE_BYTES_MAX: usize = 24_576;

impl Evm {
    /// Most accounts of block 0.
    pub const ALLOC_MAX: usize = 100_000;
    /// Most storage slots of one account of block 0.
    pub const ALLOC_SLOTS_MAX: usize = 100_000;
    const SLOT_MS_MAX: u64 = 60_000;

    /// With no accounts, and the fees of Ethereum.
    pub fn new(chain_id: u64) -> Self {
        Self {
            chain_id,
            gas_limit: 30_000_000,
            base_fee: BaseFee { start: 1_000_000_000, elasticity: 2, denominator: 8 },
            fee_recipient: Address::default(),
            cadence: Cadence::PerBlock,
            alloc: BTreeMap::new(),
        }
    }

    fn check(&self, key: impl Fn(&str) -> String) -> Result<(), Invalid> {
        if !(1..=CHAIN_ID_MAX).contains(&self.chain_id) {
            return Err(invalid(key("chain_id"), self.chain_id, format!("1 to {CHAIN_ID_MAX}")));
        }
        if !GAS_LIMIT.contains(&self.gas_limit) {
            let allowed = format!("{} to {}", GAS_LIMIT.start(), GAS_LIMIT.end());
            return Err(invalid(key("gas_limit"), self.gas_limit, allowed));
        }
        let BaseFee { start, elasticity, denominator } = self.base_fee;
        if start > BASE_FEE_MAX {
            return Err(invalid(key("base_fee.start"), start, format!("0 to {BASE_FEE_MAX}")));
        }
        if !(1..=100).contains(&elasticity) {
            return Err(invalid(key("base_fee.elasticity"), elasticity, "1 to 100"));
        }
        if !(1..=1_000_000).contains(&denominator) {
            return Err(invalid(key("base_fee.denominator"), denominator, "1 to 1000000"));
        }
        if let Cadence::Slotted { ms } = self.cadence {
            // A block's time is in seconds and has to rise.
            if ms == 0 || ms % 1_000 != 0 || ms > Self::SLOT_MS_MAX {
                let allowed = format!("whole seconds, 1000 to {}", Self::SLOT_MS_MAX);
                return Err(invalid(key("cadence.slotted.ms"), ms, allowed));
            }
        }
        if self.alloc.len() > Self::ALLOC_MAX {
            return Err(invalid(key("alloc"), self.alloc.len(), format!("at most {}", Self::ALLOC_MAX)));
        }
        self.alloc.iter().try_for_each(|(address, account)| {
            account.check(address, |field| key(&format!("alloc.{address}{field}")))
        })
    }
}

impl AllocAccount {
    fn check(&self, address: &Address, key: impl Fn(&str) -> String) -> Result<(), Invalid> {
        if SYSTEM_CONTRACTS.contains(address) {
            return Err(invalid(key(""), address, "no system contract: those are there by themselves"));
        }
        let code = self.code.as_ref().map_or(&[][..], |code| &code.0);
        if self.code.is_some() && (code.is_empty() || code[0] == 0xef || code.len() > CODE_BYTES_MAX) {
            let allowed = format!("1 to {CODE_BYTES_MAX} bytes, the first not 0xef; without code, no key");
            return Err(invalid(key(".code"), format!("{} bytes", code.len()), allowed));
        }
        if self.balance == 0 && self.nonce == 0 && code.is_empty() {
            return Err(invalid(key(""), "empty", "an account with a balance, a nonce or code"));
        }
        if self.nonce == u64::MAX {
            return Err(invalid(key(".nonce"), self.nonce, format!("0 to {}", u64::MAX - 1)));
        }
        if self.storage.len() > Evm::ALLOC_SLOTS_MAX {
            let allowed = format!("at most {} slots", Evm::ALLOC_SLOTS_MAX);
            return Err(invalid(key(".storage"), self.storage.len(), allowed));
        }
        match self.storage.iter().find(|(_, value)| value.0 == [0; 32]) {
            Some((slot, value)) => {
                Err(invalid(key(&format!(".storage.{slot}")), value, "not zero: leave the slot out"))
            }
            None => Ok(()),
        }
    }
}

/// Whether the rollup's kind, its ordering and its section `evm` fit each other.
pub(super) fn check(rollup: &Rollup, key: impl Fn(&str) -> String) -> Result<(), Invalid> {
    let ordering = |allowed: &str| Err(invalid(key("ordering"), rollup.ordering, allowed));
    match (rollup.kind, &rollup.evm) {
        (RollupKind::Opaque, Some(_)) => Err(invalid(key("evm"), "…", "none: kind is opaque")),
        (RollupKind::Evm, None) => {
            Err(invalid(key("evm"), "none", "chain_id, gas_limit and so on: kind is evm"))
        }
        (RollupKind::Opaque, None) => match rollup.ordering {
            Ordering::Arrival | Ordering::FeeHint => Ok(()),
            Ordering::PriorityFee => ordering("arrival or fee-hint: kind is opaque"),
        },
        (RollupKind::Evm, Some(evm)) => {
            if rollup.data != Data::Bytes {
                return Err(invalid(key("data"), "hash", "bytes: kind is evm"));
            }
            if rollup.ordering == Ordering::FeeHint {
                return ordering("arrival or priority-fee: kind is evm");
            }
            evm.check(|field| key(&format!("evm.{field}")))
        }
    }
}
