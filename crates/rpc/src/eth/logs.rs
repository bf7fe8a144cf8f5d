//! Queries of logs over final blocks.

use super::{Rollup, errors, views::Within};
use crate::dispatch::Failure;
use alloy_eips::BlockNumberOrTag;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};

/// Addresses, or topics in one place, that one query may name.
const CHOICES_MAX: usize = 1_000;
/// After so many blocks others get a turn.
const TURN_BLOCKS: u64 = 256;
/// What a log takes beside its data, as JSON.
const LOG_BYTES: usize = 600;

pub fn check(filter: &Filter) -> Result<(), Failure> {
    let addresses = filter.address.len();
    if addresses > CHOICES_MAX {
        return Err(errors::invalid(format!("filter.address: {addresses} of them; at most {CHOICES_MAX}")));
    }
    match filter.topics.iter().map(|topic| topic.len()).find(|count| *count > CHOICES_MAX) {
        Some(count) => {
            Err(errors::invalid(format!("filter.topics: {count} in one place; at most {CHOICES_MAX}")))
        }
        None => Ok(()),
    }
}

/// What was found, and the block to go on with.
pub struct Page {
    pub logs: Vec<Log>,
    pub next: u64,
}

impl Rollup {
    /// All that match, or an error that says how to ask for less.
    pub(super) async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, Failure> {
        check(filter)?;
        let Some((from, to)) = self.range(filter).await? else { return Ok(Vec::new()) };
        let (blocks, max) = (to - from + 1, self.limits.eth.logs_blocks_max);
        if blocks > max {
            let detail =
                format!("query exceeds max block range: {blocks} blocks; at most {max}, so ask in parts");
            return Err(errors::limit(detail));
        }
        let page = self.page(filter, from, to).await?;
        if page.next <= to {
            let (max, last) = (self.limits.eth.logs_max, page.next - 1);
            let detail = format!(
                "query returned more than {max} results or too many bytes; blocks {from:#x} to {last:#x} fit"
            );
            return Err(errors::limit(detail));
        }
        Ok(page.logs)
    }

    /// First and last block; none when nothing can be there.
    async fn range(&self, filter: &Filter) -> Result<Option<(u64, u64)>, Failure> {
        let latest = self.latest();
        let (from, to) = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let number =
                    self.backend.number(hash).await?.ok_or_else(|| errors::plain("unknown block"))?;
                (number, number)
            }
            FilterBlockOption::Range { from_block, to_block } => (self.edge(from_block), self.edge(to_block)),
        };
        if from > to {
            return Err(errors::invalid(format!(
                "invalid block range params: filter.fromBlock {from} is after filter.toBlock {to}"
            )));
        }
        // Block 0 has none.
        let (from, oldest) = (from.max(1), self.backend.heads().oldest);
        if from < oldest {
            let detail = format!("filter.fromBlock {from}: this node keeps blocks from {oldest} on");
            return Err(errors::plain(detail));
        }
        let to = to.min(latest);
        Ok((from <= to).then_some((from, to)))
    }

    fn edge(&self, tag: Option<BlockNumberOrTag>) -> u64 {
        let heads = self.backend.heads();
        match tag.unwrap_or_default() {
            BlockNumberOrTag::Number(number) => number,
            BlockNumberOrTag::Earliest => 0,
            BlockNumberOrTag::Finalized => heads.finalized,
            BlockNumberOrTag::Latest | BlockNumberOrTag::Safe | BlockNumberOrTag::Pending => {
                heads.latest.header.number
            }
        }
    }

    /// From block to block until one would be too much; always at least one block.
    pub(super) async fn page(&self, filter: &Filter, from: u64, to: u64) -> Result<Page, Failure> {
        let (max, bytes_max) = (self.limits.eth.logs_max, self.limits.response_bytes_max);
        let (mut logs, mut bytes) = (Vec::new(), 0);
        // Made once, and kept in the filter.
        filter.address.bloom_filter_ref();
        for topic in &filter.topics {
            topic.bloom_filter_ref();
        }
        for number in from..=to {
            if number % TURN_BLOCKS == 0 {
                tokio::task::yield_now().await;
            }
            let head = self.backend.header(number).await?.ok_or_else(errors::no_block)?;
            if !filter.matches_bloom(head.header.logs_bloom) {
                continue;
            }
            let block = self.backend.block(number).await?.ok_or_else(errors::no_block)?;
            let before = logs.len();
            logs.extend(Within::sealed(&block).logs().filter(|log| filter.matches(&log.inner)));
            // As hexadecimal.
            bytes +=
                logs[before..].iter().map(|log| LOG_BYTES + 2 * log.inner.data.data.len()).sum::<usize>();
            if number > from && (logs.len() > max || bytes > bytes_max) {
                logs.truncate(before);
                return Ok(Page { logs, next: number });
            }
        }
        Ok(Page { logs, next: to.saturating_add(1) })
    }
}
