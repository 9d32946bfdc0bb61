//! `cidra files`: a tree of files and folders that can be changed, every state of which has a CID.

mod show;
mod write;

use clap::{ArgAction, Args, Subcommand};
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::Fetching;
use super::failure::{Failure, Outcome};
use super::output::Output;
use super::session::Session;

/// Arrange files and folders in a tree that has a CID at every moment
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  cidra files mkdir -p /photos/2026\n  cidra files cp /ipfs/CID /photos/2026/cat.jpg\n  cidra files stat --hash /photos"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Make the change durable before the command ends
    #[arg(short, long, global = true, action = ArgAction::SetFalse)]
    flush: bool,
}

#[derive(Clone, Subcommand)]
enum Command {
    Cp(Copy),
    Mv(Move),
    Ls(show::List),
    Stat(show::Stat),
    Read(show::Read),
    Write(write::Arguments),
    Rm(Remove),
    Mkdir(Make),
    Flush(Flush),
    Chcid(Rename),
    Chmod(Mode),
    Touch(Touch),
}

/// Link to content, or to what is elsewhere in the tree, without fetching all of it
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra files cp /ipfs/CID /photos/cat.jpg\n  cidra files cp -p /photos /backup/photos"
)]
struct Copy {
    /// /ipfs/CID, a path under one, or a path in the tree
    source: String,
    /// Where in the tree; with a trailing slash, a folder that it goes into
    dest: String,
    /// Take the place of a file that is there
    #[arg(long)]
    force: bool,
    /// Make the folders above it, too
    #[arg(short, long)]
    parents: bool,
    #[command(flatten)]
    fetching: Fetching,
}

/// Move a file or a folder within the tree
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files mv /photos/cat.jpg /photos/2026/")]
struct Move {
    /// What is moved
    source: String,
    /// Where to; into a folder that is there, or in place of a file
    dest: String,
}

/// Remove files and folders from the tree
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files rm /notes.txt\n  cidra files rm -r /photos")]
struct Remove {
    /// What is removed
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Folders, too, with all that is in them
    #[arg(short, long)]
    recursive: bool,
    /// Whatever it is, and none is no failure
    #[arg(long)]
    force: bool,
}

/// Make a folder in the tree
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files mkdir -p /photos/2026")]
struct Make {
    /// The folder
    path: String,
    /// Make the folders above it, too; one that is there is no failure
    #[arg(short, long)]
    parents: bool,
    #[command(flatten)]
    fashion: Fashion,
}

/// Make durable what was changed with --flush=false, and print the CID of a path
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files flush /photos")]
struct Flush {
    /// Whose CID is printed
    #[arg(default_value = "/", hide_default_value = true)]
    path: String,
}

/// Change the version or the hash function of a folder's CID
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files chcid --cid-version 1 /photos")]
struct Rename {
    /// The folder, not the root
    path: String,
    #[command(flatten)]
    fashion: Fashion,
}

/// Set the permissions of a file or a folder
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files chmod 0644 /notes.txt")]
struct Mode {
    /// In octal digits
    mode: String,
    /// Whose
    path: String,
}

/// Set the time of a file's last change
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files touch /notes.txt\n  cidra files touch --mtime 1630937926 /notes.txt")]
struct Touch {
    /// Whose
    path: String,
    /// Seconds since 1970, UTC; now unless given
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS")]
    mtime: Option<i64>,
    /// Nanoseconds on top
    #[arg(long, value_name = "NANOSECONDS")]
    mtime_nsecs: Option<u32>,
}

/// How new CIDs are made.
#[derive(Args, Clone)]
struct Fashion {
    /// The version of new CIDs: 0 or 1
    #[arg(long, alias = "cid-ver", value_name = "VERSION")]
    cid_version: Option<u64>,
    /// The hash function of new CIDs; makes them version 1
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

impl Fashion {
    fn into_call(self, call: Call) -> Call {
        call.maybe("cid-version", self.cid_version).maybe("hash", self.hash)
    }
}

pub(super) fn check(arguments: &Arguments, output: &Output) -> Outcome {
    match &arguments.command {
        Command::Read(_) => super::cat::check(output),
        _ => Ok(()),
    }
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let flush = arguments.flush;
    let call = match arguments.command {
        Command::Ls(arguments) => return show::list(arguments, session).await,
        Command::Stat(arguments) => return show::stat(arguments, session).await,
        Command::Read(arguments) => return show::read(arguments, session).await,
        Command::Write(arguments) => return write::run(arguments, flush, session).await,
        Command::Rm(arguments) => return remove(arguments, flush, session).await,
        Command::Flush(arguments) => return print_flushed(arguments, session).await,
        Command::Cp(Copy { source, dest, force, parents, fetching }) => {
            let call = Call::new("files/cp").argument(source).argument(dest);
            fetching.into_call(call.flag("force", force).flag("parents", parents), &session.global)
        }
        Command::Mv(Move { source, dest }) => {
            with_patience(Call::new("files/mv").argument(source).argument(dest), session)
        }
        Command::Mkdir(Make { path, parents, fashion }) => {
            let call = Call::new("files/mkdir").argument(path).flag("parents", parents);
            with_patience(fashion.into_call(call), session)
        }
        Command::Chcid(Rename { path, fashion }) => {
            with_patience(fashion.into_call(Call::new("files/chcid").argument(path)), session)
        }
        Command::Chmod(Mode { mode, path }) => {
            with_patience(Call::new("files/chmod").argument(mode).argument(path), session)
        }
        Command::Touch(Touch { path, mtime, mtime_nsecs }) => {
            let call = Call::new("files/touch").argument(path).maybe("mtime", mtime);
            with_patience(call.maybe("mtime-nsecs", mtime_nsecs), session)
        }
    };
    session.client.send(call.flag("flush", flush)).await?.done().await
}

/// What is not here of the tree is fetched.
fn with_patience(call: Call, session: &Session) -> Call {
    Fetching::default().into_call(call, &session.global)
}

async fn remove(arguments: Remove, flush: bool, session: &mut Session) -> Outcome {
    let call = Call::new("files/rm")
        .arguments(&arguments.paths)
        .flag("recursive", arguments.recursive)
        .flag("force", arguments.force);
    let call = with_patience(if flush { call } else { call.flag("flush", false) }, session);
    let mut answer = session.client.send(call).await?;
    let mut failed: Vec<String> = vec![];
    loop {
        match answer.line().await {
            Ok(Some(line)) => failed.push(parse(&line)?),
            Ok(None) => return Ok(()),
            Err(failure) if failed.is_empty() => return Err(failure),
            Err(failure) => {
                failed.push(failure.message().to_owned());
                return Err(Failure::new(failure.exit(), failed.join("\n")));
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Flushed {
    cid: String,
}

async fn print_flushed(arguments: Flush, session: &mut Session) -> Outcome {
    let call = with_patience(Call::new("files/flush").argument(arguments.path), session);
    let line = session.client.send(call).await?.only_line().await?;
    match session.output.is_json() {
        true => session.output.raw_line(&line)?,
        false => session.output.line(parse::<Flushed>(&line)?.cid)?,
    }
    session.output.flush()
}
