//! Paths, folders and single blocks, out of the store and else from peers.

use cid::Cid;
use cidra_content::fetch::DagError;
use cidra_content::ipld::{self, Ipld, Walked};
use cidra_content::path::{ContentPath, Namespace};
use cidra_content::unixfs::Entity;
use cidra_content::unixfs::shard::{Found, ShardLookup};
use cidra_content::{Block, block, dag_pb};

use super::Node;
use crate::download::{FetchError, FetchOptions, gather};

impl Node {
    /// One block, from the store or from peers.
    pub async fn block(&self, cid: &Cid, options: &FetchOptions) -> Result<Block, FetchError> {
        let mut blocks = gather(self, *cid, &[*cid], options).await?;
        blocks.pop().ok_or(FetchError::NotHere { cid: *cid })
    }

    /// Blocks in the order given, from the store or from peers that have `root`.
    pub async fn blocks(&self, root: Cid, cids: &[Cid], options: &FetchOptions) -> Result<Vec<Block>, FetchError> {
        gather(self, root, cids, options).await
    }

    /// The CID at the end of a path; fails where that is a value within a block.
    pub async fn resolve(&self, path: &ContentPath, options: &FetchOptions) -> Result<Cid, FetchError> {
        let Resolved { cid, rest, .. } = self.follow(path, options).await?;
        if rest.is_empty() { Ok(cid) } else { Err(FetchError::NoBlock { cid, rest }) }
    }

    /// Follows a path through folders and nodes: to a block, or to a value within one.
    pub async fn follow(&self, path: &ContentPath, options: &FetchOptions) -> Result<Resolved, FetchError> {
        if let Some(denial) = self.denied().path(&path.cid, &path.segments) {
            let what = format!("/ipfs/{}/{}", path.cid, path.segments.join("/"));
            return Err(FetchError::Denied { what: what.trim_end_matches('/').to_owned(), denial: Box::new(denial) });
        }
        let (mut cid, mut names) = (path.cid, &path.segments[..]);
        let (mut roots, mut way) = (vec![cid], vec![]);
        while let [name, below @ ..] = names {
            if cid.codec() == block::RAW || path.namespace == Namespace::Ipfs && cid.codec() == block::DAG_PB {
                let found = self.child(cid, name.as_bytes(), options, &mut way).await?;
                cid = found.ok_or_else(|| FetchError::NoSuchName { cid, name: name.clone() })?;
                names = below;
            } else {
                let node = self.ipld(&cid, options).await?;
                match ipld::walk(&node, names).map_err(|source| FetchError::NoSuchKey { cid, source: source.into() })? {
                    Walked::Value(_) => break,
                    Walked::Link { cid: linked, used } => {
                        way.push(cid);
                        (cid, names) = (linked, &names[used..]);
                    }
                }
            }
            roots.push(cid);
        }
        Ok(Resolved { cid, rest: names.to_vec(), roots, way })
    }

    /// The node of a block.
    pub async fn ipld(&self, cid: &Cid, options: &FetchOptions) -> Result<Ipld, FetchError> {
        let block = self.block(cid, options).await?;
        ipld::decode(cid.codec(), block.data())
            .map_err(|source| FetchError::NotANode { cid: *cid, source: source.into() })
    }

    async fn child(
        &self,
        folder: Cid,
        name: &[u8],
        options: &FetchOptions,
        way: &mut Vec<Cid>,
    ) -> Result<Option<Cid>, FetchError> {
        let mut cid = folder;
        let mut lookup = ShardLookup::new(name);
        loop {
            let block = self.block(&cid, options).await?;
            way.push(cid);
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
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The last block on the way.
    pub cid: Cid,
    /// What is left of the path: where in the node of that block the value stands.
    pub rest: Vec<String>,
    /// Where the path begins, and what each name led to.
    pub roots: Vec<Cid>,
    /// The blocks that were read on the way, shards of folders among them; not that of `cid`.
    pub way: Vec<Cid>,
}
