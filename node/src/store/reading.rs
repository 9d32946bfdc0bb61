//! Many blocks at once: queued where they are asked for, read and hashed while whoever asked does something else.

use std::pin::Pin;
use std::task::{Context, Poll};

use cid::Cid;
use cidra_content::block::Block;

use super::local::Coming;
use super::tenure::Place;
use super::{Store, StoreError};

/// Blocks that are being read, in the order in which they were named; `None` for those that are not here or not whole.
///
/// It holds nothing of the store, which may be handed over or closed meanwhile. Dropped, what is not read yet is not.
#[derive(Debug)]
pub struct Reading(State);

type Blocks = Result<Vec<Option<Block>>, StoreError>;

#[derive(Debug)]
enum State {
    Coming(Coming<Vec<Option<Block>>>),
    Here(Option<Blocks>),
}

impl Store {
    /// Begin to read blocks, as [`block`](Self::block) does. One reader thread reads all of them: whoever wants two to do it
    /// asks twice. All of them are in memory at a time.
    pub async fn read_blocks(&self, cids: Vec<Cid>) -> Result<Reading, StoreError> {
        match &*self.0.place().await? {
            Place::Local(store) => Ok(Reading(State::Coming(store.read_blocks(cids).await?))),
            Place::Remote(store) => {
                let mut blocks = Vec::with_capacity(cids.len());
                for cid in cids {
                    blocks.push(match Block::inline(cid) {
                        Some(block) => Some(block),
                        None => store.block(&cid).await?,
                    });
                }
                Ok(Reading(State::Here(Some(Ok(blocks)))))
            }
        }
    }
}

impl Future for Reading {
    type Output = Blocks;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Blocks> {
        match &mut self.0 {
            State::Coming(answer) => Pin::new(answer).poll(context).map(|read| read.unwrap_or(Err(StoreError::Closed))),
            State::Here(blocks) => Poll::Ready(blocks.take().expect("a future is not polled after its end")),
        }
    }
}
