//! `cidra pin`: what is kept for good.

use std::collections::BTreeMap;

use clap::{ArgAction, Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::{Failure, Outcome};
use super::output::printable;
use super::progress::Progress;
use super::session::Session;

/// Keep content, or no longer keep it
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra pin add --name website CID\n  cidra pin ls --names")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Add(Add),
    Rm(Remove),
    Ls(List),
    Update(Box<Update>),
    Verify(Verify),
}

/// Fetch what is missing of content and keep it
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra pin add --name website CID")]
struct Add {
    /// What to keep
    #[arg(required = true, value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    /// Keep all below it, too
    #[arg(short, long, action = ArgAction::SetFalse)]
    recursive: bool,
    /// Call the pin so; without it, one that is there keeps its name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    name: String,
    #[command(flatten)]
    fetching: Fetching,
}

/// No longer keep content
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra pin rm CID")]
struct Remove {
    /// What was pinned
    #[arg(required = true, value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    /// The pin is a recursive one
    #[arg(short, long, action = ArgAction::SetFalse)]
    recursive: bool,
}

/// List what is kept
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra pin ls --names\n  cidra pin ls --type recursive -q")]
struct List {
    /// Only these
    #[arg(value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    /// Only pins of this type
    #[arg(short = 't', long = "type", default_value = "all", value_parser = ["all", "direct", "indirect", "recursive"])]
    kind: String,
    /// Only CIDs
    #[arg(short, long)]
    quiet: bool,
    /// Only pins whose name contains this
    #[arg(short, long)]
    name: Option<String>,
    /// Print names
    #[arg(long)]
    names: bool,
    /// Print pins as they come; they always are
    #[arg(short, long, hide = true)]
    stream: bool,
}

/// Keep another version of content in the place of the one that is kept
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra pin update OLD_CID NEW_CID\n  cidra pin update --unpin=false OLD_CID NEW_CID"
)]
struct Update {
    /// What is pinned, with all below it
    #[arg(value_name = "OLD")]
    from: Content,
    /// What to keep, under the same name; what is missing of it is fetched
    #[arg(value_name = "NEW")]
    to: Content,
    /// No longer keep the old one
    #[arg(long, action = ArgAction::SetFalse)]
    unpin: bool,
    #[command(flatten)]
    fetching: Fetching,
}

/// Look whether all that recursive pins keep is here; fails when it is not. With --verbose, names those that are whole, too
#[derive(Args, Clone)]
#[command(
    after_help = "Whether the bytes are sound, and whether the files of `add --nocopy` are what they were, is what `cidra repo verify` \
                  looks at.\n\nExample:\n  cidra pin verify\n  \
                  cidra pin verify -q | xargs cidra pin add"
)]
struct Verify {
    /// Only the CIDs of broken pins
    #[arg(short, long)]
    quiet: bool,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Add(arguments) => add(arguments, session).await,
        Command::Rm(arguments) => remove(arguments, session).await,
        Command::Ls(arguments) => list(arguments, session).await,
        Command::Update(arguments) => update(*arguments, session).await,
        Command::Verify(arguments) => verify(arguments, session).await,
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pinned {
    #[serde(default)]
    pins: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<u64>,
    /// Bytes so far, where the node tells.
    #[serde(default, skip_serializing)]
    bytes: Option<u64>,
}

async fn add(arguments: Add, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.paths[0].text));
    let call = Call::new("pin/add")
        .arguments(&arguments.paths)
        .flag("recursive", arguments.recursive)
        .flag("progress", true)
        .maybe("name", Some(arguments.name).filter(|name| !name.is_empty()));
    let call = arguments.fetching.into_call(call, &session.global);
    let how = if arguments.recursive { "recursively" } else { "directly" };
    let mut answer = progress.watch(session.client.send(call)).await?;
    while let Some(pinned) = progress.watch(answer.object::<Pinned>()).await? {
        if let Some(bytes) = pinned.bytes {
            progress.set(bytes, None);
        } else if let Some(blocks) = pinned.progress {
            progress.say(format!("{blocks} blocks"));
        }
        let Some(pins) = &pinned.pins else { continue };
        if session.output.is_json() {
            session.output.object(&Pinned { progress: None, pins: Some(pins.clone()), bytes: None })?;
        } else {
            pins.iter().try_for_each(|cid| session.output.line(format_args!("pinned {cid} {how}")))?;
        }
    }
    session.output.flush()
}

