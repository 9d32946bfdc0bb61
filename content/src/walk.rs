//! A walk of a whole DAG: depth first, in the order of the links, each block once, as `dag export` writes it.
//!
//! However often a DAG names a block, it is visited once: one that names a child a thousand times on each of forty levels has
//! forty visits. What is ahead is bounded.

mod entity;

use cid::Cid;

use crate::seen::Seen;
pub use entity::EntityWalk;

/// A walk under way.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    seen: Seen,
    /// What is to be visited, the next one last.
    ahead: Vec<Cid>,
    /// Visits, where what was visited is visited again.
    repeated: Option<usize>,
}

impl Walk {
    /// A walk that visits a block as often as the DAG names it. Of one that names them without end [`MAX_VISITED`] are visited.
    pub fn repeating() -> Walk {
        Walk { repeated: Some(0), ..Walk::default() }
    }

    /// Goes on from `root`, unless it was visited.
    pub fn begin(&mut self, root: Cid) {
        self.ahead.push(root);
    }

    /// The block to visit next; `descend` says then what it links to.
    pub fn visit(&mut self) -> Option<Cid> {
        loop {
            let cid = self.ahead.pop()?;
            if let Some(visits) = &mut self.repeated {
                *visits += 1;
                return Some(cid);
            }
            if self.seen.insert(&cid) {
                return Some(cid);
            }
        }
    }

    /// The links of the block that was visited last. If they are too many none of them is followed.
    pub fn descend(&mut self, links: &[Cid]) -> Result<(), TooWide> {
        let before = self.ahead.len();
        let one_too_many = (MAX_AHEAD + 1).saturating_sub(before);
        self.ahead.extend(links.iter().rev().filter(|cid| !self.seen.contains(cid)).take(one_too_many));
        if self.ahead.len() > MAX_AHEAD || self.visited() > MAX_VISITED {
            self.ahead.truncate(before);
            return Err(TooWide);
        }
        Ok(())
    }

    /// What comes next if none of it has links, at most `most`; something may be named twice. It does not look far: a DAG
    /// that names what was visited a million times is gone through once, not at each step.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = Cid> {
        let near = self.ahead.iter().rev().take(most.saturating_mul(LOOK_PAST));
        near.filter(|cid| !self.seen.contains(cid)).take(most).copied()
    }

    /// How many blocks were visited.
    pub fn visited(&self) -> usize {
        self.repeated.unwrap_or(self.seen.len())
    }
}

/// Links looked at for each that may be given.
const LOOK_PAST: usize = 8;

/// Most links that wait to be followed, some 100 MiB of them: sixteen of the widest nodes, one below the other.
pub const MAX_AHEAD: usize = 1 << 20;

/// Most blocks of one walk, at 16 bytes and the tree that holds them: 64 TiB of a mebibyte each.
pub const MAX_VISITED: usize = 1 << 26;

/// The DAG has more blocks than a walk can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the DAG is too wide: more than {MAX_AHEAD} links wait to be followed, or it has more than {MAX_VISITED} blocks"
)]
pub struct TooWide;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::block::{Block, RAW};

    fn cid(number: u32) -> Cid {
        *Block::new(RAW, Bytes::copy_from_slice(&number.to_be_bytes())).cid()
    }

    #[test]
    fn goes_down_before_it_goes_on_and_visits_each_once() {
        let mut walk = Walk::default();
        walk.begin(cid(0));
        assert_eq!(walk.visit(), Some(cid(0)));
        walk.descend(&[cid(1), cid(2), cid(1), cid(3)]).expect("narrow");
        assert_eq!(walk.visit(), Some(cid(1)));
        walk.descend(&[cid(3), cid(0), cid(4)]).expect("narrow");
        assert_eq!(walk.upcoming(9).collect::<Vec<_>>(), [cid(3), cid(4), cid(2), cid(3)]);

        let rest: Vec<Cid> = std::iter::from_fn(|| walk.visit()).collect();

        assert_eq!(rest, [cid(3), cid(4), cid(2)]);
        assert_eq!(walk.visited(), 5);
    }

    #[test]
    fn a_repeating_walk_comes_by_again() {
        let mut walk = Walk::repeating();
        walk.begin(cid(0));
        walk.visit();
        walk.descend(&[cid(1), cid(2), cid(1)]).expect("narrow");

        let rest: Vec<Cid> = std::iter::from_fn(|| walk.visit()).collect();

        assert_eq!((rest, walk.visited()), (vec![cid(1), cid(2), cid(1)], 4));
    }

    #[test]
    fn a_dag_that_expands_is_as_long_as_it_is_deep() {
        let mut walk = Walk::default();
        walk.begin(cid(0));
        let mut visits = 0;
        while let Some(at) = walk.visit() {
            visits += 1;
            let level = (0..40).find(|level| cid(*level) == at).expect("one of them");
            walk.descend(&vec![cid((level + 1).min(39)); 1000]).expect("narrow");
        }
        assert_eq!(visits, 40);
    }

    #[test]
    fn does_not_look_for_what_comes_next_behind_all_that_was_visited() {
        let mut walk = Walk::default();
        walk.begin(cid(0));
        walk.visit();
        let visited = |times: usize| std::iter::repeat_n(cid(1), times);
        let links: Vec<Cid> = [cid(1)].into_iter().chain(visited(8 * 4 - 1)).chain([cid(2), cid(3)]).collect();
        walk.descend(&links).expect("narrow");
        walk.visit();

        assert_eq!(walk.upcoming(4).collect::<Vec<_>>(), [cid(2)]);
        assert_eq!(walk.visit(), Some(cid(2)), "it is found where its turn comes");
    }

    #[test]
    fn takes_the_most_links_and_refuses_one_more() {
        let mut walk = Walk::default();
        walk.begin(cid(0));
        walk.visit();

        assert_eq!(walk.descend(&vec![cid(1); MAX_AHEAD]), Ok(()));
        assert_eq!(walk.descend(&[cid(1)]), Err(TooWide));
        assert_eq!(walk.ahead.len(), MAX_AHEAD, "what was refused takes no room");
    }
}
