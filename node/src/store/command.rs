//! What handles, readers and leases ask of the writer thread.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::StoreError;
use super::entry::{Key, Place};
use super::index::Only;
use super::roots::{Change, Root};

/// What the writer thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Put {
        blocks: Vec<(Key, Bytes)>,
        reply: Reply<()>,
    },
    /// Commit what was put before, then make these changes.
    Commit {
        changes: Vec<Change>,
        reply: Reply<Vec<bool>>,
    },
    Remove {
        keys: Vec<Key>,
        only: Only,
        reply: Reply<Vec<bool>>,
    },
    /// What is there is not the block.
    Drop {
        key: Key,
        place: Place,
    },
    /// Keep a root of a lease, by and by.
    Lease(Root),
    EndLease(Vec<Vec<u8>>),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
