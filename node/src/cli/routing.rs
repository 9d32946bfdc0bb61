//! `cidra routing`: who has what, and where peers are.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};
use data_encoding::BASE64;
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Content, Peer, with_patience};
use super::failure::{Exit, Failure, Outcome};
use super::progress::Progress;
use super::session::Session;

/// Ask the network who has what, and where peers are
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra routing findprovs CID")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Findprovs(FindProviders),
    Findpeer(FindPeer),
    Provide(Provide),
    Get(Get),
    Put(Put),
}

/// List the peers that have content
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra routing findprovs -n 5 CID")]
struct FindProviders {
    /// The content
    #[arg(required = true, value_name = "CID")]
    cids: Vec<Content>,
    /// So many are enough
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    num_providers: u32,
}

/// List the addresses of a peer
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra routing findpeer 12D3KooW…")]
struct FindPeer {
    /// The peer
    #[arg(required = true, value_name = "PEER")]
    peers: Vec<Peer>,
}

/// Tell the network that this node has content
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra routing provide CID")]
struct Provide {
    /// The content, which must be here
    #[arg(required = true, value_name = "CID")]
    cids: Vec<Content>,
    /// All blocks below it, too
    #[arg(short, long, action = ArgAction::SetTrue)]
    recursive: bool,
}

/// Write the best record of a name to standard output
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra routing get /ipns/NAME > record")]
struct Get {
    /// /ipns/NAME
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

/// Keep a record of a name and tell it to others
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra routing put /ipns/NAME record")]
struct Put {
    /// /ipns/NAME
    key: String,
    /// The file with the record; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// It is enough when the record is kept here
    #[arg(long)]
    allow_offline: bool,
}

/// An event of a query, with the numbers that Kubo gives its types.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(rename = "Type")]
    kind: i32,
    #[serde(default)]
    responses: Option<Vec<Found>>,
    #[serde(default)]
    extra: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    addrs: Option<Vec<String>>,
}

const FINAL_PEER: i32 = 2;
const QUERY_ERROR: i32 = 3;
const PROVIDER: i32 = 4;

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let (call, waiting_for, nothing) = match arguments.command {
        Command::Findprovs(arguments) => {
            let call = Call::new("routing/findprovs")
                .arguments(&arguments.cids)
                .option("num-providers", arguments.num_providers.to_string());
            let cid = &arguments.cids[0].text;
            (call, format!("looking for providers of {cid}"), Some(format!("nobody was found who has {cid}")))
        }
        Command::Findpeer(arguments) => {
            let call = Call::new("routing/findpeer").arguments(arguments.peers.iter().map(|peer| &peer.0));
            let peer = &arguments.peers[0].0;
            (call, format!("looking for {peer}"), Some(format!("no address of {peer} was found")))
        }
        Command::Provide(arguments) => {
            let call = Call::new("routing/provide").arguments(&arguments.cids).flag("recursive", arguments.recursive);
            (call, "telling the network".to_owned(), None)
        }
        Command::Get(arguments) => return get(arguments, session).await,
        Command::Put(arguments) => return put(arguments, session).await,
    };
    let found = show_events(call.flag("verbose", session.global.verbose > 0), waiting_for, session).await?;
    match nothing {
        Some(message) if !found => Err(Failure::new(Exit::NotFound, message)),
        _ => Ok(()),
    }
}

async fn get(arguments: Get, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), "asking for the record");
    let call = with_patience(Call::new("routing/get").arguments(arguments.keys), &session.global);
    let mut answer = progress.watch(session.client.send(call)).await?;
    while let Some(line) = progress.watch(answer.line()).await? {
        if session.output.is_json() {
            progress.beside(|| session.output.raw_line(&line))?;
            continue;
        }
        let record = BASE64.decode(parse::<Event>(&line)?.extra.as_bytes());
        let record = record.map_err(|error| Failure::because("the node's answer holds no record", &error))?;
        progress.beside(|| session.output.bytes(&record))?;
    }
    session.output.flush()
}

async fn put(arguments: Put, session: &mut Session) -> Outcome {
    let record = super::key::read(&arguments.file, &mut session.input)?;
    let call = Call::new("routing/put").argument(&arguments.key).flag("allow-offline", arguments.allow_offline);
    let call = with_patience(call, &session.global).files(&[record]);
    let mut progress = Progress::start(session.shows_progress(), "telling the network");
    let answer = progress.watch(session.client.send(call)).await?;
    let line = progress.watch(answer.only_line()).await?;
    drop(progress);
    match session.output.is_json() {
        true => session.output.raw_line(&line)?,
        false => session.output.line(parse::<Event>(&line)?.id)?,
    }
    session.output.flush()
}

async fn show_events(call: Call, waiting_for: String, session: &mut Session) -> Outcome<bool> {
    let mut progress = Progress::start(session.shows_progress(), waiting_for);
    let mut answer = progress.watch(session.client.send(with_patience(call, &session.global))).await?;
    let mut found = false;
    while let Some(line) = progress.watch(answer.line()).await? {
        let event: Event = parse(&line)?;
        let is_result = [PROVIDER, FINAL_PEER].contains(&event.kind);
        found |= is_result;
        if session.output.is_json() {
            progress.beside(|| session.output.raw_line(&line))?;
        } else if is_result {
            progress.beside(|| show(&event, session))?;
        } else if event.kind == QUERY_ERROR && session.global.verbose > 0 {
            progress.beside(|| eprintln!("{}: {}", event.id, event.extra));
        }
        session.output.flush()?;
    }
    Ok(found)
}

fn show(event: &Event, session: &mut Session) -> Outcome {
    for peer in event.responses.as_deref().unwrap_or_default() {
        if event.kind == PROVIDER {
            session.output.line(&peer.id)?;
        }
        if event.kind == FINAL_PEER || session.global.verbose > 0 {
            let indent = if event.kind == PROVIDER { "\t" } else { "" };
            for address in peer.addrs.as_deref().unwrap_or_default() {
                session.output.line(format_args!("{indent}{address}"))?;
            }
        }
    }
    Ok(())
}
