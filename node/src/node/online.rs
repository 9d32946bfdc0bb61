//! The network of a node, as its configuration and its role have it.

use cidra_content::exchange;
use libp2p::Multiaddr;

use super::{Node, NodeError, Role};
use crate::config::{Routing, Strategy};
use crate::identity;
use crate::network::{self, Network, SwarmKey};

impl Node {
    /// The network, started on first use.
    pub async fn network(&self) -> Result<Network, NodeError> {
        if self.0.settings.offline {
            return Err(NodeError::Offline);
        }
        let network = self.0.network.get_or_try_init(|| self.start_network()).await?;
        Ok(network.clone())
    }

    /// The network, if it runs.
    pub fn running_network(&self) -> Option<Network> {
        self.0.network.get().cloned()
    }

    async fn start_network(&self) -> Result<Network, NodeError> {
        let settings = &self.0.settings;
        let key_file = settings.swarm_key.clone().or_else(|| {
            let file = self.0.repository.swarm_key();
            file.exists().then_some(file)
        });
        let swarm_key = match key_file {
            Some(file) => Some(SwarmKey::load(&file)?),
            None => None,
        };
        let is_daemon = self.is_daemon();
        let listen = settings.listen.clone().unwrap_or_else(|| match settings.role {
            Role::Daemon => settings.config.swarm.listen.clone(),
            Role::Command => everywhere(0),
            Role::Sender => everywhere(identity::port(&self.0.keypair)),
        });
        let routing = match (settings.routing.unwrap_or(settings.config.routing.mode), is_daemon) {
            (Routing::Auto, true) => network::Routing::Auto,
            (Routing::Auto, false) => network::Routing::Client,
            (Routing::Client, _) => network::Routing::Client,
            (Routing::Server, _) => network::Routing::Server,
            (Routing::None, _) => network::Routing::None,
        };
        let config = network::Config {
            listen,
            bootstrap: self.bootstrap(),
            peering: settings.config.swarm.peering.clone(),
            allow: settings.config.swarm.allow.clone(),
            deny: settings.config.swarm.deny.clone(),
            routing,
            swarm_key,
            announce: is_daemon,
            deny_lists: self.0.deny.clone(),
            strategy: match settings.config.provide.strategy {
                Strategy::All => network::Strategy::All,
                Strategy::Pinned => network::Strategy::Pinned,
                Strategy::Roots => network::Strategy::Roots,
            },
            low_water: settings.config.swarm.low_water,
            high_water: settings.config.swarm.high_water,
            limit_up: settings.config.swarm.limit_up.limit(),
            limit_down: settings.config.swarm.limit_down.limit(),
            port_mapping: is_daemon && settings.config.swarm.port_mapping,
            relay_client: settings.config.swarm.relay_client,
            mdns: settings.mdns.unwrap_or(settings.config.swarm.mdns),
            exchange: exchange::Config { referrals: settings.config.exchange.referrals, ..Default::default() },
            ..Default::default()
        };
        let blocks = Some((self.0.store.clone(), self.0.pool.clone()));
        Ok(Network::start(config, self.0.keypair.clone(), &self.0.repository.network(), blocks).await?)
    }
}

/// All addresses of this machine, at one port; 0: at free ones.
fn everywhere(port: u16) -> Vec<Multiaddr> {
    let hosts = ["/ip4/0.0.0.0", "/ip6/::"];
    let at = |host: &str| [format!("{host}/tcp/{port}"), format!("{host}/udp/{port}/quic-v1")];
    addresses(&hosts.map(at).concat())
}

fn addresses(texts: &[impl AsRef<str>]) -> Vec<Multiaddr> {
    texts.iter().map(|text| text.as_ref().parse().expect("a literal address")).collect()
}
