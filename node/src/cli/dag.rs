//! `cidra dag`: nodes of any codec, and whole DAGs as CAR files.

mod export;
pub(super) mod import;
mod stat;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cidra_content::block::MAX_BLOCK_SIZE;
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::{Failure, Outcome};
use super::output::{Output, printable};
use super::progress::Progress;
use super::session::Session;
use super::standard_input::StandardInput;

/// Read and write IPLD nodes, carry whole DAGs in CAR files
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra dag export CID > photos.car\n  cidra dag import photos.car")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Export(export::Arguments),
    Get(Get),
    Import(import::Arguments),
    Put(Put),
    Resolve(Resolve),
    Stat(stat::Arguments),
}

/// Print a node, or a value within one
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra dag get CID/posts/0/title\n  cidra dag get /ipld/CID/Links/0/Hash")]
struct Get {
    /// A node: a CID, or a path under one, which leads through links
    #[arg(value_name = "CID[/PATH]")]
    path: Content,
    /// Print it in this codec
    #[arg(long, default_value = "dag-json", value_name = "CODEC")]
    output_codec: String,
    #[command(flatten)]
    fetching: Fetching,
}

/// Store nodes and print their CIDs
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  echo '{\"photo\":{\"/\":\"bafy…\"}}' | cidra dag put --pin")]
struct Put {
    /// Files of one node each; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Store them in this codec
    #[arg(long, default_value = "dag-cbor", value_name = "CODEC")]
    store_codec: String,
    /// They are in this codec
    #[arg(long, default_value = "dag-json", value_name = "CODEC")]
    input_codec: String,
    /// Keep them
    #[arg(long)]
    pin: bool,
    /// The hash function
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

/// Print the block that a path leads to, and what is left of the path
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra dag resolve CID/posts/0")]
struct Resolve {
    /// A CID, or a path under one
    #[arg(value_name = "CID[/PATH]")]
    path: Content,
    #[command(flatten)]
    fetching: Fetching,
}

pub(super) fn check(arguments: &Arguments, output: &Output) -> Outcome {
    match &arguments.command {
        Command::Export(_) => super::cat::check(output),
        Command::Get(get) if output.is_json() && !matches!(get.output_codec.as_str(), "dag-json" | "json") => {
            Err(Failure::usage(format!("--json: {} is no JSON: leave one of them out", get.output_codec)))
        }
        _ => Ok(()),
    }
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Export(arguments) => export::run(arguments, session).await,
        Command::Get(arguments) => get(arguments, session).await,
        Command::Import(arguments) => import::run(arguments, session).await,
        Command::Put(arguments) => put(arguments, session).await,
        Command::Resolve(arguments) => resolve(arguments, session).await,
        Command::Stat(arguments) => stat::run(arguments, session).await,
    }
}

async fn get(arguments: Get, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.path.text));
    let call = Call::new("dag/get").argument(&arguments.path).option("output-codec", &arguments.output_codec);
    let call = arguments.fetching.into_call(call, &session.global);
    let mut answer = progress.watch(session.client.send(call)).await?;
    if session.output.is_json() {
        // A node has no line breaks.
        session.output.raw_line(&answer.only_line().await?)?;
        return session.output.flush();
    }
    while let Some(bytes) = progress.watch(answer.bytes()).await? {
        progress.before_output();
        session.output.bytes(&bytes)?;
    }
    session.output.flush()
}

/// A CID as Go writes one in JSON.
#[derive(Deserialize)]
struct Link {
    #[serde(rename = "/")]
    cid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    cid: Link,
}

async fn put(arguments: Put, session: &mut Session) -> Outcome {
    let files = if arguments.files.is_empty() { vec![PathBuf::from("-")] } else { arguments.files };
    for file in &files {
        let bytes = read_node(file, &mut session.input)?;
        let call = Call::new("dag/put")
            .option("store-codec", &arguments.store_codec)
            .option("input-codec", &arguments.input_codec)
            .flag("pin", arguments.pin)
            .maybe("hash", arguments.hash.as_ref())
            .files(&[bytes]);
        let mut answer = session.client.send(call).await?;
        while let Some(line) = answer.line().await? {
            match session.output.is_json() {
                true => session.output.raw_line(&line)?,
                false => session.output.line(parse::<Stored>(&line)?.cid.cid)?,
            }
        }
        session.output.flush()?;
    }
    Ok(())
}

fn read_node(path: &Path, input: &mut StandardInput) -> Outcome<Bytes> {
    let failed = |error: io::Error| Failure::because(format!("cannot read {}", path.display()), &error);
    let bytes = match path.to_str() {
        Some("-") => input.whole(MAX_INPUT + 1)?,
        _ => {
            let mut bytes = Vec::new();
            File::open(path).map_err(failed)?.take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(failed)?;
            bytes.into()
        }
    };
    if bytes.len() as u64 > MAX_INPUT {
        let what = format!("{} has more than {MAX_INPUT} bytes, and a node more than {MAX_BLOCK_SIZE}", path.display());
        return Err(Failure::failed(format!("{what} is not stored: cut it into several that link to one another")));
    }
    Ok(bytes)
}

/// What people write takes more room than the block that is made of it.
const MAX_INPUT: u64 = 4 * MAX_BLOCK_SIZE as u64;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resolved {
    cid: Link,
    #[serde(default)]
    rem_path: String,
}

async fn resolve(arguments: Resolve, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.path.text));
    let call = arguments.fetching.into_call(Call::new("dag/resolve").argument(&arguments.path), &session.global);
    let answer = progress.watch(session.client.send(call)).await?;
    let line = progress.watch(answer.only_line()).await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
    } else {
        let Resolved { cid, rem_path } = parse(&line)?;
        session.output.line(format_args!("{}{}", cid.cid, printable(&rem_path)))?;
    }
    session.output.flush()
}
