//! Where blocks are kept: append-only segments, an index that can be made again from them, and roots, which cannot.
//!
//! A put appends and is readable at once; a commit makes what was put durable, many callers sharing one sync. One thread
//! writes, a few read: no async task ever waits for the disk. The caller holds the repository's lock.
//!
//! Whoever opens a store after a crash finds every block that was committed, and mostly those that were only put.
//!
//! The store may be handed over to another process (`tenure`): then every method asks that one.

mod backend;
mod borrow;
mod collection;
mod command;
mod database;
mod direct;
mod disk;
mod entry;
mod failure;
mod flusher;
pub mod guests;
mod in_place;
mod index;
mod lease;
mod leases;
mod limit;
mod links;
mod local;
mod lookup;
mod open;
mod part_file;
mod reading;
mod record;
mod referrals;
mod remote;
mod reserve;
mod roots;
mod scan;
mod segments;
mod shared;
mod source;
mod spared;
mod spool;
mod survey;
mod tenure;
mod threads;
pub mod wire;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::{Block, is_inline};
use serde::{Deserialize, Serialize};

pub use collection::{Collected, Collection, Extent, Step};
pub(crate) use direct::{LARGE, PAGE};
pub use failure::StoreError;
pub use in_place::{InPlace, InPlaceError, Unsynced};
pub use lease::Lease;
pub use open::OpenError;
pub use part_file::PartFile;
pub use reading::Reading;
pub use roots::{Root, RootKind};
pub use source::{Claim, Identity, PART, Part, Source, State};
pub use spool::Spool;
pub use tenure::Ticket;

use local::Local;
use shared::Shared;
use tenure::{Place, Tenure, at};

/// A handle on the store. The last one that goes, leases included, ends its threads; what was put is committed then.
#[derive(Clone, Debug)]
pub struct Store(Arc<Tenure>);

/// How a store works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The longest a segment grows, in bytes.
    pub segment_size: u32,
    /// Disk space held back for commits and collection on a full disk, in bytes.
    pub reserve: u64,
    /// Threads that read.
    pub readers: usize,
    /// Segments to which something was written since are left alone by collections that start by themselves, unless the disk is
    /// nearly full.
    pub young: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_size: 256 * 1024 * 1024,
            reserve: 16 * 1024 * 1024,
            readers: 2,
            young: Duration::from_secs(3600),
        }
    }
}

/// The bytes of a block as they lie on the disk: their checksum was right, their hash was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What was asked for.
    pub cid: Cid,
    /// What is kept under its multihash.
    pub data: Bytes,
}

/// A block that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// Its bytes.
    pub length: u32,
    /// Whether it is only in a file into which it was fetched.
    pub is_borrowed: bool,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Blocks, without those that are not committed yet.
    pub blocks: u64,
    /// Bytes of data of these blocks.
    pub bytes: u64,
    /// Blocks that are not committed yet.
    pub pending: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of the segments' files, what is dead in them included.
    pub disk_bytes: u64,
    /// Bytes of disk space that all of it takes, without those that it holds in reserve.
    pub used_bytes: u64,
    /// Records found bad since it was opened.
    pub bad_records: u64,
}

impl Store {
    /// Open the store in `dir`, made when it is missing. Blocks the thread for milliseconds; after damage, for as long as it
    /// takes to read all segments.
    pub fn open(dir: &Path, options: Options) -> Result<Store, OpenError> {
        let local = Local::open(dir, &options)?;
        Ok(Store(Arc::new(Tenure::new(dir.to_path_buf(), options, local))))
    }

    /// Append blocks. They can be read when it returns and are durable after the next `commit`. Waits while 32 MiB are queued.
    /// A block that is there is not written again, but counts as put. Dropping the future puts all of them or none.
    pub async fn put(&self, blocks: Vec<Block>) -> Result<(), StoreError> {
        let bytes: usize = blocks.iter().map(|block| block.data().len() + PUT_OVERHEAD).sum();
        self.0.limit.make_room(self, bytes as u64).await;
        at!(self, store => store.put(blocks))
    }

