//! `cidra name`: names that can change what they stand for.

use std::path::PathBuf;

use bytes::Bytes;
use clap::{ArgAction, Args, Subcommand};
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::Outcome;
use super::key::NameBase;
use super::output::printable;
use super::progress::Progress;
use super::session::Session;

/// Let names lead to content that changes
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra name publish CID\n  cidra cat /ipns/NAME/index.html")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Publish(Box<Publish>),
    Resolve(Resolve),
    Inspect(Inspect),
}

/// Let a name lead somewhere
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra name publish --key=website CID\n\n\
    A daemon of this repository tells it to others again every four hours, for as long as it has the key.")]
struct Publish {
    /// Where it is to lead: a CID, a path under one, or another name
    #[arg(value_name = "PATH")]
    path: Content,
    /// Which key's name: as `cidra key list` calls it, or its name for everybody
    #[arg(short, long, default_value = "self", value_name = "KEY")]
    key: String,
    /// Look first whether the path leads anywhere
    #[arg(long, action = ArgAction::SetFalse)]
    resolve: bool,
    /// For how long the record is valid, such as 48h
    #[arg(short = 't', long, default_value = "48h", value_name = "DURATION")]
    lifetime: String,
    /// For how long others may believe it without asking again, such as 5m
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// The number of the record, higher than that of the last one
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// Print the name alone
    #[arg(short = 'Q', long)]
    quieter: bool,
    /// Make a record that old readers can read, too
    #[arg(long, action = ArgAction::SetFalse)]
    v1compat: bool,
    /// It is enough when the record is kept here
    #[arg(long)]
    allow_offline: bool,
    #[command(flatten)]
    base: NameBase,
    #[command(flatten)]
    fetching: Fetching,
}

/// Print where a name leads
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra name resolve k51…\n  cidra name resolve example.com")]
struct Resolve {
    /// A name of a key or of a website; without it, this node's own
    name: Option<String>,
    /// Follow names that lead to names
    #[arg(short, long, action = ArgAction::SetFalse)]
    recursive: bool,
    /// Ask again, whatever was found lately
    #[arg(short, long)]
    nocache: bool,
    /// How many peers' records are enough
    #[arg(long, alias = "dhtrc", value_name = "N")]
    dht_record_count: Option<usize>,
    /// How long to ask peers; 0 is as long as it takes
    #[arg(long, alias = "dhtt", value_name = "DURATION")]
    dht_timeout: Option<String>,
    /// Print what is known at once, then what peers say
    #[arg(short, long)]
    stream: bool,
}

/// Print what stands in a record
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra routing get /ipns/NAME > record\n  cidra name inspect --verify NAME record")]
struct Inspect {
    /// The file; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whether it is a valid record of this name
    #[arg(long, value_name = "NAME")]
    verify: Option<String>,
    /// Its bytes, too
    #[arg(long, action = ArgAction::SetFalse)]
    dump: bool,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Publish(arguments) => publish(*arguments, session).await?,
        Command::Resolve(arguments) => resolve(arguments, session).await?,
        Command::Inspect(arguments) => inspect(arguments, session).await?,
    }
    session.output.flush()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Published {
    name: String,
    value: String,
}

