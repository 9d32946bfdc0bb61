//! Pieces of the content that are read before their turn: the store's threads work while what came before is handed on.
//!
//! A piece keeps all of its block in memory, however little of it is put out, so that is what is counted. In a crowd of downloads
//! nothing is read ahead, and a piece is a copy of a part of its block.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use cidra_content::Block;
use cidra_content::fetch::{Fetch, Output};

use super::crowd::{Crowd, PIECE, Room, Seat};
use super::event::event;
use super::{DownloadEvent, FetchError};
use crate::store::{Reading, Store, StoreError};

/// Batches of pieces, in the order of the content.
#[derive(Debug)]
pub(super) struct Ahead {
    seat: Seat,
    /// What is left of an output that is given in pieces.
    rest: Option<Output>,
    /// Taken from the machine, and not asked for yet.
    taken: Vec<Output>,
    reading: VecDeque<Batch>,
    /// What comes after all that was given.
    failed: Option<FetchError>,
}

#[derive(Debug)]
struct Batch {
    pieces: Vec<Output>,
    blocks: Blocks,
    /// What is given is copied, and the blocks are let go.
    is_copied: bool,
}

/// The blocks of a batch.
#[derive(Debug)]
enum Blocks {
    Here(Block),
    Coming(Reading),
}

impl Ahead {
    pub(super) fn new(crowd: &Arc<Crowd>) -> Self {
        Self { seat: Seat::take(crowd), rest: None, taken: vec![], reading: VecDeque::new(), failed: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.taken.is_empty() && self.reading.is_empty() && self.failed.is_none()
    }

    /// Begins to read what is ready, as far as there is room. Cancel safe.
    pub(super) async fn fill(&mut self, fetch: &mut Fetch, store: &Store) -> Result<(), StoreError> {
        let most = match self.seat.room(BATCHES) {
            Room::Batches(most) => most,
            Room::Piece => return self.fill_piece(fetch, store).await,
        };
        while self.reading.len() < most {
            let mut bytes = length(&self.taken);
            while self.taken.len() < BATCH_PIECES && bytes < BATCH_BYTES {
                let Some(output) = self.rest.take().or_else(|| fetch.poll_output()) else { break };
                bytes += length(std::slice::from_ref(&output));
                self.taken.push(output);
            }
            if self.taken.is_empty() {
                return Ok(());
            }
            let reading = store.read_blocks(self.taken.iter().filter_map(leaf).collect()).await?;
            let pieces = std::mem::take(&mut self.taken);
            self.reading.push_back(Batch { pieces, blocks: Blocks::Coming(reading), is_copied: false });
        }
        Ok(())
    }

    /// Begins to read the next piece, where there is nothing else.
    async fn fill_piece(&mut self, fetch: &mut Fetch, store: &Store) -> Result<(), StoreError> {
        if !self.reading.is_empty() {
            return Ok(());
        }
        if self.taken.is_empty() {
            let Some(output) = self.rest.take().or_else(|| fetch.poll_output()) else { return Ok(()) };
            let (first, rest) = cut(output);
            self.taken.push(first);
            self.rest = rest;
        }
        let leaves: Vec<Cid> = self.taken.iter().filter_map(leaf).collect();
        let blocks = match leaves[..] {
            [only] if let Some(block) = self.seat.leaf(&only) => Blocks::Here(block),
            _ => Blocks::Coming(store.read_blocks(leaves).await?),
        };
        self.reading.push_back(Batch { pieces: std::mem::take(&mut self.taken), blocks, is_copied: true });
        Ok(())
    }

    /// The next batch, once it is read, as far as it is whole: why not all of it is comes with the next call. Nothing where
    /// nothing is being read. Cancel safe: it waits for nothing but the batch.
    pub(super) async fn next(&mut self) -> Result<Vec<DownloadEvent>, FetchError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(Batch { blocks, .. }) = self.reading.front_mut() else { return Ok(vec![]) };
        let blocks = match blocks {
            Blocks::Here(block) => vec![Some(block.clone())],
            Blocks::Coming(reading) => reading.await?,
        };
        let mut blocks = blocks.into_iter();
        let Batch { pieces, is_copied, .. } = self.reading.pop_front().expect("it was in front");
        let mut events = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let cid = leaf(&piece);
            let block = cid.and_then(|_| blocks.next().flatten());
            self.failed = match (event(piece, block.as_ref()), cid) {
                (Err(error), _) => Some(error.into()),
                (Ok(None), cid) => cid.map(|cid| FetchError::NotHere { cid }),
                (Ok(Some(event)), _) => {
                    events.push(if is_copied { copied(event) } else { event });
                    if let Some(block) = block.filter(|_| is_copied && self.rest.is_some()) {
                        self.seat.share(block);
                    }
                    continue;
                }
            };
            break;
        }
        Ok(events)
    }
}

/// Batches being read.
const BATCHES: usize = 4;
/// Pieces of one batch.
const BATCH_PIECES: usize = 256;
/// Bytes of the blocks of one batch; the last of them may go beyond it.
const BATCH_BYTES: u64 = 256 << 10;

fn length(pieces: &[Output]) -> u64 {
    let bytes = |output: &Output| if let Output::Bytes { block, .. } = output { *block } else { 0 };
    pieces.iter().map(bytes).sum()
}

/// As much of an output as is given at a time in a crowd, and the rest.
fn cut(output: Output) -> (Output, Option<Output>) {
    match output {
        Output::Bytes { cid, skip, len, block } if len > PIECE => {
            let rest = Output::Bytes { cid, skip: skip + PIECE, len: len - PIECE, block };
            (Output::Bytes { cid, skip, len: PIECE, block }, Some(rest))
        }
        output => (output, None),
    }
}

