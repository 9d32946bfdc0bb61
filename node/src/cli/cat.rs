//! `cidra cat`: files to standard output, from anywhere in them, in bounded memory.

use clap::Args;

use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::{Failure, Outcome};
use super::output::Output;
use super::progress::Progress;
use super::session::Session;

/// Write files to standard output
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra cat bafybei…/notes.txt | less\n  cidra cat -o 1000 -l 24 CID")]
pub(super) struct Arguments {
    /// A file: a CID, a path under one, an ipfs:// address or that of a gateway page
    #[arg(required = true, value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    /// Begin at this byte
    #[arg(short, long, default_value_t = 0, hide_default_value = true, value_name = "BYTES")]
    offset: u64,
    /// Write at most so many bytes
    #[arg(short, long, value_name = "BYTES")]
    length: Option<u64>,
    #[command(flatten)]
    fetching: Fetching,
}

pub(super) fn check(output: &Output) -> Outcome {
    match output.is_json() {
        true => Err(Failure::usage("--json: the bytes of a file have no form in JSON: leave it out")),
        false => Ok(()),
    }
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let first = &arguments.paths[0];
    let progress = Progress::start(session.shows_progress(), format!("looking for {}", first.text));
    let call = Call::new("cat")
        .arguments(&arguments.paths)
        .option("offset", arguments.offset.to_string())
        .maybe("length", arguments.length);
    let call = arguments.fetching.into_call(call, &session.global);
    session.pour(call, progress).await
}
