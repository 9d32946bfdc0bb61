//! Files and folders in, blocks and a root out.
//!
//! An import is told of entries depth first, and of the bytes of each file. Leaves of all files go to the hashing threads in batches,
//! and what comes back is put into the store while the next batch is hashed, so reading, hashing and writing overlap and small files
//! share batches. Memory is bounded by the batches under way. An entry is reported once what it names is durable.

mod batch;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use cidra_content::Block;
use cidra_content::unixfs::{Metadata, Parameters, Wrapping};

use crate::store::{InPlace, InPlaceError, Lease, Part, Root, RootKind, Source, Spool, Store, StoreError};
use batch::Batches;
pub use tree::TreeError;
use tree::{FileId, Output, Tree};

use crate::pool::Pool;

/// How an import is made. Whether it copies is said per file: one whose bytes come through `Import::data` is copied, one that
/// is named to `Import::refer` is read where it stands, now and whenever one of its leaves is asked for.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// How files are cut and hashed.
    pub parameters: Parameters,
    /// Compute CIDs, keep nothing.
    pub only_hash: bool,
    /// Protect what was imported, under this name or the entry's own.
    pub pin: Pin,
    /// Put all entries into one more folder, which has this metadata.
    pub wrap: Option<Metadata>,
    /// Take folders below the top that nothing is in.
    pub empty_folders: bool,
    /// A folder below the top may be named again after others, with more of its entries. Then none is written before the top
    /// is left, and the names of all of them are held so long.
    pub revisits: bool,
}

/// Whether the roots of an import are pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// They are not.
    No,
    /// Under the name of the entry, or this one.
    Yes {
        /// The name for all roots; `None`: each its own.
        name: Option<String>,
    },
}

/// Something that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its path as it was given; the wrapping folder's is empty.
    pub path: Vec<u8>,
    /// Its CID.
    pub cid: Cid,
    /// The length of a file, or of all that is below a folder, in bytes.
    pub size: u64,
    /// The length of all its blocks in bytes.
    pub tsize: u64,
    /// Whether it is the entry that a PATH names, or the folder around all.
    pub is_root: bool,
}

/// An entry of the tree that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A folder; the entries whose path begins with its own and a slash follow.
    Directory,
    /// A file; its bytes follow.
    File,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
}

/// One import. Dropping it before `finish` leaves blocks that nothing protects.
pub struct Import {
    store: Store,
    options: ImportOptions,
    tree: Tree,
    batches: Batches,
    /// Done, and not yet known to be durable.
    undurable: Vec<Added>,
    durable: Vec<Added>,
    /// Done, and reported when they are pinned.
    roots: Vec<(u64, Added)>,
    committed: Instant,
    /// Files that are referred to, while their leaves are out.
    referred: BTreeMap<FileId, Source>,
    reading: Option<(FileId, InPlace)>,
    /// Files that were read to their end.
    settled: Vec<(FileId, Source)>,
    /// Lists of large folders, and where in it those of each folder are.
    spool: Spool,
    runs: BTreeMap<u64, Vec<Range<u64>>>,
    _lease: Option<Lease>,
}

impl Import {
    pub(crate) async fn new(store: Store, pool: Pool, options: ImportOptions) -> Result<Self, ImportError> {
        let lease = if options.only_hash { None } else { Some(store.lease().await) };
        let batches = Batches::new(pool, if options.only_hash { None } else { Some(store.clone()) });
        let tree = Tree::new(&options);
        Ok(Self {
            spool: store.spool(),
            runs: BTreeMap::new(),
            store,
            options,
            tree,
            batches,
            undurable: vec![],
            durable: vec![],
            roots: vec![],
            committed: Instant::now(),
            referred: BTreeMap::new(),
            reading: None,
            settled: vec![],
            _lease: lease,
        })
    }

    /// The next entry. `path` is relative, its names parted by slashes; the file before it has ended.
    pub async fn entry(&mut self, path: &[u8], entry: Entry) -> Result<(), ImportError> {
        self.entry_with(path, entry, Metadata::default()).await
    }

    /// The same, with permissions and time to store.
    pub async fn entry_with(&mut self, path: &[u8], entry: Entry, metadata: Metadata) -> Result<(), ImportError> {
        self.tree.entry(path, entry, metadata)?;
        self.advance().await
    }

    /// The next bytes of the file that was named last.
    pub async fn data(&mut self, bytes: Bytes) -> Result<(), ImportError> {
        self.tree.data(bytes)?;
        self.advance().await
    }

    /// The next entry is a file whose leaves are not copied: they are read from the regular file at `file`, an absolute path,
    /// where it stands. Its bytes come by calling `read` until it gives `None`; interior nodes are stored.
    ///
    /// Whoever edits, moves or deletes the file takes its leaves away; nobody is given wrong bytes for them.
    pub async fn refer(&mut self, path: &[u8], file: PathBuf, metadata: Metadata) -> Result<(), ImportError> {
        let file = InPlace::open(file).await?;
        self.entry_with(path, Entry::File, metadata).await?;
        let id = self.tree.reading().expect("the entry of a file came just now");
        if !self.options.only_hash {
            self.referred.retain(|id, _| self.tree.is_open(*id));
            self.batches.begin_file(&file);
            self.referred.insert(id, file.source());
        }
        self.reading = Some((id, file));
        Ok(())
    }

