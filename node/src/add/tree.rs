//! The tree of an import: files that wait for their leaves, folders that wait for their entries.
//!
//! Leaves come back in any number of batches after the file was read, so many small files are open at a time; a folder is written
//! when it was left and its last entry is done.

mod file;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use cidra_content::Block;
use cidra_content::hash::LeafKind;
use cidra_content::unixfs::{
    self, DirectoryError, DirectoryImporter, DirectoryWriter, FileImporter, Metadata, Root, Written,
};

use self::file::{Cutter, File};
use super::{Added, Entry, ImportOptions};

/// Names a file of this import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64);

/// The bytes of a block that is to be hashed.
pub(super) struct Leaf {
    pub(super) file: FileId,
    pub(super) kind: LeafKind,
    pub(super) data: Bytes,
}

/// What comes of the entries.
pub(super) enum Output {
    /// A block to keep; children come before parents.
    Block(Block),
    /// Bytes of a run of this folder, before anything else of it can come.
    Need { folder: u64, run: usize, range: Range<u64> },
    /// The next run of this folder, to be kept until it is needed.
    Run { folder: u64, records: Bytes },
}

pub(super) struct Tree {
    options: ImportOptions,
    files: BTreeMap<FileId, File>,
    folders: BTreeMap<u64, Folder>,
    /// The folders that are entered, outermost first: the first stands for the place where roots are put.
    entered: Vec<u64>,
    /// Folders that were left and may come again, where they may.
    by_path: BTreeMap<Vec<u8>, u64>,
    reading: Option<(FileId, Cutter)>,
    next_id: u64,
    leaves: VecDeque<Leaf>,
    blocks: VecDeque<Block>,
    /// Parts of the lists of large folders that are to be kept elsewhere.
    runs: VecDeque<(u64, Bytes)>,
    /// Folders that are being written.
    writing: VecDeque<(u64, Folder, DirectoryWriter)>,
    /// What is done, with its place in the order in which entries came.
    done: Vec<(u64, Added)>,
}

struct Folder {
    /// None: the place where roots are put, when nothing wraps them.
    importer: Option<DirectoryImporter>,
    path: Vec<u8>,
    parent: Option<u64>,
    entries_out: usize,
    /// Nothing was ever in it.
    is_empty: bool,
    left: bool,
    size: u64,
}

impl Folder {
    fn new(importer: Option<DirectoryImporter>, path: &[u8], parent: Option<u64>) -> Self {
        Self { importer, path: path.to_vec(), parent, entries_out: 0, is_empty: true, left: false, size: 0 }
    }
}

impl Tree {
    pub(super) fn new(options: &ImportOptions) -> Self {
        let importer = options.wrap.map(|metadata| DirectoryImporter::with_metadata(options.parameters, metadata));
        Self {
            options: options.clone(),
            files: BTreeMap::new(),
            folders: BTreeMap::from([(0, Folder::new(importer, b"", None))]),
            entered: vec![0],
            by_path: BTreeMap::new(),
            reading: None,
            next_id: 1,
            leaves: VecDeque::new(),
            blocks: VecDeque::new(),
            runs: VecDeque::new(),
            writing: VecDeque::new(),
            done: vec![],
        }
    }

    pub(super) fn entry(&mut self, path: &[u8], entry: Entry, metadata: Metadata) -> Result<(), TreeError> {
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
        if let Some(id) = self.by_path.get(path).filter(|_| entry == Entry::Directory) {
            self.folders.get_mut(id).expect("kept for this").left = false;
            self.entered.push(*id);
            return Ok(());
        }
        let above = self.folders.get_mut(&folder).expect("entered");
        above.entries_out += 1;
        above.is_empty = false;
        let id = self.next_id;
        self.next_id += 1;
        let parameters = self.options.parameters;
        match entry {
            Entry::Directory => {
                let importer = DirectoryImporter::with_metadata(parameters, metadata);
                self.folders.insert(id, Folder::new(Some(importer), path, Some(folder)));
                self.entered.push(id);
                if self.options.revisits {
                    self.by_path.insert(path.to_vec(), id);
                }
            }
            Entry::File => {
                let importer = FileImporter::with_metadata(parameters, metadata);
                self.files.insert(FileId(id), File::new(path.to_vec(), folder, importer));
                self.reading = Some((FileId(id), Cutter::default()));
            }
            Entry::Symlink(target) => {
                let block = unixfs::symlink(&target, metadata, &parameters);
                let length = block.data().len() as u64;
                let root = Root { cid: *block.cid(), size: target.len() as u64, tsize: length };
                self.blocks.push_back(block);
                self.entry_done(id, folder, path.to_vec(), Some(root))?;
            }
        }
        Ok(())
    }

