//! Finding peers on the local network by multicast DNS: asks, answers and listens on each interface that this node listens on,
//! never on loopback.
//!
//! libp2p's own behaviour for it remembers whatever anybody on the network says, for as long as they say, and that without a
//! limit; so the sockets are ours. What comes in is forgery until the connection has proven it. Therefore an address counts only
//! when it is the one that the packet came from: nobody can send this node to others. Each socket reads so many packets in a
//! second and hands on so many findings; what is more is dropped.

mod group;
mod neighbours;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cidra_content::mdns::{self, Message};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use self::group::Group;
pub(super) use self::neighbours::Neighbours;
use super::address::peer_of;

/// Asking and answering on the local network. Dropping it ends that.
pub(super) struct Mdns {
    here: PeerId,
    instance: String,
    interfaces: BTreeMap<IpAddr, Interface>,
    listening: watch::Sender<Vec<Multiaddr>>,
    sink: mpsc::Sender<Found>,
    found: mpsc::Receiver<Found>,
}

/// A peer that says it is on the local network; nothing of it is proven.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
}

struct Interface(JoinHandle<()>);

impl Drop for Interface {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Mdns {
    pub(super) fn new(here: PeerId) -> Self {
        let (sink, found) = mpsc::channel(MAX_FOUND);
        let instance = rand::rng().sample_iter(Alphanumeric).take(INSTANCE).map(char::from).collect();
        Self { here, instance, interfaces: BTreeMap::new(), listening: watch::channel(vec![]).0, sink, found }
    }

    /// The next finding. Cancel safe.
    pub(super) async fn next(&mut self) -> Found {
        self.found.recv().await.expect("this struct holds a sender")
    }

