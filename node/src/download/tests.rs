//! Downloads for which nobody is asked.

use bytes::Bytes;
use cidra_content::block::RAW;
use cidra_content::fetch::Selector;
use cidra_content::unixfs::{FileImporter, Leaf, Parameters};
use cidra_content::{Block, Multihash};

use super::*;
use crate::add::{Entry, ImportOptions, Pin};
use crate::node::Settings;
use crate::repository::{Opening, Repository};

#[tokio::test]
async fn a_block_whose_hash_cannot_be_checked_is_asked_of_nobody() {
    const MD5: u64 = 0xd5;
    let cid = Cid::new_v1(RAW, Multihash::wrap(MD5, &[7; 16]).unwrap());
    let (node, _folder) = node();

    let downloaded = node.download(cid, Selector::Dag, FetchOptions::default()).complete().await;
    let fetched = node.block(&cid, &FetchOptions::default()).await;

    for error in [downloaded.unwrap_err(), fetched.unwrap_err()] {
        assert!(matches!(error, FetchError::UnsupportedHash { code: MD5, .. }), "{error}");
    }
    assert!(node.running_network().is_none());
}

#[tokio::test]
async fn what_is_not_here_is_named_when_nobody_may_be_asked() {
    let cid: Cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e".parse().unwrap();
    let (node, _folder) = node();
    let offline = FetchOptions { offline: true, ..FetchOptions::default() };

    let error = node.download(cid, Selector::Dag, offline).complete().await.unwrap_err();

    assert!(error.is_absence() && error.to_string().contains(&cid.to_string()), "{error}");
}

#[tokio::test]
async fn dropping_a_wait_loses_no_piece() {
    let (node, _folder) = node();
    let mut import = node.import(options()).await.unwrap();
    import.entry(b"d", Entry::Directory).await.unwrap();
    for number in 0..700u32 {
        import.entry(format!("d/{number:03}").as_bytes(), Entry::File).await.unwrap();
        import.data(number.to_le_bytes().repeat(1 + number as usize).into()).await.unwrap();
    }
    import.entry(b"d/large", Entry::File).await.unwrap();
    import.data(vec![7; 5 << 20].into()).await.unwrap();
    let root = import.finish().await.unwrap().pop().unwrap();
    let mut download = node.download(root.cid, Selector::Entity { range: None }, FetchOptions::default());

    let (mut found, mut waits) = (vec![], 0);
    loop {
        let Some(event) = impatient_next(&mut download, &mut waits).await else { break };
        match event.unwrap() {
            DownloadEvent::File { path, size, .. } => found.push((path, size, vec![])),
            DownloadEvent::Bytes(bytes) => found.last_mut().unwrap().2.extend_from_slice(&bytes),
            DownloadEvent::Directory { .. } | DownloadEvent::State(_) => {}
            DownloadEvent::Placed { .. } | DownloadEvent::Symlink { .. } => panic!("there is none"),
        }
    }

    assert!(waits > 5, "{waits} waits were dropped");
    assert_eq!(found.len(), 701);
    for (number, (path, size, bytes)) in found.iter().take(700).enumerate() {
        assert_eq!(path[..], [Bytes::from(format!("{number:03}"))]);
        assert_eq!(*bytes, (number as u32).to_le_bytes().repeat(1 + number));
        assert_eq!(*size, bytes.len() as u64);
    }
    assert_eq!(found[700].2, vec![7; 5 << 20]);
}

#[tokio::test]
async fn dropping_a_wait_loses_nothing_that_is_placed() {
    let (node, folder) = node();
    // Leaves that repeat themselves are read out of the store when their turn comes.
    let content: Vec<u8> = (0..24u8).flat_map(|number| vec![number / 3; 1 << 20]).collect();
    let mut import = node.import(options()).await.unwrap();
    import.entry(b"large", Entry::File).await.unwrap();
    import.data(content.clone().into()).await.unwrap();
    let root = import.finish().await.unwrap().pop().unwrap();
    let path = folder.path().join("large.cidra-part");
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let selector = Selector::Entity { range: None };
    let mut download = node.download(root.cid, selector, FetchOptions::default()).in_place();

    let (mut file, mut placed, mut waits) = (Some(file), None, 0);
    loop {
        let Some(event) = impatient_next(&mut download, &mut waits).await else { break };
        match event.unwrap() {
            DownloadEvent::File { size, .. } => {
                assert!(download.place(file.take().expect("it is one"), path.clone(), size).unwrap());
            }
            DownloadEvent::Placed { size } => placed = Some(size),
            DownloadEvent::State(_) => {}
            _ => panic!("it is one file, and placed"),
        }
    }

    assert!(waits > 5, "{waits} waits were dropped");
    assert_eq!(placed, Some(content.len() as u64));
    assert!(std::fs::read(path).unwrap() == content);
}

#[tokio::test]
async fn in_any_order_what_comes_last_is_there_before_what_comes_first() {
    let leaf = |data: Vec<u8>| Block::new(RAW, data.into());
    let (absent, repeated, last) = (leaf(vec![1]), leaf(vec![2; 1 << 20]), leaf(vec![3]));
    let mut importer = FileImporter::new(Parameters::default());
    for leaf in std::iter::once(&absent).chain([&repeated; 70]).chain([&last]) {
        let size = leaf.data().len() as u64;
        importer.push(Leaf { cid: *leaf.cid(), tsize: size, size });
    }
    let (nodes, root) = importer.finish();

    for (order, here) in [(Order::Any, 3), (Order::Priority, 2)] {
        let (node, _folder) = node();
        node.store().put([&nodes[..], &[repeated.clone(), last.clone()]].concat()).await.unwrap();
        let options = FetchOptions { order, timeout: Some(Duration::from_millis(1)), ..FetchOptions::default() };
        let mut download = node.download(root.cid, Selector::Entity { range: None }, options);

        while let Some(Ok(_)) = download.next().await {}

        assert_eq!(download.state().await.progress.blocks, here, "{order:?}");
    }
}

/// The next event, by waits that are dropped and counted: each waits a little longer than the one before, so that one of them
/// is long enough however busy the machine is.
async fn impatient_next(download: &mut Download, waits: &mut u32) -> Option<Result<DownloadEvent, FetchError>> {
    let mut patience = 1;
    loop {
        let patient = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            event = download.next() => return event,
            () = patient => *waits += 1,
        }
        patience *= 2;
    }
}

fn options() -> ImportOptions {
    ImportOptions {
        parameters: Parameters::default(),
        only_hash: false,
        pin: Pin::No,
        wrap: None,
        empty_folders: true,
        revisits: false,
    }
}

fn node() -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let Opening::Held(repository) = Repository::open(folder.path()).unwrap() else { panic!("it is ours alone") };
    (Node::open(repository, Settings { bootstrap: Some(vec![]), ..Settings::default() }).unwrap(), folder)
}
