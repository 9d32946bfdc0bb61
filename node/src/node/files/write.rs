//! One file of the tree while its bytes come.

use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes, BytesMut};
use cid::Cid;
use cidra_content::block::{DAG_PB, RAW};
use cidra_content::unixfs::edit::{self, Blocks, EditError, Fashion, FileEdit, FilesPath, Stop};
use cidra_content::unixfs::{Leaf, Time};
use tokio::sync::OwnedMutexGuard;

use super::{Changing, FilesError};
use crate::node::Node;
use crate::store::Lease;

/// How a file is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Make it where there is none.
    pub create: bool,
    /// Make the folders above it, too.
    pub parents: bool,
    /// Cut it off before.
    pub truncate: bool,
    /// Where to begin; zeros come before it where the file is shorter.
    pub offset: u64,
    /// New leaves are the bytes and nothing else; not said: as the CID's version has it.
    pub raw_leaves: Option<bool>,
    /// How a new file, and new folders above it, are named.
    pub fashion: Fashion,
}

/// A file that is being written. Nobody sees anything of it before [`finish`](Self::finish); dropped, it never was.
pub struct FileWriter {
    node: Node,
    path: FilesPath,
    options: WriteOptions,
    changing: Changing,
    edit: FileEdit,
    /// What stands at the path.
    was: Option<Cid>,
    file: Cid,
    at: u64,
    buffer: BytesMut,
    is_changed: bool,
    _lease: Lease,
    _alone: OwnedMutexGuard<()>,
}

/// Bytes that are written in one step, as in Kubo.
const STEP: usize = 2 * 1024 * 1024;
/// Bytes of a leaf, as in Kubo.
const CHUNK: usize = 256 * 1024;

impl Node {
    /// Begins to write the file at `path`, once nobody else writes it.
    pub async fn write_file(
        &self,
        path: FilesPath,
        options: WriteOptions,
        changing: Changing,
    ) -> Result<FileWriter, FilesError> {
        let alone = self.alone_at(&path).await;
        let lease = self.store().lease().await;
        let mut blocks = Blocks::default();
        let there = match self.files_lookup(&path, &changing.options).await {
            Ok(there) => Some(there.cid),
            Err(FilesError::Edit(EditError::NotFound)) if options.create => None,
            Err(error) => return Err(error),
        };
        if there.is_none() && !options.parents {
            self.files_lookup(&path.parent(), &changing.options).await?;
        }
        let (file, edit) = match there {
            Some(file) => {
                let size = self.edit(&mut blocks, &changing.options, |blocks| edit::file_size(blocks, &file)).await;
                if let Err(FilesError::Edit(EditError::NotFile { .. } | EditError::NotUnixFs { .. })) = size {
                    return Err(EditError::NotFile { path: path.to_string() }.into());
                }
                size?;
                (file, self.edit(&mut blocks, &changing.options, |_| FileEdit::of(&file, options.raw_leaves)).await?)
            }
            None => {
                let empty = FileEdit::empty(&mut blocks, options.fashion).cid;
                let raw_leaves = options.raw_leaves;
                (empty, self.edit(&mut blocks, &changing.options, |_| FileEdit::of(&empty, raw_leaves)).await?)
            }
        };
        self.store().put(blocks.take_made()).await?;
        let mut writer = FileWriter {
            node: self.clone(),
            path,
            at: options.offset,
            options,
            changing,
            edit,
            was: there,
            file,
            buffer: BytesMut::new(),
            is_changed: false,
            _lease: lease,
            _alone: alone,
        };
        writer.begin().await?;
        Ok(writer)
    }

    async fn alone_at(&self, path: &FilesPath) -> OwnedMutexGuard<()> {
        let lock = {
            let mut written = self.0.files.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.retain(|_, lock| std::sync::Arc::strong_count(lock) > 1);
            written.entry(path.to_string()).or_default().clone()
        };
        lock.lock_owned().await
    }
}