async fn remove(arguments: Remove, session: &mut Session) -> Outcome {
    let call = Call::new("pin/rm").arguments(&arguments.paths).flag("recursive", arguments.recursive);
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
    } else {
        let unpinned: Pinned = super::answer::parse(&line)?;
        for cid in unpinned.pins.unwrap_or_default() {
            session.output.line(format_args!("unpinned {cid}"))?;
        }
    }
    session.output.flush()
}

async fn update(arguments: Update, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("fetching what {} needs", arguments.to.text));
    let call = Call::new("pin/update").arguments(&[arguments.from, arguments.to]).flag("unpin", arguments.unpin);
    let call = arguments.fetching.into_call(call, &session.global);
    let answer = progress.watch(session.client.send(call)).await?;
    let line = progress.watch(answer.only_line()).await?;
    drop(progress);
    if session.output.is_json() {
        session.output.raw_line(&line)?;
    } else if let [from, to] = &super::answer::parse::<Pinned>(&line)?.pins.unwrap_or_default()[..] {
        session.output.line(format_args!("updated {from} to {to}"))?;
    }
    session.output.flush()
}

/// A pin that was looked at, or why no more are.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Verified {
    cid: String,
    err: String,
    ok: bool,
    bad_nodes: Vec<BadNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BadNode {
    cid: String,
    err: String,
}

async fn verify(arguments: Verify, session: &mut Session) -> Outcome {
    let verbose = session.global.verbose > 0;
    if verbose && arguments.quiet {
        return Err(Failure::usage("--verbose and --quiet exclude each other"));
    }
    let call = Call::new("pin/verify").flag("verbose", verbose).flag("quiet", arguments.quiet);
    let mut progress = Progress::start(session.shows_progress(), "looking at what is pinned");
    let mut answer = progress.watch(session.client.send(call)).await?;
    let mut broken = 0;
    while let Some(line) = progress.watch(answer.line()).await? {
        let pin: Verified = super::answer::parse(&line)?;
        if !pin.err.is_empty() {
            return Err(Failure::failed(pin.err));
        }
        broken += u64::from(!pin.ok);
        progress.beside(|| match session.output.is_json() {
            true => session.output.raw_line(&line),
            false => print_verified(&pin, arguments.quiet, session),
        })?;
    }
    drop(progress);
    session.output.flush()?;
    match broken {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "pins that are not whole: {broken}; `cidra pin add CID` fetches blocks that are not here, and where what is here \
             cannot be followed, `cidra pin rm CID` takes the pin away"
        ))),
    }
}

fn print_verified(pin: &Verified, only_cid: bool, session: &mut Session) -> Outcome {
    match (only_cid, pin.ok) {
        (true, _) => return session.output.line(&pin.cid),
        (false, true) => return session.output.line(format_args!("{} ok", pin.cid)),
        (false, false) => session.output.line(format_args!("{} broken", pin.cid))?,
    }
    pin.bad_nodes.iter().try_for_each(|bad| session.output.line(format_args!("  {}: {}", bad.cid, printable(&bad.err))))
}

/// A pin, as a line of the stream or as the value in the RPC's map.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pin {
    #[serde(default)]
    cid: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    All {
        #[serde(rename = "Keys")]
        keys: BTreeMap<String, Pin>,
    },
    One(Pin),
}

async fn list(arguments: List, session: &mut Session) -> Outcome {
    let call = Call::new("pin/ls")
        .arguments(&arguments.paths)
        .option("type", &arguments.kind)
        .flag("stream", true)
        .flag("names", arguments.names || arguments.name.is_some())
        .maybe("name", arguments.name.as_ref());
    let mut answer = session.client.send(call).await?;
    while let Some(listed) = answer.object::<Listed>().await? {
        let pins = match listed {
            Listed::One(pin) => vec![pin],
            Listed::All { keys } => keys.into_iter().map(|(cid, pin)| Pin { cid, ..pin }).collect(),
        };
        for pin in pins {
            print(&pin, arguments.quiet, session)?;
        }
    }
    session.output.flush()
}

fn print(pin: &Pin, only_cid: bool, session: &mut Session) -> Outcome {
    if session.output.is_json() {
        return session.output.object(pin);
    }
    if only_cid {
        return session.output.line(&pin.cid);
    }
    match printable(&pin.name) {
        name if name.is_empty() => session.output.line(format_args!("{} {}", pin.cid, pin.kind)),
        name => session.output.line(format_args!("{} {} {name}", pin.cid, pin.kind)),
    }
}
