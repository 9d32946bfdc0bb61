//! One file of an import: its chunks on their way out, its leaves on their way back.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cidra_content::Block;
use cidra_content::hash::LeafKind;
use cidra_content::unixfs::{self, FileImporter, Root};

/// A file whose leaves are not all back.
pub(super) struct File {
    pub(super) path: Vec<u8>,
    /// The folder that waits for it.
    pub(super) folder: u64,
    importer: FileImporter,
    /// The first chunk, where it is another block when it is the only one.
    held: Option<Bytes>,
    /// The leaves that the importer waits for, in order.
    leaves: VecDeque<Leaf>,
    /// It has more than one chunk.
    is_cut: bool,
    is_read: bool,
    /// Bytes of the file that are in leaves which the importer has.
    done: u64,
}

enum Leaf {
    /// It is being hashed, and holds so many bytes of the file.
    Out(u64),
    /// It was so short that nothing had to be hashed.
    Here(unixfs::Leaf),
}

impl File {
    pub(super) fn new(path: Vec<u8>, folder: u64, importer: FileImporter) -> Self {
        Self { path, folder, importer, held: None, leaves: VecDeque::new(), is_cut: false, is_read: false, done: 0 }
    }

    /// How its leaves are hashed.
    pub(super) fn leaf_kind(&self) -> LeafKind {
        self.importer.leaf_kind()
    }

    /// The next chunk; the leaves to hash.
    pub(super) fn chunk(&mut self, chunk: Bytes) -> Vec<Bytes> {
        if !self.is_cut && self.held.is_none() && self.importer.is_only_leaf_special() {
            self.held = Some(chunk);
            return vec![];
        }
        self.is_cut = true;
        let chunks = self.held.take().into_iter().chain([chunk]);
        let leaves: Vec<(u64, Bytes)> =
            chunks.map(|chunk| (chunk.len() as u64, self.importer.wrap_leaf(chunk))).collect();
        leaves.into_iter().filter_map(|(size, leaf)| self.leaf(size, leaf)).collect()
    }

    /// No more chunks come; the leaf to hash, where one was held back.
    pub(super) fn end(&mut self) -> Option<Bytes> {
        self.is_read = true;
        let only = self.held.take()?;
        let size = only.len() as u64;
        let leaf = self.importer.wrap_only_leaf(only);
        self.leaf(size, leaf)
    }

    /// A leaf came back, in the order in which they went out; which bytes of the file are in it.
    pub(super) fn hashed(&mut self, block: &Block) -> Range<u64> {
        let Some(Leaf::Out(size)) = self.leaves.pop_front() else {
            unreachable!("as many come back as went out, and those that stayed are taken at once")
        };
        let start = self.done;
        self.push(seen(block, size));
        self.take_here();
        start..start + size
    }

    fn push(&mut self, leaf: unixfs::Leaf) {
        self.done += leaf.size;
        self.importer.push(leaf);
    }

    /// A node that is made, after its children.
    pub(super) fn poll(&mut self) -> Option<Block> {
        self.importer.poll()
    }

    /// Whether everything was read and came back.
    pub(super) fn is_whole(&self) -> bool {
        self.is_read && self.leaves.is_empty()
    }

    pub(super) fn finish(self) -> (Vec<Block>, Root) {
        self.importer.finish()
    }

    fn leaf(&mut self, size: u64, leaf: Bytes) -> Option<Bytes> {
        match self.importer.inline(&leaf) {
            Some(block) => {
                self.leaves.push_back(Leaf::Here(seen(&block, size)));
                self.take_here();
                None
            }
            None => {
                self.leaves.push_back(Leaf::Out(size));
                Some(leaf)
            }
        }
    }

    fn take_here(&mut self) {
        while let Some(Leaf::Here(leaf)) = self.leaves.front() {
            let leaf = *leaf;
            self.leaves.pop_front();
            self.push(leaf);
        }
    }
}

fn seen(block: &Block, size: u64) -> unixfs::Leaf {
    unixfs::Leaf { cid: *block.cid(), tsize: block.data().len() as u64, size }
}

/// The bytes of a file that are no whole chunk yet.
#[derive(Default)]
pub(super) struct Cutter(BytesMut);

impl Cutter {
    /// Takes the next bytes and gives the chunks that they complete.
    pub(super) fn cut(&mut self, mut bytes: Bytes, chunk: usize) -> Vec<Bytes> {
        let rest = &mut self.0;
        let mut chunks = Vec::with_capacity((rest.len() + bytes.len()) / chunk);
        while rest.len() + bytes.len() >= chunk {
            let taken = bytes.split_to(chunk - rest.len());
            chunks.push(if rest.is_empty() {
                taken
            } else {
                rest.extend_from_slice(&taken);
                rest.split().freeze()
            });
        }
        if !bytes.is_empty() {
            rest.reserve(chunk.min(bytes.len().next_power_of_two()));
            rest.extend_from_slice(&bytes);
        }
        chunks
    }

    /// The last chunk, which is shorter; none where the file ended with a whole one.
    pub(super) fn rest(self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| self.0.freeze())
    }
}
