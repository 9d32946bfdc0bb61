//! A store that is closed lets go of its files, whoever still holds a handle.

use bytes::Bytes;
use cidra_content::Block;
use cidra_content::block::RAW;
use cidra_node::store::{Options, Store, StoreError};

#[tokio::test]
async fn handles_that_are_left_reach_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Block::new(RAW, Bytes::from("first")), Block::new(RAW, Bytes::from("second")));
    let left = Store::open(folder.path(), Options::default()).unwrap();
    left.put(vec![first.clone()]).await.unwrap();

    left.clone().close().await.unwrap();
    let next = Store::open(folder.path(), Options::default()).unwrap();
    next.put(vec![second.clone()]).await.unwrap();

    assert!(matches!(left.put(vec![second.clone()]).await, Err(StoreError::Closed)));
    assert!(matches!(left.locate(vec![*first.cid()]).await, Err(StoreError::Closed)));
    drop(left);
    next.close().await.unwrap();
    let last = Store::open(folder.path(), Options::default()).unwrap();
    let found = last.locate(vec![*first.cid(), *second.cid()]).await.unwrap();
    assert_eq!(found, [Some(5), Some(6)]);
}
