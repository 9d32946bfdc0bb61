//! A limit of the disk space that the store takes: whoever would exceed it has what nobody protects collected first, the oldest
//! of it, until a fifth of the limit is free. What is protected is never refused: the limit is for what was only fetched.

use std::sync::OnceLock;

use tokio::sync::Mutex;

use super::tenure::Place;
use super::{Extent, Store, StoreError};

/// Keeps a store within a limit, where it has one.
#[derive(Debug, Default)]
pub(super) struct Limit {
    most: OnceLock<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that the store took when it was looked at.
    used: Option<u64>,
    /// Bytes that were put since.
    since: u64,
    /// Collecting freed too little: not again before the store takes so much.
    again_at: u64,
}

impl Limit {
    /// Keep to `most` bytes from here on. Only the first call counts.
    pub(super) fn set(&self, most: u64) {
        let _ = self.most.set(most); // set by whoever opened the store, once
    }

    /// Make room for so many bytes. A collection that fails is told in the log: the put decides by itself.
    pub(super) async fn make_room(&self, store: &Store, bytes: u64) {
        let Some(most) = self.most.get().copied() else { return };
        let mut state = self.state.lock().await;
        state.since += bytes;
        if state.used.is_some_and(|used| used + state.since <= most) {
            return;
        }
        if let Err(error) = state.make_room(store, most, bytes).await {
            tracing::warn!(%error, "the store could not be kept within store.max");
        }
    }
}

impl State {
    async fn make_room(&mut self, store: &Store, most: u64, bytes: u64) -> Result<(), StoreError> {
        let used = used(store).await?;
        (self.used, self.since) = (Some(used), bytes);
        if used + bytes <= most {
            self.again_at = 0;
            return Ok(());
        }
        if used < self.again_at {
            return Ok(());
        }
        // One that is under way makes room, too.
        let Some(collection) = store.try_collect(Extent::DownTo(most / 10 * 8)).await? else { return Ok(()) };
        let collected = collection.finish().await?;
        let left = self::used(store).await?;
        self.used = Some(left);
        tracing::info!(
            removed = collected.removed,
            bytes = collected.freed,
            left,
            limit = most,
            "collected to keep to store.max"
        );
        if left + bytes > most {
            if self.again_at == 0 {
                tracing::warn!(
                    used = left,
                    limit = most,
                    "store.max is exceeded, and all that is left is pinned, under way or younger than an hour: unpin \
                     something and run `cidra repo gc`, or raise store.max"
                );
            }
            self.again_at = left + most / 20;
        }
        Ok(())
    }
}

async fn used(store: &Store) -> Result<u64, StoreError> {
    let place = store.0.place().await?;
    match &*place {
        Place::Local(local) => local.read(|shared| shared.used()).await,
        // Whoever has it has the limit, too.
        Place::Remote(_) => Ok(0),
    }
}
