//! CAR files on their way into the store: sections are proved by the hashing threads in batches, put in batches, committed now
//! and then. What is there already is not written again, so that an import that stopped goes on where it was.

use cid::Cid;
use cidra_content::block::BlockError;
use cidra_content::car::{CarError, Reader, Section};
use cidra_content::fetch::Selector;
use cidra_content::hash::Expect;
use cidra_content::seen::Seen;
use futures::future::{BoxFuture, FutureExt as _};
use futures::poll;
use futures::stream::{FuturesOrdered, StreamExt as _};

use super::{Node, pin_key};
use crate::download::{FetchError, FetchOptions};
use crate::store::{Lease, RootKind, StoreError};

/// An import of one or more CAR files. What it stored is protected from collection until it is dropped.
pub struct ArchiveImport {
    node: Node,
    _lease: Lease,
    file: String,
    reader: Reader,
    batch: Vec<Section>,
    batch_bytes: usize,
    under_way: FuturesOrdered<BoxFuture<'static, Result<(), ArchiveError>>>,
    uncommitted: usize,
    roots: Vec<Cid>,
    known_roots: Seen,
    count: Count,
}

/// How much was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Blocks, those included that were there already.
    pub blocks: u64,
    /// Their bytes, without CIDs and lengths.
    pub bytes: u64,
}

impl ArchiveImport {
    /// Begins an import.
    pub async fn new(node: Node) -> Self {
        Self {
            _lease: node.store().lease().await,
            node,
            file: String::new(),
            reader: Reader::default(),
            batch: vec![],
            batch_bytes: 0,
            under_way: FuturesOrdered::new(),
            uncommitted: 0,
            roots: vec![],
            known_roots: Seen::default(),
            count: Count::default(),
        }
    }

    /// The next file begins; `file` is what errors call it.
    pub fn begin(&mut self, file: String) {
        self.file = file;
        self.reader = Reader::default();
    }

    /// The next bytes of the file. After an error, what came before it is in the store and nothing more is taken.
    pub async fn push(&mut self, bytes: bytes::Bytes) -> Result<(), ArchiveError> {
        self.reader.push(bytes);
        loop {
            match self.reader.poll() {
                Ok(Some(section)) => {
                    if let Err(failed) = self.add(section).await {
                        // The first failure is told; what came before it is kept all the same.
                        let _ = self.settle().await;
                        return Err(failed);
                    }
                }
                Ok(None) => return Ok(()),
                Err(source) => return self.broken(source).await,
            }
        }
    }

    /// The file has ended.
    pub async fn end(&mut self) -> Result<(), ArchiveError> {
        if let Err(source) = self.reader.finish() {
            return self.broken(source).await;
        }
        let new = self.reader.roots().iter().filter(|root| self.known_roots.insert(root));
        self.roots.extend(new);
        Ok(())
    }

    /// Makes all of it durable. The roots of all files, each once, and how much there was.
    pub async fn finish(&mut self) -> Result<(Vec<Cid>, Count), ArchiveError> {
        self.settle().await?;
        Ok((std::mem::take(&mut self.roots), self.count))
    }

    /// Pins a root if all below it is here; nothing is fetched. A pin that is there keeps its name.
    pub async fn pin(&mut self, root: Cid) -> Result<(), FetchError> {
        let store = self.node.store();
        if !store.is_complete(root).await? {
            let offline = FetchOptions { offline: true, keep: true, ..FetchOptions::default() };
            self.node.download(root, Selector::Dag, offline).complete().await?;
        }
        if store.root(RootKind::Pin, &pin_key(&root)).await?.is_none_or(|pin| !pin.recursive) {
            self.node.record_pin(root, true, None).await?;
        }
        Ok(self.node.announce(&[root]).await?)
    }

    async fn add(&mut self, section: Section) -> Result<(), ArchiveError> {
        self.count.blocks += 1;
        self.count.bytes += section.data.len() as u64;
        self.batch_bytes += section.data.len();
        self.batch.push(section);
        if self.batch_bytes < BATCH_BYTES && self.batch.len() < BATCH_BLOCKS {
            return Ok(());
        }
        self.flush();
        // The threads begin at once, and who is done makes room.
        while let std::task::Poll::Ready(Some(done)) = poll!(self.under_way.next()) {
            done?;
        }
        while self.under_way.len() > UNDER_WAY {
            self.under_way.next().await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// Sends off what was gathered, to be proved and put.
    fn flush(&mut self) {
        self.uncommitted += std::mem::take(&mut self.batch_bytes);
        let commits = self.uncommitted >= COMMIT_BYTES;
        if commits {
            self.uncommitted = 0;
        }
        let (node, file, sections) = (self.node.clone(), self.file.clone(), std::mem::take(&mut self.batch));
        self.under_way.push_back(
            async move {
                let places: Vec<u64> = sections.iter().map(|section| section.offset).collect();
                let claims = sections.into_iter().map(|section| (Expect::Cid(section.cid), section.data));
                let verified = node.pool().verify(claims.collect()).await;
                let mut blocks = Vec::with_capacity(verified.len());
                let mut bad = None;
                for (offset, verified) in places.into_iter().zip(verified) {
                    match verified {
                        Ok(block) => blocks.push(block),
                        Err(source) => {
                            bad = Some(ArchiveError::Block { file, offset, source });
                            break;
                        }
                    }
                }
                node.store().put(blocks).await?;
                if commits {
                    node.store().commit().await?;
                }
                bad.map_or(Ok(()), Err)
            }
            .boxed(),
        );
    }

    /// Waits for all that is under way and makes it durable, whatever of it fails; the first failure.
    async fn settle(&mut self) -> Result<(), ArchiveError> {
        if !self.batch.is_empty() {
            self.flush();
        }
        let mut first = Ok(());
        while let Some(done) = self.under_way.next().await {
            first = first.and(done);
        }
        let committed = self.node.store().commit().await;
        first?;
        Ok(committed?)
    }

    /// A wrong block that came before the broken place is told first.
    async fn broken(&mut self, source: CarError) -> Result<(), ArchiveError> {
        self.settle().await?;
        Err(ArchiveError::Broken { file: self.file.clone(), source })
    }
}

/// Four blocks of a mebibyte keep the hash lanes of a thread full.
const BATCH_BYTES: usize = 4 << 20;
/// Small blocks share a batch.
const BATCH_BLOCKS: usize = 512;
/// Batches that are proved or put; with the one being filled, some 16 MiB.
const UNDER_WAY: usize = 3;
/// So much may have to be imported again after a power cut.
const COMMIT_BYTES: usize = 128 << 20;

/// Why a CAR file is not imported to its end. What stood before the place that is named is in the store.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its bytes are not those of the CID it claims, or it is none that can be kept.
    #[error("cannot import {file}: the section at byte {offset}")]
    Block {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong with it.
        source: BlockError,
    },
    /// No CAR file, or a broken one.
    #[error("cannot import {file}")]
    Broken {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: CarError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