impl FileWriter {
    async fn begin(&mut self) -> Result<(), FilesError> {
        let (edit, file) = (self.edit, self.file);
        if self.options.truncate {
            self.step(|blocks| edit.truncate(blocks, &file, 0)).await?;
        }
        let file = self.file;
        let mut blocks = Blocks::default();
        let size = self.node.edit(&mut blocks, &self.changing.options, |blocks| edit::file_size(blocks, &file)).await?;
        let hole = self.at.saturating_sub(size);
        self.step(|blocks| edit.append_zeros(blocks, &file, hole)).await
    }

    /// The next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), FilesError> {
        self.buffer.extend_from_slice(&bytes);
        while self.buffer.len() >= STEP {
            let piece = self.buffer.split_to(STEP).freeze();
            self.put(piece).await?;
        }
        Ok(())
    }

    /// There are no more bytes: the file takes its place in the tree. Gives its CID.
    pub async fn finish(mut self) -> Result<Cid, FilesError> {
        let rest = self.buffer.split().freeze();
        self.put(rest).await?;
        let (edit, file) = (self.edit, self.file);
        let changed = self.is_changed.then(now);
        let mut blocks = Blocks::default();
        let options = &self.changing.options;
        let child = self.node.edit(&mut blocks, options, |blocks| edit.finish(blocks, &file, changed)).await?;
        self.node.store().put(blocks.take_made()).await?;
        let (path, was, fashion) = (&self.path, self.was, self.options.fashion);
        let parents = self.options.parents;
        self.node
            .change_files(&self.changing, |blocks, root| match was {
                Some(was) => edit::swap(blocks, root, path, &was, child),
                None => {
                    let root = match parents {
                        true => edit::make_folder(blocks, root, &path.parent(), true, fashion)?,
                        false => *root,
                    };
                    edit::insert(blocks, &root, path, child)
                }
            })
            .await?;
        Ok(child.cid)
    }

    async fn put(&mut self, mut bytes: Bytes) -> Result<(), FilesError> {
        let edit = self.edit;
        while !bytes.is_empty() {
            let (file, at) = (self.file, self.at);
            let mut blocks = Blocks::default();
            let options = &self.changing.options;
            let over = self.node.edit(&mut blocks, options, |blocks| edit.overwrite(blocks, &file, at, &bytes)).await?;
            self.node.store().put(blocks.take_made()).await?;
            if over.taken == 0 {
                break;
            }
            (self.file, self.is_changed) = (over.file, true);
            self.at += over.taken as u64;
            bytes.advance(over.taken);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let raw = edit.leaves_are_raw(&self.file);
        let mut chunks = vec![];
        let mut sizes = vec![];
        let length = bytes.len();
        while !bytes.is_empty() {
            let chunk = bytes.split_to(CHUNK.min(bytes.len()));
            sizes.push(chunk.len() as u64);
            chunks.push(edit.wrap_leaf(raw, chunk));
        }
        let made = self.node.pool().make(edit.fashion.kind(if raw { RAW } else { DAG_PB }), chunks).await;
        let leaf = |(block, size): (&cidra_content::Block, u64)| Leaf {
            cid: *block.cid(),
            tsize: block.data().len() as u64,
            size,
        };
        let leaves: Vec<Leaf> = made.iter().zip(sizes).map(leaf).collect();
        self.node.store().put(made).await?;
        let file = self.file;
        self.step(|blocks| edit.append(blocks, &file, &leaves)).await?;
        self.at += length as u64;
        Ok(())
    }

    /// The file after an edit of it.
    async fn step(&mut self, edit: impl Fn(&mut Blocks) -> Result<Cid, Stop>) -> Result<(), FilesError> {
        let mut blocks = Blocks::default();
        let file = self.node.edit(&mut blocks, &self.changing.options, edit).await?;
        self.node.store().put(blocks.take_made()).await?;
        self.is_changed |= file != self.file;
        self.file = file;
        Ok(())
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanoseconds: since.subsec_nanos() }
}