async fn publish(arguments: Publish, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), "publishing");
    let call = Call::new("name/publish")
        .argument(&arguments.path)
        .option("key", &arguments.key)
        .flag("resolve", arguments.resolve)
        .option("lifetime", &arguments.lifetime)
        .maybe("ttl", arguments.ttl.as_ref())
        .maybe("sequence", arguments.sequence)
        .flag("v1compat", arguments.v1compat)
        .flag("allow-offline", arguments.allow_offline);
    let call = arguments.fetching.into_call(arguments.base.into_call(call), &session.global);
    let answer = progress.watch(session.client.send(call)).await?;
    let line = progress.watch(answer.only_line()).await?;
    drop(progress);
    if session.output.is_json() {
        return session.output.raw_line(&line);
    }
    let Published { name, value } = parse(&line)?;
    match arguments.quieter {
        true => session.output.line(name),
        false => session.output.line(format_args!("Published to {name}: {}", printable(&value))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resolved {
    path: String,
}

async fn resolve(arguments: Resolve, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), "asking for the name");
    let mut call = Call::new("name/resolve");
    if let Some(name) = &arguments.name {
        call = call.argument(name);
    }
    let call = call
        .flag("recursive", arguments.recursive)
        .flag("nocache", arguments.nocache)
        .maybe("dht-record-count", arguments.dht_record_count)
        .maybe("dht-timeout", arguments.dht_timeout.as_ref())
        .flag("stream", arguments.stream);
    let call = super::content_argument::with_patience(call, &session.global);
    let mut answer = progress.watch(session.client.send(call)).await?;
    while let Some(line) = progress.watch(answer.line()).await? {
        match session.output.is_json() {
            true => progress.beside(|| session.output.raw_line(&line))?,
            false => {
                let Resolved { path } = parse(&line)?;
                progress.beside(|| session.output.line(printable(&path)))?;
            }
        }
        session.output.flush()?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    entry: Entry,
    pb_size: u64,
    signature_type: String,
    hex_dump: String,
    validation: Option<Validation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    value: String,
    validity_type: Option<u64>,
    validity: Option<String>,
    sequence: Option<u64>,
    #[serde(rename = "TTL")]
    ttl: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Validation {
    valid: bool,
    reason: String,
    name: String,
}

async fn inspect(arguments: Inspect, session: &mut Session) -> Outcome {
    let file = arguments.file.unwrap_or_else(|| "-".into());
    let bytes: Bytes = super::key::read(&file, &mut session.input)?;
    let call = Call::new("name/inspect").maybe("verify", arguments.verify).flag("dump", arguments.dump).files(&[bytes]);
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        return session.output.raw_line(&line);
    }
    let Inspected { entry, pb_size, signature_type, hex_dump, validation } = parse(&line)?;
    let output = &mut session.output;
    if !entry.value.is_empty() {
        output.line(format_args!("Value:          {:?}", entry.value))?;
    }
    if let Some(kind) = entry.validity_type {
        output.line(format_args!("Validity Type:  {kind}"))?;
    }
    if let Some(validity) = entry.validity {
        output.line(format_args!("Validity:       {validity:?}"))?;
    }
    if let Some(sequence) = entry.sequence {
        output.line(format_args!("Sequence:       {sequence}"))?;
    }
    if let Some(ttl) = entry.ttl {
        output.line(format_args!("TTL:            {}", in_go(ttl)))?;
    }
    output.line(format_args!("Protobuf Size:  {pb_size}\nSignature Type: {signature_type}\n"))?;
    match validation {
        None => output.line("This record was not verified. Pass '--verify k51...' to verify.")?,
        Some(Validation { valid, reason, name }) => {
            output.line(format_args!("Validation results:\n\tValid:  {valid}"))?;
            if !reason.is_empty() {
                output.line(format_args!("\tReason: {}", printable(&reason)))?;
            }
            output.line(format_args!("\tName:   {name}"))?;
        }
    }
    if !hex_dump.is_empty() {
        output.line(format_args!("\nHex Dump:\n{}", hex_dump.trim_end()))?;
    }
    Ok(())
}

/// Nanoseconds as Go writes a duration: `1h0m0s`, `1.5s`, `300ms` as `0.3s`.
fn in_go(nanoseconds: u64) -> String {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let fraction = format!(".{rest:09}");
    let seconds_text = format!("{}{}s", seconds % 60, fraction.trim_end_matches('0').trim_end_matches('.'));
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => seconds_text,
        (0, minutes) => format!("{minutes}m{seconds_text}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds_text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        assert_eq!(in_go(3_600_000_000_000), "1h0m0s");
        assert_eq!(in_go(300_000_000_000), "5m0s");
        assert_eq!(in_go(1_500_000_000), "1.5s");
        assert_eq!(in_go(0), "0s");
    }
}
