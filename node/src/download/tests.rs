//! Downloads that end before anybody is asked.

use cidra_content::Multihash;
use cidra_content::block::RAW;
use cidra_content::fetch::Selector;

use super::*;
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

fn node() -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let Opening::Held(repository) = Repository::open(folder.path()).unwrap() else { panic!("it is ours alone") };
    (Node::open(repository, Settings::default()).unwrap(), folder)
}
