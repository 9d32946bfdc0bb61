//! Collection on a disk made for tests: what stays, what goes, what comes back, and power cuts in the midst of it.

mod cuts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use cidra_content::block::{Block, DAG_PB};
use cidra_content::dag_pb::{Link, Node};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{OPTIONS, UnreliableDisk, block, blocks, open_with};
use crate::store::entry::{Key, Place};
use crate::store::tenure::Tenure;
use crate::store::{Collected, Extent, Options, Root, RootKind, Step, Store, StoreError};

#[tokio::test]
async fn what_pins_lead_to_stays_complete_and_the_rest_goes() {
    let store = open(&UnreliableDisk::new());
    let (kept, gone) = (dag(0..20, 500), dag(10..40, 500));
    put(&store, &kept).await;
    put(&store, &gone).await;
    pin(&store, root(&kept), true).await;
    pin(&store, *gone[3].cid(), false).await;
    for dag in [&kept, &gone] {
        store.set_complete(root(dag)).await.unwrap();
    }

    let collected = collect(&store).await;

    // Ten leaves are in both, one of the others is pinned.
    assert_eq!((collected.marked, collected.removed), (21, 20 + 1));
    assert_eq!(missing(&store, &kept).await, 0);
    assert_eq!(missing(&store, &gone).await, 21);
    assert!(store.is_complete(root(&kept)).await.unwrap());
    assert!(!store.is_complete(root(&gone)).await.unwrap());
}

#[tokio::test]
async fn a_dag_that_is_pinned_while_it_deletes_is_whole() {
    let store = open(&UnreliableDisk::new());
    // More blocks than go at a time, and few in each DAG: some DAGs are whole then.
    let dags: Vec<_> = (0..1000).map(|number| dag(number * 2..number * 2 + 2, 10)).collect();
    put(&store, &dags.concat()).await;
    for dag in &dags[..50] {
        store.set_complete(root(dag)).await.unwrap();
    }
    let mut collection = store.collect(Extent::All).await.unwrap();
    while !matches!(collection.next().await.unwrap().unwrap(), Step::Removed(_)) {}

    let lease = store.lease().await;
    let mut pinned = Vec::new();
    for dag in &dags {
        lease.protect(root(dag)).await.unwrap();
        if missing(&store, dag).await == 0 {
            pin(&store, root(dag), true).await;
            pinned.push(dag);
        } else {
            assert!(!store.is_complete(root(dag)).await.unwrap());
        }
    }
    drop(lease);
    assert!(collection.finish().await.unwrap().removed > 0);

    assert!(!pinned.is_empty(), "it deleted all at once");
    for dag in pinned {
        assert_eq!(missing(&store, dag).await, 0);
    }
}

#[tokio::test]
async fn what_is_looked_for_while_it_collects_stays_until_the_next() {
    let store = open(&UnreliableDisk::new());
    let blocks = blocks(0..10, 10);
    put(&store, &blocks).await;
    let collection = store.collect(Extent::All).await.unwrap();
    assert_eq!(store.locate(vec![*blocks[4].cid()]).await.unwrap(), [Some(10)]);
    // Whoever only answers others relies on nothing.
    assert_eq!(store.glance(vec![*blocks[5].cid()]).await.unwrap(), [Some(10)]);

    assert_eq!(collection.finish().await.unwrap().removed, 9);
    assert_eq!(store.glance(vec![*blocks[4].cid(), *blocks[5].cid()]).await.unwrap(), [Some(10), None]);
    assert_eq!(collect(&store).await.removed, 1);
}

