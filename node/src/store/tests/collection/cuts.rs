//! The power fails, or the process is killed, at each change of the disk that a collection makes: each write, sync and hole, each
//! name that is made or removed.

use super::*;

/// Small segments: what is dead as a whole is unlinked, what is left of the others is copied together.
#[test]
fn cuts_while_segments_are_unlinked_and_copied_lose_nothing_that_is_protected() {
    let (kept, gone) = (dag(0..16, 700), dag(100..132, 700));
    let large = blocks(500..506, 9000);
    let mut rounds = in_turn(&kept, &gone);
    rounds.push([large.clone(), kept.clone(), gone.clone()].concat());
    Cut { options: OPTIONS, kept, gone, single: large[4].clone() }.each_change(rounds, every(4), 40);
}

/// One segment: holes are made between what is kept.
#[test]
fn cuts_while_holes_are_made_lose_nothing_that_is_protected() {
    let (kept, gone) = (dag(0..4, 9000), dag(100..108, 9000));
    let single = block(500, 9000);
    let mut rounds = in_turn(&kept, &gone);
    rounds.push(vec![kept[4].clone(), gone[8].clone(), single.clone()]);
    let options = Options { segment_size: 1_000_000, ..OPTIONS };
    Cut { options, kept, gone, single }.each_change(rounds, every(1), 10);
}

/// A leaf that stays between two that go.
fn in_turn(kept: &[Block], gone: &[Block]) -> Vec<Vec<Block>> {
    let leaves = kept[..kept.len() - 1].iter().zip(gone.chunks(2));
    leaves.map(|(kept, gone)| vec![gone[0].clone(), kept.clone(), gone[1].clone()]).collect()
}

/// Every so many changes; all of them on demand: `CIDRA_SEEDS=1`.
fn every(usual: u64) -> u64 {
    if std::env::var_os("CIDRA_SEEDS").is_some() { 1 } else { usual }
}

/// A store whose collection is cut.
struct Cut {
    options: Options,
    /// Pinned.
    kept: Vec<Block>,
    gone: Vec<Block>,
    /// Pinned by itself.
    single: Block,
}

impl Cut {
    fn each_change(&self, rounds: Vec<Vec<Block>>, step: u64, least: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let full = UnreliableDisk::new();
        runtime.block_on(self.fill(&full, rounds));
        let mut change = 0;
        loop {
            let disk = full.after_kill();
            disk.crash_after(1 + change);
            let collected = runtime.block_on(async {
                // Where the power fails.
                let collection = self.open(&disk).collect(Extent::All).await.ok()?;
                collection.finish().await.ok()
            });
            let mut random = SmallRng::seed_from_u64(change);
            let at = format!("change {change}");
            runtime.block_on(self.check(&disk.after_kill(), false, &at));
            let after = disk.after_power_loss(|below| random.random_range(0..below));
            runtime.block_on(self.check(&after, false, &format!("{at}, power loss")));
            after.remove_file("index.redb");
            runtime.block_on(self.check(&after, true, &format!("{at}, power loss, index lost")));
            if !disk.is_crashed() {
                assert!(collected.is_some_and(|collected| collected.freed > 0), "it was not cut");
                break;
            }
            change += step;
        }
        assert!(change > least, "only {change} changes of the disk: this showed little");
    }

    fn open(&self, disk: &UnreliableDisk) -> Store {
        let local = open_with(disk, self.options.clone()).unwrap();
        Store(Arc::new(Tenure::new(PathBuf::from("/the/store"), self.options.clone(), local)))
    }

    async fn fill(&self, disk: &UnreliableDisk, rounds: Vec<Vec<Block>>) {
        let store = self.open(disk);
        for round in rounds {
            put(&store, &round).await;
        }
        pin(&store, root(&self.kept), true).await;
        pin(&store, *self.single.cid(), false).await;
        for dag in [&self.kept, &self.gone] {
            store.set_complete(root(dag)).await.unwrap();
        }
        store.close().await.unwrap();
    }

    /// What is protected is there and known to be, nothing is there that is not as it was, and the next collection finds no
    /// more than it may.
    async fn check(&self, disk: &UnreliableDisk, without_index: bool, at: &str) {
        let store = self.open(disk);
        assert_eq!(missing(&store, &self.kept).await, 0, "{at}");
        assert_eq!(missing(&store, std::slice::from_ref(&self.single)).await, 0, "{at}");
        let whole = missing(&store, &self.gone).await == 0;
        assert!(whole || !store.is_complete(root(&self.gone)).await.unwrap(), "{at}");
        assert!(without_index || store.is_complete(root(&self.kept)).await.unwrap(), "{at}");
        for (hash, length) in store.list(None, usize::MAX).await.unwrap() {
            let block = store.block(&Cid::new_v1(0x55, hash)).await.unwrap();
            assert_eq!(block.map(|block| block.data().len()), Some(length as usize), "{at}");
        }
        assert_eq!(store.stat().await.unwrap().bad_records, 0, "{at}");
        collect(&store).await;
        assert_eq!(missing(&store, &self.kept).await, 0, "{at}, collected again");
        assert_eq!(missing(&store, &self.gone).await, self.gone.len(), "{at}, collected again");
        store.close().await.unwrap();
    }
}
