//! Peers that speak Bitswap and not our own protocol.

use bytes::BytesMut;
use cidra_content::Block;
use cidra_content::block::RAW;
use cidra_content::exchange::Order;
use cidra_content::exchange::message::Kind;
use cidra_content::exchange::wire::bitswap::{Decoder, Dialect, Entry, Frame, Message, Wish, encode, heads};
use cidra_content::hash::{Expect, verify_many};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::SubstreamBox;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, TCP, config, delivered};
use crate::stranger::{BITSWAP, Stranger};

#[tokio::test(flavor = "multi_thread")]
async fn wants_and_blocks_go_both_ways_on_streams_of_their_own() {
    let alice = House::with(config(TCP)).await;
    let here = alice.keep(700_000).await;
    let there = Block::new(RAW, vec![9; 300_000].into());
    let mut kubo = Stranger::connect(alice.address().await, BITSWAP).await;
    let mut ears = Ears::of(&mut kubo);
    assert_eq!(ears.next().await, Heard::Message(Message { full: true, ..Message::default() }));

    let mut wants = kubo.open().await;
    write(&mut wants, &list(&[here.clone(), there.clone()])).await;
    // They come on streams of their own, in any order.
    let answers = [ears.next().await, ears.next().await];
    assert!(answers.contains(&Heard::Message(Message { dont_haves: vec![*there.cid()], ..Message::default() })));
    assert!(answers.contains(&Heard::Block(here)));

    let mut session = alice.network.open(*there.cid(), Order::Any, vec![]).await;
    session.want(vec![(*there.cid(), 0)]).await;
    let Heard::Message(message) = ears.next().await else { panic!("a block came, no want") };
    assert_eq!(message.entries[0].cid, *there.cid());
    let head = heads(&[(*there.cid(), there.data().len())], 0, Dialect::Presence).remove(0);
    let mut answers = kubo.open().await;
    write(&mut answers, &[&head[..], there.data()].concat()).await;
    delivered(&mut session).await;
    assert_eq!(alice.store.block(there.cid()).await.unwrap(), Some(there));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_100_mb_ends_its_stream_and_the_others_live() {
    let alice = House::with(config(TCP)).await;
    let here = alice.keep(1000).await;
    let mut kubo = Stranger::connect(alice.address().await, BITSWAP).await;
    let (mut sound, mut huge) = (kubo.open().await, kubo.open().await);

    write(&mut huge, &[0x80, 0xc2, 0xd7, 0x2f]).await;

    let mut byte = [0];
    let read = timeout(PATIENCE, huge.read(&mut byte)).await.expect("reset in time");
    assert!(!matches!(read, Ok(1..)), "it carries nothing");
    write(&mut sound, &list(std::slice::from_ref(&here))).await;
    let mut ears = Ears::of(&mut kubo);
    // Its first list, and the block.
    assert!([ears.next().await, ears.next().await].contains(&Heard::Block(here)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_block_of_no_bytes_is_asked_of_nobody() {
    let alice = House::with(config(TCP)).await;
    let empty = Block::new(RAW, vec![].into());
    alice.fetch(&[empty], vec![]).await;
}

/// A message that wants these.
fn list(blocks: &[Block]) -> BytesMut {
    let wish = Wish::Want(Kind::Block);
    let entry = |block: &Block| Entry { cid: *block.cid(), wish, priority: 1, send_dont_have: true };
    let mut out = BytesMut::new();
    let entries = blocks.iter().map(entry).collect();
    encode(&Message { entries, ..Message::default() }, Dialect::Presence, &mut out);
    out
}

async fn write(stream: &mut SubstreamBox, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}

/// What is said on whichever of its streams: nobody promises on which of them a block comes.
struct Ears(mpsc::Receiver<Heard>);

#[derive(Debug, PartialEq)]
enum Heard {
    Block(Block),
    Message(Message),
}

impl Ears {
    /// Listens on all streams that the other side opens.
    fn of(kubo: &mut Stranger) -> Self {
        let mut accepted = std::mem::replace(&mut kubo.accepted, mpsc::channel(1).1);
        let (sender, heard) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Some(stream) = accepted.recv().await {
                tokio::spawn(listen(stream, sender.clone()));
            }
        });
        Self(heard)
    }

    async fn next(&mut self) -> Heard {
        timeout(PATIENCE, self.0.recv()).await.expect("something comes").expect("the connection lives")
    }
}

/// Ends with the stream.
async fn listen(mut stream: SubstreamBox, sender: mpsc::Sender<Heard>) {
    let (mut decoder, mut held, mut block) = (Decoder::default(), vec![], vec![]);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        held.extend_from_slice(&buffer[..read]);
        let mut rest = &held[..];
        while let Some(frame) = decoder.decode(&mut rest).unwrap() {
            let heard = match frame {
                Frame::Data { data, .. } => {
                    block.extend_from_slice(data);
                    continue;
                }
                Frame::Message(message) => Heard::Message(message),
                Frame::Block(prefix) => {
                    let data = std::mem::take(&mut block).into();
                    Heard::Block(verify_many(vec![(Expect::Prefix(prefix), data)]).remove(0).unwrap())
                }
            };
            let _ = sender.send(heard).await; // the test is over
        }
        held = rest.to_vec();
    }
}
