//! A file that blocks from peers are written into, each at its place, and from then on read from: what is fetched into a file
//! is on the disk once. Only leaves are; all else goes into segments.
//!
//! Nothing that stands in the file is believed: whoever goes on with one that was begun before proves each leaf in it again.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use cid::Cid;
use cidra_content::block::Block;
use cidra_content::fetch::Place;
use cidra_content::unixfs::Wrapping;

use super::direct::DirectFile;
use super::disk::File;
use super::entry::Key;
use super::source::{Claim, Identity, Part, Source, State};
use super::{Store, StoreError};

/// A file that is on its way to its end. Blocks go into it as long as somebody holds it.
#[derive(Debug)]
pub struct PartFile {
    source: Source,
    file: Arc<DirectFile>,
    /// Bytes that were in it when it was opened.
    had: u64,
    pieces: Arc<Mutex<Pieces>>,
    /// Whose turn it is to [write](Self::write).
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Pieces {
    expected: HashMap<Key, Place>,
    /// Proven before they were written, or since: where they begin, and how many bytes.
    written: BTreeMap<u64, u64>,
}

/// A block whose place is known.
struct Leaf {
    block: Block,
    wrapping: Wrapping,
    content: Bytes,
    place: Place,
}

impl PartFile {
    /// The regular file at `path`, which must be absolute, opened for reading and writing; nothing else is one.
    pub fn new(file: std::fs::File, path: PathBuf) -> io::Result<Option<PartFile>> {
        let Some(Identity { device, inode, size, .. }) = Identity::of(&file.metadata()?) else { return Ok(None) };
        if !path.is_absolute() {
            return Ok(None);
        }
        let source = Source { path, claim: Claim::Borrowed, state: State::Growing { device, inode } };
        let file = Arc::new(DirectFile::new(file));
        Ok(Some(PartFile { source, file, had: size, pieces: Arc::default(), turn: Arc::default() }))
    }

    /// The file as its references name it.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Have this leaf written here when it comes.
    pub fn expect(&self, cid: &Cid, place: Place) {
        self.pieces().expected.insert(Key::from(cid), place);
    }

    /// Whether the bytes of a leaf are known to stand here.
    pub fn holds(&self, place: Place) -> bool {
        self.pieces().written.get(&place.at) == Some(&place.len)
    }

    /// Nobody will ask for this leaf again.
    pub fn let_go(&self, place: Place) {
        self.pieces().written.remove(&place.at);
    }

