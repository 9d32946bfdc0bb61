//! Where blocks are kept: append-only segments, an index that can be made again from them, and roots, which cannot.
//!
//! A put appends and is readable at once; a commit makes what was put durable, many callers sharing one sync. One thread
//! writes, a few read: no async task ever waits for the disk. The caller holds the repository's lock.
//!
//! Whoever opens a store after a crash finds every block that was committed, and mostly those that were only put.

mod database;
mod disk;
mod flusher;
mod index;
mod lease;
mod open;
mod record;
mod reserve;
mod roots;
mod scan;
mod segments;
mod shared;
mod threads;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::Block;
use tokio::sync::oneshot;

pub use lease::Lease;
pub use open::OpenError;
pub use roots::{Root, RootKind};

use disk::{Disk, Folder};
use index::{Key, Only};
use record::DATA_MAX;
use roots::Change;
use shared::{Shared, inherent};
use threads::Threads;
use writer::{Command, Reply};

/// A handle on the store. The last one that goes ends its threads; what was put is committed then.
#[derive(Clone, Debug)]
pub struct Store {
    threads: Arc<Threads>,
}

/// How a store works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The longest a segment grows, in bytes.
    pub segment_size: u32,
    /// Disk space held back for commits and collection on a full disk, in bytes.
    pub reserve: u64,
    /// Threads that read.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_size: 256 * 1024 * 1024, reserve: 16 * 1024 * 1024, readers: 2 }
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

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Records found bad since it was opened.
    pub bad_records: u64,
}

impl Store {
    /// Open the store in `dir`, made when it is missing. Blocks the thread for milliseconds; after damage, for as long as it
    /// takes to read all segments.
    pub fn open(dir: &Path, options: Options) -> Result<Store, OpenError> {
        make_folder(dir).map_err(|error| OpenError::of(dir, "", error))?;
        Store::open_on(Arc::new(Folder::new(dir.to_path_buf())), dir, options)
    }

    fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<Store, OpenError> {
        let (writer, flushing) = open::open(disk, dir, &options)?;
        let threads =
            Threads::start(writer, flushing, options.readers).map_err(|error| OpenError::of(dir, "", error))?;
        Ok(Store { threads: Arc::new(threads) })
    }

    /// Append blocks. They can be read when it returns and are durable after the next `commit`. Waits while 32 MiB are queued.
    /// A block that is there is not written again, but counts as put. Dropping the future puts all of them or none.
    pub async fn put(&self, blocks: Vec<Block>) -> Result<(), StoreError> {
        let mut cost = 0;
        let mut queued = Vec::with_capacity(blocks.len());
        for block in blocks {
            let cid = *block.cid();
            if inherent(&cid).is_some() {
                continue;
            }
            let data = block.into_data();
            if data.len() > DATA_MAX as usize {
                return Err(StoreError::TooLarge { cid, length: data.len() });
            }
            cost += data.len() + PUT_OVERHEAD;
            queued.push((Key::from(&cid), data));
        }
        if queued.is_empty() {
            return Ok(());
        }
        self.write(cost, |reply| Command::Put { blocks: queued, reply }).await
    }

    /// Make everything durable that was put before. Commits at the same time share one sync.
    pub async fn commit(&self) -> Result<(), StoreError> {
        self.change(Vec::new()).await.map(|_| ())
    }

    /// Which blocks are here, and how long they are.
    pub async fn locate(&self, cids: Vec<Cid>) -> Result<Vec<Option<u32>>, StoreError> {
        self.read(move |shared| shared.locate(&cids)).await
    }

    /// The bytes of a block, their checksum checked: for sending. A record that is bad is reported, forgotten and `None`.
    pub async fn load(&self, cid: &Cid) -> Result<Option<Stored>, StoreError> {
        let cid = *cid;
        let data = self.read(move |shared| shared.load(&cid)).await?;
        Ok(data.map(|data| Stored { cid, data }))
    }

    /// A block, hashed: for using. A record whose bytes do not match is reported, forgotten and `None`.
    pub async fn block(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let cid = *cid;
        self.read(move |shared| shared.block(&cid)).await
    }

    /// Delete blocks, whatever protects them; says which were there. No DAG is known to be complete after that.
    pub async fn remove(&self, cids: Vec<Cid>) -> Result<Vec<bool>, StoreError> {
        self.remove_only(cids, Only::Any).await
    }

    /// Begin a collection: what is put from here on it must not delete.
    pub fn begin_mark(&self) -> Mark {
        Mark(self.threads.shared.begin_generation())
    }

    /// Delete those of these blocks that were last put before the mark began and before every lease that is held.
    pub async fn remove_unmarked(&self, cids: Vec<Cid>, mark: Mark) -> Result<Vec<bool>, StoreError> {
        self.remove_only(cids, Only::Before(mark.0)).await
    }