    /// Make everything durable that was put before. Commits at the same time share one sync.
    pub async fn commit(&self) -> Result<(), StoreError> {
        if self.0.is_away().await {
            // It was committed when it was handed over, and no put has ended since.
            return Ok(());
        }
        at!(self, store => store.commit())
    }

    /// Read blocks where they stand in somebody's file from here on, as durable as blocks that were put. Those that are in a
    /// segment stay there, and `Claim::Borrowed` takes none from a file that is kept; else the last that was said counts.
    ///
    /// The caller read the bytes of all parts from this file and hashed them, unless it is growing. A file that is whole was
    /// put on the disk (fsync) before; one that is growing the store puts there.
    pub async fn refer(&self, source: Source, parts: Vec<Part>) -> Result<(), StoreError> {
        at!(self, store => store.refer(source, parts))
    }

    /// The file that was referred to at the path `was` is what `now` says; false when nothing is referred to there.
    pub async fn settle(&self, was: PathBuf, now: Source) -> Result<bool, StoreError> {
        at!(self, store => store.settle(was, now))
    }

    /// Which blocks are here, and how long they are, for whoever builds on them: a collection under way leaves them alone.
    pub async fn locate(&self, cids: Vec<Cid>) -> Result<Vec<Option<u32>>, StoreError> {
        let located = self.look_up(cids).await?;
        Ok(located.into_iter().map(|located| located.map(|located| located.length)).collect())
    }

    /// As [`locate`](Self::locate), and whether they would have to be copied to be kept.
    pub async fn look_up(&self, cids: Vec<Cid>) -> Result<Vec<Option<Located>>, StoreError> {
        at!(self, store => store.look_up(cids))
    }

    /// The file that each block is read out of; `None` for those in segments, and for those that are not here.
    pub async fn sources_of(&self, cids: Vec<Cid>) -> Result<Vec<Option<Source>>, StoreError> {
        at!(self, store => store.sources_of(cids))
    }

    /// As [`locate`](Self::locate), for answering others: nothing is left alone because of it.
    pub async fn glance(&self, cids: Vec<Cid>) -> Result<Vec<Option<u32>>, StoreError> {
        let located = at!(self, store => store.glance(cids))?;
        Ok(located.into_iter().map(|located| located.map(|located| located.length)).collect())
    }

    /// The bytes of a block, their checksum checked: for sending. A record that is bad is reported, forgotten and `None`, and
    /// so is a file that is not what it was.
    pub async fn load(&self, cid: &Cid) -> Result<Option<Stored>, StoreError> {
        at!(self, store => store.load(cid))
    }

    /// A block, hashed: for using. A record whose bytes do not match is reported, forgotten and `None`, and so is such a file.
    pub async fn block(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        if is_inline(cid) {
            return Ok(Block::inline(*cid));
        }
        at!(self, store => store.block(cid))
    }

    /// Delete blocks, whatever protects them; says which were there. No DAG is known to be complete after that.
    pub async fn remove(&self, cids: Vec<Cid>) -> Result<Vec<bool>, StoreError> {
        at!(self, store => store.remove(cids))
    }

    /// Begin to delete what nobody protects; waits until a collection that is under way has ended. Dropped, it ends.
    pub async fn collect(&self, extent: Extent) -> Result<Collection, StoreError> {
        let turn = self.0.collecting.clone().lock_owned().await;
        Collection::begin(self.clone(), extent, turn).await
    }

    /// As [`collect`](Self::collect); none while another collection is under way.
    async fn try_collect(&self, extent: Extent) -> Result<Option<Collection>, StoreError> {
        let Ok(turn) = self.0.collecting.clone().try_lock_owned() else { return Ok(None) };
        Collection::begin(self.clone(), extent, turn).await.map(Some)
    }

    /// Keep the store within so many bytes of disk space from here on, as far as what is protected lets it: whatever is put
    /// waits for the collection that it calls for. Only the first limit counts.
    pub fn limit(&self, most: u64) {
        self.0.limit.set(most);
    }

