//! A full disk, a sync that fails, a folder that may only be read.

use cid::Cid;

use super::{OPTIONS, UnreliableDisk, blocks, located, open, open_with};
use crate::store::{Local, OpenError, Options, StoreError};

#[tokio::test]
async fn a_full_disk_is_named_loses_nothing_and_is_left_behind_when_there_is_room() {
    let disk = UnreliableDisk::new();
    let store = open(&disk).unwrap();
    let before = blocks(0..20, 1000);
    store.put(before.clone()).await.unwrap();
    store.commit().await.unwrap();

    disk.set_capacity(Some(disk.used() + 100_000));
    let more = blocks(100..1000, 1000);
    let mut accepted = Vec::new();
    let error = loop {
        let some = &more[accepted.len()..accepted.len() + 10];
        match store.put(some.to_vec()).await {
            Ok(()) => accepted.extend_from_slice(some),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("/the/store"), "{error}");
    assert!(accepted.len() >= 50, "{}", accepted.len());
    store.commit().await.unwrap();
    has_all(&store, &before).await;
    has_all(&store, &accepted).await;

    disk.set_capacity(None);
    store.put(more.clone()).await.unwrap();
    store.commit().await.unwrap();
    drop(store);
    let store = open(&disk.after_power_loss(|_| 0)).unwrap();
    has_all(&store, &before).await;
    has_all(&store, &more).await;
    assert_eq!(store.stat().bad_records, 0);
}

#[tokio::test]
async fn the_reserve_lets_a_commit_end_on_a_full_disk_and_comes_back() {
    let disk = UnreliableDisk::new();
    let store = open_with(&disk, Options { segment_size: 10_000_000, reserve: 1024 * 1024, ..OPTIONS }).unwrap();
    let put = blocks(0..3000, 100);
    store.put(put.clone()).await.unwrap();
    disk.set_capacity(Some(disk.used()));
    assert!(disk.names().contains(&"reserve".to_owned()));

    store.commit().await.unwrap();
    assert!(!disk.names().contains(&"reserve".to_owned()), "the index needed its room");
    assert!(matches!(store.put(blocks(5000..5001, 10)).await, Err(StoreError::Full { .. })));
    has_all(&store, &put).await;
    assert_eq!(store.remove(vec![*put[0].cid()]).await.unwrap(), [true], "collection goes on");

    disk.set_capacity(None);
    store.put(blocks(5000..5001, 10)).await.unwrap();
    assert!(disk.names().contains(&"reserve".to_owned()));
    drop(store);
    let store = open(&disk.after_power_loss(|_| 0)).unwrap();
    has_all(&store, &put[1..]).await;
}

#[tokio::test]
async fn a_commit_that_cannot_end_fails_and_ends_when_there_is_room() {
    let disk = UnreliableDisk::new();
    let store = open_with(&disk, Options { segment_size: 10_000_000, reserve: 0, ..OPTIONS }).unwrap();
    let put = blocks(0..3000, 100);
    store.put(put.clone()).await.unwrap();
    disk.set_capacity(Some(disk.used()));

    let error = store.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    has_all(&store, &put).await;
    disk.set_capacity(None);
    store.commit().await.unwrap();
    drop(store);
    has_all(&open(&disk.after_power_loss(|_| 0)).unwrap(), &put).await;
}

#[tokio::test]
async fn what_a_failed_sync_may_have_lost_is_written_again() {
    let disk = UnreliableDisk::new();
    let store = open(&disk).unwrap();
    let (first, second) = (blocks(0..20, 500), blocks(20..60, 500));
    store.put(first.clone()).await.unwrap();
    store.commit().await.unwrap();
    store.put(second.clone()).await.unwrap();
    disk.fail_next_sync();

    store.commit().await.unwrap();
    drop(store);
    let store = open(&disk.after_power_loss(|_| 0)).unwrap();
    has_all(&store, &first).await;
    has_all(&store, &second).await;
}

#[test]
fn a_folder_that_may_only_be_read_is_named() {
    let disk = UnreliableDisk::new();
    drop(open(&disk).unwrap());
    disk.forbid_writing();

    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains("/the/store"), "{error}");
}

#[test]
fn a_disk_that_is_full_from_the_start_is_named() {
    let disk = UnreliableDisk::new();
    disk.set_capacity(Some(8192));
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::Full { .. }), "{error:?}");
}

async fn has_all(store: &Local, blocks: &[cidra_content::block::Block]) {
    let missing: Vec<&Cid> = {
        let found = located(store, blocks.iter().map(|block| *block.cid()).collect()).await;
        blocks.iter().zip(found).filter(|(_, found)| found.is_none()).map(|(block, _)| block.cid()).collect()
    };
    assert!(missing.is_empty(), "{} of {} blocks are missing", missing.len(), blocks.len());
    for block in blocks {
        assert_eq!(store.block(block.cid()).await.unwrap().as_ref(), Some(block));
    }
}
