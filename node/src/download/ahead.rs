//! Pieces of the content that are read before their turn: the store's threads work while what came before is handed on.

use std::collections::VecDeque;

use cid::Cid;
use cidra_content::fetch::{Fetch, Output};

use super::event::{event, part};
use super::{DownloadEvent, FetchError};
use crate::node::Node;
use crate::store::{Reading, Store, StoreError};

/// Batches of pieces, in the order of the content.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Taken from the machine, and not asked for yet.
    taken: Vec<Output>,
    reading: VecDeque<Batch>,
}

#[derive(Debug)]
struct Batch {
    pieces: Vec<Output>,
    reading: Reading,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.reading.is_empty()
    }

    /// Begins to read what is ready, as far as there is room. Cancel safe.
    pub(super) async fn fill(&mut self, fetch: &mut Fetch, store: &Store) -> Result<(), StoreError> {
        while self.reading.len() < BATCHES {
            let mut bytes = length(&self.taken);
            while self.taken.len() < BATCH_PIECES && bytes < BATCH_BYTES {
                let Some(output) = fetch.poll_output() else { break };
                bytes += length(std::slice::from_ref(&output));
                self.taken.push(output);
            }
            if self.taken.is_empty() {
                return Ok(());
            }
            let reading = store.read_blocks(self.taken.iter().filter_map(leaf).collect()).await?;
            self.reading.push_back(Batch { pieces: std::mem::take(&mut self.taken), reading });
        }
        Ok(())
    }

    /// The next batch, once it is read; nothing where nothing is being read. Cancel safe: it waits for nothing but the batch.
    pub(super) async fn next(&mut self, node: &Node) -> Result<Vec<DownloadEvent>, FetchError> {
        let Some(Batch { reading, .. }) = self.reading.front_mut() else { return Ok(vec![]) };
        let mut blocks = reading.await?.into_iter();
        let Batch { pieces, .. } = self.reading.pop_front().expect("it was in front");
        let mut events = Vec::with_capacity(pieces.len());
        for piece in pieces {
            events.push(match piece {
                Output::Bytes { cid, skip, len } => {
                    let block = blocks.next().flatten().ok_or(FetchError::NotHere { cid })?;
                    DownloadEvent::Bytes(part(&block, skip, len)?)
                }
                other => event(node, other).await?,
            });
        }
        Ok(events)
    }
}

/// Batches being read.
const BATCHES: usize = 4;
/// Pieces of one batch.
const BATCH_PIECES: usize = 256;
/// Bytes of one batch; the last of its pieces may go beyond it.
const BATCH_BYTES: u64 = 256 << 10;

fn length(pieces: &[Output]) -> u64 {
    let bytes = |output: &Output| if let Output::Bytes { len, .. } = output { *len } else { 0 };
    pieces.iter().map(bytes).sum()
}

fn leaf(output: &Output) -> Option<Cid> {
    if let Output::Bytes { cid, .. } = output { Some(*cid) } else { None }
}
