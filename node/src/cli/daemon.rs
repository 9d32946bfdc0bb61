//! `cidra daemon`: the node, until it is stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures::future::{OptionFuture, join, join_all};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::json;
use tokio::time::sleep;

use super::arguments::{Global, from_variable, switch_in, variable};
use super::call::Call;
use super::client::Client;
use super::failure::{Failure, Outcome};
use super::output::Output;
use super::session::{find_holder, settings};
use super::signals::Signals;
use super::warn;
use crate::api::{self, Server};
use crate::config::{Config, Listen, Rate, Routing};
use crate::gateway;
use crate::node::{Node, Role, Settings, Ticket};
use crate::repository::{Opening, Repository, socket_path};

/// Run the node: serve what is here, find and fetch what is not
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra daemon\n  cidra daemon --bootstrap /ip4/192.0.2.7/tcp/4001 --api-listen /ip4/127.0.0.1/tcp/0"
)]
pub(super) struct Arguments {
    /// Serve the RPC API here; `none` for the repository's socket alone [env: CIDRA_API_LISTEN]
    #[arg(long, value_name = "MULTIADDR")]
    api_listen: Option<Listen>,
    /// Serve the gateway here, or `none` [env: CIDRA_GATEWAY_LISTEN]
    #[arg(long, value_name = "MULTIADDR")]
    gateway_listen: Option<Listen>,
    /// Serve metrics here, or `none` [env: CIDRA_METRICS_LISTEN]
    #[arg(long, value_name = "MULTIADDR")]
    metrics_listen: Option<Listen>,
    /// Part in the DHT: auto, client, server or none [env: CIDRA_ROUTING]
    #[arg(long, value_name = "MODE")]
    routing: Option<Routing>,
    /// Let blocks go to others no faster than this, such as 2MB/s [env: CIDRA_LIMIT_UP]
    #[arg(long, value_name = "RATE")]
    limit_up: Option<Rate>,
    /// Let blocks come from others no faster than this [env: CIDRA_LIMIT_DOWN]
    #[arg(long, value_name = "RATE")]
    limit_down: Option<Rate>,
    /// Do not serve what was only fetched [env: CIDRA_NO_KEEP]
    #[arg(long)]
    no_keep: bool,
}

pub(super) async fn run(arguments: Arguments, global: Global, mut output: Output) -> Outcome {
    if global.api()?.is_some() && variable("CIDRA_API").is_none() {
        return Err(Failure::usage("--api names a daemon elsewhere, and this one would run here: leave it out"));
    }
    let mut signals = Signals::new()?;
    let path = global.repository()?;
    let settings = arguments.settings(&global)?;
    let (repository, tickets) = tokio::select! {
        taken = take(&path) => taken?,
        () = signals.next() => return Ok(()),
    };
    let is_first = !repository.config().exists();
    Config::write_template(&repository.config())?;
    let node = Node::open(repository, settings)?;
    if is_first && node.joins_public_network() {
        warn(PUBLIC);
    }
    for ticket in tickets {
        node.expect_guest(ticket).await?;
    }
    let running = tokio::select! {
        running = Running::start(&node, &mut output) => running?,
        () = signals.next() => return Ok(node.close().await?),
    };
    tokio::select! {
        () = signals.next() => {}
        () = node.stopped() => {}
        never = node.republish() => match never {},
    }
    let stopping = running.stop(&node);
    tokio::select! {
        stopped = stopping => stopped,
        // A second Ctrl-C: what was acknowledged is durable already.
        () = signals.next() => Ok(()),
    }
}

/// Said once, on standard error.
const PUBLIC: &str = "this node is on the public IPFS network, where anyone with a CID can fetch what it names; \
    `--swarm-key FILE` makes it one of a private network, `--bootstrap ADDRESS` or `none` one of whom you name";

/// The repository. A command that holds it is asked to hand it over, and comes back as a guest with its ticket; a daemon keeps it.
async fn take(path: &Path) -> Outcome<(Repository, Vec<Ticket>)> {
    let mut tickets = vec![];
    let mut asking = pin!(async {
        loop {
            match Repository::open(path)? {
                Opening::Held(repository) => return Ok((repository, std::mem::take(&mut tickets))),
                Opening::Busy => {}
            }
            match find_holder(path).await? {
                Some((_, true)) => {
                    return Err(Failure::failed(format!("a daemon runs on {} already", path.display())));
                }
                Some((mut holder, false)) => match hand_over(&mut holder).await {
                    Ok(ticket) => {
                        tickets.push(ticket);
                        continue;
                    }
                    // It ends, its disk is full, or it is a daemon that is not ready yet: the next look tells.
                    Err(failure) => tracing::info!(why = failure.message(), "the repository was not handed over yet"),
                },
                None => {}
            }
            sleep(LOOK_EVERY).await;
        }
    });
    tokio::select! {
        taken = &mut asking => return taken,
        () = sleep(TELL_AFTER) => warn(&format!("a command is using {}: waiting for it", path.display())),
    }
    asking.await
}

