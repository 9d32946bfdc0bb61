//! `cidra bootstrap`: whom this node meets first.

use clap::{Args, Subcommand};
use libp2p::Multiaddr;
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::failure::{Failure, Outcome};
use super::session::Session;
use crate::config::multiaddr;

/// List and change the nodes that this one meets first
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra bootstrap add /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…\n  cidra bootstrap list")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// List them
    #[command(after_help = "Example:\n  cidra bootstrap list")]
    List,
    /// Add nodes to the list
    #[command(after_help = "Example:\n  cidra bootstrap add /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…")]
    Add {
        /// Their addresses
        #[arg(required = true, value_name = "MULTIADDR", value_parser = multiaddr)]
        addresses: Vec<Multiaddr>,
    },
    /// Take nodes off the list
    #[command(after_help = "Example:\n  cidra bootstrap rm --all")]
    Rm {
        /// Their addresses
        #[arg(value_name = "MULTIADDR", value_parser = multiaddr)]
        addresses: Vec<Multiaddr>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Peers {
    #[serde(default)]
    peers: Option<Vec<String>>,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let texts = |addresses: Vec<Multiaddr>| addresses.into_iter().map(|address| address.to_string());
    let (call, done) = match arguments.command {
        None | Some(Command::List) => (Call::new("bootstrap/list"), ""),
        Some(Command::Add { addresses }) => (Call::new("bootstrap/add").arguments(texts(addresses)), "added "),
        Some(Command::Rm { all: true, .. }) => (Call::new("bootstrap/rm/all"), "removed "),
        Some(Command::Rm { addresses, .. }) if addresses.is_empty() => {
            return Err(Failure::usage("say which address to remove, or --all"));
        }
        Some(Command::Rm { addresses, .. }) => (Call::new("bootstrap/rm").arguments(texts(addresses)), "removed "),
    };
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
    } else {
        for peer in parse::<Peers>(&line)?.peers.unwrap_or_default() {
            session.output.line(format_args!("{done}{peer}"))?;
        }
    }
    session.output.flush()
}
