//! What the block of a file or folder says of the content: entries, and where bytes of a file lie.

use bytes::Bytes;
use cid::Cid;

use super::window::{Item, Key, join};
use super::{DagError, Fetch, LARGE, Output, Path, Selector, below};
use crate::Block;
use crate::block::RAW;
use crate::unixfs::shard::{PlaceError, Prefix, ShardLink, ShardNode};
use crate::unixfs::{self, Entity, FileNode, Metadata, SymlinkNode};

impl Fetch {
    /// The block of an entry, a part of a file or a shard of a folder came.
    pub(super) fn expand_entity(&mut self, key: Key, item: Item, block: &Block) -> Result<(), DagError> {
        let cid = *block.cid();
        let entity = Entity::parse(block)?;
        match (item, entity) {
            (Item::Entity { path, .. }, Entity::File(file)) => self.place_file(key, path, block, &file),
            (Item::Entity { path, .. }, Entity::Directory(directory)) => {
                let metadata = directory.metadata();
                self.place_entry(key.clone(), Output::Directory { path: path.clone(), metadata })?;
                for (place, entry) in directory.entries().iter().enumerate() {
                    self.place_link(&key, place, &path, entry)?;
                }
                Ok(())
            }
            (Item::Entity { path, .. }, Entity::Shard(shard)) => {
                let metadata = shard.metadata();
                self.place_entry(key.clone(), Output::Directory { path: path.clone(), metadata })?;
                self.place_shard(&key, &path, Prefix::default(), cid, &shard)
            }
            (Item::Entity { path, .. }, Entity::Symlink(symlink)) => {
                let SymlinkNode { target, metadata } = symlink;
                // As a slice it would keep its whole block in memory.
                let target = Bytes::copy_from_slice(&target);
                self.place_entry(key, Output::Symlink { path, target, metadata })
            }
            (Item::Part { size, skip, take, at, .. } | Item::Leaf { size, skip, take, at, .. }, Entity::File(file)) => {
                if file.size() != size {
                    return Err(DagError::Length { cid, expected: size, found: file.size() });
                }
                self.place_parts(key, block, &file, at, (skip, take));
                Ok(())
            }
            (Item::Shard { path, place, .. }, Entity::Shard(shard)) => {
                self.place_shard(&key, &path, place, cid, &shard)
            }
            (_, found) => Err(DagError::NoFile {
                cid,
                why: format!("a {} stands where its parent has no place for one", name(&found)),
            }),
        }
    }

    /// The leaf of an entry that is one raw block came.
    pub(super) fn place_raw_file(&mut self, key: Key, path: Path, cid: Cid, len: u64) -> Result<(), DagError> {
        let (skip, take) = self.selected(len);
        self.begin_file(key.clone(), path, take, Metadata::default())?;
        if take > 0 {
            self.window.insert(below(&key, 0), Item::Ready(Output::Bytes { cid, skip, len: take, block: len }));
        }
        Ok(())
    }

    fn place_file(&mut self, key: Key, path: Path, block: &Block, file: &FileNode) -> Result<(), DagError> {
        let (skip, take) = self.selected(file.size());
        let in_place = self.in_place && path.is_empty() && file.size() >= LARGE && take == file.size();
        self.begin_file(key.clone(), path, take, file.metadata())?;
        match in_place {
            true => self.window.insert(below(&key, 0), Item::Held { cid: *block.cid(), size: file.size() }),
            false => self.place_parts(key, block, file, None, (skip, take)),
        }
        Ok(())
    }

    fn begin_file(&mut self, key: Key, path: Path, size: u64, metadata: Metadata) -> Result<(), DagError> {
        if path.is_empty() {
            self.progress.total = Some(size);
        }
        self.place_entry(key, Output::File { path, size, metadata })
    }

    fn place_entry(&mut self, key: Key, output: Output) -> Result<(), DagError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(DagError::Wide { limit: self.limits.entries, what: "entries" });
        }
        self.window.insert(key, Item::Ready(output));
        Ok(())
    }

    /// The node's own bytes, then its children, as far as they lie within `take` bytes after `skip`. `at` is where the node
    /// begins in the file, if that counts.
    fn place_parts(&mut self, key: Key, block: &Block, file: &FileNode, at: Option<u64>, (skip, take): (u64, u64)) {
        let end = skip + take;
        let own = file.data().len() as u64;
        if skip < own && take > 0 {
            let (cid, block) = (*block.cid(), block.data().len() as u64);
            let output = Output::Bytes { cid, skip, len: end.min(own) - skip, block };
            self.window.insert(below(&key, 0), Item::Ready(output));
        }
        for (place, child) in file.children(skip..end).enumerate() {
            let (from, to) = (child.range.start.max(skip), child.range.end.min(end));
            let (cid, size) = (child.cid, child.range.end - child.range.start);
            let (skip, take) = (from - child.range.start, to - from);
            let at = at.map(|at| at.saturating_add(child.range.start));
            let item = match cid.codec() {
                RAW => Item::Leaf { cid, size, skip, take, at },
                _ => Item::Part { cid, size, skip, take, at },
            };
            self.window.insert(below(&key, place + 1), item);
        }
        self.left_out |= file.has_empty_children();
    }

    fn place_link(&mut self, key: &Key, place: usize, path: &Path, entry: &unixfs::Entry) -> Result<(), DagError> {
        let item = Item::Entity { cid: entry.cid, path: join(path, &entry.name), guess: Some(entry.tsize) };
        self.window.insert(below(key, place), item);
        // At each: where the path is long, the links of one node alone may be too much.
        self.window.check(&self.limits)
    }

    /// A shard's entries, each where its name's hash says: so one shard under many slots fails at its second visit.
    fn place_shard(
        &mut self,
        key: &Key,
        path: &Path,
        place: Prefix,
        cid: Cid,
        shard: &ShardNode,
    ) -> Result<(), DagError> {
        let no_place = |error: PlaceError| DagError::NoFile { cid, why: error.to_string() };
        for (number, (place, link)) in shard.placed(place).map_err(no_place)?.into_iter().enumerate() {
            match link {
                ShardLink::Entry(entry) => self.place_link(key, number, path, entry)?,
                ShardLink::Shard(cid) => {
                    let item = Item::Shard { cid: *cid, path: path.clone(), place };
                    self.window.insert(below(key, number), item);
                }
            }
        }
        Ok(())
    }

    /// The bytes of a file of `size` that are asked for: after how many, and how many.
    fn selected(&self, size: u64) -> (u64, u64) {
        match &self.selector {
            Selector::Entity { range: Some(range) } => {
                let start = range.start.min(size);
                (start, range.end.clamp(start, size) - start)
            }
            _ => (0, size),
        }
    }
}

fn name(entity: &Entity) -> &'static str {
    match entity {
        Entity::Directory(_) => "folder",
        Entity::File(_) => "file",
        Entity::Raw(_) => "raw block",
        Entity::Shard(_) => "shard of a folder",
        Entity::Symlink(_) => "symbolic link",
    }
}