#[tokio::test]
async fn a_reader_that_began_before_a_record_was_collected_reads_its_bytes() {
    let disk = UnreliableDisk::new();
    let store = open_large(&disk);
    let blocks = blocks(0..40, 9000);
    put(&store, &blocks).await;
    pin(&store, *blocks[0].cid(), false).await;
    let shared = shared(&store).await;
    let guard = shared.segments.guard();
    let read = blocks[1..].iter().map(|block| {
        let key = Key::from(block.cid());
        let Some(Place::Record(location)) = shared.find([&key]).unwrap()[0].map(|entry| entry.place) else { panic!() };
        (key, location, block)
    });
    let read: Vec<_> = read.collect();

    let mut collection = store.collect(Extent::All).await.unwrap();
    let mut removed = 0;
    while removed < 39 {
        if let Some(Step::Removed(some)) = collection.next().await.unwrap() {
            removed += some.len();
        }
    }
    let rest = tokio::spawn(collection.finish());
    // The writer thread has done what it can when it has answered this.
    for _ in 0..3 {
        store.commit().await.unwrap();
        tokio::task::yield_now().await;
    }
    for (key, location, block) in &read {
        assert_eq!(shared.segments.read(key, *location).unwrap(), block.data());
    }
    let before = disk.used();
    drop(guard);
    assert!(rest.await.unwrap().unwrap().freed > 39 * 8192);
    assert!(disk.used() < before);
    assert!(read.iter().all(|(key, location, _)| shared.segments.read(key, *location).is_err()));
    assert_eq!(store.block(blocks[0].cid()).await.unwrap().as_ref(), Some(&blocks[0]));
}

#[tokio::test]
async fn holes_give_space_back_and_are_neither_damage_nor_blocks_when_the_index_is_made_again() {
    let disk = UnreliableDisk::new();
    let store = open_large(&disk);
    let blocks = blocks(0..60, 9000);
    put(&store, &blocks).await;
    let (kept, gone): (Vec<Block>, Vec<Block>) =
        blocks.into_iter().partition(|block| block.data()[0].is_multiple_of(3));
    for block in &kept {
        pin(&store, *block.cid(), false).await;
    }

    let freed = collect(&store).await.freed;

    assert!(freed >= 40 * 9000 - 20 * 8192, "{freed}");
    assert_eq!(store.stat().await.unwrap().segments, 1, "it is the file that became smaller");
    assert_eq!(collect(&store).await.freed, 0);
    store.close().await.unwrap();
    for round in 0..2 {
        let store = open_large(&disk);
        assert_eq!((missing(&store, &kept).await, missing(&store, &gone).await), (0, 40), "round {round}");
        assert_eq!(store.stat().await.unwrap().bad_records, 0);
        put(&store, &gone[..1]).await;
        collect(&store).await;
        store.close().await.unwrap();
        disk.remove_file("index.redb");
    }
}

#[tokio::test]
async fn what_is_left_of_small_blocks_is_copied_together() {
    space_comes_back(UnreliableDisk::new(), 100).await;
}

#[tokio::test]
async fn a_disk_without_holes_gets_its_space_back_by_copies() {
    let disk = UnreliableDisk::new();
    disk.forbid_holes();
    space_comes_back(disk, 6000).await;
}

async fn space_comes_back(disk: UnreliableDisk, length: usize) {
    let store = open_large(&disk);
    let blocks = blocks(0..2000, length);
    put(&store, &blocks).await;
    let kept: Vec<Block> = blocks.iter().step_by(10).cloned().collect();
    for block in &kept {
        pin(&store, *block.cid(), false).await;
    }
    let before = shared(&store).await.stat().disk_bytes;

    collect(&store).await;

    let after = shared(&store).await.stat().disk_bytes;
    assert!(after < before / 5, "{before} bytes before, {after} after");
    assert_eq!(missing(&store, &kept).await, 0);
    store.close().await.unwrap();
    let store = open_large(&disk.after_power_loss(|_| 0));
    for block in &kept {
        assert_eq!(store.block(block.cid()).await.unwrap().as_ref(), Some(block));
    }
}

#[tokio::test]
async fn a_full_disk_is_collected_and_takes_blocks_again() {
    let disk = UnreliableDisk::new();
    let store = Store(Arc::new(Tenure::new(
        PathBuf::from("/the/store"),
        OPTIONS,
        open_with(&disk, Options { segment_size: 200_000, reserve: 1024 * 1024, readers: 1, young: Duration::ZERO })
            .unwrap(),
    )));
    let kept = dag(0..50, 3000);
    put(&store, &kept).await;
    pin(&store, root(&kept), true).await;
    put(&store, &blocks(100..300, 3000)).await;
    disk.set_capacity(Some(disk.used() + 50_000));
    let mut number = 1000;
    let full = loop {
        let put = store.put(vec![block(number, 3000)]).await;
        let Err(error) = put.and(store.commit().await) else {
            number += 1;
            continue;
        };
        break error;
    };
    assert!(matches!(full, StoreError::Full { .. }), "{full}");
    disk.set_capacity(Some(disk.used()));

    let freed = collect(&store).await.freed;

    assert!(freed > 200 * 3000, "{freed}");
    assert_eq!(missing(&store, &kept).await, 0);
    put(&store, &blocks(2000..2100, 3000)).await;
    assert!(disk.names().contains(&"reserve".to_owned()), "and the reserve is there again");
}

