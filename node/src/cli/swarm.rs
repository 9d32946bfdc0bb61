//! `cidra swarm`: the connections of the running node.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use libp2p::Multiaddr;
use serde::Deserialize;

use super::answer::parse;
use super::call::Call;
use super::content_argument::{Peer, with_patience};
use super::failure::Outcome;
use super::session::Session;
use crate::config::multiaddr;

/// Look after the connections of the running node
#[derive(Args, Clone)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  cidra swarm peers")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    Peers(Peers),
    Connect(Connect),
    Disconnect(Disconnect),
    Addrs(Addresses),
}

/// List the addresses that are known of peers
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra swarm addrs\n  cidra swarm addrs local --id")]
struct Addresses {
    #[command(subcommand)]
    command: Option<OwnAddresses>,
}

#[derive(Clone, Subcommand)]
enum OwnAddresses {
    /// List the addresses that this node listens on
    #[command(after_help = "Example:\n  cidra swarm addrs listen")]
    Listen,
    /// List the addresses that this node tells others
    #[command(after_help = "Example:\n  cidra swarm addrs local --id")]
    Local {
        /// With the id of this node at the end
        #[arg(long)]
        id: bool,
    },
}

/// List the peers that are connected
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra swarm peers --latency")]
struct Peers {
    /// How long an answer takes
    #[arg(long)]
    latency: bool,
    /// Who called whom
    #[arg(long)]
    direction: bool,
    /// What runs on the connection
    #[arg(long)]
    streams: bool,
}

/// Connect to peers
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra swarm connect /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…")]
struct Connect {
    /// Their addresses
    #[arg(required = true, value_name = "MULTIADDR", value_parser = multiaddr)]
    addresses: Vec<Multiaddr>,
}

/// Close connections to peers
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra swarm disconnect /p2p/12D3KooW…")]
struct Disconnect {
    /// Their ids or addresses
    #[arg(required = true, value_name = "PEER")]
    peers: Vec<Peer>,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    match arguments.command {
        Command::Peers(arguments) => peers(arguments, session).await,
        Command::Connect(arguments) => {
            let addresses = arguments.addresses.iter().map(Multiaddr::to_string);
            strings(Call::new("swarm/connect").arguments(addresses), session).await
        }
        Command::Disconnect(arguments) => {
            let peers = arguments.peers.into_iter().map(|peer| as_address(peer.0));
            strings(Call::new("swarm/disconnect").arguments(peers), session).await
        }
        Command::Addrs(Addresses { command: None }) => addresses(session).await,
        Command::Addrs(Addresses { command: Some(OwnAddresses::Listen) }) => {
            strings(Call::new("swarm/addrs/listen"), session).await
        }
        Command::Addrs(Addresses { command: Some(OwnAddresses::Local { id }) }) => {
            strings(Call::new("swarm/addrs/local").flag("id", id), session).await
        }
    }
}

fn as_address(peer: String) -> String {
    if peer.starts_with('/') { peer } else { format!("/p2p/{peer}") }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Connections {
    #[serde(default)]
    peers: Option<Vec<Connection>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Connection {
    addr: String,
    peer: String,
    #[serde(default)]
    latency: String,
    #[serde(default)]
    direction: Option<i32>,
    #[serde(default)]
    streams: Option<Vec<Stream>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    #[serde(default)]
    protocol: String,
}

async fn peers(arguments: Peers, session: &mut Session) -> Outcome {
    let all = session.global.verbose > 0;
    let (latency, direction, streams) =
        (all || arguments.latency, all || arguments.direction, all || arguments.streams);
    let call = Call::new("swarm/peers")
        .flag("latency", latency)
        .flag("direction", direction)
        .flag("streams", streams)
        .flag("verbose", all);
    let line = session.client.send(call).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    for peer in parse::<Connections>(&line)?.peers.unwrap_or_default() {
        let mut text = peer.addr;
        if !text.contains("/p2p/") || text.contains("/p2p-circuit") {
            text = format!("{text}/p2p/{}", peer.peer);
        }
        if latency {
            text = format!("{text} {}", if peer.latency.is_empty() { "n/a" } else { &peer.latency });
        }
        if direction {
            let word = match peer.direction {
                Some(1) => "inbound",
                Some(2) => "outbound",
                _ => "unknown",
            };
            text = format!("{text} {word}");
        }
        session.output.line(text)?;
        for stream in peer.streams.filter(|_| streams).unwrap_or_default() {
            session.output.line(format_args!("  {}", stream.protocol))?;
        }
    }
    session.output.flush()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Strings {
    #[serde(default)]
    strings: Option<Vec<String>>,
}

async fn strings(call: Call, session: &mut Session) -> Outcome {
    let line = session.client.send(with_patience(call, &session.global)).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
    } else {
        for text in parse::<Strings>(&line)?.strings.unwrap_or_default() {
            session.output.line(text)?;
        }
    }
    session.output.flush()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Known {
    #[serde(default)]
    addrs: Option<BTreeMap<String, Option<Vec<String>>>>,
}

async fn addresses(session: &mut Session) -> Outcome {
    let line = session.client.send(Call::new("swarm/addrs")).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    for (peer, addresses) in parse::<Known>(&line)?.addrs.unwrap_or_default() {
        let addresses = addresses.unwrap_or_default();
        session.output.line(format_args!("{peer} ({})", addresses.len()))?;
        for address in addresses {
            session.output.line(format_args!("\t{address}"))?;
        }
    }
    session.output.flush()
}
