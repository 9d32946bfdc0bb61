//! `cidra resolve`: where a path leads.

use clap::Args;
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::Outcome;
use super::output::printable;
use super::progress::Progress;
use super::session::Session;

/// Print the CID that a path leads to
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra resolve /ipfs/CID/photos/cat.jpg")]
pub(super) struct Arguments {
    /// A CID, or a path under one
    #[arg(value_name = "CID[/PATH]")]
    path: Content,
    /// Names are always followed to their end
    #[arg(short, long, hide = true)]
    recursive: bool,
    #[command(flatten)]
    fetching: Fetching,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resolved {
    path: String,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.path.text));
    let call = arguments.fetching.into_call(Call::new("resolve").argument(&arguments.path), &session.global);
    let answer = progress.watch(session.client.send(call)).await?;
    let line = progress.watch(answer.only_line()).await?;
    match session.output.is_json() {
        true => session.output.raw_line(&line)?,
        false => session.output.line(printable(&parse::<Resolved>(&line)?.path))?,
    }
    session.output.flush()
}
