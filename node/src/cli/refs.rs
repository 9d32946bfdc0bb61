//! `cidra refs local`: every block that is here.

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::failure::{Failure, Outcome};
use super::session::Session;

/// List references
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra refs local")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// List the CIDs of all blocks in the repository
    #[command(after_help = "Example:\n  cidra refs local | wc -l")]
    Local,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reference {
    #[serde(default, rename = "Ref")]
    reference: String,
    #[serde(default)]
    err: String,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let Command::Local = arguments.command;
    let mut answer = session.client.send(Call::new("refs/local")).await?;
    while let Some(line) = answer.line().await? {
        let reference: Reference = parse(&line)?;
        if !reference.err.is_empty() {
            return Err(Failure::failed(reference.err));
        }
        match session.output.is_json() {
            true => session.output.raw_line(&line)?,
            false => session.output.line(reference.reference)?,
        }
    }
    session.output.flush()
}
