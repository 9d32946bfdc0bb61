//! Blocks that are read out of files which belong to somebody else, and all that somebody else may do to them: never a wrong
//! byte, never a reader that waits.

#![cfg(unix)]

#[path = "references/growing.rs"]
mod growing;
#[path = "references/lost_index.rs"]
mod lost_index;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cidra_content::block::{Block, DAG_PB, RAW};
use cidra_content::unixfs::{FileImporter, Parameters, Wrapping};
use cidra_node::store::{
    Claim, Extent, Identity, InPlace, InPlaceError, Options, Part, Root, RootKind, Source, State, Store,
};
use tempfile::TempDir;

const LEAF: usize = 1000;

#[tokio::test]
async fn leaves_are_read_from_the_file_and_nothing_is_copied() {
    for wrapping in [Wrapping::Bare, Wrapping::Node] {
        let place = Place::new();
        let (store, file) = (place.store(), place.file("film", 10_500));
        let leaves = refer(&store, &file, wrapping).await;
        store.commit().await.unwrap();

        assert_eq!(leaves.len(), 11);
        assert_all_there(&store, &leaves).await;
        let stat = store.stat().await.unwrap();
        assert_eq!(stat.blocks, 11);
        assert_eq!(stat.bytes, leaves.iter().map(|leaf| leaf.data().len() as u64).sum::<u64>());
        assert_eq!((stat.segments, stat.disk_bytes), (0, 0));
        let listed = store.list(None, 100).await.unwrap();
        assert_eq!(listed.len(), 11);

        store.close().await.unwrap();
        assert_all_there(&place.store(), &leaves).await;
    }
}

#[tokio::test]
async fn an_edit_is_noticed_though_its_time_is_set_back() {
    let place = Place::new();
    let (store, file) = (place.store(), place.old_file("film", 5_000));
    let leaves = refer(&store, &file, Wrapping::Bare).await;
    store.commit().await.unwrap();
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    File::options().write(true).open(&file).unwrap().write_all_at(b"evil", 2_010).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(before).unwrap();

    assert_eq!(store.load(leaves[2].cid()).await.unwrap(), None);
    assert_eq!(store.block(leaves[2].cid()).await.unwrap(), None);
    store.commit().await.unwrap(); // the writer forgets in its turn
    assert_eq!(store.locate(vec![*leaves[0].cid()]).await.unwrap(), [None], "all of the file is forgotten");
    assert!(!store.is_complete(*leaves[0].cid()).await.unwrap());
}

#[tokio::test]
async fn whatever_takes_the_place_of_the_file_gives_no_byte_and_lets_nobody_wait() {
    type Replace = fn(&Path);
    let replacements: [(&str, Replace); 7] = [
        ("nothing", |_| {}),
        ("another file of the same length", |path| fs::write(path, [7; 5_000]).unwrap()),
        ("a shorter one", |path| fs::write(path, [7; 10]).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a symlink to the same bytes", |path| {
            let moved = path.with_file_name("elsewhere");
            fs::write(&moved, content(5_000)).unwrap();
            symlink(moved, path).unwrap();
        }),
        ("a pipe", |path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        }),
        ("a device", |path| symlink("/dev/zero", path).unwrap()),
    ];
    for (what, replace) in replacements {
        let place = Place::new();
        let (store, file) = (place.store(), place.file("film", 5_000));
        let leaves = refer(&store, &file, Wrapping::Bare).await;
        store.commit().await.unwrap();
        fs::remove_file(&file).unwrap();
        replace(&file);

        for leaf in &leaves {
            assert_eq!(soon(store.load(leaf.cid())).await.unwrap(), None, "{what}");
        }
        store.close().await.unwrap();
        let store = place.store();
        assert_eq!(soon(store.block(leaves[4].cid())).await.unwrap(), None, "{what}");
    }
}

#[tokio::test]
async fn a_file_that_is_truncated_while_it_is_read_gives_whole_leaves_or_none() {
    let place = Place::new();
    let (store, file) = (place.store(), place.file("film", 400_000));
    let leaves = refer(&store, &file, Wrapping::Node).await;
    store.commit().await.unwrap();
    let mut given = 0;
    for (turn, leaf) in leaves.iter().enumerate() {
        if turn == 100 {
            File::options().write(true).open(&file).unwrap().set_len(150_300).unwrap();
        }
        if let Some(stored) = store.load(leaf.cid()).await.unwrap() {
            assert_eq!(&stored.data, leaf.data());
            given += 1;
        }
    }

    assert_eq!(given, 100);
}

