//! How much of a root went to whom, for roots that people want to know it of: those that they send.

use std::collections::BTreeMap;

use cid::Cid;
use multihash::Multihash;

use crate::exchange::{Peer, Served};

/// The receivers of the roots that are watched.
#[derive(Debug)]
pub(in crate::exchange) struct Audience<P> {
    roots: BTreeMap<Multihash<64>, BTreeMap<P, Served>>,
}

impl<P: Peer> Audience<P> {
    pub(in crate::exchange) fn new() -> Self {
        Self { roots: BTreeMap::new() }
    }

    /// From here on it is counted what goes to whom. What was counted before stays.
    pub(in crate::exchange) fn watch(&mut self, root: &Cid) {
        self.roots.entry(*root.hash()).or_default();
    }

    /// Nobody wants to know any more.
    pub(in crate::exchange) fn unwatch(&mut self, root: &Cid) {
        self.roots.remove(root.hash());
    }

    /// Who asked for blocks of this root, and what went to them.
    pub(in crate::exchange) fn of(&self, root: &Cid) -> Vec<(P, Served)> {
        let receivers = self.roots.get(root.hash()).into_iter().flatten();
        receivers.map(|(peer, served)| (peer.clone(), *served)).collect()
    }

    /// The peer asks for blocks of this root.
    pub(super) fn asked(&mut self, root: &Cid, peer: &P) {
        self.served(root, peer);
    }

    /// So many bytes of a block of this root went to the peer; with the last of them the block is whole.
    pub(super) fn sent(&mut self, root: &Cid, peer: &P, cid: &Cid, bytes: usize, last: bool) {
        let Some(served) = self.served(root, peer) else { return };
        served.bytes += bytes as u64;
        if last {
            served.blocks += 1;
            served.last = Some(*cid);
        }
    }

    fn served(&mut self, root: &Cid, peer: &P) -> Option<&mut Served> {
        let receivers = self.roots.get_mut(root.hash())?;
        if receivers.len() >= MAX_RECEIVERS && !receivers.contains_key(peer) {
            return None;
        }
        Some(receivers.entry(peer.clone()).or_default())
    }
}

/// Receivers of one root that are told apart; what goes to further ones is not counted.
const MAX_RECEIVERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_whom_is_counted_up_to_the_limit() {
        let cid = |data: &[u8]| *crate::Block::new(crate::block::RAW, data.to_vec().into()).cid();
        let (root, other) = (cid(b"root"), cid(b"other"));
        let mut audience = Audience::new();
        audience.sent(&root, &0, &other, 1, true);
        assert!(audience.of(&root).is_empty(), "nobody watches it");
        audience.watch(&root);

        for peer in 0..MAX_RECEIVERS + 1 {
            audience.asked(&root, &peer);
            audience.sent(&root, &peer, &other, 10, false);
            audience.sent(&root, &peer, &other, 5, true);
            audience.sent(&other, &peer, &other, 5, true);
        }

        assert_eq!(audience.of(&root).len(), MAX_RECEIVERS);
        assert!(
            audience.of(&root).iter().all(|(_, served)| *served == Served { bytes: 15, blocks: 1, last: Some(other) })
        );
        audience.unwatch(&root);
        assert!(audience.roots.is_empty());
    }
}
