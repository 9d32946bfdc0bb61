//! The blocks that make up a part of a file, or the list of a folder: depth first, in the order of the content, as
//! `dag-scope=entity` of the trustless gateway specification has them.
//!
//! Of a file only what has bytes of the range is visited, and it must be as long as the node above says. A block that comes
//! again is walked again, as another part of it may be meant; who names one very often gives nothing, and is left.

use std::ops::Range;

use cid::Cid;

use super::{MAX_AHEAD, MAX_VISITED, TooWide};
use crate::Block;
use crate::block::{DAG_PB, RAW};
use crate::fetch::DagError;
use crate::seen::Seen;
use crate::unixfs::shard::{Prefix, ShardLink};
use crate::unixfs::{Entity, FileNode};

/// A walk under way.
#[derive(Debug)]
pub struct EntityWalk {
    range: Range<u64>,
    /// What is to be visited, the next one last.
    ahead: Vec<Step>,
    current: Option<Step>,
    seen: Seen,
    visits: usize,
    /// Visits since the last block that was new.
    barren: usize,
}

#[derive(Clone, Debug)]
struct Step {
    cid: Cid,
    place: Place,
    level: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Root,
    /// These bytes of the file.
    Part(Range<u64>),
    Shard(Prefix),
}

impl EntityWalk {
    /// The entity at `root`; of a file, what holds these bytes.
    pub fn new(root: Cid, range: Range<u64>) -> EntityWalk {
        let root = Step { cid: root, place: Place::Root, level: 1 };
        EntityWalk { range, ahead: vec![root], current: None, seen: Seen::default(), visits: 0, barren: 0 }
    }

    /// The next block, and whether it was not visited before. It is to be handed in before the one after that.
    pub fn visit(&mut self) -> Option<(Cid, bool)> {
        self.current = self.ahead.pop();
        let cid = self.current.as_ref()?.cid;
        let is_new = self.seen.insert(&cid);
        self.barren = if is_new { 0 } else { self.barren + 1 };
        Some((cid, is_new))
    }

    /// What comes next, as far as it is known: at most `most`.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = Cid> {
        self.ahead.iter().rev().take(most).map(|step| step.cid)
    }

    /// The block that was visited last.
    pub fn handle_block(&mut self, block: &Block) -> Result<(), DagError> {
        let Some(Step { cid, place, level }) = self.current.take() else { return Ok(()) };
        self.visits += 1;
        if self.visits > MAX_VISITED || self.barren > MAX_BARREN {
            return Err(TooWide.into());
        }
        let is_root = matches!(place, Place::Root);
        if is_root && !matches!(cid.codec(), DAG_PB | RAW) {
            return Ok(());
        }
        let entity = match Entity::parse(block) {
            Ok(entity) => entity,
            // What is no file and no folder is one block.
            Err(_) if is_root => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match (place, entity) {
            (Place::Root, Entity::Directory(_) | Entity::Symlink(_) | Entity::Raw(_)) => {}
            (Place::Root, Entity::File(file)) => self.add_parts(&file, 0, level),
            (Place::Part(part), entity) => {
                let file = entity.into_file().ok_or_else(|| out_of_place(cid))?;
                let expected = part.end - part.start;
                if file.size() != expected {
                    return Err(DagError::Length { cid, expected, found: file.size() });
                }
                self.add_parts(&file, part.start, level);
            }
            (place @ (Place::Root | Place::Shard(_)), Entity::Shard(shard)) => {
                let prefix = if let Place::Shard(prefix) = place { prefix } else { Prefix::default() };
                let placed = shard.placed(prefix).map_err(|error| DagError::NoFile { cid, why: error.to_string() })?;
                for (prefix, link) in placed.into_iter().rev() {
                    if let ShardLink::Shard(cid) = link {
                        self.ahead.push(Step { cid: *cid, place: Place::Shard(prefix), level: level + 1 });
                    }
                }
            }
            (Place::Shard(_), _) => return Err(out_of_place(cid)),
        }
        match self.ahead.last() {
            Some(step) if step.level > MAX_LEVELS => Err(DagError::Deep { cid, limit: MAX_LEVELS }),
            _ if self.ahead.len() > MAX_AHEAD => Err(TooWide.into()),
            _ => Ok(()),
        }
    }

    fn add_parts(&mut self, file: &FileNode, start: u64, level: usize) {
        let within = |place: u64| place.saturating_sub(start).min(file.size());
        let range = within(self.range.start)..within(self.range.end);
        if range.is_empty() {
            return;
        }
        for part in file.children(range).rev() {
            let place = Place::Part(start + part.range.start..start + part.range.end);
            self.ahead.push(Step { cid: part.cid, place, level: level + 1 });
        }
    }
}

