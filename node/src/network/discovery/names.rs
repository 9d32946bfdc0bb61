//! What a node announces, by its strategy: the names that its blocks have in the DHT, in the order of the key space.

use std::collections::BTreeMap;
use std::time::SystemTime;

use cid::Cid;
use cidra_content::block::RAW;
use cidra_content::dht::Key;
use cidra_content::seen::Seen;
use cidra_content::walk::MAX_AHEAD;
use futures::{StreamExt, stream};

use super::super::config::Strategy;
use crate::store::{RootKind, Store, StoreError};

/// The next names from a place of the key space on; so many are held, and the farthest are left out for the next time.
pub(super) struct Names {
    from: u64,
    held: BTreeMap<Key, Vec<u8>>,
    most: usize,
}

impl Names {
    /// Looks through all that is to be announced.
    pub(super) async fn from(place: u64, strategy: Strategy, store: &Store) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        let mut names = Names { from: place, held: BTreeMap::new(), most: MOST };
        match strategy {
            Strategy::All => names.add_blocks(store).await?,
            Strategy::Pinned => {
                names.add_roots(store).await?;
                names.add_pinned(store).await?;
            }
            Strategy::Roots => names.add_roots(store).await?,
        }
        Ok(names.held.into_iter().collect())
    }

    /// The first blocks below a root that are here, by a strategy that announces them, and the root itself.
    pub(super) async fn below(root: Cid, store: &Store) -> Result<Vec<(Key, Vec<u8>)>, StoreError> {
        let mut names = Names { from: 0, held: BTreeMap::new(), most: MOST };
        names.add_below(root, true, &mut Seen::default(), store).await?;
        Ok(names.held.into_iter().collect())
    }

    fn add(&mut self, name: Vec<u8>) {
        let key = Key::of(&name);
        if key.place() < self.from {
            return;
        }
        self.held.insert(key, name);
        if self.held.len() > self.most {
            self.held.pop_last();
        }
    }

    async fn add_blocks(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = store.list(after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            page.iter().for_each(|(hash, _)| self.add(hash.to_bytes()));
        }
    }

    async fn add_roots(&mut self, store: &Store) -> Result<(), StoreError> {
        for (cid, _) in store.announcement_times().await? {
            self.add(cid.hash().to_bytes());
        }
        Ok(())
    }

    /// Pins and, where a pin protects them, all blocks below, as far as they are here.
    async fn add_pinned(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut seen = Seen::default();
        for pin in store.roots(RootKind::Pin).await? {
            self.add_below(pin.cid, pin.recursive, &mut seen, store).await?;
        }
        Ok(())
    }

    async fn add_below(
        &mut self,
        root: Cid,
        recursive: bool,
        seen: &mut Seen,
        store: &Store,
    ) -> Result<(), StoreError> {
        let mut ahead = vec![root];
        while let Some(cid) = ahead.pop() {
            if !seen.insert(&Cid::new_v1(cid.codec(), *cid.hash())) {
                continue;
            }
            self.add(cid.hash().to_bytes());
            if !recursive || cid.codec() == RAW {
                continue;
            }
            if let Some(block) = store.block(&cid).await? {
                // A block whose links cannot be read has none that we could follow.
                ahead.extend(block.links().unwrap_or_default().iter().copied());
                ahead.truncate(MAX_AHEAD);
            }
        }
        Ok(())
    }
}

/// Notes for the roots among these names when they were announced.
pub(super) async fn set_times(store: &Store, names: &[(Key, Vec<u8>)], when: SystemTime) -> Result<(), StoreError> {
    let known = store.announcement_times().await?;
    let is_among = |cid: &Cid| names.binary_search_by_key(&Key::of(&cid.hash().to_bytes()), |(key, _)| *key).is_ok();
    let roots: Vec<Cid> = known.into_iter().map(|(cid, _)| cid).filter(is_among).collect();
    // Together, so that the store makes few commits of them.
    let mut noted = stream::iter(roots).map(|cid| store.announced(cid, when)).buffer_unordered(TOGETHER);
    while let Some(noted) = noted.next().await {
        noted?;
    }
    Ok(())
}

const TOGETHER: usize = 256;
/// Names held at a time, some 40 MB of them; what is more is looked through again.
pub(super) const MOST: usize = 262_144;
/// Blocks listed at a time.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_past_the_limit_leaves_out_the_farthest() {
        let mut names = Names { from: 0, held: BTreeMap::new(), most: 10 };
        let mut all: Vec<Key> = (0..11u8).map(|number| Key::of(&[number])).collect();
        all.sort();

        (0..11u8).for_each(|number| names.add(vec![number]));

        assert!(names.held.keys().eq(&all[..10]));
    }

    #[test]
    fn what_lies_before_the_place_is_left_out() {
        let mut names = Names { from: Key::of(&[1]).place(), held: BTreeMap::new(), most: 100 };

        (0..100u8).for_each(|number| names.add(vec![number]));

        assert!(names.held.contains_key(&Key::of(&[1])) && names.held.len() < 100);
        assert!(names.held.keys().all(|key| key.place() >= names.from));
    }
}
