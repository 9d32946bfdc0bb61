//! What all downloads of a node may hold between them while their readers do not read.
//!
//! Few of them read ahead. The more there are the less each does, and in a crowd none: it gives small pieces of its own memory, and a
//! leaf is read and proved again for the next piece, unless it is among the few that the crowd shares.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cid::Cid;
use cidra_content::Block;

/// The downloads of a node.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    open: AtomicUsize,
    /// Leaves that are given in pieces, the one used last behind the others.
    leaves: Mutex<VecDeque<Block>>,
}

/// The place of one download among them; it is given up when this is dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<Crowd>);

/// How much a download may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// So many batches that are being read, beside the one that is given.
    Batches(usize),
    /// Nothing but a piece.
    Piece,
}

/// Bytes that downloads hold between them, but for the pieces of a crowd.
const BYTES: usize = 96 << 20;
/// What a batch may come to: a leaf of the default profile.
const BATCH: usize = 1 << 20;
/// Leaves that a crowd shares, in bytes.
const SHARED: usize = 32 << 20;
/// Bytes of a piece in a crowd.
pub(super) const PIECE: u64 = 32 << 10;

impl Seat {
    pub(super) fn take(crowd: &Arc<Crowd>) -> Self {
        crowd.open.fetch_add(1, Ordering::Relaxed);
        Self(crowd.clone())
    }

    /// What this one may hold, of `most` batches.
    pub(super) fn room(&self, most: usize) -> Room {
        // One is being given.
        match self.0.batches().saturating_sub(1) {
            0 => Room::Piece,
            batches => Room::Batches(batches.min(most)),
        }
    }

    /// A leaf that somebody was given a piece of a while ago.
    pub(super) fn leaf(&self, cid: &Cid) -> Option<Block> {
        let mut leaves = self.0.leaves();
        let at = leaves.iter().position(|leaf| leaf.cid() == cid)?;
        let leaf = leaves.remove(at)?;
        leaves.push_back(leaf.clone());
        Some(leaf)
    }

    /// There is more to be given of this leaf.
    pub(super) fn share(&self, leaf: Block) {
        let mut leaves = self.0.leaves();
        if leaves.iter().all(|other| other.cid() != leaf.cid()) {
            leaves.push_back(leaf);
        }
        let mut bytes: usize = leaves.iter().map(cost).sum();
        while bytes > SHARED
            && let Some(oldest) = leaves.pop_front()
        {
            bytes -= cost(&oldest);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.leaves().clear();
        }
    }
}

impl Crowd {
    /// Whether each of them holds no more than a piece.
    pub(crate) fn is_large(&self) -> bool {
        self.batches() < 2
    }

    fn batches(&self) -> usize {
        BYTES / BATCH / self.open.load(Ordering::Relaxed).max(1)
    }

    fn leaves(&self) -> MutexGuard<'_, VecDeque<Block>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A short one costs more than its bytes: each look goes through all.
fn cost(leaf: &Block) -> usize {
    leaf.data().len().max(64 << 10)
}

#[cfg(test)]
mod tests {
    use cidra_content::block::RAW;

    use super::*;

    #[test]
    fn the_more_there_are_the_less_each_holds() {
        let crowd = Arc::default();
        let mut seats = vec![Seat::take(&crowd)];
        assert_eq!(seats[0].room(4), Room::Batches(4));
        let mut held = 0;
        for _ in 0..2000 {
            held += match seats[0].room(4) {
                Room::Batches(batches) => (batches + 1) * BATCH,
                Room::Piece => 0,
            };
            seats.push(Seat::take(&crowd));
        }
        assert_eq!(seats[0].room(4), Room::Piece);
        // Who came early keeps what it holds: a sum of few terms.
        assert!(held <= 2 * BYTES, "{held}");
        seats.truncate(1);
        assert_eq!(seats[0].room(4), Room::Batches(4));
    }

    #[test]
    fn of_the_leaves_that_are_shared_the_oldest_go_first_and_all_with_the_last_reader() {
        let crowd = Arc::default();
        let seat = Seat::take(&crowd);
        let leaf = |byte: u8| Block::new(RAW, vec![byte; BATCH].into());
        let most = u8::try_from(SHARED / BATCH).expect("few");
        (0..most).for_each(|byte| seat.share(leaf(byte)));
        assert!(seat.leaf(leaf(0).cid()).is_some());
        seat.share(leaf(most));
        assert_eq!((seat.leaf(leaf(0).cid()), seat.leaf(leaf(1).cid())), (Some(leaf(0)), None));
        drop(seat);
        assert!(crowd.leaves().is_empty());
    }
}
