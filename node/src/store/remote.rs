//! The store of a process that gave the repository to a daemon: every method is a question to that daemon.
//!
//! A session with the daemon lasts as long as one connection, which says that this guest is there. Once it has ended nothing
//! is asked any more: a daemon that came after it may lack what was put and not committed.

mod connection;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::Block;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};

use super::lookup::inherent;
use super::record::DATA_MAX;
use super::source::{Part, Source};
use super::wire::{Ask, Asked, CidText, HashText, ITEMS, parcels, split_line, texts};
use super::{Located, Root, RootKind, Stat, StoreError, Stored};
use connection::{Connection, Lost, Task};

/// A guest's way to the store.
#[derive(Debug)]
pub(super) struct Remote {
    socket: PathBuf,
    session: String,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
    /// Why the session ended.
    ended: watch::Receiver<Option<Arc<str>>>,
    _presence: Task,
}

impl Remote {
    /// Begin the session that the daemon which serves `socket` was told of.
    pub(super) async fn join(socket: PathBuf, session: String) -> Result<Remote, Lost> {
        let mut connection = Connection::open(&socket).await?;
        let mut answer = connection.post("store/join", vec![session.clone().into()]).await?;
        let (end, ended) = watch::channel(None);
        let presence = async move {
            let why = answer.until_end().await;
            drop(connection);
            end.send_replace(Some(why.into()));
        };
        let _presence = Task::spawn(presence);
        Ok(Remote { socket, session, idle: Mutex::default(), room: Semaphore::new(CONNECTIONS), ended, _presence })
    }

    pub(super) async fn put(&self, blocks: Vec<Block>) -> Result<(), StoreError> {
        let mut sent = Vec::with_capacity(blocks.len());
        for block in blocks {
            let cid = *block.cid();
            let data = block.into_data();
            if data.len() > DATA_MAX as usize {
                return Err(StoreError::TooLarge { cid, length: data.len() });
            }
            if inherent(&cid).is_none() {
                sent.push((cid, data));
            }
        }
        for parcel in parcels(sent, |(_, data)| data.len()) {
            let blocks = parcel.iter().map(|(cid, data)| (CidText(*cid), data.len() as u32)).collect();
            let data = parcel.into_iter().map(|(_, data)| data).collect();
            let ((), _) = self.ask(Ask::Put { blocks }, data).await?;
        }
        Ok(())
    }

    pub(super) async fn commit(&self) -> Result<(), StoreError> {
        self.tell(Ask::Commit).await
    }

    pub(super) async fn refer(&self, source: Source, parts: Vec<Part>) -> Result<(), StoreError> {
        for parts in parts.chunks(ITEMS) {
            let () = self.tell(Ask::Refer { source: source.clone(), parts: parts.to_vec() }).await?;
        }
        Ok(())
    }

    pub(super) async fn settle(&self, was: PathBuf, now: Source) -> Result<bool, StoreError> {
        self.tell(Ask::Settle { was, now }).await
    }

    pub(super) async fn sources_of(&self, cids: Vec<Cid>) -> Result<Vec<Option<Source>>, StoreError> {
        let mut sources = Vec::with_capacity(cids.len());
        for cids in cids.chunks(ITEMS) {
            sources.extend(self.tell::<Vec<Option<Source>>>(Ask::SourcesOf { cids: texts(cids) }).await?);
        }
        Ok(sources)
    }

    pub(super) async fn look_up(&self, cids: Vec<Cid>) -> Result<Vec<Option<Located>>, StoreError> {
        let mut located = Vec::with_capacity(cids.len());
        for cids in cids.chunks(ITEMS) {
            located.extend(self.tell::<Vec<Option<Located>>>(Ask::Survey { cids: texts(cids) }).await?);
        }
        Ok(located)
    }

    pub(super) async fn glance(&self, cids: Vec<Cid>) -> Result<Vec<Option<Located>>, StoreError> {
        self.look_up(cids).await
    }

    pub(super) async fn load(&self, cid: &Cid) -> Result<Option<Stored>, StoreError> {
        let data = self.bytes(Ask::Load { cid: CidText(*cid) }).await?;
        Ok(data.map(|data| Stored { cid: *cid, data }))
    }

    pub(super) async fn block(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let Some(stored) = self.load(cid).await? else { return Ok(None) };
        if let Ok(block) = Block::verify(*cid, stored.data) {
            return Ok(Some(block));
        }
        // Bad on its disk: it finds that out itself, and forgets it.
        let data = self.bytes(Ask::Block { cid: CidText(*cid) }).await?;
        Ok(data.and_then(|data| Block::verify(*cid, data).ok()))
    }

    pub(super) async fn remove(&self, cids: Vec<Cid>) -> Result<Vec<bool>, StoreError> {
        let mut there = Vec::with_capacity(cids.len());
        for cids in cids.chunks(ITEMS) {
            there.extend(self.tell::<Vec<bool>>(Ask::Remove { cids: texts(cids) }).await?);
        }
        Ok(there)
    }

    pub(super) async fn list(
        &self,
        after: Option<Multihash<64>>,
        most: usize,
    ) -> Result<Vec<(Multihash<64>, u32)>, StoreError> {
        let listed: Vec<(HashText, u32)> = self.tell(Ask::List { after: after.map(HashText), most }).await?;
        Ok(listed.into_iter().map(|(hash, length)| (hash.0, length)).collect())
    }

