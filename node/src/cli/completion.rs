//! `cidra completion`: what a shell needs to complete our command lines, and the manual pages, both made from the command line
//! as it is read.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use super::arguments::command;
use super::failure::{Failure, Outcome};
use super::output::Output;

/// Print completions for a shell, or the manual
#[derive(Args, Clone)]
#[command(after_help = "Examples:\n  cidra completion bash > ~/.local/share/bash-completion/completions/cidra\n  \
    cidra completion man --output ~/.local/share/man/man1")]
pub(super) struct Arguments {
    /// For which shell; man makes manual pages
    #[arg(value_name = "SHELL")]
    target: Target,
    /// Write into this folder under the usual names; man writes a page for each command
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Target {
    Bash,
    Elvish,
    Fish,
    Man,
    Powershell,
    Zsh,
}

pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    if output.is_json() {
        return Err(Failure::usage("completion: what is printed is a script or a page, which --json cannot be"));
    }
    let shell = match arguments.target {
        Target::Bash => Shell::Bash,
        Target::Elvish => Shell::Elvish,
        Target::Fish => Shell::Fish,
        Target::Man => return manual(arguments.output.as_deref(), output),
        Target::Powershell => Shell::PowerShell,
        Target::Zsh => Shell::Zsh,
    };
    match &arguments.output {
        Some(folder) => {
            let written = clap_complete::generate_to(shell, &mut command(), NAME, folder);
            written.map_err(|error| unwritable(folder, &error))?;
        }
        None => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), NAME, &mut script);
            output.bytes(&script)?;
        }
    }
    output.flush()
}

fn manual(folder: Option<&Path>, output: &mut Output) -> Outcome {
    let command = without_help(command());
    match folder {
        Some(folder) => {
            let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
            written.map_err(|error| unwritable(folder, &error))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            output.bytes(&page)?;
        }
    }
    output.flush()
}

const NAME: &str = "cidra";

/// `help` is no command that has a page.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn unwritable(folder: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("cannot write to {}", folder.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_example() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = vec![];

        clap_mangen::generate_to(without_help(command()), folder.path()).unwrap();

        check(&command(), NAME.to_owned(), folder.path(), &mut names);
        assert!(names.len() > 30, "{names:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), names.len(), "a page for nothing");
    }

    fn check(command: &Command, name: String, folder: &Path, names: &mut Vec<String>) {
        let page = std::fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
        assert!(page.contains("Example"), "{name}: {page}");
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            check(below, format!("{name}-{}", below.get_name()), folder, names);
        }
        names.push(name);
    }
}
