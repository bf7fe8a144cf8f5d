//! What benches of settlement stand on: a devnet with a local L1.

use super::with_devnet_on;
use crate::{
    cluster::{
        Cluster, l1,
        layout::{Layout, NODES_MAX, Options},
    },
    process,
};
use baton_l1::anvil::{self, Anvil};
use baton_types::settlement::DataKind;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct OnL1 {
    /// Nodes of the devnet that is started for this.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    pub devnet: u16,
    /// Program of the local L1 [default: from PATH or contracts/node_modules].
    #[arg(long, value_name = "FILE")]
    anvil: Option<PathBuf>,
    /// How batches get to L1: blobs, calldata or directory.
    #[arg(long, value_name = "KIND", default_value = "blobs", value_parser = crate::commands::devnet::data_kind)]
    pub l1_data: DataKind,
}

impl OnL1 {
    /// As `with_devnet_of`. L1 is there before the nodes: those that wait for it are not ready.
    pub async fn devnet<T>(
        &self,
        options: Options,
        work: impl AsyncFnOnce(&mut Cluster, &Anvil) -> eyre::Result<T>,
    ) -> eyre::Result<Option<T>> {
        let program = anvil::find(self.anvil.as_deref(), Path::new("."))?;
        let options =
            Options { nodes: Some(self.devnet), l1: Some(l1::Wanted { data: self.l1_data }), ..options };
        let start = async |layout: &Layout| l1::start(layout, &program).await;
        let done = with_devnet_on(options, start, async |cluster, chain| {
            let done = work(cluster, &chain).await;
            // It may stand still.
            chain.pid().iter().for_each(|pid| process::pause(*pid, false));
            chain.stop().await;
            done
        });
        done.await
    }
}