    pub(super) async fn stat(&self) -> Result<Stat, StoreError> {
        self.tell(Ask::Stat).await
    }

    pub(super) async fn set_roots(&self, mut roots: Vec<Root>) -> Result<(), StoreError> {
        loop {
            let rest = roots.split_off(roots.len().min(ITEMS));
            let () = self.tell(Ask::SetRoots { roots }).await?;
            if rest.is_empty() {
                return Ok(());
            }
            roots = rest;
        }
    }

    pub(super) async fn remove_root(&self, kind: RootKind, key: &[u8]) -> Result<bool, StoreError> {
        self.tell(Ask::RemoveRoot { kind, key: key.to_vec() }).await
    }

    pub(super) async fn replace_root(&self, was: Option<Cid>, root: Root) -> Result<bool, StoreError> {
        self.tell(Ask::ReplaceRoot { was: was.map(CidText), root }).await
    }

    pub(super) async fn root(&self, kind: RootKind, key: &[u8]) -> Result<Option<Root>, StoreError> {
        self.tell(Ask::Root { kind, key: key.to_vec() }).await
    }

    pub(super) async fn roots(&self, kind: RootKind) -> Result<Vec<Root>, StoreError> {
        self.tell(Ask::Roots { kind }).await
    }

    pub(super) async fn set_complete(&self, cid: Cid) -> Result<(), StoreError> {
        self.tell(Ask::SetComplete { cid: CidText(cid) }).await
    }

    pub(super) async fn is_complete(&self, cid: Cid) -> Result<bool, StoreError> {
        self.tell(Ask::IsComplete { cid: CidText(cid) }).await
    }

    pub(super) async fn protect(&self, cid: Cid) -> Result<(), StoreError> {
        self.tell(Ask::Protect { cid: CidText(cid) }).await
    }

    pub(super) async fn queue_announcement(&self, cid: Cid) -> Result<(), StoreError> {
        self.tell(Ask::QueueAnnouncement { cid: CidText(cid) }).await
    }

    pub(super) async fn announcements(&self) -> Result<Vec<Cid>, StoreError> {
        let queued: Vec<CidText> = self.tell(Ask::Announcements).await?;
        Ok(super::wire::cids(queued))
    }

    pub(super) async fn announced(&self, cid: Cid, when: SystemTime) -> Result<(), StoreError> {
        self.tell(Ask::Announced { cid: CidText(cid), when }).await
    }

    pub(super) async fn announcement_times(&self) -> Result<Vec<(Cid, SystemTime)>, StoreError> {
        let times: Vec<(CidText, SystemTime)> = self.tell(Ask::AnnouncementTimes).await?;
        Ok(times.into_iter().map(|(cid, when)| (cid.0, when)).collect())
    }

    pub(super) async fn unannounce(&self, cid: Cid) -> Result<bool, StoreError> {
        self.tell(Ask::Unannounce { cid: CidText(cid) }).await
    }

    async fn bytes(&self, ask: Ask) -> Result<Option<Bytes>, StoreError> {
        let (is_there, data) = self.ask(ask, Vec::new()).await?;
        Ok(Some(data).filter(|_| is_there))
    }

    async fn tell<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, StoreError> {
        Ok(self.ask(ask, Vec::new()).await?.0)
    }

    async fn ask<T: DeserializeOwned>(&self, ask: Ask, blocks: Vec<Bytes>) -> Result<(T, Bytes), StoreError> {
        let asked = Asked { session: self.session.clone(), ask };
        let mut line = serde_json::to_vec(&asked).expect("text and numbers have a JSON form");
        line.push(b'\n');
        let mut pieces = vec![Bytes::from(line)];
        pieces.extend(blocks);
        let _room = self.room.acquire().await.expect("nobody closes it");
        let mut ended = self.ended.clone();
        let answer = tokio::select! {
            // What was answered counts, whatever comes after it.
            biased;
            answer = self.exchange(pieces) => answer.map_err(|lost| match lost {
                Lost::Gone(why) => self.gone(&why),
                Lost::Refused(message) => StoreError::Holder { message },
            })?,
            // Its task ends by telling why, so the channel is not closed before.
            why = ended.wait_for(Option::is_some) => {
                return Err(self.gone(why.ok().and_then(|why| why.clone()).as_deref().unwrap_or("it is gone")));
            }
        };
        let malformed = || self.gone("its answer makes no sense");
        let (line, data) = split_line(answer).ok_or_else(malformed)?;
        let told: Result<T, String> = serde_json::from_slice(&line).map_err(|_| malformed())?;
        told.map(|told| (told, data)).map_err(|message| StoreError::Holder { message })
    }

    async fn exchange(&self, pieces: Vec<Bytes>) -> Result<Bytes, Lost> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.socket).await?,
        };
        let answer = connection.post("store/ask", pieces).await?.whole().await?;
        // Dropped before this line, it is not used again: its answer may still be under way.
        self.idle().push(connection);
        Ok(answer)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self, why: &str) -> StoreError {
        StoreError::Gone { socket: self.socket.clone(), why: why.to_owned() }
    }
}

/// Questions at a time; others wait for one of them.
const CONNECTIONS: usize = 8;
