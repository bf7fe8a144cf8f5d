use crate::{Cli, output::Outcome};
use clap::CommandFactory as _;
use clap_complete::Shell;

/// Write the completion script of a shell to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  baton completions bash > ~/.local/share/bash-completion/completions/baton
  baton completions zsh > ~/.zfunc/_baton
  baton completions fish > ~/.config/fish/completions/baton.fish";

pub fn run(args: &Args) -> eyre::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "baton", &mut script);
    crate::output::write_line(String::from_utf8_lossy(&script).trim_end());
    Ok(Outcome::Done)
}
