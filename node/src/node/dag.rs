//! The blocks of a whole DAG in the order of `dag export`, out of the store and else from peers.
//!
//! Blocks are read and proved ahead of who takes them, many side by side: runs of leaves, that is. Where the first one is
//! missing the whole DAG is fetched at once, as fast as a download goes, and the walk goes on after that.

use std::collections::HashMap;

use cid::Cid;
use cidra_content::Block;
use cidra_content::block::{Links, RAW};
use cidra_content::fetch::{DagError, Selector};
use cidra_content::hash::Expect;
use cidra_content::walk::Walk;
use futures::future::{BoxFuture, FutureExt as _, join_all};
use futures::poll;

use super::Node;
use crate::download::{FetchError, FetchOptions};
use crate::store::StoreError;

/// A walk over a DAG, each block once. Several roots may be walked one after the other, and share what was visited.
pub struct DagReader {
    node: Node,
    root: Cid,
    options: FetchOptions,
    walk: Walk,
    /// Blocks that were read ahead, and their bytes.
    ready: HashMap<Cid, Block>,
    ready_bytes: usize,
    coming: Option<BoxFuture<'static, Result<Vec<Block>, StoreError>>>,
    lengths: HashMap<Cid, u32>,
    fetched: bool,
    partial: bool,
}

impl DagReader {
    /// A walk of all below `root`.
    pub fn new(node: Node, root: Cid, options: FetchOptions) -> Self {
        Self::along(Walk::default(), node, root, options)
    }

    /// A walk of all below `root` that comes by a block as often as the DAG names it.
    pub fn repeating(node: Node, root: Cid, options: FetchOptions) -> Self {
        Self::along(Walk::repeating(), node, root, options)
    }

    fn along(mut walk: Walk, node: Node, root: Cid, options: FetchOptions) -> Self {
        walk.begin(root);
        Self {
            node,
            root,
            options,
            walk,
            ready: HashMap::new(),
            ready_bytes: 0,
            coming: None,
            lengths: HashMap::new(),
            fetched: false,
            partial: false,
        }
    }

    /// A walk of what is here of all below `root`: nothing is fetched, and what is missing is left out with all that only it
    /// leads to. A node that cannot be understood is left out, too, as Kubo does.
    pub fn of_what_is_here(node: Node, root: Cid, options: FetchOptions) -> Self {
        Self { partial: true, ..Self::new(node, root, FetchOptions { offline: true, ..options }) }
    }

    /// The next block; `None` at the end. Fails where one is missing and cannot be fetched, or where what a block links to is
    /// not known: what was given until then is not all of it.
    pub async fn next(&mut self) -> Result<Option<Block>, FetchError> {
        while let Some(cid) = self.walk.visit() {
            match self.block(cid).await {
                Err(error) if self.leaves_out(&error) => {}
                block => return block.map(Some),
            }
        }
        Ok(None)
    }

    /// As [`next`](Self::next), but a leaf is looked up and not read: a block's CID and its length in bytes.
    pub async fn next_length(&mut self) -> Result<Option<(Cid, u64)>, FetchError> {
        while let Some(cid) = self.walk.visit() {
            match self.length(cid).await {
                Err(error) if self.leaves_out(&error) => {}
                length => return Ok(Some((cid, length?))),
            }
        }
        Ok(None)
    }

    /// Where all of it need not be here, what is not, or leads nobody knows where, is left out.
    fn leaves_out(&self, error: &FetchError) -> bool {
        self.partial && matches!(error, FetchError::NotHere { .. } | FetchError::Dag(DagError::Links(_)))
    }

    async fn block(&mut self, cid: Cid) -> Result<Block, FetchError> {
        let block = self.take(cid).await?;
        if self.descend(&block)?.is_empty() {
            self.read_ahead().await?;
        }
        Ok(block)
    }

    async fn length(&mut self, cid: Cid) -> Result<u64, FetchError> {
        if cid.codec() != RAW {
            let block = self.take(cid).await?;
            self.descend(&block)?;
            return Ok(block.data().len() as u64);
        }
        if let Some(length) = self.lengths.remove(&cid) {
            return Ok(length.into());
        }
        let ahead = self.walk.upcoming(LOOK_UP).filter(|cid| cid.codec() == RAW);
        let cids: Vec<Cid> = std::iter::once(cid).chain(ahead).collect();
        let lengths = self.node.store().locate(cids.clone()).await?;
        self.lengths = cids.into_iter().zip(lengths).filter_map(|(cid, length)| Some((cid, length?))).collect();
        match self.lengths.remove(&cid) {
            Some(length) => Ok(length.into()),
            None => Ok(self.fetch(cid).await?.data().len() as u64),
        }
    }

