use super::config::Settings;
use crate::output::Outcome;
use baton_node::run::RunOptions;

/// Run one node until SIGINT or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Stop when standard input ends, as a supervisor wants it.
    #[arg(long)]
    exit_with_parent: bool,
}

const EXAMPLES: &str = "\
Every key of node.toml can be set by flag (--set KEY=VALUE) or environment (BATON_<KEY>); see
`baton config show`.

Examples:
  baton node --config /etc/baton/node.toml
  baton node --config node.toml --log-format json --set limits.mempool_bytes_max=1073741824
  BATON_RPC_LISTEN=127.0.0.1:9000 baton node";

pub fn run(args: Args) -> eyre::Result<Outcome> {
    let loaded = args.settings.load()?;
    baton_node::run::run(loaded.config, RunOptions { exit_with_stdin: args.exit_with_parent })?;
    Ok(Outcome::Done)
}
