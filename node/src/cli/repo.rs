//! `cidra repo`: how much is kept, whether it is sound, and getting rid of what nobody wants.

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::failure::Outcome;
use super::output::Output;
use super::progress::Progress;
use super::session::Session;
use super::units::show_bytes;
use super::warn;

/// Look after the repository
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra repo stat --human")]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Subcommand)]
pub(super) enum Command {
    Stat(Stat),
    Gc(Collect),
    /// Read and hash every block again, and name those that are bad
    #[command(after_help = "Example:\n  cidra repo verify")]
    Verify,
    /// Print the repository's folder
    #[command(after_help = "Example:\n  ls \"$(cidra repo path)\"")]
    Path,
}

/// Print sizes and limits
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra repo stat --human")]
pub(super) struct Stat {
    /// Only sizes
    #[arg(short, long)]
    size_only: bool,
    /// Sizes as 1.5 MiB
    #[arg(short = 'H', long)]
    human: bool,
}

/// Delete all blocks that no pin and nothing under way protects
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra pin rm CID\n  cidra repo gc")]
pub(super) struct Collect {
    /// Only CIDs
    #[arg(short, long)]
    quiet: bool,
    /// Print errors as they come; they always are
    #[arg(long, hide = true)]
    stream_errors: bool,
    /// Do not name what was removed
    #[arg(long)]
    silent: bool,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Stat(arguments) => stat(arguments, session).await,
        Command::Gc(arguments) => collect(arguments, session).await,
        Command::Verify => verify(session).await,
        Command::Path => path(session).await,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sizes {
    #[serde(default)]
    num_objects: u64,
    #[serde(default)]
    repo_size: u64,
    #[serde(default)]
    storage_max: u64,
    #[serde(default)]
    repo_path: String,
    #[serde(default)]
    version: String,
}

async fn stat(arguments: Stat, session: &mut Session) -> Outcome {
    let call = Call::new("repo/stat").flag("size-only", arguments.size_only);
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    let sizes: Sizes = parse(&line)?;
    let show = |bytes: u64| if arguments.human { show_bytes(bytes) } else { bytes.to_string() };
    // No limit is the largest number that Kubo's clients read.
    let limit = if sizes.storage_max >= i64::MAX as u64 { "none".to_owned() } else { show(sizes.storage_max) };
    let mut rows = vec![("RepoSize:", show(sizes.repo_size)), ("StorageMax:", limit)];
    if !arguments.size_only {
        rows.insert(0, ("NumObjects:", sizes.num_objects.to_string()));
        rows.push(("RepoPath:", sizes.repo_path));
        rows.push(("Version:", sizes.version));
    }
    for (name, value) in rows {
        session.output.line(format_args!("{name:<11} {value}"))?;
    }
    session.output.flush()
}

/// A block that was removed, or how far it is; the last one says what came back.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Collected {
    key: Option<Link>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    marked: u64,
    #[serde(default)]
    removed: u64,
    #[serde(default)]
    unreadable: u64,
    freed: Option<u64>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "/")]
    cid: String,
}

async fn collect(arguments: Collect, session: &mut Session) -> Outcome {
    let call = Call::new("repo/gc")
        .flag("silent", arguments.silent)
        .flag("stream-errors", arguments.stream_errors)
        .flag("progress", true);
    let mut progress = Progress::start(session.shows_progress(), "looking at what is protected");
    let mut answer = progress.watch(session.client.send(call)).await?;
    while let Some(line) = progress.watch(answer.line()).await? {
        let collected: Collected = parse(&line)?;
        if let Some(freed) = collected.freed {
            progress.beside(|| tell_end(&collected, freed));
        }
        match &collected.key {
            Some(_) if session.output.is_json() => progress.beside(|| session.output.raw_line(&line))?,
            Some(key) if arguments.quiet => progress.beside(|| session.output.line(&key.cid))?,
            Some(key) => progress.beside(|| session.output.line(format_args!("removed {}", key.cid)))?,
            None if !collected.error.is_empty() => progress.beside(|| warn(&collected.error)),
            None => progress.say(format!("{} blocks kept, {} removed", collected.marked, collected.removed)),
        }
    }
    session.output.flush()
}

fn tell_end(collected: &Collected, freed: u64) {
    eprintln!(
        "{} blocks removed, {} came back; {} blocks kept",
        collected.removed,
        show_bytes(freed),
        collected.marked
    );
    if collected.unreadable > 0 {
        warn(&format!(
            "{} blocks that are kept could not be read: what they lead to was not protected",
            collected.unreadable
        ));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Verified {
    #[serde(default)]
    msg: String,
    #[serde(default)]
    progress: u64,
}

async fn verify(session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), "reading blocks");
    let mut answer = progress.watch(session.client.send(Call::new("repo/verify"))).await?;
    while let Some(line) = progress.watch(answer.line()).await? {
        let verified: Verified = parse(&line)?;
        if session.output.is_json() {
            session.output.raw_line(&line)?;
        } else if verified.msg.is_empty() {
            progress.say(format!("{} blocks processed", verified.progress));
        } else {
            progress.beside(|| session.output.line(&verified.msg))?;
        }
        session.output.flush()?;
    }
    Ok(())
}

async fn path(session: &mut Session) -> Outcome {
    let sizes: Sizes = session.client.send(Call::new("repo/stat").flag("size-only", false)).await?.only().await?;
    print_path(&sizes.repo_path, &mut session.output)
}

pub(super) fn print_path(path: &str, output: &mut Output) -> Outcome {
    match output.is_json() {
        true => output.object(&serde_json::json!({"Path": path}))?,
        false => output.line(path)?,
    }
    output.flush()
}

impl Arguments {
    /// Whether the answer is known without a node.
    pub(super) fn needs_no_node(&self) -> bool {
        matches!(self.command, Command::Path)
    }
}
