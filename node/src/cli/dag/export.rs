//! `cidra dag export`: a DAG as a CAR file on standard output.

use clap::Args;

use crate::cli::call::Call;
use crate::cli::content_argument::{Content, Fetching};
use crate::cli::failure::Outcome;
use crate::cli::progress::Progress;
use crate::cli::session::Session;

/// Write a DAG to standard output as a CAR file
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra dag export CID > photos.car\n  cidra dag export --local-only CID > part.car")]
pub(super) struct Arguments {
    /// The root: a CID, or a path under one
    #[arg(value_name = "CID[/PATH]")]
    path: Content,
    /// Only what is here: fetch nothing, and leave out what is missing with all below it
    #[arg(long)]
    local_only: bool,
    #[command(flatten)]
    fetching: Fetching,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.path.text));
    let call = Call::new("dag/export").argument(&arguments.path).flag("local-only", arguments.local_only);
    let call = arguments.fetching.into_call(call, &session.global);
    session.pour(call, progress).await
}