    /// Whether it speaks on any interface.
    pub(super) fn is_at_work(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// This node listens at these addresses.
    pub(super) fn handle_listening(&mut self, addresses: &[Multiaddr]) {
        let ips = interfaces(addresses);
        self.interfaces.retain(|ip, interface| ips.contains(ip) && !interface.0.is_finished());
        self.listening.send_replace(addresses.to_vec());
        for ip in ips.into_iter().take(MAX_INTERFACES) {
            if self.interfaces.contains_key(&ip) {
                continue;
            }
            match Group::join(ip) {
                Ok(group) => {
                    tracing::debug!(%ip, "looking for peers on the local network");
                    let speaker = Speaker {
                        ip,
                        group,
                        here: self.here,
                        instance: self.instance.clone(),
                        listening: self.listening.subscribe(),
                        sink: self.sink.clone(),
                    };
                    self.interfaces.insert(ip, Interface(tokio::spawn(speaker.run())));
                }
                // A network without multicast, or a system that keeps the port to itself: others find this node in other ways.
                Err(error) => tracing::info!(%ip, %error, "cannot look for peers on the local network"),
            }
        }
    }
}

/// Findings that wait for the driver; more are dropped, and said again by whoever is there.
const MAX_FOUND: usize = 64;
/// Addresses that are spoken from, those of IPv4 first; machines with containers have many.
const MAX_INTERFACES: usize = 16;
/// Letters in this node's name among services.
const INSTANCE: usize = 32;

/// The addresses of this machine at which the node listens, each the address of an interface.
fn interfaces(addresses: &[Multiaddr]) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = addresses.iter().filter_map(ip).filter(is_local).collect();
    ips.sort();
    ips.dedup();
    ips
}

/// Link-local addresses of IPv6 are left out, as nobody can be met at one without saying on which interface.
fn is_local(ip: &IpAddr) -> bool {
    let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() && !is_link_local
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// What is said and heard on one interface.
struct Speaker {
    ip: IpAddr,
    group: Group,
    here: PeerId,
    instance: String,
    listening: watch::Receiver<Vec<Multiaddr>>,
    sink: mpsc::Sender<Found>,
}

impl Speaker {
    async fn run(mut self) {
        let mut packet = vec![0; mdns::MAX_PACKET];
        let mut ask = Instant::now();
        let mut pause = FIRST_PAUSE;
        // Those who are there already hear of this node without asking.
        let mut answer = Some(Instant::now());
        let mut answered = None;
        let mut quota = Quota::default();
        loop {
            tokio::select! {
                received = self.group.hear(&mut packet), if quota.is_open() => {
                    quota.take(Instant::now());
                    match received {
                        Ok((len, from)) if self.hear(&packet[..len], from) => {
                            let soonest = answered.map_or_else(Instant::now, |last: Instant| last + ANSWER_EVERY);
                            answer.get_or_insert(soonest.max(Instant::now()));
                        }
                        Ok(_) => {}
                        Err(error) => tracing::debug!(ip = %self.ip, %error, "cannot read from the local network"),
                    }
                }
                () = sleep_until(quota.opens()), if !quota.is_open() => quota = Quota::default(),
                () = sleep_until(ask) => {
                    self.say(&mdns::query()).await;
                    ask = Instant::now() + pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                () = sleep_until(answer.unwrap_or(ask)), if answer.is_some() => {
                    (answer, answered) = (None, Some(Instant::now()));
                    let addresses = self.addresses();
                    if !addresses.is_empty() {
                        self.say(&mdns::answer(&self.instance, addresses.iter().map(String::as_str))).await;
                    }
                }
                changed = self.listening.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let soonest = answered.map_or_else(Instant::now, |last| last + ANSWER_EVERY);
                    answer.get_or_insert(soonest);
                }
            }
        }
    }

    /// Takes in a packet; true when it asks who is there.
    fn hear(&self, packet: &[u8], from: IpAddr) -> bool {
        match mdns::decode(packet) {
            Ok(Message::Query) => true,
            Ok(Message::Answer { addresses }) => {
                for found in findings(&addresses, from, self.here) {
                    if self.sink.try_send(found).is_err() {
                        tracing::debug!(ip = %self.ip, "dropped what was said on the local network: it is too much");
                        break;
                    }
                }
                false
            }
            Ok(Message::Other) => false,
            Err(error) => {
                tracing::trace!(%from, %error, "a packet on the local network makes no sense");
                false
            }
        }
    }

    async fn say(&self, packet: &[u8]) {
        if let Err(error) = self.group.say(packet).await {
            tracing::debug!(ip = %self.ip, %error, "cannot speak on the local network");
        }
    }

    /// Where this node is, for those on this interface: the interface's own addresses, then, for those who believe it, those of
    /// IPv6.
    fn addresses(&self) -> Vec<String> {
        let listening = self.listening.borrow();
        let on_this = listening.iter().filter(|address| ip(address) == Some(self.ip));
        let of_ip6 = listening
            .iter()
            .filter(|address| self.ip.is_ipv4() && ip(address).is_some_and(|ip| ip.is_ipv6() && is_local(&ip)));
        on_this.chain(of_ip6).map(|address| format!("{address}/p2p/{}", self.here)).collect()
    }
}

/// The first pause between two questions; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// RFC 6762, section 6: no record is sent to the group more often.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

/// How many packets may yet be read.
#[derive(Default)]
struct Quota {
    taken: usize,
    begun: Option<Instant>,
}

impl Quota {
    fn is_open(&self) -> bool {
        self.taken < MAX_PACKETS
    }

    fn opens(&self) -> Instant {
        self.begun.map_or_else(Instant::now, |begun| begun + QUOTA_EVERY)
    }

    fn take(&mut self, now: Instant) {
        if self.begun.is_none_or(|begun| begun + QUOTA_EVERY <= now) {
            *self = Self { taken: 0, begun: Some(now) };
        }
        self.taken += 1;
    }
}

/// Packets that are read in [`QUOTA_EVERY`] on one interface; more stay with the system, which drops them when its buffer is full.
const MAX_PACKETS: usize = 200;
const QUOTA_EVERY: Duration = Duration::from_secs(1);

/// The peers that a packet speaks of, with those of their addresses that it came from.
fn findings(addresses: &[String], from: IpAddr, here: PeerId) -> Vec<Found> {
    let mut found: Vec<Found> = vec![];
    for address in addresses {
        let Ok(address) = address.parse::<Multiaddr>() else { continue };
        let Some(peer) = peer_of(&address).filter(|peer| *peer != here) else { continue };
        if ip(&address) != Some(from) {
            continue;
        }
        match found.iter_mut().find(|found| found.peer == peer) {
            Some(found) => found.addresses.push(address),
            None => found.push(Found { peer, addresses: vec![address] }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_on_loopback() {
        let addresses = [
            "/ip6/fd00::1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/10.0.0.1/udp/1/quic-v1",
        ];
        let addresses = addresses.map(|text| text.parse().unwrap());

        assert_eq!(interfaces(&addresses), ["10.0.0.1", "fd00::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn nobody_can_send_this_node_to_others() {
        let (here, peer) = (PeerId::random(), PeerId::random());
        let of = |host: &str, peer: PeerId| format!("{host}/tcp/1/p2p/{peer}");
        let said = [
            of("/ip4/10.0.0.2", peer),
            of("/ip4/10.0.0.3", peer),
            of("/ip4/127.0.0.1", peer),
            of("/ip6/2001:db8::1", peer),
            of("/dns4/example.org", peer),
            of("/ip4/10.0.0.2", here),
            "/ip4/10.0.0.2/tcp/1".to_owned(),
            "nonsense".to_owned(),
        ];

        let found = findings(&said, "10.0.0.2".parse().unwrap(), here);

        assert_eq!(found, [Found { peer, addresses: vec![said[0].parse().unwrap()] }]);
        let found = findings(&said, "2001:db8::1".parse().unwrap(), here);
        assert_eq!(found, [Found { peer, addresses: vec![said[3].parse().unwrap()] }]);
    }

    #[tokio::test]
    async fn a_second_has_so_many_packets() {
        let mut quota = Quota::default();
        let now = Instant::now();
        for _ in 0..MAX_PACKETS {
            assert!(quota.is_open());
            quota.take(now);
        }

        assert!(!quota.is_open());
        assert_eq!(quota.opens(), now + QUOTA_EVERY);
        quota.take(now + QUOTA_EVERY);
        assert!(quota.is_open());
    }
}
