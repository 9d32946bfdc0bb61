//! `cidra files write`: bytes into a file of the tree.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::{Fashion, with_patience};
use crate::cli::add::both;
use crate::cli::call::Call;
use crate::cli::dag::import::{PIECES_UNDER_WAY, send_files};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::session::Session;

/// Write a file of the tree, whole or in part
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  echo hello | cidra files write --create --parents /notes/today.txt\n  cidra files write --truncate /notes/today.txt today.txt"
)]
pub(super) struct Arguments {
    /// The file in the tree
    path: String,
    /// Where the bytes are; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    data: Option<PathBuf>,
    /// Begin at this byte
    #[arg(short, long, default_value_t = 0, hide_default_value = true, value_name = "BYTES")]
    offset: u64,
    /// Make the file where there is none
    #[arg(short = 'e', long)]
    create: bool,
    /// Make the folders above it, too
    #[arg(short, long)]
    parents: bool,
    /// Empty the file first
    #[arg(short, long)]
    truncate: bool,
    /// Write at most so many bytes
    #[arg(short = 'n', long, value_name = "BYTES")]
    count: Option<u64>,
    /// Keep the bytes in blocks that hold nothing else
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    raw_leaves: Option<bool>,
    #[command(flatten)]
    fashion: Fashion,
}

pub(super) async fn run(arguments: Arguments, flush: bool, session: &mut Session) -> Outcome {
    let data = arguments.data.unwrap_or_else(|| "-".into());
    if data.as_os_str() == "-" && io::stdin().is_terminal() {
        return Err(Failure::usage("say what to write: cidra files write PATH FILE, or pipe it in"));
    }
    let boundary = format!("cidra-{:032x}", rand::random::<u128>());
    let (sender, receiver) = mpsc::channel(PIECES_UNDER_WAY);
    let call = Call::new("files/write")
        .argument(&arguments.path)
        .option("offset", arguments.offset.to_string())
        .flag("create", arguments.create)
        .flag("parents", arguments.parents)
        .flag("truncate", arguments.truncate)
        .maybe("count", arguments.count)
        .maybe("raw-leaves", arguments.raw_leaves)
        .flag("flush", flush);
    let call = with_patience(arguments.fashion.into_call(call), session);
    let call = call.streamed(&format!("multipart/form-data; boundary={boundary}"), receiver);
    let mut input = std::mem::take(&mut session.input);
    let files = [data];
    let sending = send_files(&files, &boundary, &mut input, sender);
    let receiving = async { session.client.send(call).await?.done().await };
    let (sent, received) = both(sending, receiving).await;
    session.input = input;
    // Where nobody took the bytes, why says more than that.
    sent.and(received)
}
