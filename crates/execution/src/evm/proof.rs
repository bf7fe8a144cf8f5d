//! What an EVM rollup holds or did, for someone who trusts nobody but the group key (specs/3-proofs.md).
//!
//! ```text
//! account, slot        receipt, transaction
//!      └─ state root      └─ receipts root, transactions root
//!             └───── EVM header ─ (parent of) ─ attested EVM header
//!                                                  hash in the rollup's result
//!                                                    all results ─► header.results_root
//!                                                                   header ◄─ certificate ◄─ group key
//! ```

use super::{
    record::decode_header,
    state::{AccountProof, SlotProof},
    stored::Stored,
};
use crate::evm::AccountFacts;
use alloy_consensus::{Header, ReceiptEnvelope};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount,
    proof::{ProofRetainer, verify_proof},
};
use baton_types::{
    ExecutionResult, GroupKey, Results, RollupId, hex,
    proof::{
        self, BlockProof, BlockProofFile,
        evm::{AccountFile, EvmProofFile, FORMAT, ReceiptFile, SlotFile},
    },
    results::{decode_results, encode_results, results_root},
};
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use thiserror::Error;

/// Headers from the attested block back to the one in question: every block of the cluster may attest.
pub const HEADERS_MAX: usize = 256;
/// Slots of one proof.
pub const SLOTS_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub struct EvmProof {
    pub rollup: RollupId,
    /// The block of the cluster that attests `results`.
    pub attested_by: BlockProof,
    pub results: Results,
    /// Of the attested block, of its parent, and so on.
    pub headers: Vec<Header>,
    pub subject: Subject,
}

/// What is proven, of the last header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Account(AccountProof),
    Receipt(ReceiptProof),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptProof {
    pub index: u32,
    /// As they stand in the block's tries.
    pub transaction: Bytes,
    pub transaction_nodes: Vec<Bytes>,
    pub receipt: Bytes,
    pub receipt_nodes: Vec<Bytes>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("the block of the cluster: {0}")]
    Final(#[from] proof::Refused),
    #[error("the results are not those that the block of the cluster attests")]
    Results,
    #[error("the block of the cluster attests nothing of rollup {0} yet")]
    NotAttested(RollupId),
    #[error("header {index} is not the one that the result, or the header before, names")]
    Header { index: usize },
    #[error("the account is not what the state root commits to")]
    Account,
    #[error("slot {slot:#x} is not what the account's storage root commits to")]
    Slot { slot: U256 },
    #[error("the transaction is not the one of this index in the block")]
    Transaction,
    #[error("the receipt is not the one of this index in the block")]
    Receipt,
}

fn key(index: u32) -> Nibbles {
    Nibbles::unpack(alloy_rlp::encode(index))
}

/// Whether a trie has this under a path, or nothing. All nodes are on the way.
fn holds(root: B256, path: Nibbles, value: Option<Vec<u8>>, nodes: &[Bytes]) -> bool {
    match root {
        EMPTY_ROOT_HASH => value.is_none() && nodes.is_empty(),
        root => verify_proof(root, path, value, nodes).is_ok(),
    }
}

/// That one of `values` stands at `index` in the trie that Ethereum makes of lists.
fn prove_item(values: &[Bytes], index: u32) -> Vec<Bytes> {
    let keyed: BTreeMap<Nibbles, &Bytes> = (0..).map(key).zip(values).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![key(index)]));
    keyed.into_iter().for_each(|(key, value)| builder.add_leaf(key, value));
    builder.root();
    builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node).collect()
}

impl ReceiptProof {
    /// None when there is no such transaction in the block.
    pub fn new(block: &Stored, index: u32) -> Option<Self> {
        let at = usize::try_from(index).ok()?;
        let transactions: Vec<Bytes> =
            block.transactions.iter().map(|signed| signed.envelope().encoded_2718().into()).collect();
        let receipts: Vec<Bytes> =
            block.receipts.iter().map(|receipt| receipt.encoded_2718().into()).collect();
        Some(Self {
            index,
            transaction: transactions.get(at)?.clone(),
            transaction_nodes: prove_item(&transactions, index),
            receipt: receipts.get(at)?.clone(),
            receipt_nodes: prove_item(&receipts, index),
        })
    }

