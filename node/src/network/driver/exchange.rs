//! Between the machine of the exchange and the world.

use std::time::Instant;

use cid::Cid;
use cidra_content::exchange::wire::native::Referral;
use cidra_content::exchange::{Action, SessionId};
use futures::FutureExt;
use libp2p::PeerId;
use libp2p::core::{PeerRecord, SignedEnvelope};

use super::super::ConnectError;
use super::super::address::is_loopback;
use super::super::blocks::{Done, Heard, PartnerState, Report};
use super::super::discovery::Finder;
use super::super::session::SessionEvent;
use super::Driver;

impl Driver {
    /// Carries out what the machine says, until it says no more.
    pub(super) fn act(&mut self) {
        while let Some(action) = self.blocks.as_mut().and_then(|blocks| blocks.machine.poll()) {
            tracing::trace!(?action);
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action<PeerId>) {
        let Some(blocks) = &mut self.blocks else { return };
        match action {
            Action::Abort { peer, request, cid } => blocks.abort(peer, request, cid),
            Action::Ban { peer, lasting, why } => {
                tracing::warn!(%peer, why, ?lasting, "banned a peer");
                self.swarm.behaviour_mut().bans.block_peer(peer);
                for pardoned in self.upkeep.ban(peer, Instant::now() + lasting) {
                    self.swarm.behaviour_mut().bans.unblock_peer(pardoned);
                }
                self.drop_partner(peer);
            }
            Action::Connect { peer } => self.connect(peer),
            Action::Delivered { session, cid, links } => self.tell(session, SessionEvent::Delivered { cid, links }),
            Action::Load { peer, request, cid, root, .. } => {
                blocks.load(peer, request, cid, root);
                self.open_answer_streams(peer);
            }
            Action::Locate { peer, request, cids } => blocks.locate(peer, request, cids),
            Action::Missing { session, cid, report } => self.tell(session, SessionEvent::Missing { cid, report }),
            Action::Refer { peer, root, others } => {
                let referrals = self.referrals(others);
                let Some(blocks) = &mut self.blocks else { return };
                if !referrals.is_empty() && !blocks.refer(&peer, root, referrals) {
                    self.drop_partner(peer);
                }
            }
            Action::Search { cid } => self.find_providers(cid, Finder::Exchange),
            Action::Send { peer, message } => {
                if !blocks.send(&peer, message) {
                    tracing::debug!(%peer, "dropped: it does not read what it is told");
                    self.drop_partner(peer);
                }
            }
            Action::StopSearch { cid } => {
                for dht in self.swarm.behaviour_mut().dhts() {
                    dht.stop_search(&cid);
                }
            }
        }
    }

    fn connect(&mut self, peer: PeerId) {
        let now = Instant::now();
        let Some(blocks) = &mut self.blocks else { return };
        match blocks.partners.get(&peer).map(|partner| &partner.state) {
            Some(PartnerState::Open(speaker)) => blocks.machine.handle_connected(peer, speaker.protocol(), None, now),
            Some(PartnerState::Opening { .. }) => {}
            Some(PartnerState::Mute) => {
                let why = "it speaks no protocol for blocks that this node knows".to_owned();
                blocks.machine.handle_connect_failed(&peer, why, now);
            }
            None if self.reach.awaited.contains_key(&peer) => {}
            None if self.connections.contains(&peer) => {
                let why = "its connection is being closed".to_owned();
                blocks.machine.handle_connect_failed(&peer, why, now);
            }
            None => {
                let network = self.network.clone();
                let reach = async move {
                    let result = match network.upgrade() {
                        Some(network) => network.reach(peer).await,
                        None => Err(ConnectError::Ended),
                    };
                    Done::Reached { peer, result }
                };
                blocks.work.push(reach.boxed());
            }
        }
    }

    /// A peer that speaks Bitswap gets blocks on streams of their own.
    fn open_answer_streams(&mut self, peer: PeerId) {
        let Some(blocks) = &mut self.blocks else { return };
        let Some((connection, name, count)) = blocks.lacks_streams(&peer) else { return };
        for _ in 0..count {
            let request = self.swarm.behaviour_mut().streams.open(peer, connection, vec![name.clone()]);
            blocks.expect_stream(&peer, request);
        }
    }

    /// A session that is gone, or whose holder does not listen, is closed.
    fn tell(&mut self, session: SessionId, event: SessionEvent) {
        let Some(blocks) = &mut self.blocks else { return };
        let Some(sender) = blocks.sessions.get(&session) else { return };
        let must_arrive = matches!(event, SessionEvent::Delivered { .. });
        if let SessionEvent::Delivered { cid, .. } = &event {
            blocks.limits.wants_no_longer(session, cid);
        }
        if sender.try_send(event).is_err() && (must_arrive || sender.is_closed()) {
            self.close(session, Instant::now());
        }
    }

    pub(super) fn on_report(&mut self, Report { peer, link, heard }: Report) {
        let now = Instant::now();
        let Some(blocks) = &mut self.blocks else { return };
        if !blocks.is_current(&peer, link) {
            return;
        }
        blocks.touch(&peer, now);
        match heard {
            Heard::Ended { why } => {
                tracing::debug!(%peer, why, "a stream of blocks ended");
                self.part(peer, now);
            }
            Heard::List(message) => {
                tracing::trace!(%peer, ?message);
                blocks.on_list(peer, message, now);
            }
            Heard::Message(message) => {
                tracing::trace!(%peer, ?message);
                blocks.machine.handle_message(&peer, message, now);
            }
            Heard::Payload(payload) => blocks.on_payload(peer, payload, now),
            Heard::Progress(bytes) => blocks.machine.handle_progress(&peer, bytes, now),
            Heard::Refer { root, peers } => self.on_referred(peer, root, peers, now),
            Heard::Sent { request, cid, bytes, last } => {
                if last {
                    blocks.on_sent(&peer, &cid);
                }
                blocks.machine.handle_sent(&peer, request, &cid, bytes, last, now);
            }
        }
    }

    pub(super) fn on_done(&mut self, done: Done) {
        if let Some(blocks) = &mut self.blocks {
            blocks.on_done(done, Instant::now());
        }
    }

    pub(super) fn on_timeout(&mut self) {
        if let Some(blocks) = &mut self.blocks {
            blocks.on_timeout(Instant::now());
        }
    }

    /// Ends what is between us and a peer, on all its connections.
    pub(super) fn drop_partner(&mut self, peer: PeerId) {
        if let Some(blocks) = &mut self.blocks {
            blocks.end(&peer, Instant::now());
        }
        let _ = self.swarm.disconnect_peer_id(peer); // it is gone already
    }

    /// Peers with their own signed word on where they are; without it, they are not passed on.
    fn referrals(&self, others: Vec<PeerId>) -> Vec<Referral> {
        let referral = |peer: PeerId| {
            let identity = self.connections.get(&peer)?.identity.as_ref()?;
            Some(Referral { peer: peer.to_bytes(), signed_record: identity.signed_record.clone()? })
        };
        others.into_iter().filter_map(referral).collect()
    }

    fn on_referred(&mut self, peer: PeerId, root: Cid, referrals: Vec<Referral>, now: Instant) {
        let referrer_is_here = self.connections.get(&peer).is_some_and(|connected| connected.is_here());
        let here = *self.swarm.local_peer_id();
        let mut others = vec![];
        for referral in referrals {
            let Some(record) = proven(&referral) else {
                tracing::debug!(%peer, "was referred to a peer whose signature is wrong");
                continue;
            };
            if record.peer_id() == here {
                continue;
            }
            let addresses = record.addresses().iter().take(MAX_REFERRED_ADDRESSES);
            let addresses = addresses.filter(|address| referrer_is_here || !is_loopback(address)).cloned();
            self.book.add(record.peer_id(), addresses);
            others.push(record.peer_id());
        }
        if let Some(blocks) = &mut self.blocks {
            blocks.machine.handle_referred(&peer, &root, others, now);
        }
    }
}

/// Addresses taken from a referral; the rest is left out.
const MAX_REFERRED_ADDRESSES: usize = 8;

/// The record, if the peer that it speaks of has signed it: as RFC 0002 and 0003 of libp2p have it, or with the payload type and
/// the domain that rust-libp2p's identify signs with.
fn proven(referral: &Referral) -> Option<PeerRecord> {
    let envelope = SignedEnvelope::from_protobuf_encoding(&referral.signed_record).ok()?;
    let record = PeerRecord::from_signed_envelope_interop(envelope.clone());
    let record = record.or_else(|_| PeerRecord::from_signed_envelope(envelope)).ok()?;
    (record.peer_id().to_bytes() == referral.peer).then_some(record)
}
