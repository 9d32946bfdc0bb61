//! `cidra completion`: what a shell needs to complete our command lines.

use clap::Args;
use clap_complete::Shell;

use super::arguments::command;
use super::failure::Outcome;
use super::output::Output;

/// Print completions for a shell
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra completion bash > ~/.local/share/bash-completion/completions/cidra")]
pub(super) struct Arguments {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(), "cidra", &mut script);
    output.bytes(&script)?;
    output.flush()
}