#[tokio::test]
async fn a_store_with_a_limit_deletes_the_oldest_that_nothing_protects_before_it_exceeds_it() {
    let disk = UnreliableDisk::new();
    let store = open_small(&disk, Duration::ZERO);
    let kept = dag(0..20, 3000);
    put(&store, &kept).await;
    pin(&store, root(&kept), true).await;
    store.limit(2_000_000);
    for number in 0..100 {
        put(&store, &blocks(1000 + number * 10..1010 + number * 10, 3000)).await;
        let used = shared(&store).await.used().unwrap();
        // But for a page here and there.
        assert!(used <= 2_100_000, "{used}");
    }
    assert_eq!(missing(&store, &kept).await, 0);
    assert_eq!(missing(&store, &blocks(1000..1010, 3000)).await, 10, "the oldest goes");
    assert_eq!(missing(&store, &blocks(1900..2000, 3000)).await, 0, "and no more than must");
}

#[tokio::test]
async fn what_is_young_or_pinned_may_exceed_the_limit() {
    for young in [Duration::ZERO, Duration::from_secs(3600)] {
        let store = open_small(&UnreliableDisk::new(), young);
        store.limit(500_000);
        let kept = dag(0..300, 3000);
        if young.is_zero() {
            pin(&store, root(&kept), true).await;
        }
        for leaf in kept.iter().rev() {
            put(&store, std::slice::from_ref(leaf)).await;
        }
        assert_eq!(missing(&store, &kept).await, 0);
    }
}

fn open(disk: &UnreliableDisk) -> Store {
    Store(Arc::new(Tenure::new(PathBuf::from("/the/store"), OPTIONS, super::open(disk).unwrap())))
}

/// With segments of a hundred kilobytes, and what is young left alone.
fn open_small(disk: &UnreliableDisk, young: Duration) -> Store {
    let options = Options { segment_size: 100_000, young, ..OPTIONS };
    Store(Arc::new(Tenure::new(PathBuf::from("/the/store"), options.clone(), open_with(disk, options).unwrap())))
}

/// With segments of a megabyte.
fn open_large(disk: &UnreliableDisk) -> Store {
    let options = Options { segment_size: 1_000_000, ..OPTIONS };
    Store(Arc::new(Tenure::new(PathBuf::from("/the/store"), options.clone(), open_with(disk, options).unwrap())))
}

async fn shared(store: &Store) -> Arc<crate::store::Shared> {
    let place = store.0.place().await.unwrap();
    let crate::store::tenure::Place::Local(local) = &*place else { panic!("it is here") };
    local.shared().clone()
}

/// Leaves and, last, a root that leads to them.
fn dag(numbers: std::ops::Range<u32>, length: usize) -> Vec<Block> {
    let mut blocks = blocks(numbers, length);
    let links = blocks.iter().map(|leaf| Link { cid: *leaf.cid(), name: Bytes::new(), tsize: length as u64 });
    let node = Node { links: links.collect(), data: None };
    blocks.push(Block::new(DAG_PB, node.encode()));
    blocks
}

fn root(dag: &[Block]) -> Cid {
    *dag.last().unwrap().cid()
}

async fn put(store: &Store, blocks: &[Block]) {
    store.put(blocks.to_vec()).await.unwrap();
    store.commit().await.unwrap();
}

async fn pin(store: &Store, cid: Cid, recursive: bool) {
    let key = cid.hash().to_bytes();
    let root = Root { kind: RootKind::Pin, key, cid, recursive, name: None, expires: None };
    store.set_roots(vec![root]).await.unwrap();
}

async fn collect(store: &Store) -> Collected {
    store.collect(Extent::All).await.unwrap().finish().await.unwrap()
}

async fn missing(store: &Store, blocks: &[Block]) -> usize {
    let found = store.locate(blocks.iter().map(|block| *block.cid()).collect()).await.unwrap();
    found.iter().filter(|length| length.is_none()).count()
}
