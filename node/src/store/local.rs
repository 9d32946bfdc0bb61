//! The store in this process: its threads, and the files that they work on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::Block;
use tokio::sync::oneshot;

use super::command::{Command, Reply};
use super::disk::{Disk, Folder};
use super::entry::Key;
use super::index::Only;
use super::leases::LocalLease;
use super::lookup::inherent;
use super::record::DATA_MAX;
use super::referrals::FileCommand;
use super::roots::{Change, Root, RootKind};
use super::shared::Shared;
use super::source::{Part, Source};
use super::threads::Threads;
use super::{Located, OpenError, Options, PUT_OVERHEAD, Stat, StoreError, Stored, open};

/// An open store. Dropped, it ends its threads; what was put is committed then.
#[derive(Debug)]
pub(super) struct Local {
    threads: Threads,
}

impl Local {
    /// Open the store in `dir`, made when it is missing.
    pub(super) fn open(dir: &Path, options: &Options) -> Result<Local, OpenError> {
        make_folder(dir).map_err(|error| OpenError::of(dir, "", error))?;
        Local::open_on(Arc::new(Folder::new(dir.to_path_buf())), dir, options)
    }

    pub(super) fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: &Options) -> Result<Local, OpenError> {
        let (writer, flushing) = open::open(disk, dir, options)?;
        let threads =
            Threads::start(writer, flushing, options.readers).map_err(|error| OpenError::of(dir, "", error))?;
        Ok(Local { threads })
    }

    pub(super) async fn put(&self, blocks: Vec<Block>) -> Result<(), StoreError> {
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

    pub(super) async fn commit(&self) -> Result<(), StoreError> {
        self.change(Vec::new()).await.map(|_| ())
    }

    pub(super) async fn refer(&self, source: Source, parts: Vec<Part>) -> Result<(), StoreError> {
        let parts: Vec<(Key, Part)> = parts
            .into_iter()
            .filter(|part| inherent(&part.cid).is_none())
            .map(|part| (Key::from(&part.cid), part))
            .collect();
        self.write((parts.len() + 1) * PUT_OVERHEAD, |reply| Command::File(FileCommand::Refer { source, parts, reply }))
            .await
    }

    pub(super) async fn settle(&self, was: PathBuf, now: Source) -> Result<bool, StoreError> {
        self.write(PUT_OVERHEAD, |reply| Command::File(FileCommand::Settle { was, now, reply })).await
    }

    pub(super) async fn sources_of(&self, cids: Vec<Cid>) -> Result<Vec<Option<Source>>, StoreError> {
        self.read(move |shared| shared.sources_of(&cids)).await
    }

    pub(super) async fn look_up(&self, cids: Vec<Cid>) -> Result<Vec<Option<Located>>, StoreError> {
        self.read(move |shared| shared.locate(&cids)).await
    }

    pub(super) async fn glance(&self, cids: Vec<Cid>) -> Result<Vec<Option<Located>>, StoreError> {
        self.read(move |shared| shared.glance(&cids)).await
    }

    pub(super) async fn load(&self, cid: &Cid) -> Result<Option<Stored>, StoreError> {
        let cid = *cid;
        let data = self.read(move |shared| shared.load(&cid)).await?;
        Ok(data.map(|data| Stored { cid, data }))
    }

    pub(super) async fn block(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let cid = *cid;
        self.read(move |shared| shared.block(&cid)).await
    }

    /// Ends when it is queued; the answer comes when it is read.
    pub(super) async fn read_blocks(&self, cids: Vec<Cid>) -> Result<Coming<Vec<Option<Block>>>, StoreError> {
        self.begin_read(move |shared| shared.blocks(&cids)).await
    }

    pub(super) async fn remove(&self, cids: Vec<Cid>) -> Result<Vec<bool>, StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::from).collect();
        self.write(keys.len() * PUT_OVERHEAD, |reply| Command::Remove { keys, only: Only::Any, reply }).await
    }

    pub(super) async fn list(
        &self,
        after: Option<Multihash<64>>,
        most: usize,
    ) -> Result<Vec<(Multihash<64>, u32)>, StoreError> {
        self.commit().await?;
        self.read(move |shared| shared.list(after, most)).await
    }

    pub(super) fn stat(&self) -> Stat {
        self.threads.shared.stat()
    }

    pub(super) async fn set_roots(&self, roots: Vec<Root>) -> Result<(), StoreError> {
        self.change(vec![Change::Set(roots)]).await.map(|_| ())
    }

    pub(super) async fn replace_root(&self, was: Option<Cid>, root: Root) -> Result<bool, StoreError> {
        self.change_one(Change::Replace(was, root)).await
    }

    pub(super) async fn remove_root(&self, kind: RootKind, key: &[u8]) -> Result<bool, StoreError> {
        self.change_one(Change::Remove(kind, key.to_vec())).await
    }

    pub(super) async fn root(&self, kind: RootKind, key: &[u8]) -> Result<Option<Root>, StoreError> {
        let key = key.to_vec();
        let found = self.read(move |shared| shared.root(kind, &key)).await?;
        Ok(found.filter(|root| !root.is_expired(SystemTime::now())))
    }

    pub(super) async fn roots(&self, kind: RootKind) -> Result<Vec<Root>, StoreError> {
        self.read(move |shared| shared.roots(kind)).await
    }

    pub(super) async fn set_complete(&self, cid: Cid) -> Result<(), StoreError> {
        self.change_one(Change::Complete(cid)).await.map(|_| ())
    }

    pub(super) async fn is_complete(&self, cid: Cid) -> Result<bool, StoreError> {
        self.read(move |shared| shared.is_complete(&cid)).await
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.threads.shared
    }

    /// Hold what is put from here on against collection, and what was put since a generation.
    pub(super) fn lease(&self, since: Option<u32>, until: Option<Instant>) -> LocalLease {
        LocalLease::begin(self.threads.shared.clone(), since, until)
    }

    /// The generation since which leases hold what is put.
    pub(super) fn leased_since(&self) -> Option<u32> {
        self.threads.shared.leases.oldest()
    }

    pub(super) async fn queue_announcement(&self, cid: Cid) -> Result<(), StoreError> {
        self.change_one(Change::Queue(cid)).await.map(|_| ())
    }

    pub(super) async fn announcements(&self) -> Result<Vec<Cid>, StoreError> {
        self.read(|shared| shared.announcements()).await
    }

    pub(super) async fn announced(&self, cid: Cid, when: SystemTime) -> Result<(), StoreError> {
        self.change_one(Change::Announced(cid, when)).await.map(|_| ())
    }

    pub(super) async fn announcement_times(&self) -> Result<Vec<(Cid, SystemTime)>, StoreError> {
        self.read(|shared| shared.announcement_times()).await
    }

    pub(super) async fn unannounce(&self, cid: Cid) -> Result<bool, StoreError> {
        self.change_one(Change::Unannounce(cid)).await
    }

    /// Commit, end the threads and let go of the files. Leases must be gone: they hold on to them.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        let done = self.commit().await;
        // Joining waits for reads that are under way. A panic is reported there.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
        done
    }

    async fn change_one(&self, change: Change) -> Result<bool, StoreError> {
        let done = self.change(vec![change]).await?;
        Ok(done.first().copied().unwrap_or_default())
    }

    pub(super) async fn change(&self, changes: Vec<Change>) -> Result<Vec<bool>, StoreError> {
        self.write(PUT_OVERHEAD, |reply| Command::Commit { changes, reply }).await
    }

    pub(super) async fn write<T>(
        &self,
        cost: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let pushed = self.threads.shared.writes.push(command(reply), cost).await;
        pushed.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin_read(read).await?.await.map_err(|_| StoreError::Closed)?
    }

    async fn begin_read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Coming<T>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = move |shared: &Shared| {
            if !reply.is_closed() {
                // Nobody wants it when the future is dropped meanwhile.
                let _ = reply.send(read(shared));
            }
        };
        self.threads.shared.reads.push(Box::new(job), 1).await.map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }
}

/// An answer of a reader thread; it is lost only when the store is closed.
pub(super) type Coming<T> = oneshot::Receiver<Result<T, StoreError>>;

fn make_folder(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}