    pub(super) fn data(&mut self, bytes: Bytes) -> Result<(), TreeError> {
        let Some((id, mut cutter)) = self.reading.take() else { return Err(TreeError::StrayData) };
        for chunk in cutter.cut(bytes, self.options.parameters.chunk_size()) {
            self.chunk(id, chunk);
        }
        self.reading = Some((id, cutter));
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

    /// A leaf came back, in the order in which the leaves of its file went out; gives which bytes of the file are in it.
    pub(super) fn leaf_hashed(&mut self, id: FileId, block: &Block) -> Result<Range<u64>, TreeError> {
        let file = self.files.get_mut(&id).expect("a file stays until all its leaves are back");
        let place = file.hashed(block);
        while let Some(node) = file.poll() {
            self.blocks.push_back(node);
        }
        self.finish_file(id)?;
        Ok(place)
    }

    /// The file that is being read.
    pub(super) fn reading(&self) -> Option<FileId> {
        self.reading.as_ref().map(|(id, _)| *id)
    }

    /// Whether the file has leaves that are out or to come.
    pub(super) fn is_open(&self, id: FileId) -> bool {
        self.files.contains_key(&id)
    }

    /// The next thing that is to be kept or is needed; nothing where entries have to come first.
    pub(super) fn poll(&mut self) -> Result<Option<Output>, TreeError> {
        loop {
            if let Some((folder, records)) = self.runs.pop_front() {
                return Ok(Some(Output::Run { folder, records }));
            }
            if let Some(block) = self.blocks.pop_front() {
                return Ok(Some(Output::Block(block)));
            }
            let Some((id, folder, writer)) = self.writing.front_mut() else { return Ok(None) };
            let written = writer.poll().map_err(|source| TreeError::Directory { path: lossy(&folder.path), source })?;
            match written {
                Written::Block(block) => return Ok(Some(Output::Block(block))),
                Written::Need { run, range } => return Ok(Some(Output::Need { folder: *id, run, range })),
                Written::Done(root) => {
                    let (id, folder, _) = self.writing.pop_front().expect("it was in front");
                    self.folder_done(id, folder, root)?;
                }
            }
        }
    }

    /// What was needed.
    pub(super) fn handle_run(&mut self, run: usize, part: &[u8]) -> Result<(), TreeError> {
        let Some((_, folder, writer)) = self.writing.front_mut() else { return Ok(()) };
        writer.handle_run(run, part).map_err(|source| TreeError::Directory { path: lossy(&folder.path), source })
    }

    /// Entries that are done.
    pub(super) fn take_done(&mut self) -> Vec<(u64, Added)> {
        std::mem::take(&mut self.done)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty() && self.writing.is_empty()
    }

    fn chunk(&mut self, id: FileId, chunk: Bytes) {
        let file = self.files.get_mut(&id).expect("it is being read");
        let kind = file.leaf_kind();
        self.leaves.extend(file.chunk(chunk).into_iter().map(|data| Leaf { file: id, kind, data }));
        while let Some(node) = file.poll() {
            self.blocks.push_back(node);
        }
    }

    fn end_file(&mut self) -> Result<(), TreeError> {
        let Some((id, cutter)) = self.reading.take() else { return Ok(()) };
        if let Some(chunk) = cutter.rest() {
            self.chunk(id, chunk);
        }
        let file = self.files.get_mut(&id).expect("it was read");
        let kind = file.leaf_kind();
        self.leaves.extend(file.end().map(|data| Leaf { file: id, kind, data }));
        self.finish_file(id)
    }

    fn finish_file(&mut self, id: FileId) -> Result<(), TreeError> {
        if !self.files[&id].is_whole() {
            return Ok(());
        }
        let file = self.files.remove(&id).expect("looked at above");
        let (folder, path) = (file.folder, file.path.clone());
        let (blocks, root) = file.finish();
        self.blocks.extend(blocks);
        self.entry_done(id.0, folder, path, Some(root))
    }

    fn is_below_innermost(&self, parent: &[u8]) -> bool {
        let innermost = self.entered.last().expect("the outermost is left last");
        let path = &self.folders[innermost].path;
        path.is_empty() || (parent.starts_with(path) && parent.get(path.len()) == Some(&b'/'))
    }

    fn leave(&mut self) -> Result<(), TreeError> {
        let id = self.entered.pop().expect("only what was entered is left");
        let folder = self.folders.get_mut(&id).expect("entered");
        folder.left = true;
        // What is below the top may come again until the top is left.
        let is_top = folder.parent.is_none() || folder.parent == Some(0) && self.options.wrap.is_none();
        if !is_top && self.options.revisits {
            return Ok(());
        }
        for below in std::mem::take(&mut self.by_path).into_values().rev().filter(|below| *below != id) {
            self.finish_folder(below)?;
        }
        self.finish_folder(id)
    }

    fn finish_folder(&mut self, id: u64) -> Result<(), TreeError> {
        let Some(folder) = self.folders.get(&id) else { return Ok(()) };
        if !folder.left || folder.entries_out > 0 || self.by_path.contains_key(&folder.path) {
            return Ok(());
        }
        let mut folder = self.folders.remove(&id).expect("looked at above");
        let Some(importer) = folder.importer.take() else { return Ok(()) };
        let is_below = folder.parent.is_some_and(|parent| parent != 0 || self.options.wrap.is_some());
        if let Some(parent) = folder.parent
            && folder.is_empty
            && is_below
            && !self.options.empty_folders
        {
            return self.entry_done(id, parent, folder.path, None);
        }
        self.writing.push_back((id, folder, importer.into_writer()));
        Ok(())
    }

    fn folder_done(&mut self, id: u64, folder: Folder, root: Root) -> Result<(), TreeError> {
        let root = Root { size: folder.size, ..root };
        match folder.parent {
            Some(parent) => self.entry_done(id, parent, folder.path, Some(root)),
            None => {
                // The folder around all comes after all.
                self.report(u64::MAX, folder.path, root, true);
                Ok(())
            }
        }
    }

    /// An entry is done; it has no root when it is left out.
    fn entry_done(&mut self, id: u64, folder: u64, path: Vec<u8>, root: Option<Root>) -> Result<(), TreeError> {
        let parent = self.folders.get_mut(&folder).expect("a folder stays until its entries are done");
        parent.entries_out -= 1;
        if let Some(root) = root {
            parent.size += root.size;
            if let Some(importer) = &mut parent.importer {
                let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(&path);
                importer
                    .add(name, root.cid, root.tsize)
                    .map_err(|source| TreeError::Directory { path: lossy(&path), source })?;
                self.runs.extend(std::iter::from_fn(|| importer.take_run()).map(|records| (folder, records)));
            }
            self.report(id, path, root, folder == 0);
        }
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
