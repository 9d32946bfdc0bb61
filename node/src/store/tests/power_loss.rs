//! Whatever moment the power fails or the process is killed: what was acknowledged is there, the store opens, and nothing
//! bad is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;

use cid::Cid;
use cidra_content::block::Block;
use cidra_content::unixfs::Wrapping;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{UnreliableDisk, block, blocks, located, open};
use crate::store::{Claim, Identity, Local, Part, Root, RootKind, Source, State, StoreError};

#[test]
fn what_was_acknowledged_survives_power_loss_at_any_moment() {
    for seed in 0..seeds(300) {
        Story::new(seed).run(4);
    }
}

#[test]
fn what_was_fetched_into_a_file_survives_power_loss_at_any_moment() {
    for seed in 0..seeds(60) {
        Film::new(seed).run(4);
    }
}

#[tokio::test]
async fn who_only_reads_writes_nothing() {
    let disk = UnreliableDisk::new();
    let put = block(1, 100);
    let store = open(&disk).unwrap();
    store.put(vec![put.clone()]).await.unwrap();
    store.commit().await.unwrap();
    store.close().await.unwrap();

    disk.crash_after(1);
    let store = open(&disk).unwrap();
    assert_eq!(store.block(put.cid()).await.unwrap(), Some(put));
    assert!(store.roots(RootKind::Pin).await.unwrap().is_empty());
    store.close().await.unwrap();

    assert!(!disk.is_crashed(), "not one write, not one sync");
}

