//! `cidra block`: single blocks.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cidra_content::block::MAX_BLOCK_SIZE;
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::{Failure, Outcome};
use super::output::Output;
use super::progress::Progress;
use super::session::Session;
use super::standard_input::StandardInput;

/// Store, read and remove single blocks
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra block stat CID")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Put(Put),
    Get(Get),
    Stat(Stat),
    Rm(Remove),
}

/// Store files as one block each and print their CIDs
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra block put block.bin\n  printf hello | cidra block put")]
struct Put {
    /// Files; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the bytes are: raw, dag-pb, …
    #[arg(long, default_value = "raw", value_name = "CODEC")]
    cid_codec: String,
    /// The older name of --cid-codec: v0, protobuf, cbor, raw
    #[arg(short, long, hide = true, value_name = "FORMAT")]
    format: Option<String>,
    /// The hash function
    #[arg(long, default_value = "sha2-256", value_name = "HASH")]
    mhtype: String,
    /// The length of the hash in bytes; -1 is its own
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, hide_default_value = true, value_name = "BYTES")]
    mhlen: i64,
    /// Keep the blocks
    #[arg(long)]
    pin: bool,
}

/// Write a block's bytes to standard output
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra block get CID > block.bin")]
struct Get {
    /// The block
    #[arg(value_name = "CID[/PATH]")]
    path: Content,
    #[command(flatten)]
    fetching: Fetching,
}

/// Print a block's CID and size
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra block stat CID")]
struct Stat {
    /// The block
    #[arg(value_name = "CID[/PATH]")]
    path: Content,
    #[command(flatten)]
    fetching: Fetching,
}

/// Remove blocks that no pin protects
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra block rm CID")]
struct Remove {
    /// The blocks
    #[arg(required = true, value_name = "CID")]
    paths: Vec<Content>,
    /// A block that is not here is no failure
    #[arg(short, long)]
    force: bool,
    /// Print nothing of what went well
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn check(arguments: &Arguments, output: &Output) -> Outcome {
    match &arguments.command {
        Command::Get(_) => super::cat::check(output),
        _ => Ok(()),
    }
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Put(arguments) => put(arguments, session).await,
        Command::Get(arguments) => get(arguments, session).await,
        Command::Stat(arguments) => stat(arguments, session).await,
        Command::Rm(arguments) => remove(arguments, session).await,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key: String,
    size: u64,
}

async fn put(arguments: Put, session: &mut Session) -> Outcome {
    let files = if arguments.files.is_empty() { vec![PathBuf::from("-")] } else { arguments.files };
    for file in &files {
        let bytes = read_block(file, &mut session.input)?;
        let call = Call::new("block/put")
            .option("cid-codec", &arguments.cid_codec)
            .option("mhtype", &arguments.mhtype)
            .option("mhlen", arguments.mhlen.to_string())
            .maybe("format", arguments.format.as_ref())
            .flag("pin", arguments.pin)
            .files(&[bytes]);
        let mut answer = session.client.send(call).await?;
        while let Some(line) = answer.line().await? {
            match session.output.is_json() {
                true => session.output.raw_line(&line)?,
                false => session.output.line(super::answer::parse::<Described>(&line)?.key)?,
            }
        }
        session.output.flush()?;
    }
    Ok(())
}

fn read_block(path: &Path, input: &mut StandardInput) -> Outcome<Bytes> {
    let failed = |error: io::Error| Failure::because(format!("cannot read {}", path.display()), &error);
    let limit = MAX_BLOCK_SIZE as u64 + 1;
    let bytes = match path.to_str() {
        Some("-") => input.whole(limit)?,
        _ => {
            let mut bytes = Vec::new();
            File::open(path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
            bytes.into()
        }
    };
    if bytes.len() > MAX_BLOCK_SIZE {
        let what = format!("{} is larger than a block may be ({MAX_BLOCK_SIZE} bytes)", path.display());
        return Err(Failure::failed(format!("{what}: import it with `cidra add`")));
    }
    Ok(bytes)
}

async fn get(arguments: Get, session: &mut Session) -> Outcome {
    let progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.path.text));
    let call = arguments.fetching.into_call(Call::new("block/get").argument(&arguments.path), &session.global);
    session.pour(call, progress).await
}

async fn stat(arguments: Stat, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.path.text));
    let call = arguments.fetching.into_call(Call::new("block/stat").argument(&arguments.path), &session.global);
    let answer = progress.watch(session.client.send(call)).await?;
    let line = progress.watch(answer.only_line()).await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
    } else {
        let block: Described = super::answer::parse(&line)?;
        session.output.line(format_args!("Key: {}", block.key))?;
        session.output.line(format_args!("Size: {}", block.size))?;
    }
    session.output.flush()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Removed {
    hash: String,
    #[serde(default)]
    error: String,
}

async fn remove(arguments: Remove, session: &mut Session) -> Outcome {
    let call = Call::new("block/rm").arguments(&arguments.paths).flag("force", arguments.force);
    let mut answer = session.client.send(call).await?;
    let mut kept = vec![];
    while let Some(line) = answer.line().await? {
        let removed: Removed = super::answer::parse(&line)?;
        if session.output.is_json() {
            session.output.raw_line(&line)?;
        } else if removed.error.is_empty() && !arguments.quiet {
            session.output.line(format_args!("removed {}", removed.hash))?;
        }
        if !removed.error.is_empty() {
            kept.push(format!("cannot remove {}: {}", removed.hash, removed.error));
        }
    }
    session.output.flush()?;
    if kept.is_empty() { Ok(()) } else { Err(Failure::failed(kept.join("\n"))) }
}
