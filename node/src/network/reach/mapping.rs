//! Ports that the router opens when it is asked: PCP, or NAT-PMP where it knows only that. What it says it has opened is an address
//! like any other that this node may have: it counts once others have dialled it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use cidra_content::dht::Range;
use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::UdpSocket;

use super::Done;

/// A port that this node listens at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::network) struct Port {
    udp: bool,
    number: NonZeroU16,
}

/// When which port is to be opened, or kept open.
#[derive(Default)]
pub(in crate::network) struct Mappings {
    ports: BTreeMap<Port, Instant>,
    under_way: BTreeSet<Port>,
}

impl Mappings {
    /// The ports among what is listened at that are asked for by now.
    pub(in crate::network) fn due(&mut self, listening: &[Multiaddr], now: Instant) -> Vec<Port> {
        let ports: BTreeSet<Port> = listening.iter().filter_map(port).take(MAX_PORTS).collect();
        self.ports.retain(|port, _| ports.contains(port));
        let mut due = vec![];
        for port in ports {
            if *self.ports.entry(port).or_insert(now) <= now && self.under_way.insert(port) {
                due.push(port);
            }
        }
        due
    }

    /// The router has answered, or has not.
    pub(in crate::network) fn handle_answer(&mut self, port: Port, opened: bool, now: Instant) {
        self.under_way.remove(&port);
        let pause = if opened { LIFETIME / 2 } else { NO_ROUTER };
        self.ports.insert(port, now + pause);
    }
}

/// The port of an address on a network of one's own.
fn port(address: &Multiaddr) -> Option<Port> {
    let mut parts = address.iter();
    let Some(Protocol::Ip4(ip)) = parts.next() else { return None };
    let (udp, number) = match parts.next()? {
        Protocol::Tcp(number) => (false, number),
        Protocol::Udp(number) => (true, number),
        _ => return None,
    };
    let is_plain = !super::is_circuit(address) && Range::of(ip.into()) == Range::Private;
    Some(Port { udp, number: NonZeroU16::new(number).filter(|_| is_plain)? })
}

/// Asks the router to open a port, if there is a router.
pub(in crate::network) async fn open(port: Port) -> Done {
    let address = match try_open(port).await {
        Ok(address) => address,
        Err(why) => {
            tracing::debug!(port = port.number, udp = port.udp, why, "the router opens no port");
            None
        }
    };
    Done::Opened { port, address }
}

async fn try_open(port: Port) -> Result<Option<Multiaddr>, String> {
    let routes = tokio::fs::read_to_string(ROUTES).await.map_err(|error| error.to_string())?;
    let Some(router) = default_router(&routes) else { return Ok(None) };
    let here = own_address(router).await.map_err(|error| error.to_string())?;
    // A router on the internet is a provider's, and not ours to ask.
    if Range::of(here) != Range::Private || Range::of(router.into()) != Range::Private {
        return Ok(None);
    }
    let protocol = if port.udp { InternetProtocol::Udp } else { InternetProtocol::Tcp };
    let timeouts = TimeoutConfig { initial_timeout: FIRST_WAIT, max_retries: RETRIES, max_retry_timeout: None };
    let options = PortMappingOptions {
        external_port: Some(port.number),
        lifetime_seconds: Some(LIFETIME.as_secs() as u32),
        timeout_config: Some(timeouts),
    };
    let mapping = PortMapping::new(router.into(), here, protocol, port.number, options).await;
    let mapping = mapping.map_err(|error| error.to_string())?;
    let outside = match mapping.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => external_ip,
        PortMappingType::NatPmp => {
            let asked = natpmp::external_address(router.into(), Some(timeouts)).await;
            IpAddr::V4(asked.map_err(|error| error.to_string())?)
        }
    };
    let outer = mapping.external_port().get();
    let host = Multiaddr::from(outside);
    Ok(Some(match port.udp {
        true => host.with(Protocol::Udp(outer)).with(Protocol::QuicV1),
        false => host.with(Protocol::Tcp(outer)),
    }))
}

/// The address from which the router sees this node. Nothing is sent for it.
async fn own_address(router: Ipv4Addr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(SocketAddr::from((router, 5351))).await?;
    Ok(socket.local_addr()?.ip())
}

/// Linux's table of routes. Elsewhere there is none, and no router is asked.
const ROUTES: &str = "/proc/net/route";

/// The router of the route to everywhere.
fn default_router(routes: &str) -> Option<Ipv4Addr> {
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, "00000000", router, ..] = columns[..] else { return None };
        let router = u32::from_str_radix(router, 16).ok().filter(|router| *router != 0)?;
        Some(Ipv4Addr::from(router.to_ne_bytes()))
    };
    routes.lines().skip(1).find_map(route)
}

/// Ports that a router is asked for: TCP and QUIC, and a spare one of each.
const MAX_PORTS: usize = 4;
/// The router forgets a port after this, unless it is asked again.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Before a router that does not answer is asked again.
const NO_ROUTER: Duration = Duration::from_secs(1800);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const RETRIES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_is_read_from_the_table_of_routes() {
        let routes =
            "Iface\tDestination\tGateway\tFlags\neth0\t0007A8C0\t00000000\t0001\neth0\t00000000\t0107A8C0\t0003\n";

        let expected = if cfg!(target_endian = "little") { "192.168.7.1" } else { "1.7.168.192" };
        assert_eq!(default_router(routes), Some(expected.parse().unwrap()));
        assert_eq!(default_router("Iface\tDestination\tGateway\n"), None);
    }

    #[test]
    fn few_ports_are_asked_for_and_none_that_the_internet_reaches_already() {
        let mut mappings = Mappings::default();
        let now = Instant::now();
        let listening = (1..=MAX_PORTS + 1).map(|port| format!("/ip4/192.168.7.2/tcp/{port}").parse().unwrap());
        let public = ["/ip4/5.6.7.8/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/fd00::1/tcp/1"];
        let public: Vec<Multiaddr> = public.iter().map(|address| address.parse().unwrap()).collect();
        assert!(mappings.due(&public, now).is_empty());

        let due = mappings.due(&listening.collect::<Vec<_>>(), now);

        assert_eq!(due.len(), MAX_PORTS);
    }

    #[test]
    fn an_open_port_is_kept_open_and_a_router_that_is_silent_is_left_alone() {
        let mut mappings = Mappings::default();
        let now = Instant::now();
        let listening: [Multiaddr; 2] =
            ["/ip4/10.0.0.2/tcp/1", "/ip4/10.0.0.2/udp/1/quic-v1"].map(|at| at.parse().unwrap());
        let due = mappings.due(&listening, now);
        assert!(mappings.due(&listening, now).is_empty(), "both are under way");

        mappings.handle_answer(due[0], true, now);
        mappings.handle_answer(due[1], false, now);

        assert!(mappings.due(&listening, now + NO_ROUTER.min(LIFETIME / 2) - Duration::from_secs(1)).is_empty());
        assert_eq!(mappings.due(&listening, now + LIFETIME).len(), 2);
    }
}
