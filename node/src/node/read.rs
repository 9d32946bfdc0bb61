//! Paths, folders and single blocks, out of the store and else from peers.

use cid::Cid;
use cidra_content::fetch::DagError;
use cidra_content::path::ContentPath;
use cidra_content::unixfs::shard::{Found, ShardLookup};
use cidra_content::unixfs::{DirectoryReader, DirectoryStep, Entity, Entry};
use cidra_content::{Block, block};

use super::Node;
use crate::download::{FetchError, FetchOptions, gather};

impl Node {
    /// One block, from the store or from peers.
    pub async fn block(&self, cid: &Cid, options: &FetchOptions) -> Result<Block, FetchError> {
        let mut blocks = gather(self, *cid, &[*cid], options).await?;
        blocks.pop().ok_or(FetchError::NotHere { cid: *cid })
    }

    /// The CID at the end of a path.
    pub async fn resolve(&self, path: &ContentPath, options: &FetchOptions) -> Result<Cid, FetchError> {
        let mut cid = path.cid;
        for name in &path.segments {
            let found = self.child(cid, name.as_bytes(), options).await?;
            cid = found.ok_or_else(|| FetchError::NoSuchName { cid, name: name.clone() })?;
        }
        Ok(cid)
    }

    async fn child(&self, folder: Cid, name: &[u8], options: &FetchOptions) -> Result<Option<Cid>, FetchError> {
        let mut cid = folder;
        let mut lookup = ShardLookup::new(name);
        loop {
            match self.entity(&cid, options).await? {
                Entity::Directory(directory) => return Ok(directory.find(name).map(|entry| entry.cid)),
                Entity::Shard(shard) => match lookup.step(&shard) {
                    Found::Absent => return Ok(None),
                    Found::Entry(entry) => return Ok(Some(entry.cid)),
                    Found::Shard(below) => cid = below,
                },
                Entity::File(_) | Entity::Raw(_) | Entity::Symlink(_) => return Ok(None),
            }
        }
    }

    /// What a block is.
    pub async fn entity(&self, cid: &Cid, options: &FetchOptions) -> Result<Entity, FetchError> {
        let block = self.block(cid, options).await?;
        Ok(Entity::parse(&block).map_err(DagError::from)?)
    }

    /// The entries of a folder, with what each is; a file has one, itself, without a name.
    pub async fn ls(&self, cid: &Cid, options: &FetchOptions) -> Result<Vec<Listed>, FetchError> {
        let entity = self.entity(cid, options).await?;
        if !matches!(entity, Entity::Directory(_) | Entity::Shard(_)) {
            return Ok(vec![Listed::new(vec![], *cid, &entity)]);
        }
        let entries = self.entries(*cid, options).await?;
        let is_node = |entry: &&Entry| entry.cid.codec() != block::RAW;
        let nodes: Vec<Cid> = entries.iter().filter(is_node).map(|entry| entry.cid).collect();
        let mut blocks = gather(self, *cid, &nodes, options).await?.into_iter();
        let mut listed = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.name.to_vec();
            if entry.cid.codec() == block::RAW {
                listed.push(Listed { name, cid: entry.cid, size: entry.tsize, kind: Kind::File, target: None });
                continue;
            }
            let block = blocks.next().expect("one was gathered for each");
            listed.push(Listed::new(name, entry.cid, &Entity::parse(&block).map_err(DagError::from)?));
        }
        Ok(listed)
    }

    /// The entries of a folder of one block or many, sorted by name.
    async fn entries(&self, folder: Cid, options: &FetchOptions) -> Result<Vec<Entry>, FetchError> {
        let mut reader = DirectoryReader::new(folder);
        let mut entries = vec![];
        loop {
            match reader.poll() {
                DirectoryStep::Entry(entry) => entries.push(entry),
                DirectoryStep::Need(_) => {
                    let upcoming: Vec<Cid> = reader.upcoming(SHARDS_AHEAD).collect();
                    for block in gather(self, folder, &upcoming, options).await? {
                        if reader.poll() != DirectoryStep::Need(*block.cid()) {
                            break; // entries or other shards come before it
                        }
                        reader
                            .handle_block(&block)
                            .map_err(|source| FetchError::Folder { cid: folder, source: source.into() })?;
                    }
                }
                DirectoryStep::Done => break,
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

/// Shards of a folder that are fetched side by side.
const SHARDS_AHEAD: usize = 64;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// Its CID.
    pub cid: Cid,
    /// A file's length in bytes; zero for a folder.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// What a symbolic link points to.
    pub target: Option<Vec<u8>>,
}

impl Listed {
    fn new(name: Vec<u8>, cid: Cid, entity: &Entity) -> Self {
        let (kind, size, target) = match entity {
            Entity::Directory(_) | Entity::Shard(_) => (Kind::Directory, 0, None),
            Entity::File(file) => (Kind::File, file.size(), None),
            Entity::Raw(data) => (Kind::File, data.len() as u64, None),
            Entity::Symlink(target) => (Kind::Symlink, target.len() as u64, Some(target.clone())),
        };
        Self { name, cid, size, kind, target }
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
}
