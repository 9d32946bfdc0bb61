//! How bytes reach peers: TCP with TLS or Noise and Yamux, QUIC, and names resolved by DNS. With a private network's key TCP
//! alone, encrypted with that key before anything else is said.

mod expecting;
mod gathered;
mod head_start;
mod read_ahead;
mod security;
mod tls;
mod yamux;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, TryFutureExt};
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::transport::dummy::DummyTransport;
use libp2p::core::transport::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::pnet::{PnetConfig, PnetError};
use libp2p::{Multiaddr, PeerId, dns, quic, relay, tcp};

use self::expecting::Expecting;
use self::head_start::HeadStart;
use self::security::Security;
pub use self::security::SecurityError;
use self::yamux::Yamux;
use super::address::is_circuit;
use super::bandwidth::Meter;
use super::swarm_key::SwarmKey;

/// Connections to proven peers, of many streams each.
pub(super) type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// All transports of this node; `circuits` leads through relays, `meter` counts what streams carry.
pub(super) fn build(
    keypair: &Keypair,
    key: Option<SwarmKey>,
    circuits: relay::client::Transport,
    meter: Arc<Meter>,
) -> Result<Connections, SecurityError> {
    let connections = Expecting(uncounted(keypair, key, circuits)?);
    Ok(connections.map(move |(peer, muxer), _| (peer, meter.count(peer, muxer))).boxed())
}

fn uncounted(
    keypair: &Keypair,
    key: Option<SwarmKey>,
    circuits: relay::client::Transport,
) -> Result<Connections, SecurityError> {
    let security = Security::new(keypair)?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let Some(key) = key else {
        let circuits = HeadStart::over_circuits(over(circuits, security.clone()));
        let tcp = over(tcp, security);
        let mut config = quic::Config::new(keypair);
        config.handshake_timeout = HANDSHAKE;
        let quic = quic::tokio::Transport::new(config).map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
        let both = HeadStart::over_near(quic).or_transport(tcp).map(|either, _| either.into_inner());
        // Circuits first: TCP would take the address of the relay for that of the peer.
        return Ok(resolving(circuits.or_transport(both).map(|either, _| either.into_inner())));
    };
    let pnet = PnetConfig::new(key.pre_shared());
    // A relay is a stranger to what it carries, so the key encrypts within the circuit, too.
    let circuits = circuits.and_then(move |stream, _| pnet.handshake(stream).map_err(with_plain_words));
    let circuits = HeadStart::over_circuits(over(circuits, security.clone()));
    let tcp = tcp.and_then(move |stream, _| pnet.handshake(stream).map_err(with_plain_words));
    Ok(resolving(circuits.or_transport(over(tcp, security)).map(|either, _| either.into_inner())))
}

/// Whether these transports can listen at or dial the address.
pub(super) fn understands(address: &Multiaddr, private: bool) -> bool {
    if is_circuit(address) {
        return leads_through_a_relay(address, private);
    }
    let mut parts = address.iter();
    let is_host = |part| {
        matches!(part, Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))
    };
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::Dnsaddr(_)), _, _) => true,
        (Some(host), Some(Protocol::Tcp(_)), None | Some(Protocol::P2p(_))) => is_host(host),
        (Some(host), Some(Protocol::Udp(_)), Some(Protocol::QuicV1)) => is_host(host) && !private,
        _ => false,
    }
}

/// Whether it names one relay that can be dialled, and at most the peer behind it.
fn leads_through_a_relay(address: &Multiaddr, private: bool) -> bool {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let Some(at) = parts.iter().position(|part| *part == Protocol::P2pCircuit) else { return false };
    let relay: Multiaddr = parts[..at].iter().cloned().collect();
    let names_relay = matches!(parts[..at].last(), Some(Protocol::P2p(_)));
    names_relay && matches!(parts[at + 1..], [] | [Protocol::P2p(_)]) && understands(&relay, private)
}

fn over<T, S>(
    transport: T,
    security: Security,
) -> impl Transport<Output = (PeerId, StreamMuxerBox), Error: Send + Sync, Dial: Send, ListenerUpgrade: Send> + Send + Unpin
where
    T: Transport<Output = S, Error: Send + Sync + 'static, Dial: Send, ListenerUpgrade: Send> + Send + Unpin + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    transport
        .upgrade(Version::V1Lazy)
        .authenticate(security)
        .multiplex(Yamux::new())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
}

/// From the first byte to a connection that carries streams.
const HANDSHAKE: Duration = Duration::from_secs(10);

fn resolving<T>(transport: T) -> Connections
where
    T: Transport<Output = (PeerId, StreamMuxerBox), Error: Send + Sync, Dial: Send + 'static, ListenerUpgrade: Send>
        + Send
        + Unpin
        + 'static,
{
    // Asked with nothing first, as a failure keeps what it was given.
    if let Err(error) = dns::tokio::Transport::system(DummyTransport::<()>::new()) {
        tracing::warn!(%error, "the system's DNS settings cannot be read: addresses with names will not work");
        return transport.boxed();
    }
    match dns::tokio::Transport::system(transport) {
        Ok(transport) => transport.boxed(),
        Err(_) => DummyTransport::new().boxed(),
    }
}

fn with_plain_words(error: PnetError) -> io::Error {
    io::Error::other(format!("the private network's key: {error}"))
}
