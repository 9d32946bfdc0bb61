//! One download: which block next, and where its bytes go.
//!
//! A machine over the blocks of one root. It says which blocks it needs (`poll_want`), is told of those that are in the store
//! (`handle_leaf`, `handle_block`), and says in order what the content is made of (`poll_output`). It looks a bounded distance
//! ahead of what was put out, so that memory is bounded whatever the size of the content, and a slow reader slows the download.
//! Whom to ask is the exchange's business, where blocks lie the store's.

mod entity;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use cid::Cid;

use crate::Block;
use crate::block::{BlockError, RAW};
use crate::seen::Seen;
use crate::unixfs::{Metadata, NodeError};
use crate::walk::TooWide;
use window::{Item, Key, Window};

/// One download of the content under a root.
#[derive(Debug)]
pub struct Fetch {
    selector: Selector,
    limits: Limits,
    window: Window,
    /// What was needed and asked for, and where in the content it stands.
    waiting: BTreeMap<Cid, Vec<Key>>,
    /// Interior nodes that a walk of a whole DAG has been at.
    visited: Seen,
    progress: Progress,
    entries: u64,
    left_out: bool,
    wanted: i32,
    in_place: bool,
}

/// What of a DAG is downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The root block alone.
    Block,
    /// Every block that can be reached; nothing is put out.
    Dag,
    /// A UnixFS file (or a range of its bytes) or folder, put out in order.
    Entity {
        /// The bytes of the file that are wanted; `None` for all. A folder has no range.
        range: Option<Range<u64>>,
    },
}

/// A block that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its CID.
    pub cid: Cid,
    /// Higher first: interior nodes before leaves, then the order of the content.
    pub priority: i32,
    /// Where its bytes, and those of all that is below it, stand in the file, where the download is made
    /// [in place](Fetch::in_place).
    pub place: Option<Place>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes of the file before it.
    pub at: u64,
    /// How many bytes it has.
    pub len: u64,
}

/// A piece of the content, in order. `path` names the entry from the root down; the root's own path is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A folder begins.
    Directory {
        /// Where it stands.
        path: Path,
        /// Permissions and time, where they are stored.
        metadata: Metadata,
    },
    /// A file begins; so many bytes of it follow.
    File {
        /// Where it stands.
        path: Path,
        /// Its length in bytes (of the range, where one was asked for).
        size: u64,
        /// Permissions and time, where they are stored.
        metadata: Metadata,
    },
    /// A symbolic link.
    Symlink {
        /// Where it stands.
        path: Path,
        /// What it points to, as stored.
        target: Bytes,
        /// Permissions and time, where they are stored.
        metadata: Metadata,
    },
    /// The next bytes of the file: `len` of what the leaf `cid` holds, after `skip`.
    Bytes {
        /// The leaf, which is in the store.
        cid: Cid,
        /// Bytes of its content that come before.
        skip: u64,
        /// How many bytes.
        len: u64,
        /// The length of the leaf's whole block: what has to be read for them.
        block: u64,
    },
}

/// The names that lead from the root to an entry.
pub type Path = Vec<Bytes>;

/// How far a download may go.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes asked for or here, and not yet put out. The first piece is always asked for.
    pub bytes_ahead: u64,
    /// Most pieces asked for or here, and not yet put out.
    pub pieces_ahead: usize,
    /// Most links from the root to a block.
    pub depth: usize,
    /// Most files, folders and links in one folder tree.
    pub entries: u64,
    /// Most distinct interior nodes in the walk of a whole DAG.
    pub nodes: usize,
    /// Most bytes of memory for what is known of the content and was not yet put out: nodes of 65,536 links may stand one below
    /// the other. What is wide beside each other is looked into in turn, from half of it on.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_ahead: 64 << 20,
            pieces_ahead: 2048,
            depth: 256,
            entries: 1 << 24,
            nodes: 1 << 22,
            memory: 256 << 20,
        }
    }
}

/// How far a download has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks that are here.
    pub blocks: u64,
    /// Bytes of content that were put out, or of blocks that are here where nothing is put out.
    pub bytes: u64,
    /// How many bytes of content there are, as far as the root says.
    pub total: Option<u64>,
}

impl Fetch {
    /// A download of what `selector` names under `root`.
    pub fn new(root: Cid, selector: Selector, limits: Limits) -> Self {
        let mut fetch = Self {
            selector,
            limits,
            window: Window::default(),
            waiting: BTreeMap::new(),
            visited: Seen::default(),
            progress: Progress::default(),
            entries: 0,
            left_out: false,
            wanted: 0,
            in_place: false,
        };
        let item = match fetch.selector {
            Selector::Entity { .. } => Item::Entity { cid: root, path: Path::new(), guess: None },
            Selector::Block | Selector::Dag => Item::Link { cid: root },
        };
        fetch.window.insert(vec![0], item);
        fetch
    }

    /// A file that is all of the content, and has at least [`LARGE`] bytes, is put out before any part of it is asked for. After
    /// [`begin`](Self::begin) its parts are asked for with their place in it: they can be written there in whatever order they come.
    pub fn in_place(self) -> Self {
        Self { in_place: true, ..self }
    }

    /// Where the file goes that was put out is known: its parts may be asked for. Without one, nothing.
    pub fn begin(&mut self) {
        if self.window.release() {
            // Its first block is handed in once more.
            self.progress.blocks -= 1;
        }
    }