async fn hand_over(holder: &mut Client) -> Outcome<Ticket> {
    holder.send(Call::new("cidra/handover")).await?.only().await
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A holder that takes no longer is not worth a word.
const TELL_AFTER: Duration = Duration::from_secs(2);

impl Arguments {
    fn settings(&self, global: &Global) -> Outcome<Settings> {
        let given = |name, flag: &Option<Listen>| match flag {
            Some(listen) => Ok(Some(listen.clone())),
            None => variable(name).map(|text| from_variable::<Listen>(name, &text)).transpose(),
        };
        let mut settings = settings(global, Role::Daemon)?;
        if let Some(listen) = given("CIDRA_API_LISTEN", &self.api_listen)? {
            settings.config.api.listen = listen;
        }
        if let Some(listen) = given("CIDRA_GATEWAY_LISTEN", &self.gateway_listen)? {
            settings.config.gateway.listen = listen;
        }
        if let Some(listen) = given("CIDRA_METRICS_LISTEN", &self.metrics_listen)? {
            settings.config.metrics.listen = listen;
        }
        settings.names = variable("IPFS_NS_MAP").map(|map| names(&map)).unwrap_or_default();
        settings.routing = match self.routing {
            Some(routing) => Some(routing),
            None => variable("CIDRA_ROUTING").map(|text| from_variable("CIDRA_ROUTING", &text)).transpose()?,
        };
        let limits = [
            ("CIDRA_LIMIT_UP", self.limit_up, &mut settings.config.swarm.limit_up),
            ("CIDRA_LIMIT_DOWN", self.limit_down, &mut settings.config.swarm.limit_down),
        ];
        for (name, flag, setting) in limits {
            let given = variable(name).map(|text| from_variable(name, &text)).transpose()?;
            *setting = flag.or(given).unwrap_or(*setting);
        }
        if self.no_keep || switch_in("CIDRA_NO_KEEP")? {
            settings.keep = Some(false);
        }
        Ok(settings)
    }
}

/// As Kubo reads them: `name:/ipfs/CID,name:/ipns/name`.
fn names(map: &str) -> BTreeMap<String, String> {
    let pairs = map.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, path)| (name.trim().to_ascii_lowercase(), path.trim().to_owned())).collect()
}

/// The servers of a daemon that is ready.
struct Running {
    servers: Vec<Server>,
    gateway: Option<Server>,
}

impl Running {
    /// Starts everything and prints where it listens.
    async fn start(node: &Node, output: &mut Output) -> Outcome<Self> {
        // The ports first: that one is taken is the likeliest failure.
        let tcp = match &node.config().api.listen {
            Listen::At(address) => Some(api::serve_tcp(node.clone(), address).await?),
            Listen::Nowhere => None,
        };
        let metrics = match &node.config().metrics.listen {
            Listen::At(address) => Some(api::serve_metrics(node.clone(), address).await?),
            Listen::Nowhere => None,
        };
        let gateway = match &node.config().gateway.listen {
            Listen::At(address) => Some(gateway::serve(node.clone(), address).await?),
            Listen::Nowhere => None,
        };
        let socket = api::serve_socket(node.clone(), &socket_path(node.repository_path())).await?;
        if !node.settings().offline {
            let network = node.network().await?;
            for address in network.listen_addresses().await {
                announce(output, "Listening", "Swarm listening on ", &with_peer(address, node.peer_id()))?;
            }
        }
        if let Some(server) = &tcp {
            let address = server.address().to_string();
            node.repository().announce_api(Some(&address))?;
            announce(output, "Api", "RPC API server listening on ", &address)?;
        }
        if let Some(server) = &gateway {
            announce(output, "Gateway", "Gateway server listening on ", server.address())?;
        }
        if let Some(server) = &metrics {
            announce(output, "Metrics", "Metrics server listening on ", server.address())?;
        }
        match output.is_json() {
            true => output.object(&json!({"Event": "Ready"}))?,
            false => output.line("Daemon is ready")?,
        }
        output.flush()?;
        Ok(Self { servers: tcp.into_iter().chain(metrics).chain([socket]).collect(), gateway })
    }

    /// Ends the servers, then the network, then makes all durable.
    async fn stop(self, node: &Node) -> Outcome {
        node.repository().announce_api(None)?;
        // Guests that wait for nothing hear of it, and hold nobody up.
        node.stop();
        let servers = join_all(self.servers.into_iter().map(|server| server.shutdown(GRACE)));
        let gateway = OptionFuture::from(self.gateway.map(|server| server.shutdown(GRACE)));
        join(servers, gateway).await;
        Ok(node.close().await?)
    }
}

/// What requests under way get to end by themselves.
const GRACE: Duration = Duration::from_secs(1);

fn announce(output: &mut Output, event: &str, words: &str, address: &impl std::fmt::Display) -> Outcome {
    match output.is_json() {
        true => output.object(&json!({"Event": event, "Address": address.to_string()}))?,
        false => output.line(format_args!("{words}{address}"))?,
    }
    output.flush()
}

fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    match address.iter().last() {
        Some(Protocol::P2p(_)) => address,
        _ => address.with(Protocol::P2p(peer)),
    }
}
