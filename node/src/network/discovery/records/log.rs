//! The log of provider records: appended by a thread of its own, read and rewritten without its dead entries at start, and
//! again when it has grown to twice what it was then. Losing its end to a crash loses records that come again within 22 hours.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use libp2p::{Multiaddr, PeerId};

/// One provider record on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) provider: PeerId,
    /// Seconds since 1970.
    pub(super) expires: u64,
    pub(super) addresses: Vec<Multiaddr>,
}

/// Where entries go. Dropping it writes what is queued and closes the file.
pub(super) struct Log {
    queue: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Gives the entries of the file that are valid at `now`, and begins to append to it.
    pub(super) fn open(path: &Path, now: u64) -> io::Result<(Self, Vec<Entry>)> {
        let entries = read(path, now)?;
        let mut writer = Writer { path: path.to_owned(), file: rewrite(path, &entries)?, length: 0, rewritten: 0 };
        writer.length = writer.file.get_ref().metadata()?.len();
        writer.rewritten = writer.length;
        let (queue, queued) = sync_channel(QUEUED);
        let thread = std::thread::Builder::new().name("provider-records".into()).spawn(move || writer.run(&queued))?;
        Ok((Self { queue: Some(queue), thread: Some(thread) }, entries))
    }

    /// Queues an entry; a full queue (a disk slower than the network) loses it: it is in memory all the same.
    pub(super) fn append(&self, entry: Entry) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Disconnected(_)) = queue.try_send(entry) {
            tracing::debug!("a provider record is not on disk: its log is closed");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it has told what went wrong
        }
    }
}

/// Entries between the network and the disk.
const QUEUED: usize = 4096;

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    /// The length when it held no dead entries.
    rewritten: u64,
}

impl Writer {
    fn run(mut self, queued: &Receiver<Entry>) {
        while let Ok(entry) = queued.recv() {
            if let Err(error) = self.append_all(entry, queued) {
                tracing::warn!(%error, path = %self.path.display(), "provider records are no longer kept on disk");
                return;
            }
        }
    }

    /// Writes what is queued, then hands it to the system: a process that is killed loses nothing.
    fn append_all(&mut self, first: Entry, queued: &Receiver<Entry>) -> io::Result<()> {
        self.append(&first)?;
        while let Ok(entry) = queued.try_recv() {
            self.append(&entry)?;
        }
        self.file.flush()
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let bytes = encode(entry);
        self.file.write_all(&bytes)?;
        self.length += bytes.len() as u64;
        if self.length > MIN_REWRITE && self.length > self.rewritten * 2 {
            self.file.flush()?;
            let now = super::seconds(SystemTime::now());
            self.file = rewrite(&self.path, &read(&self.path, now)?)?;
            self.length = self.file.get_ref().metadata()?.len();
            self.rewritten = self.length;
        }
        Ok(())
    }
}

/// A shorter log is not worth rewriting, in bytes.
const MIN_REWRITE: u64 = 4 * 1024 * 1024;

/// The latest valid entry of each key and provider. What does not parse ends the file: the end was torn.
fn read(path: &Path, now: u64) -> io::Result<Vec<Entry>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut latest: HashMap<(Vec<u8>, PeerId), usize> = HashMap::new();
    let mut entries: Vec<Option<Entry>> = vec![];
    let mut rest = &bytes[..];
    while let Some((entry, after)) = decode(rest) {
        rest = after;
        if let Some(before) = latest.insert((entry.key.clone(), entry.provider), entries.len()) {
            entries[before] = None;
        }
        entries.push(Some(entry));
    }
    Ok(entries.into_iter().flatten().filter(|entry| entry.expires > now).collect())
}

fn rewrite(path: &Path, entries: &[Entry]) -> io::Result<BufWriter<File>> {
    let beside = path.with_extension("new");
    let mut file = BufWriter::new(File::create(&beside)?);
    for entry in entries {
        file.write_all(&encode(entry))?;
    }
    file.flush()?;
    fs::rename(&beside, path)?;
    Ok(BufWriter::new(OpenOptions::new().append(true).open(path)?))
}

/// Length and checksum of the rest, expiry, then provider, key and addresses, each with its length.
fn encode(entry: &Entry) -> Vec<u8> {
    let mut body = entry.expires.to_be_bytes().to_vec();
    let mut push = |field: &[u8]| {
        body.extend_from_slice(&(field.len() as u16).to_be_bytes());
        body.extend_from_slice(field);
    };
    push(&entry.provider.to_bytes());
    push(&entry.key);
    // One that is longer than its length can say never came out of a message of the DHT either.
    let addresses = entry.addresses.iter().filter(|address| address.as_ref().len() <= usize::from(u16::MAX));
    addresses.for_each(|address| push(address.as_ref()));
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let (expires, mut fields) = body.split_first_chunk::<8>()?;
    let mut next = || {
        let (length, after) = fields.split_first_chunk::<2>()?;
        let (field, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        fields = after;
        Some(field.to_vec())
    };
    let provider = PeerId::from_bytes(&next()?).ok()?;
    let key = next()?;
    let addresses = std::iter::from_fn(next).filter_map(|bytes| Multiaddr::try_from(bytes).ok()).collect();
    Some((Entry { key, provider, expires: u64::from_be_bytes(*expires), addresses }, rest))
}
