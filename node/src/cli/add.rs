//! `cidra add`: files and folders in, their CIDs out.
//!
//! The command line reads the files and sends them as a tree; the node cuts, hashes and stores them. Each line is printed when
//! what it names is durable.

mod form;
mod ignore;
mod sources;
mod walk;

use std::io;
use std::path::PathBuf;
use std::pin::pin;

use clap::{ArgAction, Args};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use self::form::Form;
pub(super) use self::sources::Sources;
pub(super) use self::walk::{Selection, wire_name};
use super::call::Call;
use super::failure::{Exit, Failure, Outcome};
use super::output::{json, printable};
use super::progress::Progress;
use super::session::Session;
use super::warn;
use crate::api::tree::Frame;

/// Import files and folders and print their CIDs
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra add photos/ notes.txt\n  cidra add -Q --pin-name website public/\n  cidra add --nocopy films/\n  tar c . | cidra add --stdin-name backup.tar -"
)]
pub(super) struct Arguments {
    /// Files and folders; `-` is standard input
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Folders are always taken whole
    #[arg(short, long, hide = true)]
    recursive: bool,
    /// Print only CIDs
    #[arg(short, long)]
    quiet: bool,
    /// Print only the CID of each PATH
    #[arg(short = 'Q', long)]
    pub(super) quieter: bool,
    /// Compute CIDs, keep nothing
    #[arg(short = 'n', long)]
    only_hash: bool,
    /// Put everything into one more folder
    #[arg(short, long = "wrap-with-directory", visible_alias = "wrap")]
    pub(super) wrap: bool,
    #[command(flatten)]
    form: Form,
    /// Keep what was added
    #[arg(long, action = ArgAction::SetFalse)]
    pin: bool,
    /// Call the pin so, instead of after the file
    #[arg(long, value_name = "NAME")]
    pin_name: Option<String>,
    /// Call standard input so
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Leave out what matches this rule of a .gitignore; repeatable
    #[arg(long, value_name = "RULE")]
    ignore: Vec<String>,
    /// Leave out what the rules in this file match
    #[arg(long, value_name = "FILE")]
    ignore_rules_path: Option<PathBuf>,
    /// Refer to the files where they stand in place of copying them: an edit takes their content away
    #[arg(long)]
    nocopy: bool,
    /// Take files whose names begin with a dot, too
    #[arg(short = 'H', long)]
    hidden: bool,
    /// Take folders that nothing is in
    #[arg(long, action = ArgAction::SetFalse)]
    empty_dirs: bool,
    /// Take what a symlink among the PATHs points to
    #[arg(long)]
    dereference_args: bool,
}

pub(super) async fn run(mut arguments: Arguments, session: &mut Session) -> Outcome {
    if arguments.paths.is_empty() {
        if io::IsTerminal::is_terminal(&io::stdin()) {
            return Err(Failure::usage("say what to add: cidra add PATH…, or `-` for standard input"));
        }
        arguments.paths.push("-".into());
    }
    let sources = Sources::new(&arguments)?;
    let total = sources.survey()?;
    let mut progress = Progress::start(session.shows_progress(), "waiting for the repository");
    if let Some(total) = total {
        progress.set_total(total);
    }
    let (sender, receiver) = mpsc::channel(PIECES_UNDER_WAY);
    let call = arguments.call().streamed("application/octet-stream", receiver);
    let mut input = std::mem::take(&mut session.input);
    let sending = sources.send(&mut input, sender);
    let receiving = receive(&arguments, call, session, &mut progress);
    // Both advance together; the sender's own failure says more than the node's answer to it.
    let (sent, roots) = both(sending, receiving).await;
    session.input = input;
    drop(progress);
    session.output.flush()?;
    if let Err(failure) = &roots
        && failure.exit() == Exit::ClosedPipe
    {
        return Err(Failure::new(Exit::ClosedPipe, failure.message()));
    }
    sent?;
    let roots = roots?;
    if !arguments.only_hash && !session.is_served().await {
        let what = match &roots[..] {
            [root] => root.clone(),
            roots => format!("these {} roots", roots.len()),
        };
        warn(&format!("nobody serves {what} yet: run `cidra daemon` and it does"));
    }
    Ok(())
}

