//! Blocks on their way out of the store to a partner.

use std::collections::btree_map::Entry;
use std::time::Instant;

use bytes::Bytes;
use cid::Cid;
use cidra_content::exchange::message::RequestId;
use futures::FutureExt;
use libp2p::PeerId;

use super::writer::{Outgoing, Said};
use super::{Blocks, Done, PartnerState};
use crate::network::throttle::Throttle;
use crate::store::{StoreError, Stored};

/// Readings of one block for one request: the peer may cancel it and ask again before the first is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loading {
    wanted: bool,
    cancelled: usize,
}

impl Blocks {
    pub(in crate::network) fn locate(&mut self, peer: PeerId, request: RequestId, cids: Vec<Cid>) {
        let Some(link) = self.partners.get(&peer).map(|partner| partner.link) else { return };
        let store = self.serves.then(|| self.store.clone());
        let deny = self.deny.current();
        let locate = async move {
            let nothing = vec![None; cids.len()];
            let lengths = match store {
                Some(store) => store.glance(cids.clone()).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "cannot look blocks up");
                    nothing
                }),
                None => nothing,
            };
            let shown = |(cid, length): (Cid, Option<u32>)| (cid, length.filter(|_| deny.block(&cid).is_none()));
            Done::Located { peer, link, request, found: cids.into_iter().zip(lengths).map(shown).collect() }
        };
        self.work.push(locate.boxed());
    }

    pub(in crate::network) fn load(&mut self, peer: PeerId, request: RequestId, cid: Cid, root: Option<Cid>) {
        let Some(link) = self.partners.get(&peer).map(|partner| partner.link) else { return };
        self.loading.entry((peer, request, cid)).or_default().wanted = true;
        let is_denied = self.deny.current().block(&cid).is_some();
        let (store, limit) = (self.store.clone(), self.limits.of_root(root.as_ref()));
        let load = async move {
            let result = if is_denied { Ok(None) } else { store.load(&cid).await };
            Done::Loaded { peer, link, request, cid, limit, result }
        };
        self.work.push(load.boxed());
    }

    pub(super) fn on_loaded(
        &mut self,
        peer: PeerId,
        request: RequestId,
        cid: Cid,
        limit: Option<Throttle>,
        result: Result<Option<Stored>, StoreError>,
        now: Instant,
    ) {
        let Entry::Occupied(mut loading) = self.loading.entry((peer, request, cid)) else { return };
        if loading.get().cancelled > 0 {
            // Which of its readings this was makes no difference.
            loading.get_mut().cancelled -= 1;
            if *loading.get() == Loading::default() {
                loading.remove();
            }
            return self.machine.handle_aborted(&peer, request, &cid, now);
        }
        loading.remove();
        let data: Bytes = match result {
            Ok(Some(stored)) => stored.data,
            Ok(None) => return self.machine.handle_load_failed(&peer, request, &cid, now),
            Err(error) => {
                tracing::error!(%cid, %error, "cannot read a block");
                return self.machine.handle_load_failed(&peer, request, &cid, now);
            }
        };
        let Some(partner) = self.partners.get_mut(&peer) else { return };
        if partner.allowance.as_mut().is_some_and(|allowance| !allowance.take(data.len())) {
            return self.machine.handle_load_failed(&peer, request, &cid, now);
        }
        let PartnerState::Open(speaker) = &partner.state else { return };
        if !speaker.send(Outgoing { request, cid, data, limit }) {
            self.machine.handle_load_failed(&peer, request, &cid, now);
        }
    }

    /// Stops sending a block, wherever it is on its way.
    pub(in crate::network) fn abort(&mut self, peer: PeerId, request: RequestId, cid: Cid) {
        if let Some(loading) = self.loading.get_mut(&(peer, request, cid)).filter(|loading| loading.wanted) {
            *loading = Loading { wanted: false, cancelled: loading.cancelled + 1 };
            return;
        }
        let _ = self.say(&peer, Said::Abort { request, cid }); // gone: it sends nothing
        self.machine.handle_aborted(&peer, request, &cid, Instant::now());
    }
}
