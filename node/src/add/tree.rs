//! The tree of an import: files that wait for their leaves, folders that wait for their entries.
//!
//! Leaves come back in any number of batches after the file was read, so many small files are open at a time; a folder is written
//! when it was left and its last entry is done.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use cidra_content::Block;
use cidra_content::hash::LeafKind;
use cidra_content::unixfs::{self, DirectoryError, DirectoryImporter, FileImporter, Parameters, Root};

use super::{Added, Entry};

/// Names a file of this import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64);

/// The bytes of a block that is to be hashed.
pub(super) struct Leaf {
    pub(super) file: FileId,
    pub(super) kind: LeafKind,
    pub(super) data: Bytes,
}

pub(super) struct Tree {
    parameters: Parameters,
    files: BTreeMap<FileId, File>,
    folders: BTreeMap<u64, Folder>,
    /// The folders that are entered, outermost first: the first stands for the place where roots are put.
    entered: Vec<u64>,
    reading: Option<(FileId, BytesMut)>,
    next_id: u64,
    leaves: VecDeque<Leaf>,
    blocks: Vec<Block>,
    /// What is done, with its place in the order in which entries came.
    done: Vec<(u64, Added)>,
}

struct File {
    importer: FileImporter,
    path: Vec<u8>,
    folder: u64,
    /// The lengths of the leaves that are out, in order.
    leaves_out: VecDeque<u64>,
    read: bool,
}

struct Folder {
    /// None: the place where roots are put, when nothing wraps them.
    importer: Option<DirectoryImporter>,
    path: Vec<u8>,
    parent: Option<u64>,
    entries_out: usize,
    left: bool,
    size: u64,
}

impl Tree {
    pub(super) fn new(parameters: Parameters, wrap: bool) -> Self {
        let importer = wrap.then(|| DirectoryImporter::new(parameters));
        let outermost = Folder { importer, path: vec![], parent: None, entries_out: 0, left: false, size: 0 };
        Self {
            parameters,
            files: BTreeMap::new(),
            folders: BTreeMap::from([(0, outermost)]),
            entered: vec![0],
            reading: None,
            next_id: 1,
            leaves: VecDeque::new(),
            blocks: vec![],
            done: vec![],
        }
    }

    pub(super) fn entry(&mut self, path: &[u8], entry: Entry) -> Result<(), TreeError> {
        self.end_file()?;
        let name = check(path)?;
        let parent = &path[..path.len() - name.len()];
        while !self.is_below_innermost(parent) {
            self.leave()?;
        }
        let folder = *self.entered.last().expect("the outermost is left last");
        let expected = self.folders[&folder].path.len();
        if parent.len() != if expected == 0 { 0 } else { expected + 1 } {
            return Err(TreeError::Orphan { path: lossy(path) });
        }
        self.folders.get_mut(&folder).expect("entered").entries_out += 1;
        let id = self.next_id;
        self.next_id += 1;
        match entry {
            Entry::Directory => {
                let importer = Some(DirectoryImporter::new(self.parameters));
                let new = Folder {
                    importer,
                    path: path.to_vec(),
                    parent: Some(folder),
                    entries_out: 0,
                    left: false,
                    size: 0,
                };
                self.folders.insert(id, new);
                self.entered.push(id);
            }
            Entry::File => {
                let importer = FileImporter::new(self.parameters);
                let file = File { importer, path: path.to_vec(), folder, leaves_out: VecDeque::new(), read: false };
                self.files.insert(FileId(id), file);
                self.reading = Some((FileId(id), BytesMut::new()));
            }
            Entry::Symlink(target) => {
                let block = unixfs::symlink(&target, &self.parameters);
                let length = block.data().len() as u64;
                let root = Root { cid: *block.cid(), size: target.len() as u64, tsize: length };
                self.blocks.push(block);
                self.entry_done(id, folder, path.to_vec(), root)?;
            }
        }
        Ok(())
    }

    pub(super) fn data(&mut self, mut bytes: Bytes) -> Result<(), TreeError> {
        let Some((id, mut rest)) = self.reading.take() else { return Err(TreeError::StrayData) };
        let chunk = self.parameters.chunk_size();
        while rest.len() + bytes.len() >= chunk {
            let taken = bytes.split_to(chunk - rest.len());
            let data = if rest.is_empty() {
                taken
            } else {
                rest.extend_from_slice(&taken);
                rest.split().freeze()
            };
            self.leaf(id, data);
        }
        if !bytes.is_empty() {
            rest.reserve(chunk.min(bytes.len().next_power_of_two()));
            rest.extend_from_slice(&bytes);
        }
        self.reading = Some((id, rest));
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> Result<(), TreeError> {
        self.end_file()?;
        while !self.entered.is_empty() {
            self.leave()?;
        }
        Ok(())
    }

    /// The next leaf to hash.
    pub(super) fn next_leaf(&mut self) -> Option<Leaf> {
        self.leaves.pop_front()
    }

    /// A leaf came back, in the order in which the leaves of its file went out.
    pub(super) fn leaf_hashed(&mut self, id: FileId, block: &Block) -> Result<(), TreeError> {
        let file = self.files.get_mut(&id).expect("a file stays until all its leaves are back");
        let size = file.leaves_out.pop_front().expect("as many come back as went out");
        file.importer.push(unixfs::Leaf { cid: *block.cid(), tsize: block.data().len() as u64, size });
        while let Some(node) = file.importer.poll() {
            self.blocks.push(node);
        }
        self.finish_file(id)
    }

    /// Blocks that were made, children before parents.
    pub(super) fn take_blocks(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.blocks)
    }