fn copied(event: DownloadEvent) -> DownloadEvent {
    match event {
        DownloadEvent::Bytes(bytes) => DownloadEvent::Bytes(Bytes::copy_from_slice(&bytes)),
        event => event,
    }
}

fn leaf(output: &Output) -> Option<Cid> {
    if let Output::Bytes { cid, .. } = output { Some(*cid) } else { None }
}

#[cfg(test)]
mod tests {
    use cidra_content::block::{DAG_PB, MAX_BLOCK_SIZE, RAW};
    use cidra_content::dag_pb::{self, Link};
    use cidra_content::fetch::{Limits, Selector};
    use cidra_content::unixfs::{Message, Type};

    use super::*;
    use crate::store::Options;

    #[tokio::test]
    async fn small_parts_of_large_blocks_count_as_the_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Options::default()).unwrap();
        let (root, parts) = file_of_wide_parts(40);
        store.put(parts.clone()).await.unwrap();
        let mut fetch = Fetch::new(*root.cid(), Selector::Entity { range: None }, Limits::default());
        fetch.poll_want().unwrap();
        fetch.handle_block(&root).unwrap();
        while let Some(want) = fetch.poll_want() {
            fetch.handle_block(parts.iter().find(|part| *part.cid() == want.cid).unwrap()).unwrap();
        }
        let mut ahead = Ahead::new(&Arc::default());

        ahead.fill(&mut fetch, &store).await.unwrap();

        assert_eq!(ahead.reading.len(), BATCHES);
        for batch in &ahead.reading {
            let bytes = length(&batch.pieces);
            assert!(bytes < BATCH_BYTES + MAX_BLOCK_SIZE as u64, "blocks of {bytes} bytes in a batch");
        }
        assert!(!fetch.is_done());
    }

    #[tokio::test]
    async fn in_a_crowd_a_leaf_is_given_in_copies_and_nothing_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Options::default()).unwrap();
        let content: Vec<u8> = (0..100_000u32).map(|at| (at / 7) as u8).collect();
        let leaf = Block::new(RAW, content.clone().into());
        store.put(vec![leaf.clone()]).await.unwrap();
        let crowd = Arc::default();
        let _others: Vec<Seat> = (0..1000).map(|_| Seat::take(&crowd)).collect();
        let mut fetch = Fetch::new(*leaf.cid(), Selector::Entity { range: None }, Limits::default());
        fetch.poll_want().unwrap();
        fetch.handle_leaf(leaf.cid(), content.len() as u64).unwrap();
        let mut ahead = Ahead::new(&crowd);
        let mut given = vec![];

        loop {
            ahead.fill(&mut fetch, &store).await.unwrap();
            if ahead.is_empty() {
                break;
            }
            assert!(ahead.reading.len() <= 1);
            for event in ahead.next().await.unwrap() {
                if let DownloadEvent::Bytes(bytes) = event {
                    assert!(bytes.len() as u64 <= PIECE && bytes.is_unique());
                    given.extend_from_slice(&bytes);
                }
            }
        }

        assert!(fetch.is_done() && given == content);
    }

    #[tokio::test]
    async fn what_comes_before_a_bad_piece_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Options::default()).unwrap();
        let leaf = |byte: u8| Block::new(RAW, vec![byte].into());
        let link = |byte| Link { cid: *leaf(byte).cid(), name: Bytes::new(), tsize: 0 };
        let root = node((0..9).map(link).collect(), Message { block_sizes: vec![1; 9], ..file(9) });
        store.put((0..9).filter(|byte| *byte != 5).map(leaf).collect()).await.unwrap();
        let mut fetch = Fetch::new(*root.cid(), Selector::Entity { range: None }, Limits::default());
        fetch.poll_want().unwrap();
        fetch.handle_block(&root).unwrap();
        while let Some(want) = fetch.poll_want() {
            fetch.handle_leaf(&want.cid, 1).unwrap();
        }
        let mut ahead = Ahead::new(&Arc::default());
        ahead.fill(&mut fetch, &store).await.unwrap();

        let good = ahead.next().await.unwrap();

        let bytes = (0..5).map(|byte| DownloadEvent::Bytes(vec![byte].into()));
        assert!(matches!(good[0], DownloadEvent::File { size: 9, .. }));
        assert_eq!(good[1..], bytes.collect::<Vec<_>>());
        assert!(!ahead.is_empty());
        let error = ahead.next().await.unwrap_err();
        assert!(matches!(error, FetchError::NotHere { cid } if cid == *leaf(5).cid()), "{error}");
    }

    /// A file of so many bytes, each in a block of 400 kB.
    fn file_of_wide_parts(count: u8) -> (Block, Vec<Block>) {
        let part = |byte: u8| {
            let empty = Link { cid: Cid::default(), name: vec![byte; 400_000].into(), tsize: 0 };
            node(vec![empty], Message { data: Some(vec![byte].into()), block_sizes: vec![0], ..file(1) })
        };
        let parts: Vec<Block> = (0..count).map(part).collect();
        let links = parts.iter().map(|part| Link { cid: *part.cid(), name: Bytes::new(), tsize: 0 }).collect();
        let root = node(links, Message { block_sizes: vec![1; count.into()], ..file(count.into()) });
        (root, parts)
    }

    fn file(size: u64) -> Message {
        Message { file_size: Some(size), ..Message::new(Type::File) }
    }

    fn node(links: Vec<Link>, message: Message) -> Block {
        Block::new(DAG_PB, dag_pb::Node { links, data: Some(message.encode()) }.encode())
    }
}
