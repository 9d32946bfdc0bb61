//! `cidra refs`: what blocks link to, and every block that is here.

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::{Failure, Outcome};
use super::output::printable;
use super::session::Session;

/// List what content links to
#[derive(Args, Clone)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Example:\n  cidra refs -r -u CID\n  cidra refs --format '<linkname> <dst>' CID\n  cidra refs local"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Args, Clone)]
struct List {
    /// Whose links: CIDs, or paths under them
    #[arg(value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    /// Those of all blocks below, too
    #[arg(short, long)]
    recursive: bool,
    /// Each block once
    #[arg(short, long)]
    unique: bool,
    /// As FROM -> TO
    #[arg(short, long)]
    edges: bool,
    /// What to print of a link, with `<src>`, `<dst>` and `<linkname>`
    #[arg(long, value_name = "FORMAT", conflicts_with = "edges")]
    format: Option<String>,
    /// With -r: no further down than so many links; -1 is to the end
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    max_depth: i64,
    #[command(flatten)]
    fetching: Fetching,
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
    let call = match arguments.command {
        Some(Command::Local) => Call::new("refs/local"),
        None => arguments.list.into_call(session),
    };
    let mut answer = session.client.send(call).await?;
    while let Some(line) = answer.line().await? {
        let reference: Reference = parse(&line)?;
        if !reference.err.is_empty() {
            return Err(Failure::failed(reference.err));
        }
        match session.output.is_json() {
            true => session.output.raw_line(&line)?,
            false => session.output.line(printable(&reference.reference))?,
        }
    }
    session.output.flush()
}

impl List {
    fn into_call(self, session: &Session) -> Call {
        let call = Call::new("refs")
            .arguments(&self.paths)
            .flag("recursive", self.recursive)
            .flag("unique", self.unique)
            .flag("edges", self.edges)
            .maybe("format", self.format)
            .option("max-depth", self.max_depth.to_string());
        self.fetching.into_call(call, &session.global)
    }
}