    fn descend(&mut self, block: &Block) -> Result<Links, DagError> {
        let links = block.links().map_err(|error| DagError::Links(Box::new(error)))?;
        self.walk.descend(&links)?;
        Ok(links)
    }

    async fn take(&mut self, cid: Cid) -> Result<Block, FetchError> {
        if !self.ready.contains_key(&cid)
            && let Some(coming) = self.coming.take()
        {
            let blocks = coming.await?;
            self.keep(blocks);
        }
        if let Some(block) = self.ready.remove(&cid) {
            self.ready_bytes -= block.data().len();
            return Ok(block);
        }
        match load(self.node.clone(), vec![cid]).await?.pop() {
            Some(block) => Ok(block),
            None => self.fetch(cid).await,
        }
    }

    async fn fetch(&mut self, cid: Cid) -> Result<Block, FetchError> {
        if !self.options.offline && !self.fetched {
            self.fetched = true;
            self.node.download(self.root, Selector::Dag, self.options.clone()).complete().await?;
        }
        self.node.store().block(&cid).await?.ok_or(FetchError::NotHere { cid })
    }

    /// Has what comes next read while what is here is taken.
    async fn read_ahead(&mut self) -> Result<(), FetchError> {
        if let Some(mut coming) = self.coming.take() {
            match poll!(&mut coming) {
                std::task::Poll::Ready(blocks) => self.keep(blocks?),
                std::task::Poll::Pending => self.coming = Some(coming),
            }
        }
        if self.coming.is_some() || self.ready_bytes > READY_BYTES {
            return Ok(());
        }
        let mut wanted: Vec<Cid> = vec![];
        for cid in self.walk.upcoming(2 * AHEAD) {
            if wanted.len() < AHEAD && !self.ready.contains_key(&cid) && !wanted.contains(&cid) {
                wanted.push(cid);
            }
        }
        if wanted.len() == AHEAD || self.ready.is_empty() && !wanted.is_empty() {
            let mut coming = load(self.node.clone(), wanted).boxed();
            match poll!(&mut coming) {
                std::task::Poll::Ready(blocks) => self.keep(blocks?),
                std::task::Poll::Pending => self.coming = Some(coming),
            }
        }
        Ok(())
    }

    fn keep(&mut self, blocks: Vec<Block>) {
        if self.ready_bytes > READY_BYTES {
            // Read for nothing: the DAG went another way.
            self.ready.clear();
            self.ready_bytes = 0;
        }
        for block in blocks {
            self.ready_bytes += block.data().len();
            if let Some(same) = self.ready.insert(*block.cid(), block) {
                self.ready_bytes -= same.data().len();
            }
        }
    }
}

/// Blocks read and proved side by side: as many as the widest vector unit hashes at once.
const AHEAD: usize = 16;
/// No more is read ahead while so many bytes wait to be taken; with what is under way, 64 MiB at most.
const READY_BYTES: usize = 32 * 1024 * 1024;
/// Leaves looked up at a time.
const LOOK_UP: usize = 256;

/// Those of the blocks that are here and sound.
async fn load(node: Node, cids: Vec<Cid>) -> Result<Vec<Block>, StoreError> {
    let stored = join_all(cids.iter().map(|cid| node.store().load(cid))).await;
    let mut found = Vec::with_capacity(cids.len());
    for stored in stored {
        found.extend(stored?.map(|stored| (Expect::Cid(stored.cid), stored.data)));
    }
    let loaded: Vec<Cid> = found.iter().map(|(expect, _)| expect_cid(expect)).collect();
    let mut blocks = Vec::with_capacity(found.len());
    for (cid, verified) in loaded.iter().zip(node.pool().verify(found).await) {
        match verified {
            Ok(block) => blocks.push(block),
            // Reading it once more reports the record and forgets it.
            Err(_) => blocks.extend(node.store().block(cid).await?),
        }
    }
    Ok(blocks)
}

fn expect_cid(expect: &Expect) -> Cid {
    match expect {
        Expect::Cid(cid) => *cid,
        Expect::Prefix(_) => unreachable!("only whole CIDs are asked for here"),
    }
}
