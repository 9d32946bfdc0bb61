//! `cidra ls`: what is in a folder.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::Outcome;
use super::output::printable;
use super::progress::Progress;
use super::session::Session;

/// List folders: CID, size and name of each entry
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra ls bafybei…/photos")]
pub(super) struct Arguments {
    /// A folder: a CID, a path under one, an ipfs:// address or that of a gateway page
    #[arg(required = true, value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    /// Print a line with the names of the columns first
    #[arg(long)]
    headers: bool,
    /// Print the size of each entry
    #[arg(long, action = clap::ArgAction::SetFalse)]
    size: bool,
    /// Find out whether an entry is a folder
    #[arg(long, action = clap::ArgAction::SetFalse)]
    resolve_type: bool,
    /// Print entries as they come; they always are
    #[arg(short, long, hide = true)]
    stream: bool,
    #[command(flatten)]
    fetching: Fetching,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    objects: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    hash: String,
    #[serde(default)]
    links: Option<Vec<Link>>,
}

/// One entry, with the RPC's fields.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    name: String,
    hash: String,
    #[serde(default)]
    size: u64,
    #[serde(default, rename = "Type")]
    kind: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    target: String,
}

impl Link {
    fn is_folder(&self) -> bool {
        [DIRECTORY, SHARD].contains(&self.kind)
    }
}

/// UnixFS's numbers.
const DIRECTORY: i32 = 1;
const SHARD: i32 = 5;

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.paths[0].text));
    let several = arguments.paths.len() > 1;
    let call = Call::new("ls")
        .arguments(&arguments.paths)
        .flag("stream", true)
        .flag("size", arguments.size)
        .flag("resolve-type", arguments.resolve_type);
    let call = arguments.fetching.into_call(call, &session.global);
    let mut answer = progress.watch(session.client.send(call)).await?;
    let mut folder = None;
    while let Some(listing) = progress.watch(answer.object::<Listing>()).await? {
        progress.before_output();
        for listed in listing.objects {
            if folder.as_ref() != Some(&listed.hash) && !session.output.is_json() {
                if several {
                    let gap = if folder.is_some() { "\n" } else { "" };
                    session.output.line(format_args!("{gap}{}:", listed.hash))?;
                }
                if arguments.headers {
                    session.output.line(if arguments.size { "Hash Size Name" } else { "Hash Name" })?;
                }
            }
            for link in listed.links.unwrap_or_default() {
                print(&link, arguments.size, session)?;
            }
            folder = Some(listed.hash);
        }
        session.output.flush()?;
    }
    session.output.flush()
}

fn print(link: &Link, with_size: bool, session: &mut Session) -> Outcome {
    if session.output.is_json() {
        return session.output.object(link);
    }
    let name = printable(&link.name);
    let slash = if link.is_folder() { "/" } else { "" };
    match (with_size, link.is_folder()) {
        (false, _) => session.output.line(format_args!("{} {name}{slash}", link.hash)),
        (true, true) => session.output.line(format_args!("{} - {name}/", link.hash)),
        (true, false) => session.output.line(format_args!("{} {} {name}", link.hash, link.size)),
    }
}
