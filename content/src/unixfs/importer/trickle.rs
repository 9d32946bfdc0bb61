//! The tree whose first leaves are next to the root, for files that are read from their beginning.
//!
//! A node has as many leaves as links are allowed, then [`REPEAT`] trees of depth 1, as many of depth 2, and so on: the
//! root without end, a tree of depth `d` below it up to depth `d - 1`.

use super::{Leaf, Maker};
use crate::unixfs::Metadata;

#[derive(Debug)]
pub(super) struct Trickle {
    /// From the root down, each the last child of the one before it.
    open: Vec<Open>,
}

#[derive(Debug, Default)]
struct Open {
    children: Vec<Leaf>,
    /// Of a tree below the root; the root has no bound.
    depth: Option<u32>,
    /// Trees below it that were opened.
    trees: u32,
}

impl Default for Trickle {
    fn default() -> Trickle {
        Trickle { open: vec![Open::default()] }
    }
}

impl Trickle {
    pub(super) fn push(&mut self, leaf: Leaf, maker: &mut Maker<'_>) {
        loop {
            let node = self.open.last_mut().expect("the root is closed by `finish`");
            if node.trees == 0 && node.children.len() < maker.parameters.max_links() {
                node.children.push(leaf);
                return;
            }
            let below = 1 + node.trees / REPEAT;
            if node.depth.is_none_or(|depth| below < depth) {
                node.trees += 1;
                self.open.push(Open { depth: Some(below), ..Open::default() });
            } else {
                self.close(maker);
            }
        }
    }

    /// The root, which is a node even of a file without leaves.
    pub(super) fn finish(mut self, metadata: Metadata, maker: &mut Maker<'_>) -> Leaf {
        while self.open.len() > 1 {
            self.close(maker);
        }
        maker.parent(&self.open[0].children, metadata)
    }

    fn close(&mut self, maker: &mut Maker<'_>) {
        let node = self.open.pop().expect("the caller looked at it");
        let tree = maker.parent(&node.children, Metadata::default());
        self.open.last_mut().expect("the root stays open").children.push(tree);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.open.iter().map(|node| node.children.len()).sum()
    }
}

/// Trees of each depth (boxo's number).
const REPEAT: u32 = 4;
