//! A connection to an address that names a peer fails where another one answers, so that the other addresses of the peer are tried
//! on: two homes often have the same private addresses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId};

use super::Connections;
use crate::network::address::peer_of;

/// Checks who answers.
pub(super) struct Expecting(pub(super) Connections);

impl Transport for Expecting {
    type Output = (PeerId, StreamMuxerBox);
    type Error = io::Error;
    type ListenerUpgrade = <Connections as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Self::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let expected = peer_of(&address);
        let dial = self.0.dial(address, options)?;
        Ok(async move {
            let (peer, muxer) = dial.await?;
            match expected {
                Some(expected) if expected != peer => {
                    Err(io::Error::other(format!("another peer answers there, {peer}")))
                }
                _ => Ok((peer, muxer)),
            }
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}
