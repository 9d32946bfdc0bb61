//! The store through its interface, on a real folder.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::block::{Block, DAG_PB, RAW};
use cidra_node::store::{Extent, OpenError, Options, Root, RootKind, Store};
use tempfile::TempDir;

#[tokio::test]
async fn a_block_is_readable_once_put_and_there_after_opening_again() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let blocks = blocks(0..100, 1000);
    store.put(blocks.clone()).await.unwrap();
    assert_eq!(store.load(blocks[3].cid()).await.unwrap().unwrap().data, blocks[3].data());
    store.close().await.unwrap();

    let store = open(dir.path());
    for block in &blocks {
        assert_eq!(store.block(block.cid()).await.unwrap().as_ref(), Some(block));
    }
    assert_eq!(store.stat().await.unwrap().blocks, 100);
    assert_eq!(store.stat().await.unwrap().bytes, 100_000);
}

#[tokio::test]
async fn any_version_and_codec_of_a_cid_finds_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let block = Block::new(DAG_PB, Bytes::from_static(b"\x0a\x02\x08\x01"));
    store.put(vec![block.clone()]).await.unwrap();

    for cid in [Cid::new_v0(*block.cid().hash()).unwrap(), Cid::new_v1(RAW, *block.cid().hash())] {
        let stored = store.load(&cid).await.unwrap().unwrap();
        assert_eq!((stored.cid, &stored.data), (cid, block.data()));
        assert_eq!(store.block(&cid).await.unwrap().unwrap().cid(), &cid);
    }
}

#[tokio::test]
async fn identity_cids_and_the_empty_block_need_not_be_put() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let identity = Cid::new_v1(RAW, Multihash::wrap(0, b"hello").unwrap());
    let empty = Block::new(RAW, Bytes::new());

    assert_eq!(&store.load(&identity).await.unwrap().unwrap().data[..], b"hello");
    assert_eq!(store.block(empty.cid()).await.unwrap(), Some(empty.clone()));
    assert_eq!(store.locate(vec![identity, *empty.cid()]).await.unwrap(), [Some(5), Some(0)]);
    store.put(vec![empty]).await.unwrap();
    store.commit().await.unwrap();
    assert_eq!(store.stat().await.unwrap().blocks, 0);
}

#[tokio::test]
async fn a_block_put_twice_is_kept_once() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let block = blocks(0..1, 5000);
    for _ in 0..3 {
        store.put([block.clone(), block.clone()].concat()).await.unwrap();
        store.commit().await.unwrap();
    }
    assert_eq!((store.stat().await.unwrap().blocks, store.stat().await.unwrap().bytes), (1, 5000));
    assert!(store.stat().await.unwrap().disk_bytes < 5200, "{:?}", store.stat().await.unwrap());
}

#[tokio::test]
async fn blocks_are_located_listed_and_removed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let (here, elsewhere) = (blocks(0..50, 10), blocks(50..51, 10));
    store.put(here.clone()).await.unwrap();
    assert_eq!(store.locate(vec![*here[7].cid(), *elsewhere[0].cid()]).await.unwrap(), [Some(10), None]);

    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(after, 7).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        listed.extend(page);
    }
    let mut expected: Vec<_> = here.iter().map(|block| (*block.cid().hash(), 10)).collect();
    expected.sort_by_key(|(hash, _)| hash.to_bytes());
    assert_eq!(listed, expected);

    assert_eq!(store.remove(vec![*here[7].cid(), *elsewhere[0].cid()]).await.unwrap(), [true, false]);
    assert_eq!(store.load(here[7].cid()).await.unwrap(), None);
    assert_eq!(store.stat().await.unwrap().blocks, 49);
    store.put(vec![here[7].clone()]).await.unwrap();
    assert!(store.load(here[7].cid()).await.unwrap().is_some());
}

