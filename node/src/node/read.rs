//! Paths, folders and single blocks, out of the store and else from peers.

use cid::Cid;
use cidra_content::fetch::DagError;
use cidra_content::ipld::{self, Ipld, Walked};
use cidra_content::path::{ContentPath, Namespace};
use cidra_content::unixfs::shard::{Found, ShardLookup};
use cidra_content::unixfs::{DirectoryReader, DirectoryStep, Entity, Entry};
use cidra_content::{Block, block, dag_pb};

use super::Node;
use crate::download::{FetchError, FetchOptions, gather};

impl Node {
    /// One block, from the store or from peers.
    pub async fn block(&self, cid: &Cid, options: &FetchOptions) -> Result<Block, FetchError> {
        let mut blocks = gather(self, *cid, &[*cid], options).await?;
        blocks.pop().ok_or(FetchError::NotHere { cid: *cid })
    }

    /// The CID at the end of a path; fails where that is a value within a block.
    pub async fn resolve(&self, path: &ContentPath, options: &FetchOptions) -> Result<Cid, FetchError> {
        let Resolved { cid, rest } = self.follow(path, options).await?;
        if rest.is_empty() { Ok(cid) } else { Err(FetchError::NoBlock { cid, rest }) }
    }

    /// Follows a path through folders and nodes: to a block, or to a value within one.
    pub async fn follow(&self, path: &ContentPath, options: &FetchOptions) -> Result<Resolved, FetchError> {
        let (mut cid, mut names) = (path.cid, &path.segments[..]);
        while let [name, below @ ..] = names {
            if cid.codec() == block::RAW || path.namespace == Namespace::Ipfs && cid.codec() == block::DAG_PB {
                let found = self.child(cid, name.as_bytes(), options).await?;
                cid = found.ok_or_else(|| FetchError::NoSuchName { cid, name: name.clone() })?;
                names = below;
                continue;
            }
            let node = self.ipld(&cid, options).await?;
            match ipld::walk(&node, names).map_err(|source| FetchError::NoSuchKey { cid, source: source.into() })? {
                Walked::Value(_) => break,
                Walked::Link { cid: linked, used } => (cid, names) = (linked, &names[used..]),
            }
        }
        Ok(Resolved { cid, rest: names.to_vec() })
    }

    /// The node of a block.
    pub async fn ipld(&self, cid: &Cid, options: &FetchOptions) -> Result<Ipld, FetchError> {
        let block = self.block(cid, options).await?;
        ipld::decode(cid.codec(), block.data())
            .map_err(|source| FetchError::NotANode { cid: *cid, source: source.into() })
    }

    async fn child(&self, folder: Cid, name: &[u8], options: &FetchOptions) -> Result<Option<Cid>, FetchError> {
        let mut cid = folder;
        let mut lookup = ShardLookup::new(name);
        loop {
            let block = self.block(&cid, options).await?;
            match Entity::parse(&block) {
                Ok(Entity::Directory(directory)) => return Ok(directory.find(name).map(|entry| entry.cid)),
                Ok(Entity::Shard(shard)) => match lookup.step(&shard) {
                    Found::Absent => return Ok(None),
                    Found::Entry(entry) => return Ok(Some(entry.cid)),
                    Found::Shard(below) => cid = below,
                },
                Ok(Entity::File(_) | Entity::Raw(_) | Entity::Symlink(_)) => return Ok(None),
                // A dag-pb node that is no file or folder has named links all the same.
                Err(error) => match dag_pb::Node::decode(block.data()) {
                    Ok(node) if cid == folder => {
                        return Ok(node.links.iter().find(|link| link.name == name).map(|link| link.cid));
                    }
                    _ => return Err(DagError::from(error).into()),
                },
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

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The last block on the way.
    pub cid: Cid,
    /// What is left of the path: where in the node of that block the value stands.
    pub rest: Vec<String>,
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
            Entity::Symlink(symlink) => (Kind::Symlink, symlink.target.len() as u64, Some(symlink.target.to_vec())),
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
