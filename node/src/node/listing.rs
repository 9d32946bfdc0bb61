//! The entries of a folder, as its blocks come: of a folder of a million files no more is held than what is read ahead.

use std::collections::{BTreeMap, VecDeque};

use cid::Cid;
use cidra_content::fetch::DagError;
use cidra_content::unixfs::shard::DirectoryReadError;
use cidra_content::unixfs::{DirectoryReader, DirectoryStep, Entity, Entry, Metadata};
use cidra_content::{Block, block};

use super::Node;
use crate::download::{FetchError, FetchOptions, gather};

/// What is in a folder, entry by entry: in the order of names where it is one block, in none that means something where it
/// is many.
pub struct Listing {
    node: Node,
    folder: Cid,
    options: FetchOptions,
    looks_into: bool,
    reader: DirectoryReader,
    /// Shards that were fetched before their turn.
    ahead: BTreeMap<Cid, Block>,
    /// Entries whose blocks are yet to be looked into.
    entries: Vec<Entry>,
    listed: VecDeque<Listed>,
}

impl Node {
    /// The entries of a folder; of a file, its parts where it has some, without names. Each child's block is fetched to tell
    /// what it is, unless its CID tells it or `looks_into` is false.
    pub async fn list(&self, cid: &Cid, looks_into: bool, options: &FetchOptions) -> Result<Listing, FetchError> {
        let mut listing = Listing {
            node: self.clone(),
            folder: *cid,
            options: options.clone(),
            looks_into,
            reader: DirectoryReader::new(*cid),
            ahead: BTreeMap::new(),
            entries: vec![],
            listed: VecDeque::new(),
        };
        let root = self.block(cid, options).await?;
        match Entity::parse(&root).map_err(DagError::from)? {
            Entity::Directory(_) | Entity::Shard(_) => {
                listing.reader.handle_block(&root).map_err(|source| malformed(*cid, source))?;
            }
            entity => {
                listing.reader = DirectoryReader::ended();
                listing.listed = parts(&entity);
            }
        }
        Ok(listing)
    }
}

impl Listing {
    /// The next entry; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Listed>, FetchError> {
        loop {
            if let Some(listed) = self.listed.pop_front() {
                return Ok(Some(listed));
            }
            while self.entries.len() < CHILDREN_AHEAD {
                match self.reader.poll() {
                    DirectoryStep::Entry(entry) => self.entries.push(entry),
                    DirectoryStep::Need(_) if !self.entries.is_empty() => break,
                    DirectoryStep::Need(cid) => {
                        let shard = self.shard(cid).await?;
                        let read = self.reader.handle_block(&shard);
                        read.map_err(|source| malformed(self.folder, source))?;
                    }
                    DirectoryStep::Done => break,
                }
            }
            if self.entries.is_empty() {
                return Ok(None);
            }
            self.look_into().await?;
        }
    }

    /// The next entry, if it is at hand: nothing is waited for.
    pub fn try_next(&mut self) -> Option<Listed> {
        self.listed.pop_front()
    }

    /// The shard that is needed; with it come those that will be needed soon.
    async fn shard(&mut self, cid: Cid) -> Result<Block, FetchError> {
        if let Some(block) = self.ahead.remove(&cid) {
            return Ok(block);
        }
        let room = SHARDS_AHEAD.saturating_sub(self.ahead.len()).max(1);
        let mut wanted: Vec<Cid> = self.reader.upcoming(room).filter(|cid| !self.ahead.contains_key(cid)).collect();
        wanted.sort();
        wanted.dedup();
        for block in gather(&self.node, self.folder, &wanted, &self.options).await? {
            self.ahead.insert(*block.cid(), block);
        }
        self.ahead.remove(&cid).ok_or(FetchError::NotHere { cid })
    }

    async fn look_into(&mut self) -> Result<(), FetchError> {
        let entries = std::mem::take(&mut self.entries);
        let is_node = |entry: &&Entry| self.looks_into && entry.cid.codec() != block::RAW;
        let nodes: Vec<Cid> = entries.iter().filter(is_node).map(|entry| entry.cid).collect();
        let mut blocks = gather(&self.node, self.folder, &nodes, &self.options).await?.into_iter();
        for entry in entries {
            let (name, cid) = (entry.name.to_vec(), entry.cid);
            let listed = if cid.codec() == block::RAW {
                Listed { size: entry.tsize, kind: Kind::File, ..Listed::unknown(name, cid) }
            } else if self.looks_into {
                let block = blocks.next().expect("one was gathered for each");
                Listed::of(name, cid, &Entity::parse(&block).map_err(DagError::from)?)
            } else {
                Listed::unknown(name, cid)
            };
            self.listed.push_back(Listed { claimed: entry.tsize, ..listed });
        }
        Ok(())
    }
}

/// Shards of a folder that are fetched side by side, and blocks of entries that are.
const SHARDS_AHEAD: usize = 64;
const CHILDREN_AHEAD: usize = 256;

fn malformed(cid: Cid, source: DirectoryReadError) -> FetchError {
    FetchError::Folder { cid, source: Box::new(source) }
}

/// As Kubo lists a file.
fn parts(entity: &Entity) -> VecDeque<Listed> {
    let Entity::File(file) = entity else { return VecDeque::new() };
    let parts = file.children(0..file.size()).map(|part| Listed {
        size: part.range.end - part.range.start,
        kind: Kind::File,
        ..Listed::unknown(vec![], part.cid)
    });
    parts.collect()
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// Its CID.
    pub cid: Cid,
    /// A file's length in bytes; zero for a folder.
    pub size: u64,
    /// Bytes of all its blocks, as the folder says; nobody proves it.
    pub claimed: u64,
    /// What it is.
    pub kind: Kind,
    /// What a symbolic link points to.
    pub target: Option<Vec<u8>>,
    /// Permissions and time, where they were kept and somebody looked.
    pub metadata: Metadata,
}

impl Listed {
    fn unknown(name: Vec<u8>, cid: Cid) -> Self {
        Self { name, cid, size: 0, claimed: 0, kind: Kind::Unknown, target: None, metadata: Metadata::default() }
    }

    fn of(name: Vec<u8>, cid: Cid, entity: &Entity) -> Self {
        let (kind, size, target) = match entity {
            Entity::Directory(_) | Entity::Shard(_) => (Kind::Directory, 0, None),
            Entity::File(file) => (Kind::File, file.size(), None),
            Entity::Raw(data) => (Kind::File, data.len() as u64, None),
            Entity::Symlink(symlink) => (Kind::Symlink, symlink.target.len() as u64, Some(symlink.target.to_vec())),
        };
        Self { name, cid, size, claimed: 0, kind, target, metadata: entity.metadata() }
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A file.
    File,
    /// A symbolic link.
    Symlink,
    /// Nobody looked.
    Unknown,
}
