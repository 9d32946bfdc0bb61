//! The tree whose leaves are all at the same depth.

use super::{Leaf, Maker};
use crate::unixfs::Metadata;

#[derive(Debug, Default)]
pub(super) struct Balanced {
    /// Children that have no parent yet; the leaves first.
    levels: Vec<Vec<Leaf>>,
}

impl Balanced {
    pub(super) fn push(&mut self, leaf: Leaf, maker: &mut Maker<'_>) {
        self.push_at(0, leaf, maker);
    }

    /// The root; none when there was no leaf. It holds `metadata` unless it is a leaf.
    pub(super) fn finish(mut self, metadata: Metadata, maker: &mut Maker<'_>) -> Option<Leaf> {
        if let [only] = &self.levels[..]
            && let [leaf] = only[..]
        {
            return Some(leaf);
        }
        for level in 0.. {
            let children = std::mem::take(self.levels.get_mut(level)?);
            if level + 1 == self.levels.len() {
                return Some(maker.parent(&children, metadata));
            }
            let node = maker.parent(&children, Metadata::default());
            self.push_at(level + 1, node, maker);
        }
        None
    }

    /// A full node is closed only when another child comes: the last one may be the root.
    fn push_at(&mut self, level: usize, child: Leaf, maker: &mut Maker<'_>) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        if self.levels[level].len() == maker.parameters.max_links() {
            let children = std::mem::take(&mut self.levels[level]);
            let node = maker.parent(&children, Metadata::default());
            self.push_at(level + 1, node, maker);
        }
        self.levels[level].push(child);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.levels.iter().map(Vec::len).sum()
    }
}