#[tokio::test]
async fn segments_are_begun_when_one_is_full_and_deleted_when_all_in_them_is_gone() {
    let dir = TempDir::new().unwrap();
    let options = Options { segment_size: 10_000, ..small() };
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let blocks = blocks(0..40, 1000);
    store.put(blocks.clone()).await.unwrap();
    store.commit().await.unwrap();
    let segments = store.stat().await.unwrap().segments;
    assert!((5..=6).contains(&segments), "{segments}");
    assert!(store.stat().await.unwrap().disk_bytes <= segments * 10_000);

    store.remove(blocks[..30].iter().map(|block| *block.cid()).collect()).await.unwrap();
    store.close().await.unwrap();

    let store = Store::open(dir.path(), options).unwrap();
    let files = std::fs::read_dir(dir.path()).unwrap();
    let files = files.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".segment"));
    assert_eq!(files.count() as u64, store.stat().await.unwrap().segments);
    assert!(store.stat().await.unwrap().segments <= segments - 3, "{:?}", store.stat().await.unwrap());
    for block in &blocks[30..] {
        assert_eq!(store.block(block.cid()).await.unwrap().as_ref(), Some(block));
    }
}

#[tokio::test]
async fn a_segment_emptied_while_it_is_the_last_goes_too() {
    let dir = TempDir::new().unwrap();
    let options = Options { segment_size: 10_000, ..small() };
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let blocks = blocks(0..30, 1000);
    let cids = |range: std::ops::Range<usize>| blocks[range].iter().map(|block| *block.cid()).collect::<Vec<_>>();
    store.put(blocks[..5].to_vec()).await.unwrap();
    store.remove(cids(0..5)).await.unwrap();
    store.put(blocks[5..15].to_vec()).await.unwrap();
    store.remove(cids(5..15)).await.unwrap();
    store.put(blocks[15..].to_vec()).await.unwrap();
    store.close().await.unwrap();

    let store = Store::open(dir.path(), options).unwrap();
    assert!(store.stat().await.unwrap().segments <= 3, "{:?}", store.stat().await.unwrap());
    assert_eq!(store.stat().await.unwrap().blocks, 15);
}

#[tokio::test]
async fn roots_completeness_and_announcements_are_kept() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let cids: Vec<Cid> = blocks(0..3, 10).iter().map(|block| *block.cid()).collect();
    let past = SystemTime::now() - Duration::from_secs(5);
    let pin = root(RootKind::Pin, cids[0], None);
    let roots = vec![pin.clone(), root(RootKind::Watch, cids[1], None), root(RootKind::Pin, cids[2], Some(past))];
    store.set_roots(roots).await.unwrap();
    store.set_complete(cids[0]).await.unwrap();
    for cid in [cids[2], cids[1], cids[0], cids[2]] {
        store.queue_announcement(cid).await.unwrap();
    }
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    store.announced(cids[1], when).await.unwrap();
    store.close().await.unwrap();

    let store = open(dir.path());
    assert_eq!(store.roots(RootKind::Pin).await.unwrap(), std::slice::from_ref(&pin), "the other is expired");
    assert_eq!(store.root(RootKind::Pin, &pin.key).await.unwrap(), Some(pin.clone()));
    assert!(store.is_complete(cids[0]).await.unwrap());
    assert!(!store.is_complete(Cid::new_v0(*cids[0].hash()).unwrap()).await.unwrap(), "read as another codec");
    assert_eq!(store.announcements().await.unwrap(), [cids[2], cids[0]]);
    assert_eq!(store.announcement_times().await.unwrap(), [(cids[1], when)]);
    assert!(store.unannounce(cids[1]).await.unwrap());
    assert!(store.announcement_times().await.unwrap().is_empty());
    assert!(store.remove_root(RootKind::Pin, &pin.key).await.unwrap());
    assert!(!store.remove_root(RootKind::Pin, &pin.key).await.unwrap());
    assert!(store.roots(RootKind::Pin).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_of_roots_have_a_limit() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let named = |length| Root { key: vec![1; length], ..root(RootKind::Pin, *blocks(0..1, 1)[0].cid(), None) };
    store.set_roots(vec![named(Root::NAME_MAX)]).await.unwrap();
    store.set_roots(vec![named(Root::NAME_MAX + 1)]).await.unwrap_err();
}

#[tokio::test]
async fn no_dag_is_complete_after_a_block_was_removed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let blocks = blocks(0..2, 10);
    store.put(blocks.clone()).await.unwrap();
    store.set_complete(*blocks[0].cid()).await.unwrap();
    store.remove(vec![*blocks[1].cid()]).await.unwrap();
    assert!(!store.is_complete(*blocks[0].cid()).await.unwrap());
}

