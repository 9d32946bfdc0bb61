//! Bytes in, blocks out: the tree of a file.
//!
//! The caller cuts the file, hashes leaves (many at a time) and pushes what came of them; the importer holds the open
//! nodes and nothing else, so memory does not grow with the file.

mod balanced;
mod trickle;

use std::collections::VecDeque;

use bytes::Bytes;
use cid::Cid;

use self::balanced::Balanced;
use self::trickle::Trickle;
use super::message::{self, Message, Metadata, Type};
use super::{Parameters, Root, interior};
use crate::block::Block;
use crate::dag_pb::{Link, Node};
use crate::hash::LeafKind;

/// One file on its way into blocks.
#[derive(Debug)]
pub struct FileImporter {
    parameters: Parameters,
    metadata: Metadata,
    tree: Tree,
    finished: VecDeque<Block>,
}

#[derive(Debug)]
enum Tree {
    Balanced(Balanced),
    Trickle(Trickle),
}

/// How the leaves of a file stand below its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// All at the same depth.
    #[default]
    Balanced,
    /// The first ones near the root, later ones ever deeper.
    Trickle,
}

/// A leaf as its parent sees it (and a finished node, as its own parent sees it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The block's name.
    pub cid: Cid,
    /// Bytes of the block, and of all blocks below it.
    pub tsize: u64,
    /// Bytes of the file in it.
    pub size: u64,
}

impl FileImporter {
    /// An empty file so far.
    pub fn new(parameters: Parameters) -> FileImporter {
        FileImporter::with_metadata(parameters, Metadata::default())
    }

    /// The same with permissions and time, which its root will hold. A file of one raw leaf has no place for them.
    pub fn with_metadata(parameters: Parameters, metadata: Metadata) -> FileImporter {
        let tree = match parameters.layout() {
            Layout::Balanced => Tree::Balanced(Balanced::default()),
            Layout::Trickle => Tree::Trickle(Trickle::default()),
        };
        FileImporter { parameters, metadata, tree, finished: VecDeque::new() }
    }

    /// How leaves are hashed: for `hash::new_many`.
    pub fn leaf_kind(&self) -> LeafKind {
        self.parameters.leaf_kind()
    }

    /// The bytes of the leaf block for a chunk of the file, which is `chunk_size` long but for the last.
    pub fn wrap_leaf(&self, chunk: Bytes) -> Bytes {
        match (self.parameters.raw_leaves(), self.parameters.layout()) {
            (true, _) => chunk,
            (false, Layout::Balanced) => message::wrap(&chunk),
            (false, Layout::Trickle) => message::wrap_as(Type::Raw, &chunk),
        }
    }

    /// Whether the first chunk is another block when it is the only one: then it holds what the root holds.
    pub fn is_only_leaf_special(&self) -> bool {
        let is_root = self.parameters.layout() == Layout::Balanced && !self.parameters.raw_leaves();
        is_root && self.metadata != Metadata::default()
    }

    /// The bytes of the leaf block for the only chunk of the file.
    pub fn wrap_only_leaf(&self, chunk: Bytes) -> Bytes {
        if !self.is_only_leaf_special() {
            return self.wrap_leaf(chunk);
        }
        let message = Message {
            file_size: Some(chunk.len() as u64),
            data: (!chunk.is_empty()).then_some(chunk),
            metadata: self.metadata,
            ..Message::new(Type::File)
        };
        Node { links: Vec::new(), data: Some(message.encode()) }.encode()
    }

    /// The leaf block itself, if it is so short that its CID holds it: then nothing needs to be hashed or kept.
    pub fn inline(&self, leaf: &Bytes) -> Option<Block> {
        let kind = self.parameters.inlined(self.leaf_kind(), leaf.len())?;
        Some(Block::of(kind, leaf.clone()))
    }