    async fn remove_only(&self, cids: Vec<Cid>, only: Only) -> Result<Vec<bool>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        self.write(keys.len() * PUT_OVERHEAD, |reply| Command::Remove { keys, only, reply }).await
    }

    /// At most `most` blocks and their lengths in the order of their multihashes, from behind `after` on.
    pub async fn list(
        &self,
        after: Option<Multihash<64>>,
        most: usize,
    ) -> Result<Vec<(Multihash<64>, u32)>, StoreError> {
        self.commit().await?;
        self.read(move |shared| shared.list(after, most)).await
    }

    /// Counts and sizes, as of the last commit.
    pub fn stat(&self) -> Stat {
        self.threads.shared.stat()
    }

    /// Set roots; durable on return, after all that was put before. A root with the same kind and key is replaced.
    pub async fn set_roots(&self, roots: Vec<Root>) -> Result<(), StoreError> {
        let too_long = |root: &&Root| root.key.len().max(root.name.as_ref().map_or(0, String::len)) > Root::NAME_MAX;
        if let Some(root) = roots.iter().find(too_long) {
            return Err(StoreError::NameTooLong { cid: root.cid });
        }
        self.change(vec![Change::Set(roots)]).await.map(|_| ())
    }

    /// Remove a root; says whether it was there. Durable on return.
    pub async fn remove_root(&self, kind: RootKind, key: &[u8]) -> Result<bool, StoreError> {
        self.change_one(Change::Remove(kind, key.to_vec())).await
    }

    /// The root of this kind and key.
    pub async fn root(&self, kind: RootKind, key: &[u8]) -> Result<Option<Root>, StoreError> {
        let key = key.to_vec();
        let found = self.read(move |shared| shared.root(kind, &key)).await?;
        Ok(found.filter(|root| !root.is_expired(SystemTime::now())))
    }

    /// All roots of this kind in the order of their keys, those of leases that are held included.
    pub async fn roots(&self, kind: RootKind) -> Result<Vec<Root>, StoreError> {
        self.read(move |shared| shared.roots(kind)).await
    }

    /// Record that the whole DAG under `cid` is here; durable on return, after all that was put before.
    pub async fn set_complete(&self, cid: Cid) -> Result<(), StoreError> {
        self.change_one(Change::Complete(cid)).await.map(|_| ())
    }

    /// Whether it was recorded that the whole DAG under `cid` is here, and no block was lost or removed since.
    pub async fn is_complete(&self, cid: Cid) -> Result<bool, StoreError> {
        self.read(move |shared| shared.is_complete(&cid)).await
    }

    /// Hold what is put from here on, and what the lease is told to protect, against collection.
    pub fn lease(&self) -> Lease {
        Lease::begin(self.threads.shared.clone())
    }

    /// Have `cid` announced by the next daemon that runs; durable on return.
    pub async fn queue_announcement(&self, cid: Cid) -> Result<(), StoreError> {
        self.change_one(Change::Queue(cid)).await.map(|_| ())
    }

    /// What is to be announced, in the order in which it was queued.
    pub async fn announcements(&self) -> Result<Vec<Cid>, StoreError> {
        self.read(|shared| shared.announcements()).await
    }

    /// Record that `cid` was announced; it leaves the queue.
    pub async fn announced(&self, cid: Cid, when: SystemTime) -> Result<(), StoreError> {
        self.change_one(Change::Announced(cid, when)).await.map(|_| ())
    }

    /// What was announced, and when it was the last time (kept to the second).
    pub async fn announcement_times(&self) -> Result<Vec<(Cid, SystemTime)>, StoreError> {
        self.read(|shared| shared.announcement_times()).await
    }

    /// Announce it no more: takes it out of the queue and out of what was announced; says whether it was in one.
    pub async fn unannounce(&self, cid: Cid) -> Result<bool, StoreError> {
        self.change_one(Change::Unannounce(cid)).await
    }

    /// Commit, and end the threads. Other handles get `StoreError::Closed` from here on.
    pub async fn close(self) -> Result<(), StoreError> {
        let done = self.commit().await;
        // Joining waits for reads that are under way. A panic is reported there.
        let _ = tokio::task::spawn_blocking(move || self.threads.end()).await;
        done
    }

    async fn change_one(&self, change: Change) -> Result<bool, StoreError> {
        let done = self.change(vec![change]).await?;
        Ok(done.first().copied().unwrap_or_default())
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<bool>, StoreError> {
        self.write(PUT_OVERHEAD, |reply| Command::Commit { changes, reply }).await
    }

    async fn write<T>(&self, cost: usize, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let pushed = self.threads.shared.writes.push(command(reply), cost).await;
        pushed.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Have a reader thread do it; not at all when the future is dropped before its turn comes.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = move |shared: &Shared| {
            if !reply.is_closed() {
                // Nobody wants it when the future is dropped meanwhile.
                let _ = reply.send(read(shared));
            }
        };
        self.threads.shared.reads.push(Box::new(job), 1).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// What a queued command counts beside its data, per block, in bytes.
const PUT_OVERHEAD: usize = 256;

/// When a collection began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u32);

fn make_folder(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// Why the store did not do what it was asked. It says for whom it failed: blocks of others are not touched.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It was closed.
    #[error("the store is closed")]
    Closed,
    /// A database cannot be read or written.
    #[error("{path}: the database failed")]
    Database {
        /// Its file.
        path: PathBuf,
        /// What redb says.
        source: Arc<redb::Error>,
    },
    /// No space is left. What was committed is there; the store goes on when there is room.
    #[error("{folder}: the disk is full; make room on it, or free some with `cidra repo gc`")]
    Full {
        /// The store.
        folder: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{path}: cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: Arc<std::io::Error>,
    },
    /// The disk lost blocks that were put and not committed. The store takes no more until it is opened again.
    #[error("{folder}: the disk lost what was written to it ({why}); check the disk, then start again")]
    Lost {
        /// The store.
        folder: PathBuf,
        /// What was found.
        why: String,
    },
    /// A root's key or name is too long.
    #[error("a name for {cid} is longer than {} bytes", Root::NAME_MAX)]
    NameTooLong {
        /// What it should name.
        cid: Cid,
    },
    /// A block is too large to be kept.
    #[error("block {cid}: {length} bytes are more than the {DATA_MAX} that the store keeps")]
    TooLarge {
        /// The block.
        cid: Cid,
        /// Its length in bytes.
        length: usize,
    },
}
