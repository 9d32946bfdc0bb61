//! References when the index is lost.

use std::fs;

use cidra_content::block::Block;
use cidra_content::unixfs::Wrapping;
use cidra_node::store::{Claim, Part, Source, Store};

use super::{Place, assert_all_there, content, in_place, parts, refer};

#[tokio::test]
async fn it_is_made_again_with_the_places_in_files_that_were_kept() {
    for wrapping in [Wrapping::Bare, Wrapping::Node] {
        let place = Place::new();
        let store = place.store();
        let (film, song) = (place.file("film", 20_500), place.old_file("song", 1_200));
        let (leaves, others) = (refer(&store, &film, wrapping).await, refer(&store, &song, Wrapping::Bare).await);
        // Both in a file and in a segment.
        store.put(leaves[..2].to_vec()).await.unwrap();
        let before = close(store).await;

        let store = lose_index(&place);

        assert_eq!(store.stat().await.unwrap().blocks, before);
        assert_all_there(&store, &leaves).await;
        assert_all_there(&store, &others).await;
        fs::remove_file(&film).unwrap();
        assert_all_there(&store, &leaves[..2]).await;
        assert_eq!(store.load(leaves[2].cid()).await.unwrap(), None);
        assert_all_there(&store, &others).await;
    }
}

#[tokio::test]
async fn what_was_forgotten_or_fetched_does_not_come_back() {
    let place = Place::new();
    let store = place.store();
    let (film, fetched) = (place.file("film", 5_000), place.file("fetched", 9_000));
    let leaves = refer(&store, &film, Wrapping::Bare).await;
    store.commit().await.unwrap();
    fs::write(&film, "other").unwrap();
    assert_eq!(store.load(leaves[0].cid()).await.unwrap(), None);
    let borrowed = Source { claim: Claim::Borrowed, ..in_place(&fetched).await.source() };
    let (_, fetched): (Vec<Block>, Vec<Part>) = parts(&content(9_000), Wrapping::Bare).into_iter().unzip();
    store.refer(borrowed, fetched).await.unwrap();
    close(store).await;

    let store = lose_index(&place);

    assert_eq!(store.stat().await.unwrap().blocks, 0);
    // The same bytes in the same place are another file.
    fs::write(&film, content(5_000)).unwrap();
    assert_eq!(store.load(leaves[0].cid()).await.unwrap(), None);
    refer(&store, &film, Wrapping::Bare).await;
    assert_all_there(&store, &leaves).await;
}

#[tokio::test]
async fn an_edit_before_it_is_made_again_is_noticed_after_it() {
    let place = Place::new();
    let store = place.store();
    let film = place.old_file("film", 5_000);
    let leaves = refer(&store, &film, Wrapping::Bare).await;
    close(store).await;
    let mut edited = content(5_000);
    edited[4_321] ^= 1;
    fs::write(&film, &edited).unwrap();

    let store = lose_index(&place);

    for leaf in &leaves {
        assert_eq!(store.load(leaf.cid()).await.unwrap(), None);
    }
    store.commit().await.unwrap(); // the writer forgets in its turn
    let sources = store.sources_of(leaves.iter().map(|leaf| *leaf.cid()).collect()).await.unwrap();
    assert!(sources.iter().all(Option::is_none), "all of the file is forgotten");
}

/// Blocks that are there.
async fn close(store: Store) -> u64 {
    store.commit().await.unwrap();
    let blocks = store.stat().await.unwrap().blocks;
    store.close().await.unwrap();
    blocks
}

fn lose_index(place: &Place) -> Store {
    fs::remove_file(place.dir.path().join("store/index.redb")).unwrap();
    place.store()
}
