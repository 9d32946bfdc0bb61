//! The tree of files that a person arranges: its root, which changes, and all else, which does not.
//!
//! A change makes blocks beside those that are there and then moves the root to the new ones, in one step: who reads goes on in the
//! tree that they began with, and after a crash the root is the one before or the one after. The root is a row among the
//! store's roots and is moved only from where it was found, so that of two processes none undoes what the other did.
//! What is not flushed is a root in memory, held by a lease.

mod write;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use cidra_content::Block;
use cidra_content::unixfs::edit::{self, Blocks, EditError, FilesPath, Place, Stop};

use super::Node;
use crate::download::{FetchError, FetchOptions};
use crate::store::{Lease, Root, RootKind, StoreError};
pub use write::{FileWriter, WriteOptions};

/// What a node knows of its tree of files beside what is in the store.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Changes are made one at a time.
    changing: tokio::sync::Mutex<()>,
    unflushed: Mutex<Option<Unflushed>>,
    /// Files that are being written, by path: each by one writer.
    written: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Changes that are not durable yet.
#[derive(Debug)]
struct Unflushed {
    /// The root in the store that they are changes of.
    saved: Option<Cid>,
    root: Cid,
    changes: usize,
    _lease: Lease,
}

/// How a change is made.
#[derive(Clone, Debug)]
pub struct Changing {
    /// Durable when it is acknowledged.
    pub flush: bool,
    /// How to fetch folders that are not here.
    pub options: FetchOptions,
}

/// Changes that may wait to be flushed, as in Kubo.
const MAX_UNFLUSHED: usize = 256;

impl Node {
    /// The root of the tree as it is now.
    pub async fn files_root(&self) -> Result<Cid, StoreError> {
        let unflushed = self.unflushed().as_ref().map(|unflushed| unflushed.root);
        match unflushed {
            Some(root) => Ok(root),
            None => match self.saved_files().await? {
                Some(root) => Ok(root),
                None => {
                    let empty = empty_folder();
                    let cid = *empty.cid();
                    self.store().put(vec![empty]).await?;
                    Ok(cid)
                }
            },
        }
    }

    /// What a path of the tree leads to.
    pub async fn files_lookup(&self, path: &FilesPath, options: &FetchOptions) -> Result<Place, FilesError> {
        let root = self.files_root().await?;
        let mut blocks = Blocks::default();
        self.edit(&mut blocks, options, |blocks| edit::lookup(blocks, &root, path)).await
    }

    /// A file or folder with the bytes of all its blocks, as far as its own links say.
    pub async fn measure(&self, cid: &Cid, options: &FetchOptions) -> Result<Place, FilesError> {
        self.edit(&mut Blocks::default(), options, |blocks| edit::Child::of(blocks, cid)).await
    }

    /// Changes the tree by what `change` makes of its root, and gives the new one. It is called again where blocks were missing and
    /// where the root was moved by somebody else meanwhile.
    pub async fn change_files(
        &self,
        changing: &Changing,
        change: impl Fn(&mut Blocks, &Cid) -> Result<Cid, Stop>,
    ) -> Result<Cid, FilesError> {
        let mut blocks = Blocks::default();
        // What is not here is fetched before others have to wait for it.
        let root = self.files_root().await?;
        self.edit(&mut blocks, &changing.options, |blocks| change(blocks, &root)).await?;
        blocks.take_made();

        let lease = self.store().lease().await;
        let _alone = self.0.files.changing.lock().await;
        let patience = Some(changing.options.timeout.map_or(WHILE_OTHERS_WAIT, |most| most.min(WHILE_OTHERS_WAIT)));
        let options = FetchOptions { timeout: patience, ..changing.options.clone() };
        for _ in 0..ATTEMPTS {
            let root = self.files_root().await?;
            let unflushed = self.unflushed().as_ref().map(|unflushed| (unflushed.saved, unflushed.changes));
            let (saved, changes) = match unflushed {
                Some(unflushed) => unflushed,
                None => (self.saved_files().await?, 0),
            };
            let changed = self.edit(&mut blocks, &options, |blocks| change(blocks, &root)).await?;
            self.store().put(blocks.take_made()).await?;
            if !changing.flush {
                if changes >= MAX_UNFLUSHED {
                    return Err(FilesError::Unflushed);
                }
                let unflushed = Unflushed { saved, root: changed, changes: changes + 1, _lease: lease };
                *self.unflushed() = Some(unflushed);
                return Ok(changed);
            }
            if self.move_files(saved, changed).await? {
                return Ok(changed);
            }
            if unflushed.is_some() {
                *self.unflushed() = None;
                return Err(FilesError::Lost);
            }
        }
        Err(FilesError::Contended)
    }

    /// Makes durable what was changed without that.
    pub async fn flush_files(&self) -> Result<(), FilesError> {
        let _alone = self.0.files.changing.lock().await;
        let unflushed = self.unflushed().as_ref().map(|unflushed| (unflushed.saved, unflushed.root));
        match unflushed {
            Some((saved, root)) if !self.move_files(saved, root).await? => {
                *self.unflushed() = None;
                Err(FilesError::Lost)
            }
            _ => Ok(()),
        }
    }

    /// False when the root is not where it was.
    async fn move_files(&self, from: Option<Cid>, to: Cid) -> Result<bool, StoreError> {
        let (kind, key) = (RootKind::Files, FILES_KEY.to_vec());
        let root = Root { kind, key, cid: to, recursive: true, name: None, expires: None };
        let moved = self.store().replace_root(from, root).await?;
        if moved {
            *self.unflushed() = None;
        }
        Ok(moved)
    }

    async fn saved_files(&self) -> Result<Option<Cid>, StoreError> {
        Ok(self.store().root(RootKind::Files, FILES_KEY).await?.map(|root| root.cid))
    }

    fn unflushed(&self) -> MutexGuard<'_, Option<Unflushed>> {
        self.0.files.unflushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a function of `content` with the blocks that it asks for.
    pub(super) async fn edit<T>(
        &self,
        blocks: &mut Blocks,
        options: &FetchOptions,
        edit: impl Fn(&mut Blocks) -> Result<T, Stop>,
    ) -> Result<T, FilesError> {
        loop {
            match edit(blocks) {
                Ok(done) => return Ok(done),
                Err(Stop::Refused(error)) => return Err((*error).into()),
                Err(Stop::Missing(cids)) => {
                    let root = cids[0];
                    for block in self.blocks(root, &cids, options).await? {
                        blocks.insert(block);
                    }
                }
            }
        }
    }
}

/// The one tree there is.
const FILES_KEY: &[u8] = b"root";
/// How long a folder is waited for while other changes wait.
const WHILE_OTHERS_WAIT: Duration = Duration::from_secs(30);
/// So often may another process come first.
const ATTEMPTS: usize = 16;

/// As a new tree begins: Kubo's, of CIDv0.
fn empty_folder() -> Block {
    Block::new_v0(Bytes::from_static(&[0x0a, 2, 8, 1]))
}

/// Why the tree could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Other processes change it all the time.
    #[error("the files are being changed by others, again and again")]
    Contended,
    /// It cannot be done.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A block is not here.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Another process moved the root.
    #[error("another process changed the files: what was not flushed is lost")]
    Lost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More than `MAX_UNFLUSHED`.
    #[error(
        "reached limit of {MAX_UNFLUSHED} unflushed MFS operations. To resolve: 1) run `cidra files flush` to persist changes, or 2) use --flush=true (default)"
    )]
    Unflushed,
}