#[tokio::test]
async fn other_permissions_are_no_edit_and_a_moved_file_is_not_looked_for() {
    let place = Place::new();
    let (store, file) = (place.store(), place.file("film", 5_000));
    let leaves = refer(&store, &file, Wrapping::Bare).await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert_all_there(&store, &leaves).await;

    fs::rename(&file, file.with_file_name("moved")).unwrap();
    assert_eq!(store.load(leaves[0].cid()).await.unwrap(), None);
}

#[tokio::test]
async fn bytes_that_are_not_proved_are_hashed_when_read() {
    let place = Place::new();
    let (store, file) = (place.store(), place.file("film", 5_000));
    let leaves = refer(&store, &file, Wrapping::Bare).await;
    // An edit that leaves no trace, as on a file system with coarse times: the row says what the system says after it.
    File::options().write(true).open(&file).unwrap().write_all_at(b"evil", 10).unwrap();
    let identity = Identity::of(&fs::metadata(&file).unwrap()).unwrap();
    let state = State::Whole { identity, hashed: false };
    assert!(store.settle(file.clone(), Source { path: file, claim: Claim::Kept, state }).await.unwrap());

    assert_eq!(store.load(leaves[0].cid()).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_was_written_a_moment_ago_is_not_taken_for_hashed() {
    let place = Place::new();
    let young = in_place(&place.file("young", 5_000)).await;
    assert!(matches!(young.finish().await.unwrap().state, State::Whole { hashed: false, .. }));

    let mut future = in_place(&place.file("future", 5_000)).await;
    let path = place.dir.path().join("future");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(500))
        .unwrap();
    assert!(future.read(10).await.is_ok());
    assert!(matches!(future.finish().await, Err(InPlaceError::Changed { .. })));
}

#[tokio::test]
async fn only_regular_files_by_absolute_paths_are_referred_to() {
    let place = Place::new();
    let path = |name: &str| place.dir.path().join(name);
    symlink(place.file("real", 10), path("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();

    for name in ["link", "pipe", "."] {
        assert!(matches!(soon(InPlace::open(path(name))).await, Err(InPlaceError::NoFile { .. })), "{name}");
    }
    assert!(matches!(InPlace::open("real".into()).await, Err(InPlaceError::Relative { .. })));
    assert!(matches!(InPlace::open(path("absent")).await, Err(InPlaceError::Unreadable { .. })));
}

#[tokio::test]
async fn what_is_put_is_copied_whatever_file_it_is_in() {
    let place = Place::new();
    let (store, file) = (place.store(), place.file("film", 3_000));
    let leaves = refer(&store, &file, Wrapping::Bare).await;
    store.commit().await.unwrap();
    store.put(leaves.clone()).await.unwrap();
    store.commit().await.unwrap();
    assert_eq!(store.stat().await.unwrap().blocks, 3);
    fs::remove_file(&file).unwrap();
    assert_all_there(&store, &leaves).await;

    let again = refer(&store, &place.file("again", 3_000), Wrapping::Bare).await;
    assert_eq!(again, leaves);
    fs::remove_file(place.dir.path().join("again")).unwrap();
    assert_all_there(&store, &leaves).await;
}

#[tokio::test]
async fn a_borrowed_file_takes_nothing_from_a_kept_one_and_is_told_apart() {
    let place = Place::new();
    let store = place.store();
    let (kept, fetched) = (place.file("kept", 3_000), place.file("fetched", 5_000));
    let leaves = refer(&store, &kept, Wrapping::Bare).await;
    let source = Source { claim: Claim::Borrowed, ..in_place(&fetched).await.source() };
    let parts = parts(&content(5_000), Wrapping::Bare);
    store.refer(source, parts.iter().map(|(_, part)| *part).collect()).await.unwrap();

    let cids = parts.iter().map(|(leaf, _)| *leaf.cid()).collect();
    let located = store.look_up(cids).await.unwrap();
    assert_eq!(
        located.iter().map(|located| located.unwrap().is_borrowed).collect::<Vec<_>>(),
        [false, false, false, true, true]
    );
    fs::remove_file(&fetched).unwrap();
    assert_all_there(&store, &leaves).await;
    assert_eq!(store.load(parts[3].0.cid()).await.unwrap(), None);
}

#[tokio::test]
async fn a_collected_reference_leaves_the_file_alone_and_may_come_again() {
    let place = Place::new();
    let (store, file) = (place.store(), place.file("film", 3_000));
    let leaves = refer(&store, &file, Wrapping::Bare).await;
    store.commit().await.unwrap();
    let (kind, key, cid) = (RootKind::Pin, b"one".to_vec(), *leaves[0].cid());
    let pin = Root { kind, key, cid, recursive: true, name: None, expires: None };
    store.set_roots(vec![pin]).await.unwrap();
    assert_eq!(store.collect(Extent::All).await.unwrap().finish().await.unwrap().removed, 2);
    assert_all_there(&store, &leaves[..1]).await;
    store.remove_root(RootKind::Pin, b"one").await.unwrap();
    store.collect(Extent::All).await.unwrap().finish().await.unwrap();
    assert_eq!(store.stat().await.unwrap().blocks, 0);
    assert_eq!(fs::read(&file).unwrap(), content(3_000));
    refer(&store, &file, Wrapping::Bare).await;
    assert_all_there(&store, &leaves).await;
}

#[tokio::test]
async fn entries_of_a_forgotten_file_are_swept_out() {
    let place = Place::new();
    let (store, file) = (place.store(), place.file("film", 200_000));
    let leaves = refer(&store, &file, Wrapping::Bare).await;
    store.commit().await.unwrap();
    fs::write(&file, "other").unwrap();
    assert_eq!(store.load(leaves[0].cid()).await.unwrap(), None);
    store.close().await.unwrap();

    let store = place.store();
    let swept = async {
        while store.stat().await.unwrap().blocks > 0 {
            // Each command lets the writer sweep on.
            store.commit().await.unwrap();
        }
    };
    soon(swept).await;
}

#[tokio::test]
async fn an_index_of_another_layout_is_made_again() {
    let place = Place::new();
    let store = place.store();
    let block = Block::new(RAW, Bytes::from_static(b"kept"));
    store.put(vec![block.clone()]).await.unwrap();
    store.close().await.unwrap();
    let index = place.dir.path().join("store/index.redb");
    fs::remove_file(&index).unwrap();
    let other = redb::Database::create(&index).unwrap();
    let transaction = other.begin_write().unwrap();
    let blocks = redb::TableDefinition::<&[u8], [u8; 17]>::new("blocks");
    transaction.open_table(blocks).unwrap().insert(&b"key"[..], [1; 17]).unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("finished", 1).unwrap();
    transaction.commit().unwrap();
    drop(other);

    assert_eq!(place.store().block(block.cid()).await.unwrap(), Some(block));
}

/// A folder with a store in it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: TempDir::new().unwrap() }
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("store"), Options { reserve: 64 * 1024, ..Options::default() }).unwrap()
    }

    fn file(&self, name: &str, length: usize) -> PathBuf {
        let path = self.dir.path().canonicalize().unwrap().join(name);
        fs::write(&path, content(length)).unwrap();
        path
    }

    /// One that was written long ago.
    fn old_file(&self, name: &str, length: usize) -> PathBuf {
        let path = self.file(name, length);
        let long_ago = SystemTime::now() - Duration::from_secs(1_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        path
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / LEAF * 31 + place % 251) as u8).collect()
}