/// More links from the root to a part are no file.
const MAX_LEVELS: usize = 64;
/// Visits in a row of blocks that were visited before.
const MAX_BARREN: usize = 1 << 20;

fn out_of_place(cid: Cid) -> DagError {
    DagError::NoFile { cid, why: "it stands where a part of a file, or of a folder, should be".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;
    use crate::dag_pb::{Link, Node};
    use crate::unixfs::{Message, Type};

    #[derive(Default)]
    struct Shelf(BTreeMap<Cid, Block>);

    impl Shelf {
        fn leaf(&mut self, text: &'static [u8]) -> (Cid, u64) {
            self.put(Block::new(RAW, Bytes::from_static(text)), text.len() as u64)
        }

        fn file(&mut self, parts: &[(Cid, u64)]) -> (Cid, u64) {
            let size = parts.iter().map(|(_, size)| size).sum();
            let sizes = parts.iter().map(|(_, size)| *size).collect();
            let message = Message { file_size: Some(size), block_sizes: sizes, ..Message::new(Type::File) };
            let links = parts.iter().map(|(cid, size)| Link { cid: *cid, name: Bytes::new(), tsize: *size }).collect();
            self.put(Block::new(DAG_PB, Node { links, data: Some(message.encode()) }.encode()), size)
        }

        fn put(&mut self, block: Block, size: u64) -> (Cid, u64) {
            let cid = *block.cid();
            self.0.insert(cid, block);
            (cid, size)
        }

        /// The blocks that are new, in their order.
        fn walk(&self, root: Cid, range: Range<u64>) -> Result<Vec<Cid>, DagError> {
            let mut walk = EntityWalk::new(root, range);
            let mut visited = vec![];
            while let Some((cid, is_new)) = walk.visit() {
                visited.extend(is_new.then_some(cid));
                walk.handle_block(&self.0[&cid])?;
            }
            Ok(visited)
        }
    }

    #[test]
    fn of_a_file_what_has_bytes_of_the_range_is_visited() {
        let mut shelf = Shelf::default();
        let [a, b, c, d] = [b"aaaa", b"bbbb", b"cccc", b"dddd"].map(|text| shelf.leaf(text));
        let left = shelf.file(&[a, b]);
        let right = shelf.file(&[c, d, a]);
        let (root, _) = shelf.file(&[left, right]);
        let of = |range| shelf.walk(root, range).unwrap();

        assert_eq!(of(0..20), [root, left.0, a.0, b.0, right.0, c.0, d.0]);
        assert_eq!(of(4..9), [root, left.0, b.0, right.0, c.0]);
        assert_eq!(of(16..99), [root, right.0, a.0]);
        assert_eq!(of(20..99), [root]);
        assert_eq!(of(3..3), [root]);
    }

    #[test]
    fn a_part_that_comes_again_is_walked_again() {
        let mut shelf = Shelf::default();
        let [a, b] = [b"aaaa", b"bbbb"].map(|text| shelf.leaf(text));
        let half = shelf.file(&[a, b]);
        let (root, _) = shelf.file(&[half, half]);

        assert_eq!(shelf.walk(root, 4..12).unwrap(), [root, half.0, b.0, a.0]);
    }

    #[test]
    fn a_part_of_another_length_than_its_parent_says_is_refused() {
        let mut shelf = Shelf::default();
        let (leaf, _) = shelf.leaf(b"aaaa");
        let (root, _) = shelf.file(&[(leaf, 5)]);

        assert_eq!(shelf.walk(root, 0..9), Err(DagError::Length { cid: leaf, expected: 5, found: 4 }));
    }

    #[test]
    fn a_block_that_is_named_again_and_again_ends_the_walk() {
        let mut shelf = Shelf::default();
        let mut part = shelf.leaf(b"a");
        for _ in 0..6 {
            part = shelf.file(&vec![part; 1000]);
        }

        assert!(matches!(shelf.walk(part.0, 0..u64::MAX), Err(DagError::TooWide(_))));
    }
}
