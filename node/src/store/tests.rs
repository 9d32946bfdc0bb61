//! Tests on a disk made for them: power loss, a full disk, failing syncs, damage.

mod collection;
mod compaction;
mod damage;
mod full_disk;
mod power_loss;
mod unreliable_disk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use cidra_content::block::{Block, RAW};

use super::local::Local;
use super::{OpenError, Options};
pub(super) use unreliable_disk::UnreliableDisk;

fn open(disk: &UnreliableDisk) -> Result<Local, OpenError> {
    open_with(disk, OPTIONS)
}

fn open_with(disk: &UnreliableDisk, options: Options) -> Result<Local, OpenError> {
    Local::open_on(Arc::new(disk.clone()), Path::new("/the/store"), &options)
}

const OPTIONS: Options = Options { segment_size: 20_000, reserve: 64 * 1024, readers: 1, young: Duration::ZERO };

/// The lengths of the blocks that are there.
async fn located(store: &Local, cids: Vec<Cid>) -> Vec<Option<u32>> {
    let located = store.look_up(cids).await.unwrap();
    located.into_iter().map(|located| located.map(|located| located.length)).collect()
}

fn blocks(numbers: std::ops::Range<u32>, length: usize) -> Vec<Block> {
    numbers.map(|number| block(number, length)).collect()
}

fn block(number: u32, length: usize) -> Block {
    let mut data = number.to_le_bytes().to_vec();
    data.resize(length.max(4), number as u8);
    Block::new(RAW, Bytes::from(data))
}
