//! Leaves on their way to the hashing threads and blocks on their way to the store, a bounded number of batches of each.

use std::task::Poll;

use bytes::Bytes;
use cidra_content::Block;
use cidra_content::block::is_inline;
use cidra_content::hash::LeafKind;
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};
use futures::{FutureExt, poll};

use super::tree::{FileId, Leaf};
use crate::pool::Pool;
use crate::store::{InPlace, Part, Source, Store, StoreError, Unsynced};

type Hashed = Vec<(FileId, Block)>;

/// What is under way. Futures are polled as they are made, so that the threads begin at once.
pub(super) struct Batches {
    pool: Pool,
    /// None: nothing is kept.
    store: Option<Store>,
    leaves: Vec<Leaf>,
    leaf_bytes: usize,
    kind: Option<LeafKind>,
    hashing: FuturesOrdered<BoxFuture<'static, Hashed>>,
    hashed: Vec<Hashed>,
    blocks: Vec<Block>,
    block_bytes: usize,
    /// Leaves that are referred to, by the file that they are in.
    parts: Vec<(Source, Vec<Part>)>,
    part_count: usize,
    unsynced: Unsynced,
    storing: FuturesOrdered<BoxFuture<'static, Result<(), StoreError>>>,
}

impl Batches {
    pub(super) fn new(pool: Pool, store: Option<Store>) -> Self {
        Self {
            pool,
            store,
            leaves: vec![],
            leaf_bytes: 0,
            kind: None,
            hashing: FuturesOrdered::new(),
            hashed: vec![],
            blocks: vec![],
            block_bytes: 0,
            parts: vec![],
            part_count: 0,
            unsynced: Unsynced::default(),
            storing: FuturesOrdered::new(),
        }
    }

    /// Queues a leaf for hashing.
    pub(super) fn hash(&mut self, leaf: Leaf) {
        self.kind = Some(leaf.kind);
        self.leaf_bytes += leaf.data.len();
        self.leaves.push(leaf);
        if self.leaf_bytes >= BATCH_BYTES || self.leaves.len() >= BATCH_PIECES {
            self.flush();
        }
    }

    /// Sends off what is queued for hashing, however little.
    pub(super) fn flush(&mut self) {
        let Some(kind) = self.kind.take() else { return };
        self.leaf_bytes = 0;
        let (files, data): (Vec<FileId>, Vec<Bytes>) = self.leaves.drain(..).map(|leaf| (leaf.file, leaf.data)).unzip();
        let pool = self.pool.clone();
        let batch = async move { files.into_iter().zip(pool.make(kind, data).await).collect() };
        self.hashing.push_back(batch.boxed());
    }

    /// Queues a block for the store.
    pub(super) fn keep(&mut self, block: Block) {
        let Some(store) = &self.store else { return };
        if is_inline(block.cid()) {
            return;
        }
        self.block_bytes += block.data().len();
        self.blocks.push(block);
        if self.block_bytes >= BATCH_BYTES || self.blocks.len() >= BATCH_BLOCKS {
            self.block_bytes = 0;
            let (store, blocks) = (store.clone(), std::mem::take(&mut self.blocks));
            self.storing.push_back(async move { store.put(blocks).await }.boxed());
        }
    }

    /// Leaves of this file will stay where they are.
    pub(super) fn begin_file(&mut self, file: &InPlace) {
        self.unsynced.add(file);
    }

    /// Queues a leaf that stays where it is.
    pub(super) fn refer(&mut self, source: Source, part: Part) {
        match self.parts.last_mut() {
            Some((last, parts)) if *last == source => parts.push(part),
            _ => self.parts.push((source, vec![part])),
        }
        self.part_count += 1;
        if self.part_count >= BATCH_BLOCKS {
            self.send_parts();
        }
    }

    fn send_parts(&mut self) {
        let (Some(store), false) = (&self.store, self.parts.is_empty()) else { return };
        self.part_count = 0;
        let (store, parts) = (store.clone(), std::mem::take(&mut self.parts));
        let unsynced = std::mem::take(&mut self.unsynced);
        let refer = async move {
            unsynced.sync().await?;
            for (source, parts) in parts {
                store.refer(source, parts).await?;
            }
            Ok(())
        };
        self.storing.push_back(refer.boxed());
    }

    /// A batch that is hashed; waits for one where as many as may be are under way.
    pub(super) async fn next_if_busy(&mut self) -> Result<Option<Hashed>, StoreError> {
        self.nudge().await?;
        self.make_room().await?;
        if !self.hashed.is_empty() {
            return Ok(Some(self.hashed.remove(0)));
        }
        if self.hashing.len() > UNDER_WAY { Ok(self.hashing.next().await) } else { Ok(None) }
    }

    /// Waits while as many batches are on their way to the store as may be.
    pub(super) async fn make_room(&mut self) -> Result<(), StoreError> {
        while self.storing.len() > UNDER_WAY {
            self.storing.next().await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// The next batch that is hashed; none when none is under way.
    pub(super) async fn next(&mut self) -> Result<Option<Hashed>, StoreError> {
        self.nudge().await?;
        if !self.hashed.is_empty() {
            return Ok(Some(self.hashed.remove(0)));
        }
        Ok(self.hashing.next().await)
    }

    /// Waits until everything that is to be kept was put into the store.
    pub(super) async fn stored(&mut self) -> Result<(), StoreError> {
        self.send_parts();
        self.block_bytes = 0;
        if let (Some(store), false) = (&self.store, self.blocks.is_empty()) {
            let (store, blocks) = (store.clone(), std::mem::take(&mut self.blocks));
            self.storing.push_back(async move { store.put(blocks).await }.boxed());
        }
        while let Some(put) = self.storing.next().await {
            put?;
        }
        Ok(())
    }

    /// Polls what is under way once: new work begins, and what is done is taken.
    async fn nudge(&mut self) -> Result<(), StoreError> {
        while let Poll::Ready(Some(put)) = poll!(self.storing.next()) {
            put?;
        }
        while let Poll::Ready(Some(hashed)) = poll!(self.hashing.next()) {
            self.hashed.push(hashed);
        }
        Ok(())
    }
}

/// Four leaves of a mebibyte keep the hash lanes of a thread full.
const BATCH_BYTES: usize = 4 << 20;
/// Small files share a batch.
const BATCH_PIECES: usize = 64;
const BATCH_BLOCKS: usize = 512;
/// Batches of each kind that wait or are worked on; with the one being filled, some 24 MiB in all.
const UNDER_WAY: usize = 2;
