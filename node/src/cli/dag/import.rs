//! `cidra dag import`: CAR files into the repository.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{ArgAction, Args};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Link;
use crate::cli::add::both;
use crate::cli::answer::parse;
use crate::cli::call::Call;
use crate::cli::failure::{Exit, Failure, Outcome};
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::standard_input::StandardInput;

/// Import the blocks of CAR files and keep their roots
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra dag import photos.car\n  curl -s https://example.com/x.car | cidra dag import --stats"
)]
pub(super) struct Arguments {
    /// CAR files of version 1 or 2; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Keep the roots that the files name
    #[arg(long, action = ArgAction::SetFalse)]
    pin_roots: bool,
    /// Print how much was imported
    #[arg(long)]
    stats: bool,
    /// Print nothing of what went well
    #[arg(long)]
    silent: bool,
}

pub(super) async fn run(mut arguments: Arguments, session: &mut Session) -> Outcome {
    if arguments.files.is_empty() {
        if io::stdin().is_terminal() {
            return Err(Failure::usage("say what to import: cidra dag import FILE…, or `-` for standard input"));
        }
        arguments.files.push("-".into());
    }
    if arguments.files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
        return Err(Failure::usage("`-` stands for standard input, which can be read only once"));
    }
    let mut progress = Progress::start(session.shows_progress(), "waiting for the repository");
    let boundary = format!("cidra-{:032x}", rand::random::<u128>());
    let (sender, receiver) = mpsc::channel(PIECES_UNDER_WAY);
    let call = Call::new("dag/import")
        .flag("pin-roots", arguments.pin_roots)
        .flag("stats", arguments.stats)
        .flag("silent", arguments.silent)
        .streamed(&format!("multipart/form-data; boundary={boundary}"), receiver);
    let mut input = std::mem::take(&mut session.input);
    let sending = send_files(&arguments.files, &boundary, &mut input, sender);
    let receiving = receive(&arguments, call, session, &mut progress);
    // Both advance together; the sender's own failure says more than the node's answer to it.
    let (sent, received) = both(sending, receiving).await;
    session.input = input;
    drop(progress);
    session.output.flush()?;
    match (sent, received) {
        (_, Err(failure)) if failure.exit() == Exit::ClosedPipe => Err(failure),
        (sent, received) => sent.and(received),
    }
}

/// Pieces are read before they are taken.
pub(in crate::cli) const PIECES_UNDER_WAY: usize = 4;
/// Bytes in one.
const PIECE: usize = 1024 * 1024;

/// Sends the files, each as a part.
pub(in crate::cli) async fn send_files(
    files: &[PathBuf],
    boundary: &str,
    input: &mut StandardInput,
    sender: mpsc::Sender<Bytes>,
) -> Outcome {
    for path in files {
        let name = if path.as_os_str() == "-" { String::new() } else { path.to_string_lossy().into_owned() };
        let name = utf8_percent_encode(name.trim_start_matches('/'), NON_ALPHANUMERIC);
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        if !push(&sender, head).await {
            return Ok(());
        }
        if !send_file(path, input, &sender).await? || !push(&sender, "\r\n").await {
            return Ok(());
        }
    }
    // Who no longer listens says why.
    let _ = push(&sender, format!("--{boundary}--\r\n")).await;
    Ok(())
}

/// False when nobody listens any more.
async fn send_file(path: &Path, input: &mut StandardInput, sender: &mpsc::Sender<Bytes>) -> Outcome<bool> {
    if path.as_os_str() == "-" {
        input.begin()?;
        loop {
            let bytes = input.next(PIECE).await?;
            if bytes.is_empty() {
                return Ok(true);
            }
            if sender.send(bytes).await.is_err() {
                return Ok(false);
            }
        }
    }
    let failed = |error: io::Error| Failure::because(format!("cannot read {}", path.display()), &error);
    let mut file = File::open(path).map_err(failed)?;
    loop {
        let mut bytes = Vec::with_capacity(PIECE);
        Read::by_ref(&mut file).take(PIECE as u64).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if sender.send(bytes.into()).await.is_err() {
            return Ok(false);
        }
    }
}

async fn push(sender: &mpsc::Sender<Bytes>, text: impl Into<String>) -> bool {
    sender.send(Bytes::from(text.into())).await.is_ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Imported {
    root: Option<Root>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Root {
    cid: Link,
    #[serde(default)]
    pin_error_msg: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stats {
    block_count: u64,
    block_bytes_count: u64,
}

async fn receive(arguments: &Arguments, call: Call, session: &mut Session, progress: &mut Progress) -> Outcome {
    let mut answer = progress.watch(session.client.send(call)).await?;
    let mut failed = vec![];
    while let Some(line) = progress.watch(answer.line()).await? {
        let Imported { root, stats } = parse(&line)?;
        if let Some(Root { cid, pin_error_msg }) = &root
            && !pin_error_msg.is_empty()
        {
            failed.push(format!("pinning root {:?} FAILED: {pin_error_msg}", cid.cid));
        }
        if session.output.is_json() {
            session.output.raw_line(&line)?;
            continue;
        }
        if let Some(root) = root.filter(|root| root.pin_error_msg.is_empty() && !arguments.silent) {
            session.output.line(format_args!("Pinned root\t{}\tsuccess", root.cid.cid))?;
        }
        if let Some(Stats { block_count, block_bytes_count }) = stats.filter(|_| !arguments.silent) {
            session.output.line(format_args!("Imported {block_count} blocks ({block_bytes_count} bytes)"))?;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::failed(failed.join("\n"))) }
}