async fn in_place(path: &Path) -> InPlace {
    InPlace::open(path.to_owned()).await.unwrap()
}

/// The leaves of content and where they are.
fn parts(content: &[u8], wrapping: Wrapping) -> Vec<(Block, Part)> {
    let importer = FileImporter::new(Parameters::V0_2015);
    let part = |(turn, bytes): (usize, &[u8])| {
        let bytes = Bytes::copy_from_slice(bytes);
        let length = bytes.len() as u32;
        let block = match wrapping {
            Wrapping::Bare => Block::new(RAW, bytes),
            Wrapping::Node => Block::new(DAG_PB, importer.wrap_leaf(bytes)),
        };
        let part = Part { cid: *block.cid(), offset: (turn * LEAF) as u64, length, wrapping };
        (block, part)
    };
    content.chunks(LEAF).enumerate().map(part).collect()
}

async fn refer(store: &Store, path: &Path, wrapping: Wrapping) -> Vec<Block> {
    let mut file = in_place(path).await;
    let mut bytes = Vec::new();
    loop {
        let read = file.read(700).await.unwrap();
        if read.is_empty() {
            break;
        }
        bytes.extend_from_slice(&read);
    }
    let (leaves, parts): (Vec<Block>, Vec<Part>) = parts(&bytes, wrapping).into_iter().unzip();
    store.refer(file.source(), parts).await.unwrap();
    let settled = file.finish().await.unwrap();
    store.settle(path.to_owned(), settled).await.unwrap();
    leaves
}

async fn assert_all_there(store: &Store, leaves: &[Block]) {
    for leaf in leaves {
        let loaded = store.load(leaf.cid()).await.unwrap().expect("it is there");
        assert_eq!(&loaded.data, leaf.data());
        assert_eq!(store.block(leaf.cid()).await.unwrap().as_ref(), Some(leaf));
    }
}

/// Nobody waits for a pipe.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("nobody waits")
}
