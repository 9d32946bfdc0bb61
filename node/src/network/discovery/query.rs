//! A look-up in a DHT, and who waits for it.

use std::collections::BTreeSet;
use std::time::Instant;

use cid::Cid;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

use super::super::{ProvideError, Provider};
use super::Side;

/// One look-up.
pub(super) enum Query {
    Closest {
        reply: oneshot::Sender<Result<Closest, ProvideError>>,
        until: Option<Instant>,
        is_whole: bool,
    },
    /// For telling them a value, or asking them for one.
    Nearest {
        key: Vec<u8>,
        reply: mpsc::Sender<Closest>,
    },
    Peer {
        peer: PeerId,
        reply: mpsc::Sender<Vec<Multiaddr>>,
    },
    Providers {
        cid: Cid,
        finder: Finder,
        found: BTreeSet<PeerId>,
        again: bool,
    },
}

/// The peers of a DHT that are nearest to a key, and where to tell them that this node is.
#[derive(Clone, Debug)]
pub(in crate::network) struct Closest {
    pub(in crate::network) side: Side,
    pub(in crate::network) peers: Vec<Provider>,
    pub(in crate::network) here: Vec<Multiaddr>,
    /// Whether there are no nearer ones, as far as anybody knows.
    pub(in crate::network) is_whole: bool,
    /// How many were asked.
    pub(in crate::network) requests: u32,
}

/// Who looks for providers.
#[derive(Clone)]
pub(in crate::network) enum Finder {
    /// Somebody with a handle, who wants so many.
    Caller { sink: mpsc::Sender<Provider>, most: usize },
    /// The exchange.
    Exchange,
}

/// What the exchange is to know of its searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::network) enum Finding {
    End { cid: Cid },
    Providers { cid: Cid, providers: Vec<Provider> },
}

/// A look-up that waits for the first peer to be known.
pub(super) struct Waiting {
    pub(super) query: Query,
    pub(super) until: Instant,
}

impl Query {
    pub(super) fn cid(&self) -> Option<Cid> {
        match self {
            Self::Providers { cid, .. } => Some(*cid),
            _ => None,
        }
    }

    pub(super) fn is_search_for(&self, cid: &Cid) -> bool {
        matches!(self, Self::Providers { cid: sought, finder: Finder::Exchange, .. } if sought == cid)
    }

    pub(super) fn is_new(&self, peer: &PeerId) -> bool {
        matches!(self, Self::Providers { found, .. } if !found.contains(peer))
    }

    /// Hands over what was found. A caller who is slower than the network misses some: its channel holds all it asked for.
    pub(super) fn found(&mut self, providers: Vec<Provider>) -> Vec<Finding> {
        let Self::Providers { cid, finder, found, .. } = self else { return vec![] };
        found.extend(providers.iter().map(|provider| provider.peer));
        match finder {
            Finder::Exchange if providers.is_empty() => vec![],
            Finder::Exchange => vec![Finding::Providers { cid: *cid, providers }],
            Finder::Caller { sink, .. } => {
                for provider in providers {
                    let _ = sink.try_send(provider); // full: it has as many as it asked for
                }
                vec![]
            }
        }
    }

    /// Whether nobody waits for more of it.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Nearest { reply, .. } => reply.is_closed(),
            Self::Peer { reply, .. } => reply.is_closed(),
            Self::Closest { reply, .. } => reply.is_closed(),
            Self::Providers { finder: Finder::Exchange, .. } => false,
            Self::Providers { finder: Finder::Caller { sink, most }, found, .. } => {
                sink.is_closed() || found.len() >= *most
            }
        }
    }

    /// Whether it is to end with what it has, from here on.
    pub(super) fn is_late(&mut self, now: Instant) -> bool {
        let Self::Closest { until, is_whole, .. } = self else { return false };
        let is_late = until.take_if(|until| *until <= now).is_some();
        *is_whole &= !is_late;
        is_late
    }

    /// Whether it came to an end with nothing, for the first time: Kademlia does that at times for no reason.
    pub(super) fn deserves_another_try(&self) -> bool {
        matches!(self, Self::Providers { found, again: true, .. } if found.is_empty()) && !self.is_abandoned()
    }

    pub(super) fn again(mut self) -> Self {
        if let Self::Providers { again, .. } = &mut self {
            *again = false;
        }
        self
    }

    /// What the exchange is to know of its end; to others, being dropped says it.
    pub(super) fn end(self) -> Vec<Finding> {
        match self {
            Self::Providers { cid, finder: Finder::Exchange, .. } => vec![Finding::End { cid }],
            _ => vec![],
        }
    }
}