    /// Entries that are done.
    pub(super) fn take_done(&mut self) -> Vec<(u64, Added)> {
        std::mem::take(&mut self.done)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    fn leaf(&mut self, id: FileId, chunk: Bytes) {
        let file = self.files.get_mut(&id).expect("it is being read");
        file.leaves_out.push_back(chunk.len() as u64);
        let data = file.importer.wrap_leaf(chunk);
        self.leaves.push_back(Leaf { file: id, kind: file.importer.leaf_kind(), data });
    }

    fn end_file(&mut self) -> Result<(), TreeError> {
        let Some((id, rest)) = self.reading.take() else { return Ok(()) };
        if !rest.is_empty() {
            self.leaf(id, rest.freeze());
        }
        self.files.get_mut(&id).expect("it was read").read = true;
        self.finish_file(id)
    }

    fn finish_file(&mut self, id: FileId) -> Result<(), TreeError> {
        let file = &self.files[&id];
        if !file.read || !file.leaves_out.is_empty() {
            return Ok(());
        }
        let file = self.files.remove(&id).expect("looked at above");
        let (blocks, root) = file.importer.finish();
        self.blocks.extend(blocks);
        self.entry_done(id.0, file.folder, file.path, root)
    }

    fn is_below_innermost(&self, parent: &[u8]) -> bool {
        let innermost = self.entered.last().expect("the outermost is left last");
        let path = &self.folders[innermost].path;
        path.is_empty() || (parent.starts_with(path) && parent.get(path.len()) == Some(&b'/'))
    }

    fn leave(&mut self) -> Result<(), TreeError> {
        let id = self.entered.pop().expect("only what was entered is left");
        self.folders.get_mut(&id).expect("entered").left = true;
        self.finish_folder(id)
    }

    fn finish_folder(&mut self, id: u64) -> Result<(), TreeError> {
        let folder = &self.folders[&id];
        if !folder.left || folder.entries_out > 0 {
            return Ok(());
        }
        let folder = self.folders.remove(&id).expect("looked at above");
        let Some(importer) = folder.importer else { return Ok(()) };
        let (blocks, root) =
            importer.finish().map_err(|source| TreeError::Directory { path: lossy(&folder.path), source })?;
        self.blocks.extend(blocks);
        let root = Root { size: folder.size, ..root };
        match folder.parent {
            Some(parent) => self.entry_done(id, parent, folder.path, root),
            None => {
                // The folder around all comes after all.
                self.report(u64::MAX, folder.path, root, true);
                Ok(())
            }
        }
    }

    fn entry_done(&mut self, id: u64, folder: u64, path: Vec<u8>, root: Root) -> Result<(), TreeError> {
        let parent = self.folders.get_mut(&folder).expect("a folder stays until its entries are done");
        parent.entries_out -= 1;
        parent.size += root.size;
        if let Some(importer) = &mut parent.importer {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(&path);
            importer
                .add(name, root.cid, root.tsize)
                .map_err(|source| TreeError::Directory { path: lossy(&path), source })?;
        }
        let is_root = folder == 0;
        self.report(id, path, root, is_root);
        self.finish_folder(folder)
    }

    fn report(&mut self, id: u64, path: Vec<u8>, root: Root, is_root: bool) {
        self.done.push((id, Added { path, cid: root.cid, size: root.size, tsize: root.tsize, is_root }));
    }
}

/// The last name of a path whose names can all stand in a folder.
fn check(path: &[u8]) -> Result<&[u8], TreeError> {
    let mut last = path;
    for name in path.split(|byte| *byte == b'/') {
        if name.is_empty() || name == b"." || name == b".." || name.contains(&0) {
            return Err(TreeError::Name { path: lossy(path) });
        }
        last = name;
    }
    Ok(last)
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Why entries make no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Its folder cannot be written.
    #[error("{path:?} cannot be added")]
    Directory {
        /// The entry.
        path: String,
        /// What is wrong.
        source: DirectoryError,
    },
    /// A name that no folder can hold.
    #[error("{path:?} is no path within a folder")]
    Name {
        /// The path.
        path: String,
    },
    /// The folder of the entry was not named before it.
    #[error("{path:?} comes before its folder")]
    Orphan {
        /// The entry.
        path: String,
    },
    /// Bytes came where no file was named.
    #[error("bytes came that belong to no file")]
    StrayData,
}
