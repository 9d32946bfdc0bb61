//! The network as the rest of the node sees it: a handle. (Its interface; the driver behind it lands with the network.)

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cid::Cid;
use cidra_content::block::Links;
use cidra_content::exchange::{self, Order};
use futures::stream::BoxStream;
use libp2p::identity::{Keypair, PublicKey};
use libp2p::{Multiaddr, PeerId};

use crate::pool::Pool;
use crate::store::Store;

#[derive(Clone, Debug)]
pub struct Network(());

#[derive(Clone, Debug, Default)]
pub struct Config {
    pub listen: Vec<Multiaddr>,
    pub bootstrap: Vec<Multiaddr>,
    pub routing: Routing,
    pub swarm_key: Option<SwarmKey>,
    pub announce: bool,
    pub low_water: u32,
    pub high_water: u32,
    pub exchange: exchange::Config,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    #[default]
    Client,
    Server,
    None,
}

#[derive(Clone, Debug)]
pub struct SwarmKey(());

impl SwarmKey {
    pub fn load(_: &Path) -> Result<Self, SwarmKeyError> {
        Err(SwarmKeyError)
    }
}

#[derive(Clone, Debug)]
pub struct PeerInfo {
    pub peer: PeerId,
    pub address: Multiaddr,
    pub inbound: bool,
    pub latency: Option<Duration>,
    pub protocols: Vec<String>,
    pub agent: Option<String>,
}

#[derive(Clone, Debug)]
pub struct PeerIdentity {
    pub public_key: PublicKey,
    pub agent: String,
    pub protocols: Vec<String>,
    pub addresses: Vec<Multiaddr>,
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub peer: PeerId,
    pub addresses: Vec<Multiaddr>,
}

#[derive(Debug)]
pub struct Session(());

#[derive(Clone, Debug)]
pub enum SessionEvent {
    Delivered { cid: Cid, links: Links },
    Missing { cid: Cid, report: exchange::Report<PeerId> },
}

impl Session {
    pub async fn want(&mut self, _: Vec<(Cid, i32)>) {}
    pub async fn unwant(&mut self, _: Vec<Cid>) {}
    pub async fn next(&mut self) -> Option<SessionEvent> {
        None
    }
    pub fn try_next(&mut self) -> Option<SessionEvent> {
        None
    }
    pub async fn report(&self) -> Option<exchange::SessionReport<PeerId>> {
        None
    }
}

impl Network {
    pub async fn start(_: Config, _: Keypair, _: &Path, _: Option<(Store, Pool)>) -> Result<Self, StartError> {
        Err(StartError)
    }
    pub fn peer_id(&self) -> PeerId {
        PeerId::random()
    }
    pub async fn listen_addresses(&self) -> Vec<Multiaddr> {
        vec![]
    }
    pub async fn announced_addresses(&self) -> Vec<Multiaddr> {
        vec![]
    }
    pub async fn connect(&self, _: Multiaddr) -> Result<PeerId, ConnectError> {
        Err(ConnectError)
    }
    pub async fn disconnect(&self, _: PeerId) -> bool {
        false
    }
    pub async fn peers(&self) -> Vec<PeerInfo> {
        vec![]
    }
    pub async fn known_addresses(&self) -> BTreeMap<PeerId, Vec<Multiaddr>> {
        BTreeMap::new()
    }
    pub async fn ping(&self, _: PeerId) -> Result<Duration, PingError> {
        Err(PingError)
    }
    pub async fn identify(&self, _: PeerId) -> Result<PeerIdentity, ConnectError> {
        Err(ConnectError)
    }
    pub fn find_providers(&self, _: Cid, _: usize) -> BoxStream<'static, Provider> {
        Box::pin(futures::stream::empty())
    }
    pub async fn find_peer(&self, _: PeerId) -> Result<Vec<Multiaddr>, ConnectError> {
        Err(ConnectError)
    }
    pub async fn provide(&self, _: Cid) -> Result<usize, ConnectError> {
        Err(ConnectError)
    }
    pub async fn open(&self, _: Cid, _: Order, _: Vec<Multiaddr>) -> Session {
        Session(())
    }
    pub async fn set_bootstrap(&self, _: Vec<Multiaddr>) {}
    pub fn announce_soon(&self) {}
    pub async fn shutdown(&self) {}
}

#[derive(Debug, thiserror::Error)]
#[error("the network does not start")]
pub struct StartError;
#[derive(Debug, thiserror::Error)]
#[error("cannot connect")]
pub struct ConnectError;
#[derive(Debug, thiserror::Error)]
#[error("no answer to a ping")]
pub struct PingError;
#[derive(Debug, thiserror::Error)]
#[error("no swarm key")]
pub struct SwarmKeyError;