    /// The transaction's hash.
    pub fn hash(&self) -> B256 {
        keccak256(&self.transaction)
    }

    /// Whether the transaction did what it was to do.
    pub fn success(&self) -> bool {
        ReceiptEnvelope::decode_2718_exact(&self.receipt).is_ok_and(|receipt| receipt.status())
    }

    fn verify(&self, header: &Header) -> Result<(), Refused> {
        let (path, transaction, receipt) =
            (key(self.index), self.transaction.to_vec(), self.receipt.to_vec());
        if !holds(header.transactions_root, path, Some(transaction), &self.transaction_nodes) {
            return Err(Refused::Transaction);
        }
        let holds = holds(header.receipts_root, path, Some(receipt), &self.receipt_nodes);
        if holds { Ok(()) } else { Err(Refused::Receipt) }
    }
}

impl AccountProof {
    /// Whether the state with this root has the account and its slots so.
    pub fn verify(&self, state_root: B256) -> Result<(), Refused> {
        let AccountFacts { nonce, balance, code_hash } = self.facts;
        // There are no empty accounts in a state.
        let is_there = self.facts != AccountFacts::default() || self.storage_root != EMPTY_ROOT_HASH;
        let account = TrieAccount { nonce, balance, storage_root: self.storage_root, code_hash };
        let leaf = is_there.then(|| alloy_rlp::encode(account));
        let path = Nibbles::unpack(keccak256(self.address));
        if !holds(state_root, path, leaf, &self.nodes) {
            return Err(Refused::Account);
        }
        for SlotProof { slot, value, nodes } in &self.slots {
            let path = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            let leaf = (!value.is_zero()).then(|| alloy_rlp::encode(value));
            if !holds(self.storage_root, path, leaf, nodes) {
                return Err(Refused::Slot { slot: *slot });
            }
        }
        Ok(())
    }
}

impl EvmProof {
    /// Checks everything, given nothing but the group key. Returns the header of the block in question.
    pub fn verify(&self, rng: &mut impl CryptoRng, group_key: &GroupKey) -> Result<&Header, Refused> {
        self.attested_by.verify(rng, group_key)?;
        if results_root(&self.results) != self.attested_by.header.results_root {
            return Err(Refused::Results);
        }
        let result = self
            .results
            .get(&self.rollup)
            .filter(|result| **result != ExecutionResult::genesis(result.base_fee));
        let result = result.ok_or(Refused::NotAttested(self.rollup))?;
        let mut named = B256::from(result.hash.0);
        for (index, header) in self.headers.iter().enumerate() {
            if header.hash_slow() != named {
                return Err(Refused::Header { index });
            }
            named = header.parent_hash;
        }
        let header = self.headers.last().ok_or(Refused::Header { index: 0 })?;
        match &self.subject {
            Subject::Account(account) => account.verify(header.state_root)?,
            Subject::Receipt(receipt) => receipt.verify(header)?,
        }
        Ok(header)
    }
}

fn shown(nodes: &[Bytes]) -> Vec<String> {
    nodes.iter().map(|node| hex::encode(node)).collect()
}

impl From<&EvmProof> for EvmProofFile {
    fn from(proof: &EvmProof) -> Self {
        let (account, receipt) = match &proof.subject {
            Subject::Account(account) => (Some(account_file(account)), None),
            Subject::Receipt(receipt) => (None, Some(receipt_file(receipt))),
        };
        Self {
            format: FORMAT.to_owned(),
            rollup: proof.rollup.0,
            attested_by: BlockProofFile::from(&proof.attested_by),
            results: hex::encode(&encode_results(&proof.results)),
            headers: proof.headers.iter().map(|header| hex::encode(&alloy_rlp::encode(header))).collect(),
            account,
            receipt,
        }
    }
}

fn account_file(account: &AccountProof) -> AccountFile {
    let AccountFacts { nonce, balance, code_hash } = account.facts;
    let slots = account.slots.iter().map(|SlotProof { slot, value, nodes }| SlotFile {
        slot: hex::encode(&slot.to_be_bytes::<32>()),
        value: hex::encode(&value.to_be_bytes::<32>()),
        nodes: shown(nodes),
    });
    AccountFile {
        address: hex::encode(account.address.as_slice()),
        nonce,
        balance: balance.to_string(),
        code_hash: hex::encode(code_hash.as_slice()),
        storage_root: hex::encode(account.storage_root.as_slice()),
        nodes: shown(&account.nodes),
        slots: slots.collect(),
    }
}

