//! `cidra stats`: what the running node did since it started.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::Peer;
use super::failure::Outcome;
use super::session::Session;
use super::units::{duration_argument, parse_duration, show_bytes, show_duration};

/// Show what the running node did since it started
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra stats bw")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Bw(Bandwidth),
    /// Blocks that came and went
    #[command(after_help = "Example:\n  cidra stats exchange")]
    Exchange,
    /// What is announced, and what is kept for others
    #[command(after_help = "Example:\n  cidra stats provide")]
    Provide,
}

/// Bytes to and from peers, and how fast
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra stats bw --poll --interval 5s\n  cidra stats bw --peer 12D3KooW…\n  \
                        cidra stats bw --proto /cidra/blocks/1.0.0")]
struct Bandwidth {
    /// Only with this peer, while it is connected
    #[arg(short, long, value_name = "PEER")]
    peer: Option<Peer>,
    /// Only in streams of this protocol
    #[arg(short = 't', long, value_name = "PROTOCOL", conflicts_with = "peer")]
    proto: Option<String>,
    /// Again and again, until Ctrl-C
    #[arg(long)]
    poll: bool,
    /// How often
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, default_value = "1s")]
    interval: Duration,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Bw(arguments) => bandwidth(arguments, session).await,
        Command::Exchange => exchange(session).await,
        Command::Provide => provide(session).await,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Measured {
    total_in: u64,
    total_out: u64,
    rate_in: f64,
    rate_out: f64,
}

async fn bandwidth(arguments: Bandwidth, session: &mut Session) -> Outcome {
    let call = Call::new("stats/bw")
        .maybe("peer", arguments.peer.map(|peer| peer.0))
        .maybe("proto", arguments.proto)
        .flag("poll", arguments.poll)
        .option("interval", duration_argument(arguments.interval));
    let mut answer = session.client.send(call).await?;
    while let Some(line) = answer.line().await? {
        if session.output.is_json() {
            session.output.raw_line(&line)?;
        } else {
            let measured: Measured = parse(&line)?;
            let rate = |rate: f64| format!("{}/s", show_bytes(rate as u64));
            let rows = [
                ("TotalIn", show_bytes(measured.total_in)),
                ("TotalOut", show_bytes(measured.total_out)),
                ("RateIn", rate(measured.rate_in)),
                ("RateOut", rate(measured.rate_out)),
            ];
            match arguments.poll {
                true => session
                    .output
                    .line(rows.map(|(name, value)| format!("{name}: {value:<12}")).join(" ").trim_end())?,
                false => {
                    session.output.line("Bandwidth")?;
                    for (name, value) in rows {
                        session.output.line(format_args!("{name}: {value}"))?;
                    }
                }
            }
        }
        session.output.flush()?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exchanged {
    peers: u64,
    blocks_received: u64,
    data_received: u64,
    dup_data_received: u64,
    blocks_sent: u64,
    data_sent: u64,
    searches: u64,
    dials: u64,
    dials_made: u64,
    accepted: u64,
}

async fn exchange(session: &mut Session) -> Outcome {
    let line = session.client.send(Call::new("cidra/stats/exchange")).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    let done: Exchanged = parse(&line)?;
    let of_no_use = show_bytes(done.dup_data_received);
    let received =
        format!("{} blocks, {}, of no use {of_no_use}", done.blocks_received, show_bytes(done.data_received));
    rows(
        session,
        &[
            ("received", received),
            ("sent", format!("{} blocks, {}", done.blocks_sent, show_bytes(done.data_sent))),
            ("searches", done.searches.to_string()),
            ("peers", done.peers.to_string()),
            ("dialled", format!("{}, of these {} connected", done.dials, done.dials_made)),
            ("accepted", done.accepted.to_string()),
        ],
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Announced {
    queued: u64,
    announced: u64,
    #[serde(default)]
    oldest_announcement: Option<u64>,
    #[serde(default)]
    latest_announcement: Option<u64>,
    records: u64,
    #[serde(default)]
    strategy: String,
    #[serde(default)]
    sweep: Sweep,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sweep {
    turns: u64,
    done: f64,
    names: u64,
    regions: u64,
    requests: u64,
    records: u64,
    #[serde(default)]
    last: Option<u64>,
}

async fn provide(session: &mut Session) -> Outcome {
    let line = session.client.send(Call::new("cidra/stats/provide")).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    let done: Announced = parse(&line)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ago = |time: Option<u64>| match time {
        Some(time) => format!("{} ago", show_duration(now.saturating_sub(Duration::from_secs(time)))),
        None => "never".to_owned(),
    };
    let Sweep { turns, names, regions, requests, records, .. } = done.sweep;
    let again =
        format!("{names} keys in {regions} regions: {requests} requests, {records} records; {}", ago(done.sweep.last));
    rows(
        session,
        &[
            ("strategy", done.strategy),
            ("announced", format!("{} roots", done.announced)),
            ("queued", format!("{} roots", done.queued)),
            ("latest", ago(done.latest_announcement)),
            ("oldest", ago(done.oldest_announcement)),
            ("sweep", format!("turn {}, {:.1} % done", turns + 1, done.sweep.done * 100.0)),
            ("again", again),
            ("kept", format!("{} records of this node and others", done.records)),
        ],
    )
}

fn rows(session: &mut Session, rows: &[(&str, String)]) -> Outcome {
    for (name, value) in rows {
        session.output.line(format_args!("{:<11} {value}", format!("{name}:")))?;
    }
    session.output.flush()
}
