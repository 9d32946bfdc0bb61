//! Wants that a Bitswap peer may have lost. It keeps a list, and a want that it has already changes nothing: saying it twice is
//! cheap, while one that was lost (with a stream that was reset, out of a list that was too long) would never be answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cid::Cid;

use super::Client;
use super::ask::NAMES_PER_REQUEST;
use crate::exchange::message::{Credit, Kind, RequestId};
use crate::exchange::{Peer, SessionId};

impl<P: Peer> Client<P> {
    /// Says again what was said long ago: soon where the peer is silent, late where it is busy with other blocks.
    pub(super) fn ask_again(&mut self, now: Instant) {
        let mut again: Vec<(P, SessionId, RequestId, Vec<Cid>)> = Vec::new();
        for (peer, partner) in self.partners.iter().filter(|(_, partner)| !partner.protocol.native) {
            let pause = if partner.silence(now) >= SILENT { SILENT } else { BUSY };
            let late = partner.owed().iter().filter(|(_, owed)| now.duration_since(owed.again) >= pause);
            let mut by_request: BTreeMap<(SessionId, RequestId), Vec<Cid>> = BTreeMap::new();
            for (cid, owed) in late.take(NAMES_PER_REQUEST) {
                by_request.entry((owed.session, owed.request)).or_default().push(*cid);
            }
            again.extend(by_request.into_iter().map(|((id, request), cids)| (peer.clone(), id, request, cids)));
        }
        for (peer, id, request, cids) in again {
            let Some(partner) = self.partners.get_mut(&peer) else { continue };
            cids.iter().for_each(|cid| partner.asked_again(cid, now));
            if self.sessions.contains_key(&id) {
                self.say_want(id, &peer, request, cids, Credit::All, Kind::Block, 0);
            }
        }
    }
}

/// After so much silence.
const SILENT: Duration = Duration::from_secs(2);
/// After so long, where the peer sends other blocks: a block that is on its way would come twice.
const BUSY: Duration = Duration::from_secs(10);
