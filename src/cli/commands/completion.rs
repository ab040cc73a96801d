//! `everloop completion SHELL`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::args::Cli;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Bash: source <(everloop completion bash)\nZsh:  everloop completion zsh > \"${fpath[1]}/_everloop\"\nFish: everloop completion fish | source"
)]
pub struct CompletionArgs {
    /// The shell.
    pub shell: Shell,
}

pub fn run(args: &CompletionArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "everloop", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
