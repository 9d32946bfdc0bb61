//! Which blocks nobody protects: everything that is here, less what roots and leases lead to.
//!
//! A [`Marking`] walks from roots through links and asks its questions in batches: which of these blocks are here, and what do
//! those lead to. Whoever answers may read a batch in the order of the disk. Only what is here is remembered, 17 bytes a block
//! ([`digests`]), so that a DAG which names millions of blocks that nobody has costs nothing. A block that is missing under a
//! root is no error: a download may be under way, or only a part of the DAG was ever wanted.

pub mod digests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use cid::Cid;
use multihash::Multihash;

use crate::block::{Block, DAG_PB, Links, RAW};
use crate::hash::Function;
use digests::Digests;

/// A walk over all that is protected. Roots may be added at any time, also after [`poll`](Self::poll) had nothing to ask.
#[derive(Debug)]
pub struct Marking {
    marks: Digests,
    /// Named by a root or a link, and not known to be here.
    named: VecDeque<Cid>,
    /// Here, and their links not known. The next one is the last: the walk goes deep first, which keeps this short.
    unread: Vec<Cid>,
    /// Asked, and not answered yet.
    asked: Vec<Cid>,
    unreadable: u64,
}

/// What a marking has to know to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which of these are here: [`Marking::handle_here`] takes the answer.
    Here(Vec<Cid>),
    /// What these lead to: [`Marking::handle_links`] or [`Marking::handle_unreadable`] for each, in any order.
    Links(Vec<Cid>),
}

impl Marking {
    /// Nothing is marked yet. `seed` is any number that no stranger knows.
    pub fn new(seed: u128) -> Marking {
        Marking {
            marks: Digests::new(seed),
            named: VecDeque::new(),
            unread: Vec::new(),
            asked: Vec::new(),
            unreadable: 0,
        }
    }

    /// Mark a block, and everything that it leads to when it is a `recursive` root.
    pub fn protect(&mut self, root: Cid, recursive: bool) {
        // A raw block leads nowhere.
        let root = if recursive { root } else { Cid::new_v1(RAW, *root.hash()) };
        self.name([root]);
    }

    /// What to find out next; `None` once everything is marked. The answer to one question comes before the next.
    pub fn poll(&mut self) -> Option<Question> {
        if !self.named.is_empty() {
            let few = self.named.len().min(LOOK_UP);
            return Some(Question::Here(self.named.drain(..few).collect()));
        }
        let rest = self.unread.len().saturating_sub(READ);
        self.asked = self.unread.split_off(rest);
        self.asked.reverse();
        (!self.asked.is_empty()).then(|| Question::Links(self.asked.clone()))
    }

    /// These are here; others of the question are not.
    pub fn handle_here(&mut self, here: impl IntoIterator<Item = Cid>) {
        let before = self.unread.len();
        for cid in here {
            let way = way(cid.codec());
            let known = self.marks.insert(cid.hash(), way);
            if way != 0 && known.is_none_or(|ways| ways & way == 0) {
                self.unread.push(cid);
            }
        }
        // The first one is read first: that is the order in which they were written.
        self.unread[before..].reverse();
    }

    /// What one of the blocks of the question leads to.
    pub fn handle_links(&mut self, links: &Links) {
        self.name(links.iter().copied());
    }

    /// One of the blocks of the question is no node of its codec, or its record is bad: it stays, and leads nowhere.
    pub fn handle_unreadable(&mut self) {
        self.unreadable += 1;
    }

    /// Whether the block is protected.
    pub fn is_marked(&self, hash: &Multihash<64>) -> bool {
        self.marks.get(hash).is_some()
    }

    /// Whether everything that is here of the DAG under `root` is protected.
    pub fn covers(&self, root: &Cid) -> bool {
        let way = way(root.codec());
        self.marks.get(root.hash()).is_some_and(|ways| ways & way == way)
    }

    /// How many blocks are marked.
    pub fn marked(&self) -> u64 {
        self.marks.len()
    }

    /// How many blocks could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn name(&mut self, cids: impl IntoIterator<Item = Cid>) {
        for cid in cids {
            if cid.hash().code() == Function::Identity.code() {
                self.name_inline(cid);
            } else if !self.covers(&cid) {
                self.named.push_back(cid);
            }
        }
    }

    /// A block within its own CID is nowhere stored, but may lead to others. Each is shorter than the one that it stands in,
    /// so this ends.
    fn name_inline(&mut self, cid: Cid) {
        let links = Block::inline(cid).map(|block| block.links());
        match links {
            Some(Ok(links)) => self.name(links.iter().copied()),
            Some(Err(_)) => self.unreadable += 1,
            None => {}
        }
    }
}

/// The bit that says that a block was walked under this codec; none where a codec has no links. The same bytes may be named
/// under several.
fn way(codec: u64) -> u8 {
    match codec {
        DAG_PB => 1,
        DAG_CBOR => 2,
        DAG_JSON => 4,
        _ => 0,
    }
}

const DAG_CBOR: u64 = 0x71;
const DAG_JSON: u64 = 0x0129;

/// Blocks that are looked up at a time.
const LOOK_UP: usize = 4096;
/// Blocks that are read at a time. Their links are in memory together: at most 16 × 65,536 of 96 bytes.
const READ: usize = 16;
