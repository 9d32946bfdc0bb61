//! Bytes in, blocks out: the balanced tree of a file.
//!
//! The caller cuts the file, hashes leaves (many at a time) and pushes what came of them; the importer holds the open
//! node of each level and nothing else, so memory does not grow with the file.

use std::collections::VecDeque;

use bytes::Bytes;
use cid::Cid;

use super::message::{self, Message, Type};
use super::{Parameters, Root, interior};
use crate::block::Block;
use crate::dag_pb::Link;
use crate::hash::LeafKind;

/// One file on its way into blocks.
#[derive(Debug)]
pub struct FileImporter {
    parameters: Parameters,
    /// Children that have no parent yet; the leaves first.
    levels: Vec<Vec<Leaf>>,
    finished: VecDeque<Block>,
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
        FileImporter { parameters, levels: Vec::new(), finished: VecDeque::new() }
    }

    /// How leaves are hashed: for `hash::new_many`.
    pub fn leaf_kind(&self) -> LeafKind {
        self.parameters.leaf_kind()
    }

    /// The bytes of the leaf block for a chunk of the file, which is `chunk_size` long but for the last.
    pub fn wrap_leaf(&self, chunk: Bytes) -> Bytes {
        if self.parameters.raw_leaves() { chunk } else { message::wrap(&chunk) }
    }

    /// The next leaf in the order of the file.
    pub fn push(&mut self, leaf: Leaf) {
        self.push_at(0, leaf);
    }

    /// A finished node; it comes after all its children were pushed or polled.
    pub fn poll(&mut self) -> Option<Block> {
        self.finished.pop_front()
    }

    /// The file is over: the blocks not yet polled, children before parents, and the root. A file without leaves
    /// becomes the one empty leaf, which is among the blocks.
    pub fn finish(mut self) -> (Vec<Block>, Root) {
        if self.levels.is_empty() {
            let block = Block::of(self.leaf_kind(), self.wrap_leaf(Bytes::new()));
            let root = Root { cid: *block.cid(), size: 0, tsize: block.data().len() as u64 };
            return (vec![block], root);
        }
        let mut level = 0;
        loop {
            if let [root] = self.levels[level][..]
                && level + 1 == self.levels.len()
            {
                return (self.finished.into(), Root { cid: root.cid, size: root.size, tsize: root.tsize });
            }
            self.close(level);
            level += 1;
        }
    }

    /// A full node is closed only when another child comes: the last one may be the root.
    fn push_at(&mut self, level: usize, child: Leaf) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        if self.levels[level].len() == self.parameters.max_links() {
            self.close(level);
        }
        self.levels[level].push(child);
    }

    /// Make the open node of a level a child of the next.
    fn close(&mut self, level: usize) {
        let children = std::mem::take(&mut self.levels[level]);
        let size = children.iter().map(|child| child.size).sum();
        let message = Message {
            file_size: Some(size),
            block_sizes: children.iter().map(|child| child.size).collect(),
            ..Message::new(Type::File)
        };
        let below: u64 = children.iter().map(|child| child.tsize).sum();
        let links = children.iter().map(|child| Link { cid: child.cid, name: Bytes::new(), tsize: child.tsize });
        let block = interior(&self.parameters, links.collect(), &message);

        let tsize = block.data().len() as u64 + below;
        self.push_at(level + 1, Leaf { cid: *block.cid(), tsize, size });
        self.finished.push_back(block);
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
        let mut importer = FileImporter::new(Parameters::V1_2025.with_max_links(10).expect("in range"));
        for _ in 0..100_000 {
            importer.push(leaf(1));
            while importer.poll().is_some() {}

            let held: usize = importer.levels.iter().map(Vec::len).sum();
            assert!(held <= 10 * importer.levels.len() && importer.levels.len() <= 5);
        }
        assert_eq!(importer.finish().1.size, 100_000);
    }

    fn leaf(size: usize) -> Leaf {
        let block = Block::new(RAW, vec![0; size].into());
        Leaf { cid: *block.cid(), tsize: size as u64, size: size as u64 }
    }
}
