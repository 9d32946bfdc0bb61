//! `cidra ping`: whether a peer answers, and how fast.

use clap::Args;
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Peer, with_patience};
use super::failure::{Failure, Outcome};
use super::session::Session;

/// Ask a peer for a sign of life
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra ping -n 3 12D3KooW…\n  cidra ping /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…")]
pub(super) struct Arguments {
    /// A peer's id, or an address that ends in /p2p/ID
    #[arg(value_name = "PEER")]
    peer: Peer,
    /// So many times
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pong {
    #[serde(default)]
    success: bool,
    /// Nanoseconds.
    #[serde(default)]
    time: u64,
    #[serde(default)]
    text: String,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let call = Call::new("ping").argument(&arguments.peer.0).option("count", arguments.count.to_string());
    let mut answer = session.client.send(with_patience(call, &session.global)).await?;
    let mut answered = false;
    while let Some(line) = answer.line().await? {
        let pong: Pong = parse(&line)?;
        answered |= pong.success && pong.text.is_empty();
        if session.output.is_json() {
            session.output.raw_line(&line)?;
        } else if !pong.text.is_empty() {
            session.output.line(&pong.text)?;
        } else if pong.success {
            session.output.line(format_args!("Pong received: time={:.2} ms", pong.time as f64 / 1e6))?;
        } else {
            session.output.line("Pong failed")?;
        }
        session.output.flush()?;
    }
    match answered {
        true => Ok(()),
        false => Err(Failure::failed(format!("{} answered no ping", arguments.peer.0))),
    }
}
