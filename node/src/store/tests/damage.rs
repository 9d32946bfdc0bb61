//! What happens to bytes that were changed, and to files that went away.

use bytes::Bytes;
use cidra_content::block::{Block, RAW};

use super::{OPTIONS, UnreliableDisk, block, blocks, located, open, open_with};
use crate::store::record::{Head, Kind, SEGMENT_HEADER};
use crate::store::{OpenError, Options};

#[tokio::test]
async fn a_bad_record_leaves_the_index_is_counted_and_can_be_put_again() {
    let (disk, put) = written(10).await;
    disk.damage("00000001.segment", |bytes| bytes[600] ^= 1);
    let store = open(&disk).unwrap();
    store.set_complete(*put[0].cid()).await.unwrap();

    let mut bad = Vec::new();
    for block in &put {
        match store.load(block.cid()).await.unwrap() {
            Some(stored) => assert_eq!(&stored.data, block.data()),
            None => bad.push(block.clone()),
        }
    }
    assert_eq!(bad.len(), 1);
    assert_eq!(store.stat().bad_records, 1);
    // What is written next comes after.
    store.commit().await.unwrap();
    assert_eq!(located(&store, vec![*bad[0].cid()]).await, [None]);
    assert!(!store.is_complete(*put[0].cid()).await.unwrap());

    store.put(bad.clone()).await.unwrap();
    assert_eq!(store.block(bad[0].cid()).await.unwrap().as_ref(), Some(&bad[0]));
}

#[tokio::test]
async fn of_many_blocks_read_at_once_only_the_bad_and_the_absent_are_missing() {
    let (disk, put) = written(10).await;
    disk.damage("00000001.segment", |bytes| bytes[600] ^= 1);
    let store = open(&disk).unwrap();
    let asked: Vec<Block> = put.iter().rev().cloned().chain(blocks(700..702, 100)).collect();

    let read = store.read_blocks(asked.iter().map(|block| *block.cid()).collect()).await.unwrap().await;

    let read = read.unwrap().unwrap();
    assert_eq!(read.len(), 12);
    for (at, (asked, read)) in asked.iter().zip(read).enumerate() {
        let expected = Some(asked.clone()).filter(|_| ![8, 10, 11].contains(&at));
        assert_eq!(read, expected, "the block at {at}");
    }
    assert_eq!(store.stat().bad_records, 1);
}

#[tokio::test]
async fn a_block_that_is_named_often_is_read_once() {
    let (disk, put) = written(10).await;
    disk.damage("00000001.segment", |bytes| bytes[600] ^= 1);
    let store = open(&disk).unwrap();
    let asked: Vec<Block> = put.iter().chain(&put).chain(&put).cloned().collect();

    let read = store.read_blocks(asked.iter().map(|block| *block.cid()).collect()).await.unwrap().await;

    let read = read.unwrap().unwrap();
    let places = read.iter().map(|block| block.as_ref().map(|block| block.data().as_ptr()));
    let places: Vec<Option<*const u8>> = places.collect();
    assert!(places[..10] == places[10..20] && places[..10] == places[20..], "none is in memory twice");
    assert!(asked.iter().zip(&read).all(|(asked, read)| read.as_ref().is_none_or(|read| read == asked)));
    assert_eq!(read.iter().filter(|block| block.is_none()).count(), 3);
    assert_eq!(store.stat().bad_records, 1);
}

#[tokio::test]
async fn the_index_is_made_again_when_it_is_missing_or_broken() {
    let (disk, put) = written(60).await;
    let breakages: [&dyn Fn(&UnreliableDisk); 4] = [
        &|disk| disk.remove_file("index.redb"),
        &|disk| disk.damage("index.redb", |bytes| bytes.fill(0x55)),
        &|disk| disk.damage("index.redb", |bytes| bytes.truncate(5000)),
        &|disk| disk.damage("index.redb", |bytes| bytes.clear()),
    ];
    for (number, breakage) in breakages.into_iter().enumerate() {
        let disk = disk.after_kill();
        breakage(&disk);
        let store = open(&disk).unwrap_or_else(|error| panic!("breakage {number}: {error:?}"));
        for block in &put {
            assert_eq!(store.block(block.cid()).await.unwrap().as_ref(), Some(block), "breakage {number}");
        }
        assert_eq!(store.stat().blocks, 60, "breakage {number}");
        store.put(blocks(500..510, 100)).await.unwrap();
        store.close().await.unwrap();
        assert_eq!(open(&disk).unwrap().stat().blocks, 70, "breakage {number}");
    }
}

#[tokio::test]
async fn without_index_and_segments_no_root_is_complete() {
    let (disk, put) = written(10).await;
    let store = open(&disk).unwrap();
    store.set_complete(*put[0].cid()).await.unwrap();
    store.close().await.unwrap();
    for name in disk.names().iter().filter(|name| *name == "index.redb" || name.ends_with(".segment")) {
        disk.remove_file(name);
    }

    let store = open(&disk).unwrap();

    assert!(!store.is_complete(*put[0].cid()).await.unwrap());
    assert_eq!(store.stat().blocks, 0);
}