fn receipt_file(receipt: &ReceiptProof) -> ReceiptFile {
    ReceiptFile {
        index: receipt.index,
        transaction: hex::encode(&receipt.transaction),
        transaction_nodes: shown(&receipt.transaction_nodes),
        receipt: hex::encode(&receipt.receipt),
        receipt_nodes: shown(&receipt.receipt_nodes),
    }
}

fn bytes(name: &str, text: &str) -> Result<Bytes, String> {
    hex::decode(text).map(Bytes::from).map_err(|error| format!("{name}: {error}"))
}

fn array<const N: usize>(name: &str, text: &str) -> Result<[u8; N], String> {
    hex::decode_array(text).map_err(|error| format!("{name}: {error}"))
}

fn nodes(name: &str, texts: &[String]) -> Result<Vec<Bytes>, String> {
    texts.iter().map(|text| bytes(name, text)).collect()
}

impl TryFrom<&EvmProofFile> for EvmProof {
    type Error = String;

    fn try_from(file: &EvmProofFile) -> Result<Self, String> {
        if file.format != FORMAT {
            return Err(format!("format: {:?}; this program reads {FORMAT}", file.format));
        }
        if file.headers.len() > HEADERS_MAX {
            return Err(format!("headers: {} of them; at most {HEADERS_MAX}", file.headers.len()));
        }
        let results = decode_results(&bytes("results", &file.results)?);
        let headers = file
            .headers
            .iter()
            .map(|text| decode_header(&bytes("headers", text)?).map_err(|error| format!("headers: {error}")));
        let subject = match (&file.account, &file.receipt) {
            (Some(account), None) => Subject::Account(read_account(account)?),
            (None, Some(receipt)) => Subject::Receipt(read_receipt(receipt)?),
            _ => return Err("expected either account or receipt".to_owned()),
        };
        Ok(Self {
            rollup: RollupId(file.rollup),
            attested_by: BlockProof::try_from(&file.attested_by)
                .map_err(|error| format!("attested_by.{error}"))?,
            results: results.map_err(|error| format!("results: {error}"))?,
            headers: headers.collect::<Result<_, _>>()?,
            subject,
        })
    }
}

fn read_account(file: &AccountFile) -> Result<AccountProof, String> {
    if file.slots.len() > SLOTS_MAX {
        return Err(format!("account.slots: {} of them; at most {SLOTS_MAX}", file.slots.len()));
    }
    let slots = file.slots.iter().map(|slot| {
        Ok(SlotProof {
            slot: U256::from_be_bytes(array::<32>("account.slots.slot", &slot.slot)?),
            value: U256::from_be_bytes(array::<32>("account.slots.value", &slot.value)?),
            nodes: nodes("account.slots.nodes", &slot.nodes)?,
        })
    });
    let balance =
        U256::from_str_radix(&file.balance, 10).map_err(|error| format!("account.balance: {error}"))?;
    if balance.to_string() != file.balance {
        return Err(format!("account.balance: {:?} is not a plain decimal number", file.balance));
    }
    Ok(AccountProof {
        address: Address::from(array::<20>("account.address", &file.address)?),
        facts: AccountFacts {
            nonce: file.nonce,
            balance,
            code_hash: array::<32>("account.code_hash", &file.code_hash)?.into(),
        },
        storage_root: array::<32>("account.storage_root", &file.storage_root)?.into(),
        nodes: nodes("account.nodes", &file.nodes)?,
        slots: slots.collect::<Result<_, String>>()?,
    })
}

fn read_receipt(file: &ReceiptFile) -> Result<ReceiptProof, String> {
    Ok(ReceiptProof {
        index: file.index,
        transaction: bytes("receipt.transaction", &file.transaction)?,
        transaction_nodes: nodes("receipt.transaction_nodes", &file.transaction_nodes)?,
        receipt: bytes("receipt.receipt", &file.receipt)?,
        receipt_nodes: nodes("receipt.receipt_nodes", &file.receipt_nodes)?,
    })
}

#[cfg(test)]
mod tests;
