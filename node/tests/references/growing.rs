//! Files that are being written.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use cidra_content::block::Block;
use cidra_content::unixfs::Wrapping;
use cidra_node::store::{Claim, Identity, PART, Part, Source, State};

use super::{Place, assert_all_there, content, parts};

#[tokio::test]
async fn a_growing_file_is_found_with_and_without_its_ending() {
    let place = Place::new();
    let store = place.store();
    let (part_path, path) = (place.dir.path().join(format!("film{PART}")), place.dir.path().join("film"));
    let mut file = File::create(&part_path).unwrap();
    let (device, inode) = (file.metadata().unwrap().dev(), file.metadata().unwrap().ino());
    let source = Source { path: part_path.clone(), claim: Claim::Borrowed, state: State::Growing { device, inode } };
    let (leaves, parts): (Vec<Block>, Vec<Part>) = parts(&content(5_000), Wrapping::Bare).into_iter().unzip();
    file.write_all(&content(2_000)).unwrap();
    store.refer(source.clone(), parts[..2].to_vec()).await.unwrap();
    assert_all_there(&store, &leaves[..2]).await;
    file.write_all(&content(5_000)[2_000..]).unwrap();
    store.refer(source, parts[2..].to_vec()).await.unwrap();
    assert_all_there(&store, &leaves).await;

    fs::rename(&part_path, &path).unwrap();
    assert_all_there(&store, &leaves).await;
    store.close().await.unwrap();
    let store = place.store();
    assert_all_there(&store, &leaves).await;
    let identity = Identity::of(&fs::metadata(&path).unwrap()).unwrap();
    let settled =
        Source { path: path.clone(), claim: Claim::Borrowed, state: State::Whole { identity, hashed: false } };
    assert!(store.settle(part_path, settled).await.unwrap());
    assert_all_there(&store, &leaves).await;
    fs::write(&path, "other").unwrap();
    assert_eq!(store.load(leaves[0].cid()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_wrong_in_a_growing_file_is_that_block_alone() {
    let place = Place::new();
    let (store, path) = (place.store(), place.file("film", 5_000));
    let metadata = fs::metadata(&path).unwrap();
    let state = State::Growing { device: metadata.dev(), inode: metadata.ino() };
    let (leaves, parts): (Vec<Block>, Vec<Part>) = parts(&content(5_000), Wrapping::Bare).into_iter().unzip();
    store.refer(Source { path: path.clone(), claim: Claim::Borrowed, state }, parts).await.unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(b"evil", 1_500).unwrap();

    assert_eq!(store.load(leaves[1].cid()).await.unwrap(), None);
    store.commit().await.unwrap();
    assert_eq!(store.locate(vec![*leaves[1].cid()]).await.unwrap(), [None]);
    assert_all_there(&store, &[&leaves[..1], &leaves[2..]].concat()).await;
}