    /// At most `most` blocks and their lengths in the order of their multihashes, from behind `after` on.
    pub async fn list(
        &self,
        after: Option<Multihash<64>>,
        most: usize,
    ) -> Result<Vec<(Multihash<64>, u32)>, StoreError> {
        at!(self, store => store.list(after, most))
    }

    /// Counts and sizes, as of the last commit.
    pub async fn stat(&self) -> Result<Stat, StoreError> {
        let place = self.0.place().await?;
        match &*place {
            Place::Local(store) => {
                let used_bytes = store.read(|shared| shared.used()).await?;
                Ok(Stat { used_bytes, ..store.stat() })
            }
            Place::Remote(store) => store.stat().await,
        }
    }

    /// Set roots; durable on return, after all that was put before. A root with the same kind and key is replaced.
    pub async fn set_roots(&self, roots: Vec<Root>) -> Result<(), StoreError> {
        let too_long = |root: &&Root| root.key.len().max(root.name.as_ref().map_or(0, String::len)) > Root::NAME_MAX;
        if let Some(root) = roots.iter().find(too_long) {
            return Err(StoreError::NameTooLong { cid: root.cid });
        }
        at!(self, store => store.set_roots(roots))
    }

    /// Set a root where the one of its kind and key still names `was` (none: where there is no such root), and say whether it was
    /// so: of several who change a root at the same time, none undoes what another did. Durable on return.
    pub async fn replace_root(&self, was: Option<Cid>, root: Root) -> Result<bool, StoreError> {
        at!(self, store => store.replace_root(was, root))
    }

    /// Remove a root; says whether it was there. Durable on return.
    pub async fn remove_root(&self, kind: RootKind, key: &[u8]) -> Result<bool, StoreError> {
        at!(self, store => store.remove_root(kind, key))
    }

    /// The root of this kind and key.
    pub async fn root(&self, kind: RootKind, key: &[u8]) -> Result<Option<Root>, StoreError> {
        at!(self, store => store.root(kind, key))
    }

    /// All roots of this kind in the order of their keys, those of leases that are held included.
    pub async fn roots(&self, kind: RootKind) -> Result<Vec<Root>, StoreError> {
        at!(self, store => store.roots(kind))
    }

    /// Record that the whole DAG under `cid` is here; durable on return, after all that was put before.
    pub async fn set_complete(&self, cid: Cid) -> Result<(), StoreError> {
        at!(self, store => store.set_complete(cid))
    }

    /// Whether it was recorded that the whole DAG under `cid` is here, and no block was lost or removed since.
    pub async fn is_complete(&self, cid: Cid) -> Result<bool, StoreError> {
        at!(self, store => store.is_complete(cid))
    }

    /// Hold what is put from here on, and what the lease is told to protect, against collection.
    pub async fn lease(&self) -> Lease {
        Lease::begin(self.clone()).await
    }

    /// Have `cid` announced by the next daemon that runs; durable on return.
    pub async fn queue_announcement(&self, cid: Cid) -> Result<(), StoreError> {
        at!(self, store => store.queue_announcement(cid))
    }

    /// What is to be announced, in the order in which it was queued.
    pub async fn announcements(&self) -> Result<Vec<Cid>, StoreError> {
        at!(self, store => store.announcements())
    }

    /// Record that `cid` was announced; it leaves the queue.
    pub async fn announced(&self, cid: Cid, when: SystemTime) -> Result<(), StoreError> {
        at!(self, store => store.announced(cid, when))
    }

    /// What was announced, and when it was the last time (kept to the second).
    pub async fn announcement_times(&self) -> Result<Vec<(Cid, SystemTime)>, StoreError> {
        at!(self, store => store.announcement_times())
    }

    /// Announce it no more: takes it out of the queue and out of what was announced; says whether it was in one.
    pub async fn unannounce(&self, cid: Cid) -> Result<bool, StoreError> {
        at!(self, store => store.unannounce(cid))
    }

    /// Commit, and end the threads. Other handles get `StoreError::Closed` from here on.
    pub async fn close(self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

/// What a queued command counts beside its data, per block, in bytes.
const PUT_OVERHEAD: usize = 256;
