//! Reads every finalized block of every node and compares it with what was accepted.

use super::{Target, load::Run, meter::key};
use crate::rpc::{Api, NONE};
use baton_types::{
    api::{BlockParams, BlockRef, StatusView},
    hex,
};
use eyre::{WrapErr as _, bail, eyre};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep};

/// How long a node may take to reach the last block of the run.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// Blocks asked for at once.
const CONCURRENCY: usize = 4;
/// Missing transactions that are looked up and shown.
const SHOWN_MAX: usize = 3;

/// What the blocks say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checked {
    pub first_height: u64,
    pub last_height: u64,
    /// Accepted, in no finalized block of some node; counted per node.
    pub missing: u64,
    /// In more than one finalized block of a node.
    pub duplicates: u64,
    /// Heights at which two nodes have different blocks.
    pub disagreements: u64,
    /// Some that are on no node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Checked {
    pub const fn fine(&self) -> bool {
        self.missing == 0 && self.duplicates == 0 && self.disagreements == 0
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<Block<'a>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    hash: &'a str,
    height: u64,
    #[serde(borrow)]
    segments: Vec<Segment<'a>>,
}

#[derive(Deserialize)]
struct Segment<'a> {
    #[serde(borrow)]
    ids: Vec<&'a str>,
}

pub async fn run(target: &Target, run: &Run) -> eyre::Result<Checked> {
    let apis = target.apis()?;
    let first_height = target.start_height + 1;
    let last_height =
        run.meter.borrow().blocks.iter().map(|block| block.height).max().unwrap_or(target.start_height);
    let mut checked = Checked { first_height, last_height, ..Checked::default() };
    let mut hashes = BTreeMap::new();
    for (index, api) in apis.iter().enumerate() {
        reach(api, last_height).await?;
        let bit = 1 << index;
        let mut bodies =
            stream::iter(first_height..=last_height).map(|height| block(api, height)).buffered(CONCURRENCY);
        while let Some(body) = bodies.next().await {
            let body = body?;
            let answer: Answer<'_> = serde_json::from_slice(body.as_ref())
                .wrap_err_with(|| format!("{}: unexpected block", api.url()))?;
            let block = answer.result.ok_or_else(|| eyre!("{} lacks a finalized block", api.url()))?;
            let hash = key(block.hash);
            if *hashes.entry(block.height).or_insert(hash) != hash {
                checked.disagreements += 1;
            }
            let mut meter = run.meter.borrow_mut();
            let ids = block.segments.iter().flat_map(|segment| &segment.ids);
            let repeated = ids.filter_map(|id| key(id)).filter(|key| meter.found(*key, bit)).count();
            checked.duplicates += u64::try_from(repeated).unwrap_or(u64::MAX);
        }
        let meter = run.meter.borrow();
        let missing = meter.own().filter(|(_, times)| times.found & bit == 0).count();
        checked.missing += u64::try_from(missing).unwrap_or(u64::MAX);
    }
    checked.examples = examples(run);
    Ok(checked)
}

async fn block(api: &Api, height: u64) -> eyre::Result<impl AsRef<[u8]> + use<>> {
    #[derive(Serialize)]
    struct Request {
        jsonrpc: &'static str,
        id: u32,
        method: &'static str,
        params: BlockParams,
    }
    let params = BlockParams { block: BlockRef::Height(height), payloads: false };
    let request = Request { jsonrpc: "2.0", id: 1, method: "baton_block", params };
    let request = serde_json::to_vec(&request).wrap_err("cannot encode a request")?;
    Ok(api.post(request.into()).await?)
}

async fn reach(api: &Api, height: u64) -> eyre::Result<()> {
    let deadline = Instant::now() + CATCH_UP_TIMEOUT;
    loop {
        let status: StatusView = api.call("baton_status", NONE).await?;
        if status.finalized_height >= height {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{} is at height {}, the others at {height}", api.url(), status.finalized_height);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The first halves of some ids; more is not kept.
fn examples(run: &Run) -> Vec<String> {
    let meter = run.meter.borrow();
    let missing = meter.own().filter(|(_, times)| times.found == 0).take(SHOWN_MAX);
    missing
        .map(|([high, low], times)| {
            let id = hex::encode(&[high.to_be_bytes(), low.to_be_bytes()].concat());
            format!("{id}… accepted at {:.3} s", f64::from(times.receipt) / 1e6)
        })
        .collect()
}