/// More on demand: `CIDRA_SEEDS=10000`.
fn seeds(usual: u64) -> u64 {
    std::env::var("CIDRA_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

/// What happened to one disk, and what must be on it.
struct Story {
    seed: u64,
    random: SmallRng,
    disk: UnreliableDisk,
    /// Blocks that must be there.
    blocks: BTreeMap<Cid, Block>,
    /// Blocks put since the last commit.
    put: Vec<Block>,
    /// Roots that must be there, and whether their blocks are complete.
    roots: BTreeMap<Vec<u8>, Cid>,
    next: u32,
}

impl Story {
    fn new(seed: u64) -> Story {
        Story {
            seed,
            random: SmallRng::seed_from_u64(seed),
            disk: UnreliableDisk::new(),
            blocks: BTreeMap::new(),
            put: Vec::new(),
            roots: BTreeMap::new(),
            next: 0,
        }
    }

    fn run(&mut self, crashes: usize) {
        for _ in 0..crashes {
            self.disk.crash_after(self.random.random_range(1..250));
            // A crash while it is opened is one too.
            if let Ok(store) = open(&self.disk) {
                futures::executor::block_on(self.live(&store));
            }
            assert!(self.disk.is_crashed(), "seed {}: it ends in a crash", self.seed);
            let random = &mut self.random;
            self.disk = match random.random_range(0..4) {
                0 => self.disk.after_kill(),
                _ => self.disk.after_power_loss(|below| random.random_range(0..below)),
            };
            self.put.clear();
            futures::executor::block_on(self.check());
        }
    }

    /// Use the store until the power fails.
    async fn live(&mut self, store: &Local) {
        loop {
            let done = match self.random.random_range(0..10) {
                0..5 => self.put(store).await,
                5..7 => self.commit(store).await,
                7 => self.set_root(store).await,
                8 => self.remove(store).await,
                _ => self.put_again(store).await,
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn put(&mut self, store: &Local) -> Result<(), StoreError> {
        let count = self.random.random_range(1..8);
        let length = self.random.random_range(0..3000);
        let blocks: Vec<Block> = (0..count).map(|number| block(self.next + number, length)).collect();
        self.next += count;
        store.put(blocks.clone()).await?;
        self.put.extend(blocks);
        Ok(())
    }

    async fn put_again(&mut self, store: &Local) -> Result<(), StoreError> {
        store.shared().begin_generation();
        let blocks: Vec<Block> = self.blocks.values().take(5).cloned().collect();
        store.put(blocks).await
    }

    async fn commit(&mut self, store: &Local) -> Result<(), StoreError> {
        store.commit().await?;
        self.acknowledge();
        Ok(())
    }

    async fn set_root(&mut self, store: &Local) -> Result<(), StoreError> {
        let Some(cid) = self.put.last().map(|block| *block.cid()) else { return Ok(()) };
        let key = vec![self.random.random_range(0..10)];
        // Until it is acknowledged it may be the old one or this one.
        self.roots.remove(&key);
        let root = Root { kind: RootKind::Pin, key: key.clone(), cid, recursive: false, name: None, expires: None };
        store.set_roots(vec![root]).await?;
        self.acknowledge();
        self.roots.insert(key, cid);
        Ok(())
    }

    async fn remove(&mut self, store: &Local) -> Result<(), StoreError> {
        let pinned: Vec<&Cid> = self.roots.values().collect();
        let free = self.blocks.keys().filter(|cid| !pinned.contains(cid)).copied();
        let chosen: Vec<Cid> = free.skip(self.random.random_range(0..4)).take(6).collect();
        let complete = self.roots.values().next().copied();
        if let Some(complete) = complete {
            store.set_complete(complete).await?;
            self.acknowledge();
        }
        for cid in &chosen {
            self.blocks.remove(cid);
        }
        let removed = store.remove(chosen.clone()).await?;
        assert_eq!(removed, vec![true; chosen.len()], "seed {}", self.seed);
        // A removal commits what was put before.
        self.acknowledge();
        if let Some(complete) = complete.filter(|_| !chosen.is_empty()) {
            assert!(!store.is_complete(complete).await?, "seed {}: a block went", self.seed);
        }
        Ok(())
    }

    fn acknowledge(&mut self) {
        self.blocks.extend(self.put.drain(..).map(|block| (*block.cid(), block)));
    }

    async fn check(&self) {
        let seed = self.seed;
        let store = open(&self.disk).unwrap_or_else(|error| panic!("seed {seed}: {error}: {error:?}"));
        for (cid, block) in &self.blocks {
            let found = store.block(cid).await.unwrap();
            assert_eq!(found.as_ref(), Some(block), "seed {seed}");
        }
        for (key, cid) in &self.roots {
            let root = store.root(RootKind::Pin, key).await.unwrap();
            assert_eq!(root.map(|root| root.cid), Some(*cid), "seed {seed}");
        }
        for (hash, length) in store.list(None, usize::MAX).await.unwrap() {
            let found = store.block(&Cid::new_v1(0x55, hash)).await.unwrap();
            assert_eq!(found.map(|block| block.data().len()), Some(length as usize), "seed {seed}");
        }
        let stat = store.stat();
        assert_eq!(stat.bad_records, 0, "seed {seed}");
        let listed = store.list(None, usize::MAX).await.unwrap();
        let counted = (listed.len() as u64, listed.iter().map(|(_, length)| u64::from(*length)).sum());
        assert_eq!((stat.blocks, stat.bytes), counted, "seed {seed}");
    }
}

/// A file that is fetched into, leaf by leaf, and what of it must be there.
struct Film {
    seed: u64,
    random: SmallRng,
    disk: UnreliableDisk,
    _folder: tempfile::TempDir,
    source: Source,
    file: std::fs::File,
    leaves: Vec<Block>,
    acknowledged: BTreeSet<usize>,
    /// Written, and not acknowledged: the disk may have forgotten any of it.
    unsure: BTreeSet<usize>,
}

impl Film {
    fn new(seed: u64) -> Film {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.cidra-part");
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let Identity { device, inode, .. } = Identity::of(&file.metadata().unwrap()).unwrap();
        Film {
            seed,
            random: SmallRng::seed_from_u64(seed),
            disk: UnreliableDisk::new(),
            _folder: folder,
            source: Source { path, claim: Claim::Borrowed, state: State::Growing { device, inode } },
            file,
            leaves: blocks(0..40, LEAF),
            acknowledged: BTreeSet::new(),
            unsure: BTreeSet::new(),
        }
    }

    fn run(&mut self, crashes: usize) {
        for _ in 0..crashes {
            self.disk.crash_after(self.random.random_range(1..120));
            if let Ok(store) = open(&self.disk) {
                // It fails when the power does.
                let _ = futures::executor::block_on(self.fetch(&store));
            }
            let random = &mut self.random;
            self.disk = self.disk.after_power_loss(|below| random.random_range(0..below));
            self.forget();
            futures::executor::block_on(self.check());
        }
        let store = open(&self.disk).unwrap();
        futures::executor::block_on(self.fetch(&store)).unwrap();
        drop(store);
        futures::executor::block_on(self.check());
        assert_eq!(self.acknowledged.len(), self.leaves.len(), "seed {}", self.seed);
    }

    /// Goes on as a download does: what proves right in the file is referred to, the rest written and then referred to.
    async fn fetch(&mut self, store: &Local) -> Result<(), StoreError> {
        for (number, leaf) in self.leaves.iter().enumerate() {
            let offset = (number * LEAF) as u64;
            if !self.stands(number) {
                self.file.write_all_at(leaf.data(), offset).unwrap();
            }
            self.unsure.insert(number);
            let part = Part { cid: *leaf.cid(), offset, length: LEAF as u32, wrapping: Wrapping::Bare };
            store.refer(self.source.clone(), vec![part]).await?;
            if self.random.random_range(0..6) == 0 {
                store.commit().await?;
                self.acknowledged.append(&mut self.unsure);
            }
        }
        store.commit().await?;
        self.acknowledged.append(&mut self.unsure);
        Ok(())
    }

    fn stands(&self, number: usize) -> bool {
        let mut bytes = vec![0; LEAF];
        let read = self.file.read_exact_at(&mut bytes, (number * LEAF) as u64);
        read.is_ok() && bytes == *self.leaves[number].data()
    }

    /// Of what was not acknowledged any may not have reached the disk, or some sectors of it.
    fn forget(&mut self) {
        for number in std::mem::take(&mut self.unsure) {
            if self.acknowledged.contains(&number) {
                continue;
            }
            let kept = self.random.random_range(0..=LEAF / 512) * 512;
            self.file.write_all_at(&vec![0; LEAF - kept], (number * LEAF + kept) as u64).unwrap();
        }
    }

    async fn check(&self) {
        let seed = self.seed;
        let store = open(&self.disk).unwrap_or_else(|error| panic!("seed {seed}: {error}: {error:?}"));
        // The second time what was bad is forgotten, and has taken nothing along.
        for turn in 0..2 {
            for (number, leaf) in self.leaves.iter().enumerate() {
                let found = store.load(leaf.cid()).await.unwrap().map(|stored| stored.data);
                match self.acknowledged.contains(&number) {
                    true => assert_eq!(found.as_ref(), Some(leaf.data()), "seed {seed}, {number}, turn {turn}"),
                    false => assert!(found.is_none_or(|data| data == *leaf.data()), "seed {seed}, {number}"),
                }
            }
            store.commit().await.unwrap();
        }
        let bad: Vec<Cid> =
            (0..self.leaves.len()).filter(|number| !self.stands(*number)).map(|at| *self.leaves[at].cid()).collect();
        assert_eq!(located(&store, bad.clone()).await, vec![None; bad.len()], "seed {seed}");
    }
}

const LEAF: usize = 2048;
