//! The streams of one connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};

use super::{Accept, OpenStreamError, Protocols, Slot, StreamRequest};

/// Opens and accepts the streams of one connection.
pub(in crate::network) struct Handler {
    accept: Accept,
    /// One for each that is accepted.
    slots: Vec<Slot>,
    events: VecDeque<ConnectionHandlerEvent<Protocols, StreamRequest, FromHandler>>,
}

/// Asks for an outbound stream.
#[derive(Debug)]
pub(in crate::network) struct Open {
    pub(super) request: StreamRequest,
    pub(super) protocols: Protocols,
}

/// What became of a stream.
#[derive(Debug)]
pub(in crate::network) enum FromHandler {
    Inbound { protocol: StreamProtocol, stream: Stream, slot: Slot },
    Outbound { request: StreamRequest, result: Result<(Stream, StreamProtocol), OpenStreamError> },
}

impl Handler {
    pub(super) fn new(accept: Accept) -> Self {
        let slots = accept.0.iter().map(|_| Arc::new(())).collect();
        Self { accept, slots, events: VecDeque::new() }
    }

    /// The surplus is reset by being dropped.
    fn on_inbound(&mut self, mut stream: Stream, protocol: StreamProtocol) {
        let accepted = self.accept.0.iter().zip(&self.slots).find(|(accepted, _)| accepted.name == protocol);
        let Some((accepted, slot)) = accepted else { return };
        if Arc::strong_count(slot) > accepted.most {
            tracing::debug!(%protocol, "reset a stream: the peer has {} open", accepted.most);
            return;
        }
        let slot = slot.clone();
        stream.ignore_for_keep_alive();
        self.tell(FromHandler::Inbound { protocol, stream, slot });
    }

    fn tell(&mut self, event: FromHandler) {
        self.events.push_back(ConnectionHandlerEvent::NotifyBehaviour(event));
    }
}

/// To negotiate the protocol of a stream.
const NEGOTIATION: Duration = Duration::from_secs(10);

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = FromHandler;
    type InboundProtocol = Protocols;
    type OutboundProtocol = Protocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = StreamRequest;

    fn listen_protocol(&self) -> SubstreamProtocol<Protocols> {
        let names = self.accept.0.iter().filter(|accepted| accepted.is_on()).map(|accepted| accepted.name.clone());
        SubstreamProtocol::new(Protocols(names.collect()), ()).with_timeout(NEGOTIATION)
    }

    fn on_behaviour_event(&mut self, Open { request, protocols }: Open) {
        let protocol = SubstreamProtocol::new(protocols, request).with_timeout(NEGOTIATION);
        self.events.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Protocols, Protocols, (), StreamRequest>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol), ..
            }) => {
                self.on_inbound(stream, protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info: request }) => {
                let (mut stream, name) = protocol;
                stream.ignore_for_keep_alive();
                self.tell(FromHandler::Outbound { request, result: Ok((stream, name)) });
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: request, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => OpenStreamError::Unsupported,
                    error => OpenStreamError::Failed(error.to_string()),
                };
                self.tell(FromHandler::Outbound { request, result: Err(error) });
            }
            _ => {}
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Protocols, StreamRequest, FromHandler>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

impl UpgradeInfo for Protocols {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        let names: Vec<StreamProtocol> = self.0.iter().cloned().collect();
        names.into_iter()
    }
}

impl InboundUpgrade<Stream> for Protocols {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

impl OutboundUpgrade<Stream> for Protocols {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}