    /// The next block to get, from the store or from peers. None: all that may be asked for has been.
    ///
    /// The same block may be named again later, where the content repeats itself.
    pub fn poll_want(&mut self) -> Option<Want> {
        loop {
            let (key, cid, place) = self.window.next_unasked(&self.limits)?;
            let keys = self.waiting.entry(cid).or_default();
            keys.push(key);
            if keys.len() > 1 {
                continue;
            }
            if cid.codec() != RAW {
                return Some(Want { cid, priority: i32::MAX, place });
            }
            self.wanted = self.wanted.saturating_sub(1);
            return Some(Want { cid, priority: self.wanted, place });
        }
    }

    /// The next piece of the content, once it is here.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.window.pop_ready()?;
        if let Output::Bytes { len, .. } = &output {
            self.progress.bytes += len;
        }
        Some(output)
    }

    /// A block without links (codec raw) is in the store and `len` bytes long. Ignored when it is not waited for.
    pub fn handle_leaf(&mut self, cid: &Cid, len: u64) -> Result<(), DagError> {
        let Some(keys) = self.waiting.remove(cid) else { return Ok(()) };
        self.progress.blocks += 1;
        if !matches!(self.selector, Selector::Entity { .. }) {
            self.progress.bytes += len;
        }
        for key in keys {
            match self.window.take(&key) {
                Item::Link { .. } => {}
                Item::Entity { path, .. } => self.place_raw_file(key, path, *cid, len)?,
                Item::Leaf { skip, take, size, .. } => {
                    if size != len {
                        return Err(DagError::Length { cid: *cid, expected: size, found: len });
                    }
                    self.window.insert(key, Item::Ready(Output::Bytes { cid: *cid, skip, len: take, block: len }));
                }
                Item::Part { .. } | Item::Shard { .. } => {
                    return Err(DagError::NoFile {
                        cid: *cid,
                        why: "bytes stand where a node was expected".to_owned(),
                    });
                }
                Item::Held { .. } | Item::Ready(_) => unreachable!("it waits for no block"),
            }
        }
        Ok(())
    }

    /// A block with links is in the store. Ignored when it is not waited for; where its turn has not come and much is known
    /// already, it is asked for again.
    pub fn handle_block(&mut self, block: &Block) -> Result<(), DagError> {
        let Some(keys) = self.waiting.remove(block.cid()) else { return Ok(()) };
        let mut is_looked_into = false;
        for key in keys {
            if key.len() > self.limits.depth {
                return Err(DagError::Deep { cid: *block.cid(), limit: self.limits.depth });
            }
            if self.window.is_crowded(&self.limits) && !self.window.is_first(&key) {
                self.window.put_back(key);
                continue;
            }
            self.progress.blocks += u64::from(!std::mem::replace(&mut is_looked_into, true));
            match self.window.take(&key) {
                Item::Link { .. } => self.expand_links(key, block)?,
                item => self.expand_entity(key, item, block)?,
            }
            self.window.check(&self.limits)?;
        }
        Ok(())
    }

    /// Whether everything was downloaded and put out.
    pub fn is_done(&self) -> bool {
        self.window.is_empty()
    }

    /// Whether, once done, every block under the root is known to be in the store.
    pub fn covers_dag(&self) -> bool {
        match &self.selector {
            Selector::Block => false,
            Selector::Dag => true,
            Selector::Entity { range } => range.is_none() && !self.left_out,
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The blocks that are needed and not here, at most `most`.
    pub fn missing(&self, most: usize) -> Vec<Cid> {
        self.waiting.keys().take(most).copied().collect()
    }

    fn expand_links(&mut self, key: Key, block: &Block) -> Result<(), DagError> {
        self.progress.bytes += block.data().len() as u64;
        if self.selector == Selector::Block {
            return Ok(());
        }
        let links = block.links().map_err(|error| DagError::Links(Box::new(error)))?;
        for (place, cid) in links.iter().enumerate() {
            if cid.codec() != RAW && !self.visited.insert(cid) {
                continue;
            }
            if self.visited.len() > self.limits.nodes {
                return Err(DagError::Wide { limit: self.limits.nodes as u64, what: "nodes" });
            }
            self.window.insert(below(&key, place), Item::Link { cid: *cid });
        }
        Ok(())
    }
}

/// A shorter file may be one block, whose place nobody knows before it comes.
pub const LARGE: u64 = 4 << 20;

fn below(key: &Key, place: usize) -> Key {
    let mut below = Vec::with_capacity(key.len() + 1);
    below.extend_from_slice(key);
    below.push(place as u32);
    below
}

/// Why content cannot be downloaded though its blocks are here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DagError {
    /// Too many links from the root to this block.
    #[error("block {cid} is more than {limit} links below the root")]
    Deep {
        /// The block.
        cid: Cid,
        /// The limit.
        limit: usize,
    },
    /// A part of a file is not as long as the node above says.
    #[error("block {cid} holds {found} bytes where the node above says {expected}")]
    Length {
        /// The block.
        cid: Cid,
        /// What the node above says.
        expected: u64,
        /// What it holds.
        found: u64,
    },
    /// What a block of the DAG links to cannot be known.
    #[error(transparent)]
    Links(Box<BlockError>),
    /// It is neither file nor folder.
    #[error("block {cid} is no file or folder: {why}")]
    NoFile {
        /// The block.
        cid: Cid,
        /// What is wrong.
        why: String,
    },
    /// A node is malformed.
    #[error(transparent)]
    Node(Box<NodeError>),
    /// Too much of it to be walked.
    #[error(transparent)]
    TooWide(#[from] TooWide),
    /// Too much of it.
    #[error("the content has more than {limit} {what}")]
    Wide {
        /// The limit.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
}

impl From<NodeError> for DagError {
    fn from(error: NodeError) -> Self {
        Self::Node(Box::new(error))
    }
}