/// Drives both until the answer has ended; a sender that still waits for its source is given up then.
pub(super) async fn both<T>(
    sending: impl Future<Output = Outcome>,
    receiving: impl Future<Output = T>,
) -> (Outcome, T) {
    let (mut sending, mut receiving) = (pin!(sending), pin!(receiving));
    let mut sent = None;
    loop {
        tokio::select! {
            result = &mut sending, if sent.is_none() => sent = Some(result),
            received = &mut receiving => return (sent.unwrap_or(Ok(())), received),
        }
    }
}

/// Each piece has its head beside it, so four pieces are read before they are taken.
pub(super) const PIECES_UNDER_WAY: usize = 8;

impl Arguments {
    fn call(&self) -> Call {
        let call = Call::new("cidra/add")
            .flag("only-hash", self.only_hash)
            .flag("wrap-with-directory", self.wrap)
            .flag("pin", self.pin)
            .flag("empty-dirs", self.empty_dirs)
            .maybe("pin-name", self.pin_name.as_ref());
        self.form.clone().into_call(call)
    }
}

/// Prints what the node says was added. The CIDs of the roots.
async fn receive(
    arguments: &Arguments,
    call: Call,
    session: &mut Session,
    progress: &mut Progress,
) -> Outcome<Vec<String>> {
    let mut roots = vec![];
    let mut answer = progress.watch(session.client.send(call)).await?;
    loop {
        match progress.watch(answer.frame()).await? {
            Some(Frame::Note(note)) => {
                let Some(added) = Added::read(&note) else {
                    progress.set(number(&note, "Bytes"), None);
                    continue;
                };
                if added.is_root(arguments.wrap) {
                    roots.push(added.cid.to_owned());
                }
                progress.beside(|| added.print(arguments, &note, session))?;
            }
            Some(Frame::Error(failed)) => return Err(Failure::new(Exit::from_code(failed.exit), failed.message)),
            Some(Frame::End) | None => return Ok(roots),
            Some(Frame::Entry(_) | Frame::Data(_)) => return Err(Failure::failed("the node answered with a tree")),
        }
    }
}

fn number(note: &Map<String, Value>, name: &str) -> u64 {
    note.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// One thing that was added.
struct Added<'a> {
    cid: &'a str,
    name: &'a str,
}

impl<'a> Added<'a> {
    fn read(note: &'a Map<String, Value>) -> Option<Self> {
        let cid = note.get("Hash")?.as_str().filter(|cid| !cid.is_empty())?;
        Some(Self { cid, name: note.get("Name").and_then(Value::as_str).unwrap_or_default() })
    }

    /// What a PATH names; with a wrapping folder, that alone.
    fn is_root(&self, wrapped: bool) -> bool {
        if wrapped { self.name.is_empty() } else { !self.name.contains('/') }
    }

    fn print(&self, arguments: &Arguments, note: &Map<String, Value>, session: &mut Session) -> Outcome {
        if arguments.quieter && !self.is_root(arguments.wrap) {
            return Ok(());
        }
        let line = if session.output.is_json() {
            json(note)?
        } else if arguments.quiet || arguments.quieter {
            self.cid.to_owned()
        } else if self.name.is_empty() {
            format!("added {}", self.cid)
        } else {
            format!("added {} {}", self.cid, printable(self.name))
        };
        // Entries are done in any order: a command that begins anew knows its lines by what they say.
        session.output.line_once(&line)?;
        // Whoever reads the line may rely on it.
        session.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_told_from_what_is_below() {
        let is_root = |name, wrapped| Added { cid: "bafy", name }.is_root(wrapped);

        assert!(is_root("photos", false) && !is_root("photos/a.jpg", false));
        assert!(is_root("", true) && !is_root("photos", true));
    }
}
