//! L1 beside a cluster, and a poster that any member may feed.

use super::{Cluster, unix_ms};
use crate::l1::{BLOCK_MS, L1, L1Action, settled};
use baton_settlement::{BatchSource as _, Certified, data_commitment, is_signed};
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use std::time::Duration;

impl Cluster {
    /// L1 makes blocks from now on, whatever happens here.
    pub(super) fn run_l1(&self) -> L1 {
        let l1 = L1::new(&self.genesis);
        let chain = l1.clone();
        drop(self.context.child("l1").spawn(move |context| async move {
            loop {
                context.sleep(Duration::from_millis(BLOCK_MS)).await;
                chain.mine(unix_ms(&context));
            }
        }));
        l1
    }

    pub fn on_l1(&self, action: L1Action) {
        if let Some(l1) = &self.l1 {
            l1.apply(action, unix_ms(&self.context));
        }
    }

    /// Posts the next batch of each rollup, as far as one of the members has it.
    pub async fn post(&self) {
        let Some(l1) = &self.l1 else { return };
        let key = self.genesis.group_key().expect("the genesis was checked");
        for rollup in settled(&self.genesis) {
            for (index, client) in self.running() {
                let (Some(place), Some(board)) = (l1.next(rollup), client.batches()) else { continue };
                let Some(certified) = board.certified(rollup, place).await else { continue };
                let Certified { batch, signature, data } = &*certified;
                let sound = is_signed(batch, signature, &key)
                    && data_commitment(batch.data_kind, data) == batch.data_commitment;
                let posted = if sound { l1.post(batch) } else { Err("it is not signed".to_owned()) };
                if let Err(error) = posted {
                    self.members[index].contradict(&format!("its batch is refused on L1: {error}"));
                }
            }
        }
    }
}
