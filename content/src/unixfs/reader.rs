//! Blocks in, bytes out: a file, or any range of it, in order.
//!
//! Only the parts that hold bytes of the range are asked for, and each must be as long as its parent says. So a hostile
//! file costs no more than the bytes that it gives: parts without bytes are not visited, and levels are counted.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use cid::Cid;

use super::node::{Entity, NodeError};
use crate::block::Block;
use crate::dag_pb::MAX_LINKS;

/// One file on its way out of blocks.
#[derive(Debug)]
pub struct Reader {
    range: Range<u64>,
    size: Option<u64>,
    /// What is to be visited; the next one last.
    pending: Vec<Pending>,
    bytes: VecDeque<Bytes>,
}

#[derive(Debug)]
struct Pending {
    cid: Cid,
    /// The bytes of the file that it must be; unknown of the root.
    span: Option<Range<u64>>,
    level: usize,
}

/// What a `Reader` has or needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next bytes of the range; never empty.
    Bytes(Bytes),
    /// Nothing goes on without this block.
    Need(Cid),
    /// That was all.
    Done,
}

impl Reader {
    /// The bytes of `root` in `range`, as far as there are that many.
    pub fn new(root: Cid, range: Range<u64>) -> Reader {
        let pending = vec![Pending { cid: root, span: None, level: 1 }];
        Reader { range, size: None, pending, bytes: VecDeque::new() }
    }

    /// The size of the whole file, once the root was given.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// What comes next; `Need` is repeated until the block was given.
    pub fn poll(&mut self) -> Step {
        if let Some(bytes) = self.bytes.pop_front() {
            return Step::Bytes(bytes);
        }
        self.pending.last().map_or(Step::Done, |pending| Step::Need(pending.cid))
    }

    /// The blocks that will be needed next, for those who fetch ahead: at most `most` of them, in order.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = Cid> {
        self.pending.iter().rev().take(most).map(|pending| pending.cid)
    }

    /// The block that was needed. After an error the reader is of no more use.
    pub fn handle_block(&mut self, block: &Block) -> Result<(), ReadError> {
        let cid = *block.cid();
        let Some(Pending { span, level, .. }) = self.pending.pop_if(|pending| pending.cid == cid) else {
            return Err(ReadError::NotAsked { cid });
        };
        let file = Entity::parse(block)?.into_file().ok_or(ReadError::NotFile { cid })?;
        let size = file.size();
        let span = span.unwrap_or(0..size);
        if span.end - span.start != size {
            return Err(ReadError::SizeMismatch { cid, claimed: span.end - span.start, size });
        }
        self.size.get_or_insert(size);

        let within = self.range.start.clamp(span.start, span.end) - span.start
            ..self.range.end.clamp(span.start, span.end) - span.start;
        let own = file.data().len() as u64;
        let bytes = within.start.min(own) as usize..within.end.min(own) as usize;
        if !bytes.is_empty() {
            self.bytes.push_back(file.data().slice(bytes));
        }
        if within.is_empty() {
            return Ok(());
        }
        let children = file.children(within).rev().map(|child| Pending {
            cid: child.cid,
            span: Some(span.start + child.range.start..span.start + child.range.end),
            level: level + 1,
        });
        self.pending.extend(children);
        if self.pending.last().is_some_and(|pending| pending.level > MAX_LEVELS) {
            return Err(ReadError::TooDeep { cid });
        }
        if self.pending.len() > MAX_PENDING {
            return Err(ReadError::TooWide { cid });
        }
        Ok(())
    }
}

/// Most nodes above one another. 64 bits of size with two links a node have as many; real files have fewer than ten.
pub const MAX_LEVELS: usize = 64;

/// Most parts that are known and not yet read. A real file has some thousand on each of a few levels.
pub const MAX_PENDING: usize = 4 * MAX_LINKS;

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// One of the blocks cannot be understood.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Another block than the one that was needed.
    #[error("block {cid} was not asked for")]
    NotAsked {
        /// Which block.
        cid: Cid,
    },
    /// A folder or a symbolic link.
    #[error("node {cid}: not a file")]
    NotFile {
        /// Which block.
        cid: Cid,
    },
    /// A part is not as long as the node above it says.
    #[error("node {cid}: has {size} bytes of the file, the node above it claims {claimed}")]
    SizeMismatch {
        /// Which block.
        cid: Cid,
        /// What the parent says.
        claimed: u64,
        /// What it has.
        size: u64,
    },
    /// More than [`MAX_LEVELS`].
    #[error("node {cid}: more than {MAX_LEVELS} levels of nodes")]
    TooDeep {
        /// The last node within the limit.
        cid: Cid,
    },
    /// More than [`MAX_PENDING`].
    #[error("node {cid}: more than {MAX_PENDING} parts at a time")]
    TooWide {
        /// The node that went past it.
        cid: Cid,
    },
}
