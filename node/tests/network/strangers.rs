//! Peers that break the rules.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::house::{House, PATIENCE, TCP, config, until};
use crate::stranger::{NATIVE, Stranger};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_the_connection() {
    let alice = House::with(config(TCP)).await;
    let stranger = Stranger::connect(alice.address().await, NATIVE).await;
    let mut stream = stranger.open().await;

    stream.write_all(&[0x7f; 1000]).await.unwrap();
    stream.flush().await.unwrap();

    stranger.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_announced_with_100_mb_ends_the_connection_before_its_bytes() {
    let alice = House::with(config(TCP)).await;
    let stranger = Stranger::connect(alice.address().await, NATIVE).await;
    let mut stream = stranger.open().await;

    let want = [&[2u8][..], &100_000_000u32.to_be_bytes()].concat();
    stream.write_all(&want).await.unwrap();
    stream.flush().await.unwrap();

    stranger.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_limit_are_reset_and_the_others_live() {
    let alice = House::with(config(TCP)).await;
    let stranger = Stranger::connect(alice.address().await, NATIVE).await;
    let mut streams = vec![];
    for _ in 0..3 {
        streams.push(stranger.open().await);
    }

    let mut third = streams.pop().unwrap();
    let mut byte = [0];
    let read = timeout(PATIENCE, third.read(&mut byte)).await.expect("reset in time");
    assert!(!matches!(read, Ok(1..)), "the third stream carries nothing");
    for stream in &mut streams {
        let waits = timeout(Duration::from_millis(300), stream.read(&mut byte)).await;
        assert!(!matches!(waits, Ok(Ok(0) | Err(_))), "the first two are open");
    }
    assert_eq!(alice.network.peers().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_nobody_asked_for_are_not_kept() {
    let alice = House::with(config(TCP)).await;
    let block = cidra_content::Block::new(0x55, vec![1; 100].into());
    let stranger = Stranger::connect(alice.address().await, NATIVE).await;
    let mut stream = stranger.open().await;

    let cid = block.cid().to_bytes();
    let header = [&[1, 100, cid.len() as u8][..], &cid].concat();
    let header = [&[6][..], &(header.len() as u32).to_be_bytes(), &header].concat();
    let data = [&[0][..], &100u32.to_be_bytes(), block.data()].concat();
    stream.write_all(&[header, data].concat()).await.unwrap();
    stream.flush().await.unwrap();

    until(&alice.network, "it came", || async { alice.network.stats().await.exchange.bytes_wasted >= 100 }).await;
    assert_eq!(alice.store.locate(vec![*block.cid()]).await.unwrap(), [None]);
}