#[tokio::test]
async fn making_the_index_again_steps_over_damage() {
    let (disk, put) = written(10).await;
    disk.remove_file("index.redb");
    disk.damage("00000001.segment", |bytes| {
        bytes[600] ^= 1; // data of the second
        let third = SEGMENT_HEADER as usize + 2 * (500 + Head::size_for(&[0; 34]));
        bytes[third + 5] ^= 1; // head of the third
    });
    let store = open(&disk).unwrap();
    let found = located(&store, put.iter().map(|block| *block.cid()).collect()).await;
    let missing: Vec<usize> = (0..10).filter(|at| found[*at].is_none()).collect();
    assert_eq!(missing, [1, 2]);
    assert_eq!(store.stat().blocks, 8);
}

#[tokio::test]
async fn a_record_inside_a_block_is_not_taken_for_one() {
    let lie = block(7, 100);
    let mut inside = b"ahead".to_vec();
    Head::of(&lie.cid().hash().to_bytes(), b"a lie").encode(&mut inside);
    inside.extend_from_slice(b"a lie and more");
    let carrier = Block::new(RAW, Bytes::from(inside));
    let disk = UnreliableDisk::new();
    let store = open(&disk).unwrap();
    store.put(vec![carrier.clone(), block(8, 100)]).await.unwrap();
    store.close().await.unwrap();
    disk.remove_file("index.redb");
    disk.damage("00000001.segment", |bytes| bytes[SEGMENT_HEADER as usize] ^= 1);

    let store = open(&disk).unwrap();
    let cids = vec![*lie.cid(), *carrier.cid(), *block(8, 100).cid()];
    assert_eq!(located(&store, cids).await, [None, None, Some(100)]);
}

#[tokio::test]
async fn a_hole_is_stepped_over() {
    let (disk, put) = written(10).await;
    disk.remove_file("index.redb");
    disk.damage("00000001.segment", |bytes| {
        let size = 500 + Head::size_for(&[0; 34]);
        let mut head = Vec::new();
        let length = (3 * size - Head::size_for(&[])) as u32;
        Head { kind: Kind::Hole, multihash: Vec::new(), length, data_crc: 0 }.encode(&mut head);
        let start = SEGMENT_HEADER as usize + size;
        bytes[start..start + 3 * size].fill(0);
        bytes[start..start + head.len()].copy_from_slice(&head);
    });
    let store = open(&disk).unwrap();
    let found = located(&store, put.iter().map(|block| *block.cid()).collect()).await;
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        [1, 0, 0, 0, 1, 1, 1, 1, 1, 1].map(|there| there == 1)
    );
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_whole_records_behind_the_last_commit_are_kept() {
    let disk = UnreliableDisk::new();
    let store = open_with(&disk, Options { segment_size: 1_000_000, ..OPTIONS }).unwrap();
    store.put(blocks(0..5, 500)).await.unwrap();
    store.commit().await.unwrap();
    store.put(blocks(5..8, 500)).await.unwrap();
    let killed = disk.after_kill();
    killed.damage("00000001.segment", |bytes| bytes.truncate(bytes.len() - 100));
    drop(store);

    let store = open(&killed).unwrap();
    let cids = blocks(0..8, 500).iter().map(|block| *block.cid()).collect();
    let found = located(&store, cids).await;
    assert_eq!(found.iter().filter(|found| found.is_some()).count(), 7);
    store.put(blocks(7..12, 500)).await.unwrap();
    store.close().await.unwrap();
    let store = open(&killed).unwrap();
    for block in blocks(0..12, 500) {
        assert_eq!(store.block(block.cid()).await.unwrap(), Some(block));
    }
    assert_eq!(store.stat().bad_records, 0);
}

#[tokio::test]
async fn a_missing_segment_takes_only_its_own_blocks_away() {
    let (disk, put) = written(100).await;
    disk.remove_file("00000002.segment");
    let store = open(&disk).unwrap();
    let found = located(&store, put.iter().map(|block| *block.cid()).collect()).await;
    let missing = found.iter().filter(|found| found.is_none()).count();
    assert!((20..60).contains(&missing), "{missing}");
    assert_eq!(store.stat().blocks, (100 - missing) as u64);
    store.put(put.clone()).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(open(&disk).unwrap().stat().blocks, 100);
}

#[tokio::test]
async fn missing_roots_are_not_taken_for_none() {
    let (disk, _) = written(1).await;
    disk.remove_file("roots.redb");
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::RootsMissing { .. }), "{error:?}");
    assert!(error.to_string().contains("/the/store/roots.redb"), "{error}");
}

#[tokio::test]
async fn broken_roots_are_named() {
    let (disk, _) = written(1).await;
    disk.damage("roots.redb", |bytes| bytes.fill(0x55));
    let error = open(&disk).unwrap_err();
    assert!(error.to_string().contains("/the/store/roots.redb"), "{error:?}");
}

/// A disk with a closed store of `count` blocks of 500 bytes in segments of 20,000.
async fn written(count: u32) -> (UnreliableDisk, Vec<Block>) {
    let disk = UnreliableDisk::new();
    let store = open(&disk).unwrap();
    let put = blocks(0..count, 500);
    for block in &put {
        store.put(vec![block.clone()]).await.unwrap();
    }
    store.close().await.unwrap();
    (disk, put)
}
