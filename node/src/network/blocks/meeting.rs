//! Partners come and go: their streams are opened, taken and dropped.

use std::time::{Duration, Instant};

use cid::Cid;
use cidra_content::exchange::wire::bitswap::{Dialect, Message};
use cidra_content::reach::Allowance;
use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, StreamProtocol};

use super::super::streams::StreamRequest;
use super::partner::{Inbound, Speaker, listen, speak};
use super::reader::Reader;
use super::{Blocks, LinkId, Partner, PartnerState, bitswap};

impl Blocks {
    /// A peer is connected, and a stream to it is being opened.
    pub(in crate::network) fn begin(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        allowance: Option<Allowance>,
        request: StreamRequest,
    ) {
        self.next_link += 1;
        let state = PartnerState::Opening { request, waiting: vec![] };
        let link = LinkId(self.next_link);
        let active = Instant::now();
        self.partners.insert(peer, Partner { link, connection, state, allowance, readers: vec![], active });
    }

    /// Our stream is open, and this is what is spoken on it.
    pub(in crate::network) fn on_open(
        &mut self,
        peer: PeerId,
        (stream, name): (libp2p::Stream, StreamProtocol),
        round_trip: Option<Duration>,
        now: Instant,
    ) {
        let Some(partner) = self.partners.get_mut(&peer) else { return };
        let (link, reports, limit) = (partner.link, self.reports.clone(), self.limits.up.clone());
        let speaker = match Dialect::of(name.as_ref()) {
            Some(dialect) => {
                Speaker::Bitswap(bitswap::Speaker::new((peer, link), (name, dialect), stream, reports, limit))
            }
            None => Speaker::Native(speak(peer, link, stream, reports, limit)),
        };
        let protocol = speaker.protocol();
        let before = std::mem::replace(&mut partner.state, PartnerState::Open(speaker));
        self.machine.handle_connected(peer, protocol, round_trip, now);
        if let PartnerState::Opening { waiting, .. } = before {
            waiting.into_iter().for_each(|inbound| self.on_inbound(peer, inbound));
        }
    }

    /// It cannot be opened.
    pub(in crate::network) fn on_mute(&mut self, peer: PeerId, why: String, now: Instant) {
        let Some(partner) = self.partners.get_mut(&peer) else { return };
        partner.state = PartnerState::Mute;
        self.machine.handle_connect_failed(&peer, why, now);
    }

    /// The peer opened a stream. One of another protocol than is spoken to it is dropped.
    pub(in crate::network) fn on_inbound(&mut self, peer: PeerId, inbound: Inbound) {
        let Some(partner) = self.partners.get_mut(&peer) else { return };
        let link = partner.link;
        let speaker = match &mut partner.state {
            PartnerState::Mute => return,
            PartnerState::Opening { waiting, .. } => return waiting.push(inbound),
            PartnerState::Open(speaker) => speaker,
        };
        let Inbound { connection, protocol, stream, slot } = inbound;
        let (reports, budget, intake) = (self.reports.clone(), self.budget.clone(), self.limits.intake());
        let task = match (speaker, Dialect::of(protocol.as_ref())) {
            (Speaker::Native(_), None) => listen(Reader { peer, link, stream, reports, budget, intake }.run(), slot),
            (Speaker::Bitswap(speaker), Some(_)) => {
                let begun = speaker.begun();
                let limit = intake.all;
                listen(bitswap::Reader { peer, link, stream, reports, budget, begun, limit }.run(), slot)
            }
            _ => return tracing::debug!(%peer, %protocol, "dropped a stream: another protocol was agreed on"),
        };
        partner.readers.retain(|(_, task)| !task.is_finished());
        partner.readers.push((connection, task));
    }

    /// The connection through a relay on which blocks are exchanged with a peer.
    pub(in crate::network) fn circuit(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.partners.get(peer).filter(|partner| partner.allowance.is_some()).map(|partner| partner.connection)
    }

    /// Whether a stream that was asked for is to carry blocks to this peer.
    pub(in crate::network) fn awaits_stream(&mut self, peer: &PeerId, request: StreamRequest) -> bool {
        self.bitswap(peer).is_some_and(|speaker| speaker.awaits(request))
    }

    /// It is there, or cannot be. False: no block can be sent to the peer.
    pub(in crate::network) fn on_answer_stream(
        &mut self,
        peer: &PeerId,
        request: StreamRequest,
        stream: Option<libp2p::Stream>,
    ) -> bool {
        self.bitswap(peer).is_none_or(|speaker| speaker.on_stream(request, stream))
    }

    /// Where streams are to be opened for what is about to be sent to a peer: none, or so many of this protocol.
    pub(in crate::network) fn lacks_streams(&mut self, peer: &PeerId) -> Option<(ConnectionId, StreamProtocol, usize)> {
        let connection = self.partners.get(peer)?.connection;
        let (name, count) = self.bitswap(peer)?.lacks_streams()?;
        Some((connection, name, count))
    }

    pub(in crate::network) fn expect_stream(&mut self, peer: &PeerId, request: StreamRequest) {
        if let Some(speaker) = self.bitswap(peer) {
            speaker.expect_stream(request);
        }
    }

    /// A message of Bitswap.
    pub(in crate::network) fn on_list(&mut self, peer: PeerId, message: Message, now: Instant) {
        let Some(speaker) = self.bitswap(&peer) else { return };
        for said in speaker.handle_message(message) {
            self.machine.handle_message(&peer, said, now);
        }
    }

    /// All of a block has gone to the peer.
    pub(in crate::network) fn on_sent(&mut self, peer: &PeerId, cid: &Cid) {
        if let Some(speaker) = self.bitswap(peer) {
            speaker.handle_sent(cid);
        }
    }

    fn bitswap(&mut self, peer: &PeerId) -> Option<&mut bitswap::Speaker> {
        match &mut self.partners.get_mut(peer)?.state {
            PartnerState::Open(Speaker::Bitswap(speaker)) => Some(speaker),
            _ => None,
        }
    }

    /// A connection is gone. True: blocks were exchanged on it, the peer has to be met anew.
    pub(in crate::network) fn was_used(&self, peer: &PeerId, connection: ConnectionId) -> bool {
        self.partners.get(peer).is_some_and(|partner| {
            // Where many streams come and go, what one of them carried is asked for again.
            let native = matches!(partner.state, PartnerState::Open(Speaker::Native(_)));
            let used = native && partner.readers.iter().any(|(used, _)| *used == connection);
            partner.connection == connection || used
        })
    }

    /// The time with a partner is over.
    pub(in crate::network) fn end(&mut self, peer: &PeerId, now: Instant) {
        let Some(partner) = self.partners.remove(peer) else { return };
        // What is still read for it is nobody's when it comes.
        self.loading.retain(|(reader, _, _), _| reader != peer);
        if matches!(partner.state, PartnerState::Open(_)) {
            self.machine.handle_disconnected(peer, now);
        }
    }

    /// Something was heard from the peer.
    pub(in crate::network) fn touch(&mut self, peer: &PeerId, now: Instant) {
        if let Some(partner) = self.partners.get_mut(peer) {
            partner.active = now;
        }
    }

    /// Whether what is reported belongs to the time that the peer is connected.
    pub(in crate::network) fn is_current(&self, peer: &PeerId, link: LinkId) -> bool {
        self.partners.get(peer).is_some_and(|partner| partner.link == link)
    }
}