    /// The next leaf in the order of the file.
    pub fn push(&mut self, leaf: Leaf) {
        let mut maker = Maker { parameters: &self.parameters, finished: &mut self.finished };
        match &mut self.tree {
            Tree::Balanced(tree) => tree.push(leaf, &mut maker),
            Tree::Trickle(tree) => tree.push(leaf, &mut maker),
        }
    }

    /// A finished node; it comes after all its children were pushed or polled.
    pub fn poll(&mut self) -> Option<Block> {
        self.finished.pop_front()
    }

    /// The file is over: the blocks not yet polled, children before parents, and the root. A file without leaves
    /// becomes the one empty node, which is among the blocks.
    pub fn finish(self) -> (Vec<Block>, Root) {
        let empty = self.wrap_only_leaf(Bytes::new());
        let FileImporter { parameters, metadata, tree, mut finished } = self;
        let mut maker = Maker { parameters: &parameters, finished: &mut finished };
        let root = match tree {
            Tree::Balanced(tree) => tree.finish(metadata, &mut maker),
            Tree::Trickle(tree) => Some(tree.finish(metadata, &mut maker)),
        };
        let root = root.unwrap_or_else(|| {
            let kind = parameters.leaf_kind();
            let block = Block::of(parameters.inlined(kind, empty.len()).unwrap_or(kind), empty);
            let leaf = Leaf { cid: *block.cid(), size: 0, tsize: block.data().len() as u64 };
            finished.push_back(block);
            leaf
        });
        (finished.into(), Root { cid: root.cid, size: root.size, tsize: root.tsize })
    }
}

/// Makes the nodes above leaves.
struct Maker<'a> {
    parameters: &'a Parameters,
    finished: &'a mut VecDeque<Block>,
}

impl Maker<'_> {
    /// The node with these children, as its own parent sees it.
    fn parent(&mut self, children: &[Leaf], metadata: Metadata) -> Leaf {
        let size = children.iter().map(|child| child.size).sum();
        let message = Message {
            file_size: Some(size),
            block_sizes: children.iter().map(|child| child.size).collect(),
            metadata,
            ..Message::new(Type::File)
        };
        let below: u64 = children.iter().map(|child| child.tsize).sum();
        let links = children.iter().map(|child| Link { cid: child.cid, name: Bytes::new(), tsize: child.tsize });
        let block = interior(self.parameters, links.collect(), &message);
        let leaf = Leaf { cid: *block.cid(), tsize: block.data().len() as u64 + below, size };
        self.finished.push_back(block);
        leaf
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::RAW;

    #[test]
    fn an_empty_file_is_one_empty_leaf() {
        let cid = |parameters| FileImporter::new(parameters).finish().1.cid.to_string();

        assert_eq!(cid(Parameters::V0_2015), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
        assert_eq!(cid(Parameters::V1_2025), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    }

    #[test]
    fn a_single_leaf_is_the_root_itself() {
        let mut importer = FileImporter::new(Parameters::V1_2025);
        let leaf = leaf(5);
        importer.push(leaf);

        assert_eq!(importer.finish(), (vec![], Root { cid: leaf.cid, size: 5, tsize: 5 }));
    }

    #[test]
    fn holds_no_more_than_the_open_nodes() {
        for (layout, limit) in [(Layout::Balanced, 5 * 10), (Layout::Trickle, 5 * 30)] {
            let parameters = Parameters::V1_2025.with_max_links(10).expect("in range").with_layout(layout);
            let mut importer = FileImporter::new(parameters);
            let leaf = leaf(1);
            for _ in 0..100_000 {
                importer.push(leaf);
                while importer.poll().is_some() {}

                let held = match &importer.tree {
                    Tree::Balanced(tree) => tree.held(),
                    Tree::Trickle(tree) => tree.held(),
                };
                assert!(held <= limit, "{held}");
            }
            assert_eq!(importer.finish().1.size, 100_000);
        }
    }

    fn leaf(size: usize) -> Leaf {
        let block = Block::new(RAW, vec![0; size].into());
        Leaf { cid: *block.cid(), tsize: size as u64, size: size as u64 }
    }
}
