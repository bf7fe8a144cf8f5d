//! Proofs of what a rollup holds or did, put together from this node's blocks.

use super::Execution;
use crate::client::{BlockId, Client};
use alloy_primitives::{Address, B256, U256, keccak256};
use baton_execution::evm::{
    Past,
    proof::{EvmProof, HEADERS_MAX, ReceiptProof, Subject},
};
use baton_types::{
    Block, ExecutionResult, RollupId, TxId,
    proof::BlockProof,
    receipt::{Reason, Refusal},
};
use commonware_cryptography::Digested;
use std::sync::Arc;

/// Blocks of the cluster looked through for one that attests, or has a certificate.
const BLOCKS_MAX: u64 = 1_024;
/// Newest blocks of the cluster that may not have a certificate on disk yet.
const FRESH_MAX: u64 = 16;

/// What is to be proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// An account and slots of it, at the newest attested block.
    Account { address: Address, slots: Vec<U256> },
    /// A transaction and its receipt.
    Receipt(TxId),
}

fn later(detail: String) -> Refusal {
    Refusal::new(Reason::NotReady, detail).retry_after(500)
}

impl Client {
    /// Proof of an account, slots or a receipt, for whoever knows the group key.
    pub async fn evm_proof(&self, rollup: RollupId, question: &Question) -> Result<EvmProof, Refusal> {
        let execution = self.execution(rollup).ok_or_else(|| {
            Refusal::new(
                Reason::BadRequest,
                format!("rollup {rollup} does not execute Ethereum transactions"),
            )
        })?;
        execution.check()?;
        match question {
            Question::Account { address, slots } => self.prove_account(&execution, *address, slots).await,
            Question::Receipt(id) => self.prove_receipt(&execution, *id).await,
        }
    }

    async fn prove_account(
        &self,
        execution: &Execution,
        address: Address,
        slots: &[U256],
    ) -> Result<EvmProof, Refusal> {
        let (attested_by, block) = self.newest_proven().await?;
        let result = attested(execution, &block)?;
        let past = state_of(execution, &result)?;
        Ok(EvmProof {
            rollup: execution.id,
            attested_by,
            results: block.inner().body().results.clone(),
            headers: vec![past.header.clone()],
            subject: Subject::Account(past.state.prove(address, slots)),
        })
    }

    /// The newest final block whose certificate is here.
    async fn newest_proven(&self) -> Result<(BlockProof, Digested<Block>), Refusal> {
        let newest = self.finalized_height();
        let mut height = newest;
        loop {
            match self.block_proof(BlockId::Height(height)).await {
                Ok(proof) => return Ok((proof, self.finalized(height).await?)),
                Err(_) if height > 0 && height + FRESH_MAX > newest => height -= 1,
                Err(refusal) => return Err(refusal),
            }
        }
    }

    async fn prove_receipt(&self, execution: &Execution, id: TxId) -> Result<EvmProof, Refusal> {
        let not_found = |what: &str| Refusal::new(Reason::NotFound, format!("transaction {id} {what}"));
        let ordered = self.ordered_at(id).await?.ok_or_else(|| not_found("is in no final block here"))?;
        let hash = self.hash_at(execution.id, ordered, id).await?;
        let number = execution.number_at(ordered).await?;
        let number = number.ok_or_else(|| later(format!("transaction {id} is not in a sealed block yet")))?;
        let stored = execution.block(number).await?;
        let stored = stored.ok_or_else(|| later(format!("block {number} is not on disk yet")))?;
        let receipt = stored.index(&hash).and_then(|index| u32::try_from(index).ok());
        let receipt = receipt.and_then(|index| ReceiptProof::new(&stored, index));
        let receipt = receipt.ok_or_else(|| not_found("was left out by execution: it has no receipt"))?;
        let (height, result) = self.attests(execution, stored.record.through_height, number).await?;
        let mut headers = Vec::new();
        for number in (number..=result.number).rev() {
            let block =
                execution.block(number).await?.ok_or_else(|| later(format!("block {number} is missing")))?;
            headers.push(block.record.header.clone());
        }
        Ok(EvmProof {
            rollup: execution.id,
            attested_by: self.block_proof(BlockId::Height(height)).await?,
            results: self.finalized(height).await?.inner().body().results.clone(),
            headers,
            subject: Subject::Receipt(receipt),
        })
    }

    /// The hash of a transaction; a leg of a bundle has another id.
    async fn hash_at(&self, rollup: RollupId, height: u64, id: TxId) -> Result<B256, Refusal> {
        let block = self.finalized(height).await?;
        let place = block.inner().position(&id).filter(|(at, _)| *at == rollup);
        let segment = block.inner().body().segments.iter().find(|segment| segment.rollup == rollup);
        let transaction = place
            .zip(segment)
            .and_then(|((_, index), segment)| segment.transactions.get(usize::try_from(index).ok()?));
        let missing = || Refusal::new(Reason::NotFound, format!("transaction {id} is of another rollup"));
        Ok(keccak256(&transaction.ok_or_else(missing)?.payload))
    }

    /// The first block of the cluster that attests a block of the rollup, or one after it.
    async fn attests(
        &self,
        execution: &Execution,
        through: u64,
        number: u64,
    ) -> Result<(u64, ExecutionResult), Refusal> {
        let last = self.finalized_height().min(through + BLOCKS_MAX);
        for height in through + 1..=last {
            let block = self.finalized(height).await?;
            let Some(result) = block.inner().body().results.get(&execution.id) else { continue };
            if result.number >= number {
                let far = result.number - number >= HEADERS_MAX as u64;
                return if far {
                    Err(Refusal::new(
                        Reason::Pruned,
                        format!("no block near block {number} is attested by itself"),
                    ))
                } else {
                    Ok((height, *result))
                };
            }
        }
        Err(later(format!("block {number} of rollup {} is not attested yet", execution.name)))
    }
}

fn attested(execution: &Execution, block: &Digested<Block>) -> Result<ExecutionResult, Refusal> {
    let result = block.inner().body().results.get(&execution.id).copied();
    result
        .filter(|result| result.hash.0 != [0; 32])
        .ok_or_else(|| later(format!("the cluster attests nothing of rollup {} yet", execution.name)))
}

fn state_of(execution: &Execution, result: &ExecutionResult) -> Result<Arc<Past>, Refusal> {
    let past = match result.number {
        0 => Some(execution.genesis.clone()),
        number => execution.past(number),
    };
    past.filter(|past| past.hash.0 == result.hash.0).ok_or_else(|| {
        later(format!("the state of block {} is not kept here, or not executed yet", result.number))
    })
}

#[cfg(test)]
mod tests;