    /// What stood here when the file was opened; `None` beyond its end.
    pub async fn read(&self, place: Place) -> io::Result<Option<Bytes>> {
        if place.at.checked_add(place.len).is_none_or(|end| end > self.had) {
            return Ok(None);
        }
        let file = self.file.clone();
        let read = blocking(move || File::read_at(file.file(), place.at, place.len as usize)).await;
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|bytes| Some(bytes.into())),
        }
    }

    /// Write bytes that were proven, unless it is known that they stand there. Dropped, it goes on, and whoever asks for it again
    /// waits for it: however short each wait is, it ends.
    pub async fn write(&self, at: u64, bytes: Bytes) -> io::Result<()> {
        let place = Place { at, len: bytes.len() as u64 };
        let turn = self.turn.clone().lock_owned().await;
        if self.holds(place) {
            return Ok(());
        }
        let (file, pieces) = (self.file.clone(), self.pieces.clone());
        blocking(move || {
            let _turn = turn;
            file.write_at(at, &bytes)?;
            pieces.lock().unwrap_or_else(PoisonError::into_inner).written.insert(at, place.len);
            Ok(())
        })
        .await
    }

    /// These leaves stand here, as was proven: read them from here on.
    pub async fn adopt(&self, store: &Store, leaves: Vec<Part>) -> Result<(), StoreError> {
        let places: Vec<(u64, u64)> = leaves.iter().map(|leaf| (leaf.offset, u64::from(leaf.length))).collect();
        store.refer(self.source.clone(), leaves).await?;
        self.pieces().written.extend(places);
        Ok(())
    }

    /// The file is whole and stands at `path` from here on. False when something else stands there.
    pub async fn settle(&self, store: &Store, path: PathBuf) -> Result<bool, StoreError> {
        let State::Growing { device, inode } = self.source.state else { return Ok(false) };
        let at = path.clone();
        let Ok(metadata) = blocking(move || std::fs::symlink_metadata(at)).await else { return Ok(false) };
        let identity = Identity::of(&metadata).filter(|there| (there.device, there.inode) == (device, inode));
        let Some(identity) = identity else { return Ok(false) };
        // Others may have written to it, too: each block is hashed when it is read.
        let state = State::Whole { identity, hashed: false };
        store.settle(self.source.path.clone(), Source { path, claim: Claim::Borrowed, state }).await
    }

    /// Take those of the blocks whose place is known, and give the others back.
    async fn take(&self, store: &Store, blocks: Vec<Block>) -> Result<Vec<Block>, StoreError> {
        let (mut leaves, mut others) = (Vec::new(), Vec::new());
        for block in blocks {
            match self.place(&block) {
                Some((wrapping, content, place)) => leaves.push(Leaf { block, wrapping, content, place }),
                None => others.push(block),
            }
        }
        if leaves.is_empty() {
            return Ok(others);
        }
        let file = self.file.clone();
        let write = move || {
            let write = |leaf: &Leaf| file.write_at(leaf.place.at, &leaf.content);
            Ok(leaves.into_iter().map(|leaf| (write(&leaf), leaf)).collect::<Vec<_>>())
        };
        let path = self.source.path.display();
        let written = blocking(write).await.map_err(|_| StoreError::Closed)?;
        let mut parts = Vec::with_capacity(written.len());
        for (done, Leaf { block, wrapping, place, .. }) in written {
            match done {
                Ok(()) => {
                    let Place { at: offset, len } = place;
                    parts.push(Part { cid: *block.cid(), offset, length: len as u32, wrapping });
                }
                Err(error) => {
                    // Whoever waits for the file finds out when it comes to write it there.
                    tracing::warn!(%path, %error, "a block could not be written");
                    others.push(block);
                }
            }
        }
        self.adopt(store, parts).await?;
        Ok(others)
    }

    /// The form of a block that is waited for, the bytes of the file in it, and where they belong.
    fn place(&self, block: &Block) -> Option<(Wrapping, Bytes, Place)> {
        let place = self.pieces().expected.remove(&Key::from(block.cid()))?;
        let (wrapping, content) = Wrapping::of(block)?;
        (content.len() as u64 == place.len).then_some((wrapping, content, place))
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files that are under way.
#[derive(Debug, Default)]
pub(super) struct PartFiles(Mutex<Vec<Weak<PartFile>>>);

impl PartFiles {
    fn add(&self, file: &Arc<PartFile>) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|file| file.strong_count() > 0);
        files.push(Arc::downgrade(file));
    }

    fn all(&self) -> Vec<Arc<PartFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Store {
    /// From here on blocks that are [received](Self::receive) go into `file` where it expects them, until it is dropped.
    pub fn fill(&self, file: &Arc<PartFile>) {
        self.0.part_files.add(file);
    }

    /// As [`put`](Self::put), for blocks that came from peers: those that a file is waiting for go into that.
    pub async fn receive(&self, mut blocks: Vec<Block>) -> Result<(), StoreError> {
        for file in self.0.part_files.all() {
            blocks = file.take(self, blocks).await?;
        }
        match blocks.is_empty() {
            true => Ok(()),
            false => self.put(blocks).await,
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| io::Error::other("the process is about to end"))?
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_is_done_and_is_done_once() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let file = PartFile::new(named.reopen().unwrap(), named.path().to_owned()).unwrap().unwrap();
        let (bytes, others) = (Bytes::from(vec![7; 1 << 20]), Bytes::from(vec![8; 1 << 20]));
        {
            let mut write = pin!(file.write(5, bytes.clone()));
            let _ = futures::poll!(&mut write); // begun, and dropped
        }

        file.write(5, others).await.unwrap();

        assert!(file.holds(Place { at: 5, len: 1 << 20 }));
        assert!(std::fs::read(named.path()).unwrap()[5..] == bytes);
    }
}