    /// Reads on in the file that `refer` named last; how many bytes, and `None` at its end.
    pub async fn read(&mut self) -> Result<Option<usize>, ImportError> {
        let Some((id, mut file)) = self.reading.take() else { return Ok(None) };
        let bytes = file.read(PIECE).await?;
        if bytes.is_empty() {
            self.settled.push((id, file.finish().await?));
            return Ok(None);
        }
        let length = bytes.len();
        self.reading = Some((id, file));
        self.data(bytes).await?;
        Ok(Some(length))
    }

    /// What has become durable since it was last asked, in the order in which it did.
    pub fn durable(&mut self) -> Vec<Added> {
        std::mem::take(&mut self.durable)
    }

    /// Ends the import: everything is durable and, where asked for, pinned. Gives what was not reported yet, last the
    /// roots in the order in which they came.
    pub async fn finish(mut self) -> Result<Vec<Added>, ImportError> {
        self.tree.end()?;
        self.advance().await?;
        self.batches.flush();
        while let Some(blocks) = self.batches.next().await? {
            self.absorb(blocks).await?;
        }
        self.take_done();
        debug_assert!(self.tree.is_empty(), "all leaves are back, so every entry is done");
        self.commit().await?;
        self.pin().await?;
        Ok(self.durable)
    }

    /// Sends off what can be hashed and takes in what was.
    async fn advance(&mut self) -> Result<(), ImportError> {
        loop {
            self.drain().await?;
            let Some(leaf) = self.tree.next_leaf() else { break };
            self.batches.hash(leaf);
            while let Some(blocks) = self.batches.next_if_busy().await? {
                self.absorb(blocks).await?;
            }
        }
        self.take_done();
        if self.undurable.len() >= COMMIT_ENTRIES
            || (!self.undurable.is_empty() && self.committed.elapsed() > COMMIT_EVERY)
        {
            self.commit().await?;
        }
        Ok(())
    }

    fn take_done(&mut self) {
        let (roots, others): (Vec<_>, Vec<_>) = self.tree.take_done().into_iter().partition(|(_, added)| added.is_root);
        self.roots.extend(roots);
        self.undurable.extend(others.into_iter().map(|(_, added)| added));
    }

    async fn absorb(&mut self, blocks: Vec<(FileId, Block)>) -> Result<(), ImportError> {
        for (file, block) in blocks {
            let place = self.tree.leaf_hashed(file, &block)?;
            match self.refer_leaf(file, &block, place) {
                Some((source, part)) => self.batches.refer(source, part),
                None => self.batches.keep(block),
            }
        }
        self.drain().await
    }

    /// Keeps what the tree gives and gives it what it needs.
    async fn drain(&mut self) -> Result<(), ImportError> {
        while let Some(output) = self.tree.poll()? {
            match output {
                Output::Block(block) => {
                    self.batches.keep(block);
                    self.batches.make_room().await?;
                }
                Output::Run { folder, records } => {
                    let place = self.spool.append(records).await?;
                    self.runs.entry(folder).or_default().push(place);
                }
                Output::Need { folder, run, range } => {
                    let begin = self.runs[&folder][run].start;
                    let part = self.spool.read(begin + range.start..begin + range.end).await?;
                    self.tree.handle_run(run, &part)?;
                }
            }
        }
        Ok(())
    }

    /// Where a leaf of a file that is referred to stands there; `None` when it is to be kept.
    fn refer_leaf(&self, id: FileId, block: &Block, place: Range<u64>) -> Option<(Source, Part)> {
        let source = self.referred.get(&id)?;
        let (wrapping, content) = Wrapping::of(block)?;
        let size = place.end - place.start;
        let length = u32::try_from(content.len()).ok().filter(|length| u64::from(*length) == size && size > 0)?;
        Some((source.clone(), Part { cid: *block.cid(), offset: place.start, length, wrapping }))
    }

    /// Makes what is done durable.
    async fn commit(&mut self) -> Result<(), ImportError> {
        self.batches.stored().await?;
        if !self.options.only_hash {
            let (open, settled) = self.settled.drain(..).partition(|(id, _)| self.tree.is_open(*id));
            self.settled = open;
            for (_, source) in settled {
                self.store.settle(source.path.clone(), source).await?;
            }
            self.store.commit().await?;
        }
        self.committed = Instant::now();
        self.durable.append(&mut self.undurable);
        Ok(())
    }

    async fn pin(&mut self) -> Result<(), ImportError> {
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_key(|(place, _)| *place);
        let roots: Vec<Added> = roots.into_iter().map(|(_, added)| added).collect();
        if let (Pin::Yes { name }, false) = (&self.options.pin, self.options.only_hash) {
            let pins = roots.iter().filter(|added| self.options.wrap.is_some() == added.path.is_empty());
            let pins = pins.map(|added| Root {
                kind: RootKind::Pin,
                key: added.cid.hash().to_bytes(),
                cid: added.cid,
                recursive: true,
                name: Some(name.clone().unwrap_or_else(|| String::from_utf8_lossy(&added.path).into_owned())),
                expires: None,
            });
            self.store.set_roots(pins.collect()).await?;
        }
        if !self.options.only_hash {
            for added in &roots {
                self.store.set_complete(added.cid).await?;
            }
        }
        self.durable.extend(roots);
        Ok(())
    }
}

/// At most so many entries wait for a commit.
const COMMIT_ENTRIES: usize = 4096;
/// How much of a file that is referred to is read at a time, in bytes.
const PIECE: usize = 1024 * 1024;
/// People see what was added about once a second.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Why an import failed. What was reported before is kept.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be referred to.
    #[error(transparent)]
    InPlace(#[from] InPlaceError),
    /// The blocks cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entries make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}
