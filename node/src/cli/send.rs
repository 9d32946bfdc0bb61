//! `cidra send`: files are served to whoever runs the line that it prints, until Ctrl-C.
//!
//! The line stands alone on standard output; what a person wants to know beside it goes to standard error. The call of the RPC
//! lasts as long as the command: when it ends, however that is, nothing is served or protected any more.

mod line;
mod receivers;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::pin::pin;

use clap::Args;
use libp2p::Multiaddr;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::line::Line;
use self::receivers::Receivers;
use super::add::{PIECES_UNDER_WAY, Selection, Sources, wire_name};
use super::answer::Answer;
use super::call::Call;
use super::failure::{Exit, Failure, Outcome};
use super::progress::Progress;
use super::session::Session;
use super::units::show_bytes;
use super::warn;
use crate::api::tree::Frame;
use crate::config::Rate;

/// Share files at once: prints a line to run on the other machine, and serves until Ctrl-C
///
/// No daemon and no configuration is needed. Both machines must reach each other; on one local network they do. The line goes on
/// working when this command is ended and run again, and the other side goes on where it was.
///
/// With --json: {"Event":"Reading","Bytes"} while files are read, {"Event":"Ready","Hash","Size","Peer","Addresses","Command"},
/// then {"Event":"Receiver","Peer","Address","Bytes","Position","Total"} whenever something changed: Bytes have gone to it, it is
/// at Position of Total; Address is null when it left.
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra send film.mp4\n  cidra send holiday/ notes.txt --limit-up 2MB/s\n  tar c . | cidra send --name backup.tar -"
)]
pub(super) struct Arguments {
    /// Files and folders; `-` is standard input. Several are sent as one folder
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What it is called on the other machine, in place of its own name
    #[arg(long, value_name = "NAME")]
    name: Option<OsString>,
    /// Let it go out no faster than this, such as 2MB/s
    #[arg(long, value_name = "RATE")]
    limit_up: Option<Rate>,
}

/// What the node says once all is there.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ready {
    hash: String,
    size: u64,
    total: u64,
    peer: String,
    listening: Vec<Multiaddr>,
}

pub(super) async fn run(mut arguments: Arguments, session: &mut Session) -> Outcome {
    if arguments.paths.is_empty() {
        if io::stdin().is_terminal() {
            return Err(Failure::usage("say what to send: cidra send PATH…, or `-` for standard input"));
        }
        arguments.paths.push("-".into());
    }
    if session.is_elsewhere() {
        return Err(Failure::usage("send shares what is on this machine: leave --api and CIDRA_API out"));
    }
    let name = arguments.name()?;
    // Whoever sends a folder means all of it.
    let selection = Selection::all();
    let is_many = arguments.paths.len() > 1;
    let sources = Sources::of(&arguments.paths, stdin_name(&name, is_many), selection, is_many)?;
    let total = sources.survey()?;
    let mut progress = Progress::start(session.shows_progress(), "waiting for the repository");
    if let Some(total) = total {
        progress.set_total(total);
    }
    let (sender, receiver) = mpsc::channel(PIECES_UNDER_WAY);
    let call = Call::new("cidra/send").option("profile", "unixfs-v1-2025").flag("wrap-with-directory", is_many);
    let call = call.maybe("limit-up", arguments.limit_up);
    let call = call.streamed("application/octet-stream", receiver);
    let mut input = std::mem::take(&mut session.input);
    let result = {
        let mut sending = pin!(sources.send(&mut input, sender));
        let mut serving = pin!(serve(&name, call, session, progress));
        tokio::select! {
            // A sender that failed has told the node, whose answer would say less.
            sent = &mut sending => match sent {
                Ok(()) => serving.await,
                Err(failure) => Err(failure),
            },
            served = &mut serving => served,
        }
    };
    session.input = input;
    result
}

impl Arguments {
    /// What it is called on the other side.
    fn name(&self) -> Outcome<OsString> {
        let name = match (&self.name, &self.paths[..]) {
            (Some(name), _) => name.clone(),
            (None, [path]) if path.as_os_str() == "-" => "stdin".into(),
            (None, [path]) => OsString::from_vec(wire_name(path)?),
            (None, _) => "files".into(),
        };
        let bytes = name.as_bytes();
        match bytes.contains(&b'/') || matches!(bytes, b"" | b"." | b"..") {
            true => Err(Failure::usage(format!("--name: {} cannot be the name of a file", name.display()))),
            false => Ok(name),
        }
    }
}

/// Standard input has a name only in a folder.
fn stdin_name(name: &OsString, is_many: bool) -> Vec<u8> {
    match is_many {
        true => b"stdin".to_vec(),
        false => name.as_bytes().to_vec(),
    }
}

/// Reads what the node says: how far it is, that it is ready, and then who fetches.
async fn serve(name: &OsString, call: Call, session: &mut Session, mut progress: Progress) -> Outcome {
    let mut answer = progress.watch(session.client.send(call)).await?;
    let ready = loop {
        let note = match progress.watch(answer.frame()).await? {
            Some(Frame::Note(note)) => note,
            other => return Err(unexpected(other)),
        };
        if let Some(bytes) = note.get("Bytes").and_then(Value::as_u64).filter(|_| !note.contains_key("Hash")) {
            progress.set(bytes, None);
            report(session, json!({"Event": "Reading", "Bytes": bytes}))?;
        } else if note.contains_key("Listening") {
            break serde_json::from_value::<Ready>(Value::Object(note))?;
        }
    };
    drop(progress);
    let line = Line::new(&ready.hash, name, &ready.listening);
    announce(&line, &ready, session)?;
    follow(&mut answer, &ready, session).await
}

fn announce(line: &Line, ready: &Ready, session: &mut Session) -> Outcome {
    if session.output.is_json() {
        let addresses: Vec<String> = line.addresses.iter().map(ToString::to_string).collect();
        let ready = json!({"Event": "Ready", "Hash": ready.hash, "Size": ready.size, "Peer": ready.peer,
            "Addresses": addresses, "Command": line.to_string()});
        return session.output.event(&ready);
    }
    let is_watched = io::stderr().is_terminal();
    if is_watched {
        tell(&format!("Run this on the other machine, to get {}:\n", show_bytes(ready.size)));
    }
    // A command that begins anew with another node has another line.
    session.output.line_once(&line.to_string())?;
    session.output.flush()?;
    if is_watched {
        tell("\nServing it until Ctrl-C.");
    }
    if line.is_local() {
        warn("this machine has no address but its own: only commands on it reach this one");
    }
    Ok(())
}

/// Shows who fetches, until the node ends that.
async fn follow(answer: &mut Answer, ready: &Ready, session: &mut Session) -> Outcome {
    let mut receivers = Receivers::new(ready.total, session.shows_progress());
    loop {
        match receivers.watch(answer.frame()).await? {
            Some(Frame::Note(note)) => {
                for receiver in receivers.update(&note, Instant::now())? {
                    report(session, receiver)?;
                }
            }
            other => return Err(unexpected(other)),
        }
    }
}

/// To a person at a terminal. Where nobody can read it there is nothing left to do.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn report(session: &mut Session, event: Value) -> Outcome {
    if session.output.is_json() { session.output.event(&event) } else { Ok(()) }
}

fn unexpected(frame: Option<Frame>) -> Failure {
    match frame {
        Some(Frame::Error(failed)) => Failure::new(Exit::from_code(failed.exit), failed.message),
        _ => {
            let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
            Failure::lost("the node that served this went away", &gone)
        }
    }
}

/// A note as it stands in an answer.
type Note = Map<String, Value>;