#[tokio::test]
async fn collection_spares_what_was_put_since_it_began_and_what_leases_hold() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let blocks = blocks(0..4, 10);
    let all: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    store.put(blocks[..2].to_vec()).await.unwrap();
    store.commit().await.unwrap();

    // Put before, put again, put for the first time.
    let collection = store.collect(Extent::All).await.unwrap();
    store.put(vec![blocks[1].clone(), blocks[2].clone()]).await.unwrap();
    assert_eq!(collection.finish().await.unwrap().removed, 1);
    assert_eq!(here(&store, &all).await, [false, true, true, false]);

    let lease = store.lease().await;
    store.put(vec![blocks[3].clone(), blocks[2].clone()]).await.unwrap();
    assert_eq!(store.collect(Extent::All).await.unwrap().finish().await.unwrap().removed, 1);
    assert_eq!(here(&store, &all).await, [false, false, true, true]);

    drop(lease);
    store.collect(Extent::All).await.unwrap().finish().await.unwrap();
    assert_eq!(here(&store, &all).await, [false; 4]);
}

async fn here(store: &Store, cids: &[Cid]) -> Vec<bool> {
    store.glance(cids.to_vec()).await.unwrap().into_iter().map(|length| length.is_some()).collect()
}

#[tokio::test]
async fn a_lease_is_a_root_until_it_is_dropped() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let cid = *blocks(0..1, 10)[0].cid();
    let lease = store.lease().await;
    lease.protect(cid).await.unwrap();

    let roots = store.roots(RootKind::Lease).await.unwrap();
    assert_eq!(roots.iter().map(|root| (root.cid, root.recursive)).collect::<Vec<_>>(), [(cid, true)]);
    assert!(roots[0].expires.unwrap() > SystemTime::now());

    drop(lease);
    store.queue_announcement(cid).await.unwrap();
    assert!(store.roots(RootKind::Lease).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_killed_lease_protected_stays_a_root_for_a_while() {
    let (dir, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = open(dir.path());
    let cid = *blocks(0..1, 10)[0].cid();
    let lease = store.lease().await;
    lease.protect(cid).await.unwrap();
    store.queue_announcement(cid).await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }

    assert_eq!(open(copy.path()).roots(RootKind::Lease).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_with_the_version_named() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).close().await.unwrap();
    std::fs::write(dir.path().join("version"), "7\n").unwrap();

    let error = Store::open(dir.path(), small()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, .. }), "{error}");
    assert!(error.to_string().contains("layout 7"), "{error}");
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let other = store.clone();
    store.close().await.unwrap();
    assert_eq!(other.put(blocks(0..1, 10)).await.unwrap_err().to_string(), "the store is closed");
    assert!(other.load(blocks(0..1, 10)[0].cid()).await.is_err());
}

#[tokio::test]
async fn many_callers_put_and_commit_side_by_side() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let callers = (0..20u32).map(|caller| {
        let store = store.clone();
        async move {
            for round in 0..10 {
                let first = caller * 100 + round * 10;
                store.put(blocks(first..first + 10, 300)).await.unwrap();
                store.commit().await.unwrap();
            }
        }
    });
    futures::future::join_all(callers).await;
    assert_eq!((store.stat().await.unwrap().blocks, store.stat().await.unwrap().pending), (2000, 0));
}

fn open(dir: &Path) -> Store {
    Store::open(dir, small()).unwrap()
}

fn small() -> Options {
    Options { reserve: 1024 * 1024, ..Options::default() }
}

fn root(kind: RootKind, cid: Cid, expires: Option<SystemTime>) -> Root {
    Root { kind, key: cid.to_bytes(), cid, recursive: true, name: Some("a name".into()), expires }
}

fn blocks(numbers: std::ops::Range<u32>, length: usize) -> Vec<Block> {
    let data = |number: u32| Bytes::from(number.to_le_bytes().repeat(length.div_ceil(4))).slice(..length);
    numbers.map(|number| Block::new(RAW, data(number))).collect()
}
