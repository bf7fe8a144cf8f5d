//! Blocks, transactions, receipts and logs as Ethereum's clients show them.

use super::backend::Block;
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::{B256, U256};
use alloy_rlp::{Encodable as _, length_of_length};
use alloy_rpc_types_eth::{
    Block as BlockView, BlockTransactions, Header as HeaderView, Log, Transaction, TransactionReceipt,
};
use baton_execution::evm::Signed;

/// Where things stand that are shown.
#[derive(Clone, Copy, Debug)]
pub struct Within<'a> {
    pub block: &'a Block,
    /// None while the block goes on.
    pub hash: Option<B256>,
}

pub fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Waiting, so in no block yet.
pub fn waiting(signed: &Signed) -> Transaction {
    let envelope = signed.envelope();
    Transaction {
        inner: Recovered::new_unchecked(envelope.clone(), signed.sender()),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(envelope.max_fee_per_gas()),
        block_timestamp: None,
    }
}

impl<'a> Within<'a> {
    pub fn sealed(block: &'a Block) -> Self {
        Self { block, hash: Some(block.head.hash) }
    }

    /// A block that goes on; what it would be if it ended now.
    pub const fn open(block: &'a Block) -> Self {
        Self { block, hash: None }
    }

    pub fn transaction(&self, index: usize) -> Option<Transaction> {
        let signed = self.block.transactions.get(index)?;
        let Some(hash) = self.hash else { return Some(waiting(signed)) };
        let header = &self.block.head.header;
        Some(Transaction {
            block_hash: Some(hash),
            block_number: Some(header.number),
            transaction_index: Some(number(index)),
            effective_gas_price: Some(signed.envelope().effective_gas_price(header.base_fee_per_gas)),
            block_timestamp: Some(header.timestamp),
            ..waiting(signed)
        })
    }

    pub fn block(&self, full: bool) -> BlockView {
        let transactions = &self.block.transactions;
        let transactions = if full {
            let all = (0..transactions.len()).filter_map(|index| self.transaction(index));
            BlockTransactions::Full(all.collect())
        } else {
            BlockTransactions::Hashes(transactions.iter().map(|signed| signed.hash()).collect())
        };
        BlockView {
            header: self.header(),
            uncles: Vec::new(),
            transactions,
            withdrawals: Some(Vec::new().into()),
        }
    }

    pub fn header(&self) -> HeaderView {
        let head = &self.block.head;
        HeaderView {
            hash: self.hash.unwrap_or_default(),
            inner: head.header.clone(),
            total_difficulty: None,
            size: Some(U256::from(size(self.block))),
        }
    }

    /// Every log, in order.
    pub fn logs(self) -> impl Iterator<Item = Log> + use<'a> {
        let mut first = 0;
        (0..self.block.receipts.len()).flat_map(move |index| {
            let logs = self.logs_of(index, first);
            first += logs.len();
            logs
        })
    }

    /// Of one transaction, whose first log is number `first` of the block.
    fn logs_of(&self, index: usize, first: usize) -> Vec<Log> {
        let Block { head, transactions, receipts } = self.block;
        let logs = receipts.get(index).map_or(&[][..], |receipt| receipt.logs());
        let transaction = transactions.get(index).map(|signed| signed.hash());
        let shown = logs.iter().zip(first..).map(|(log, log_index)| Log {
            inner: log.clone(),
            block_hash: self.hash,
            block_number: Some(head.header.number),
            block_timestamp: Some(head.header.timestamp),
            transaction_hash: transaction,
            transaction_index: Some(number(index)),
            log_index: Some(number(log_index)),
            removed: false,
        });
        shown.collect()
    }

    pub fn receipt(&self, index: usize) -> Option<TransactionReceipt> {
        let before = self.block.receipts.get(..index)?;
        self.receipt_after(index, before.iter().map(|receipt| receipt.logs().len()).sum())
    }

    pub fn receipts(&self) -> Vec<TransactionReceipt> {
        let mut first = 0;
        let all = (0..self.block.receipts.len()).filter_map(|index| {
            let receipt = self.receipt_after(index, first)?;
            first += receipt.inner.logs().len();
            Some(receipt)
        });
        all.collect()
    }

    /// By each transaction.
    pub fn gas_used(self) -> impl Iterator<Item = u64> + use<'a> {
        let mut before = 0;
        self.block.receipts.iter().map(move |receipt| {
            let used = receipt.cumulative_gas_used().saturating_sub(before);
            before = receipt.cumulative_gas_used();
            used
        })
    }

    fn receipt_after(&self, index: usize, first_log: usize) -> Option<TransactionReceipt> {
        let Block { head, transactions, receipts } = self.block;
        let (signed, receipt) = (transactions.get(index)?, receipts.get(index)?);
        let (envelope, header) = (signed.envelope(), &head.header);
        let gas_before = index.checked_sub(1).map_or(0, |before| receipts[before].cumulative_gas_used());
        let mut logs = self.logs_of(index, first_log).into_iter();
        let shown = |log| logs.next().unwrap_or(Log { inner: log, ..Log::default() });
        Some(TransactionReceipt {
            inner: receipt.clone().map_logs(shown),
            transaction_hash: signed.hash(),
            transaction_index: Some(number(index)),
            block_hash: self.hash,
            block_number: Some(header.number),
            gas_used: receipt.cumulative_gas_used().saturating_sub(gas_before),
            effective_gas_price: envelope.effective_gas_price(header.base_fee_per_gas),
            blob_gas_used: None,
            blob_gas_price: None,
            from: signed.sender(),
            to: envelope.to(),
            contract_address: envelope.is_create().then(|| signed.sender().create(envelope.nonce())),
        })
    }
}

/// Of the block's RLP encoding.
fn size(block: &Block) -> usize {
    let list = |payload: usize| payload + length_of_length(payload);
    let transactions: usize = block
        .transactions
        .iter()
        // One with a type stands in the list as a string.
        .map(|signed| if signed.envelope().is_legacy() { signed.bytes() } else { list(signed.bytes()) })
        .sum();
    let (no_ommers, no_withdrawals) = (1, 1);
    list(block.head.header.length() + list(transactions) + no_ommers + no_withdrawals)
}
