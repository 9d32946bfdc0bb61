//! Whatever moment the power fails or the process is killed: what was acknowledged is there, the store opens, and nothing
//! bad is in it.

use std::collections::BTreeMap;

use cid::Cid;
use cidra_content::block::Block;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{UnreliableDisk, block, open};
use crate::store::{Local, Root, RootKind, StoreError};

#[test]
fn what_was_acknowledged_survives_power_loss_at_any_moment() {
    for seed in 0..seeds(300) {
        Story::new(seed).run(4);
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
