//! Streams to peers, as a behaviour: hands out the inbound streams of the protocols that this node accepts, and opens outbound
//! ones on request. What is said on a stream is the business of the task that holds it.

mod handler;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

use self::handler::{FromHandler, Handler, Open};

/// The behaviour.
pub(super) struct Behaviour {
    accept: Accept,
    next: u64,
    pending: HashMap<StreamRequest, (PeerId, ConnectionId)>,
    events: VecDeque<ToSwarm<Event, Open>>,
    waker: Option<Waker>,
}

/// Names a request for an outbound stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StreamRequest(u64);

/// What became of streams.
#[derive(Debug)]
pub(super) enum Event {
    /// A peer opened one.
    Inbound { peer: PeerId, connection: ConnectionId, protocol: StreamProtocol, stream: Stream, slot: Slot },
    /// One that was asked for is open, or cannot be.
    Outbound { peer: PeerId, request: StreamRequest, result: Result<(Stream, StreamProtocol), OpenStreamError> },
}

/// Held as long as an inbound stream lives; counts against the limit of its protocol on its connection.
pub(super) type Slot = Arc<()>;

impl Behaviour {
    /// Accepts streams of these protocols, of each so many at a time on a connection; what comes beyond is reset.
    pub(super) fn new(accept: Vec<(StreamProtocol, usize)>) -> Self {
        let accept = accept.into_iter().map(|(name, most)| Accepted { name, most, on: AtomicBool::new(true) });
        Self {
            accept: Accept(accept.collect()),
            next: 0,
            pending: HashMap::new(),
            events: VecDeque::new(),
            waker: None,
        }
    }

    /// Whether streams of a protocol are accepted from here on, on connections that are there, too.
    pub(super) fn set_accepting(&self, protocol: &str, accepting: bool) {
        for accepted in self.accept.0.iter().filter(|accepted| accepted.name.as_ref() == protocol) {
            accepted.on.store(accepting, Ordering::Relaxed);
        }
    }

    /// Opens a stream on a connection, with the first of `protocols` that the peer speaks.
    pub(super) fn open(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        protocols: Vec<StreamProtocol>,
    ) -> StreamRequest {
        self.next += 1;
        let request = StreamRequest(self.next);
        self.pending.insert(request, (peer, connection));
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Open { request, protocols: Protocols(protocols.into()) },
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        request
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.accept.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.accept.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        let FromSwarm::ConnectionClosed(closed) = event else { return };
        let (peer, connection) = (closed.peer_id, closed.connection_id);
        let lost: Vec<_> = self.pending.extract_if(|_, at| at.1 == connection).map(|(request, _)| request).collect();
        for request in lost {
            let result = Err(OpenStreamError::Closed);
            self.events.push_back(ToSwarm::GenerateEvent(Event::Outbound { peer, request, result }));
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        let event = match event {
            FromHandler::Inbound { protocol, stream, slot } => {
                Event::Inbound { peer, connection, protocol, stream, slot }
            }
            FromHandler::Outbound { request, result } => {
                self.pending.remove(&request);
                Event::Outbound { peer, request, result }
            }
        };
        self.events.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Protocols whose streams are accepted, and how many of each.
#[derive(Clone, Debug)]
pub(super) struct Accept(Arc<[Accepted]>);

#[derive(Debug)]
struct Accepted {
    name: StreamProtocol,
    most: usize,
    on: AtomicBool,
}

impl Accepted {
    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }
}

/// Names of protocols, the best first.
#[derive(Clone, Debug)]
pub(super) struct Protocols(Arc<[StreamProtocol]>);

/// Why a stream cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenStreamError {
    /// The connection ended before.
    #[error("the connection was closed")]
    Closed,
    /// The peer was silent, or what it said made no sense.
    #[error("{0}")]
    Failed(String),
    /// It speaks none of the protocols asked for.
    #[error("it does not speak the protocol")]
    Unsupported,
}
