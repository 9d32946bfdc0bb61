//! Gives the better way a head start, as all addresses of a peer are dialled at once and the first connection wins: TCP over
//! QUIC on local networks, where the one which moves twice as many bytes a second should win, and any over a relay.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;

/// Dials some addresses a little later.
pub(super) struct HeadStart<T> {
    transport: T,
    delay: fn(&Multiaddr) -> Duration,
}

impl<T> HeadStart<T> {
    /// Others come first at private addresses.
    pub(super) fn over_near(transport: T) -> Self {
        Self { transport, delay: |address| if is_near(address) { NEAR } else { Duration::ZERO } }
    }

    /// Others come first, as this one leads through relays.
    pub(super) fn over_circuits(transport: T) -> Self {
        Self { transport, delay: |_| CIRCUIT }
    }
}

impl<T> Transport for HeadStart<T>
where
    T: Transport<Dial: Send + 'static, Output: Send, Error: Send> + Unpin,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.transport.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.transport.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<T::Error>> {
        let delay = (self.delay)(&address);
        let dial = self.transport.dial(address, options)?;
        Ok(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            dial.await
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.transport).poll(cx)
    }
}

/// Long enough for a handshake over TCP on a busy machine's local network.
const NEAR: Duration = Duration::from_millis(150);
/// Long enough for a handshake across the sea.
const CIRCUIT: Duration = Duration::from_millis(500);

fn is_near(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Some(Protocol::Ip6(ip)) => match IpAddr::V6(ip).to_canonical() {
            IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
        _ => false,
    }
}
