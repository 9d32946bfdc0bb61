//! What handles, readers and leases ask of the writer thread.

use std::ops::Range;

use bytes::Bytes;
use cid::Cid;
use tokio::sync::oneshot;

use super::StoreError;
use super::entry::{Key, Location, Place};
use super::index::Only;
use super::referrals::FileCommand;
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
    /// What a collection did not mark, where it was last put before this generation.
    Sweep {
        collection: u64,
        keys: Vec<Key>,
        generation: u32,
        reply: Reply<Swept>,
    },
    /// Append to a new segment from here on where much is dead in the last one.
    Seal {
        reply: Reply<()>,
    },
    /// Make holes of these ranges of a segment, in which nothing is alive: each begins and ends with a record. Says whether
    /// the disk can do that.
    Punch {
        segment: u32,
        ranges: Vec<Range<u32>>,
        reply: Reply<bool>,
    },
    /// Copy those of these records that are alive to the end of the last segment.
    Relocate {
        records: Vec<(Key, Location)>,
        reply: Reply<()>,
    },
    /// Answer once the space of all that was removed is free.
    Settle {
        reply: Reply<()>,
    },
    /// What is there is not the block.
    Drop {
        key: Key,
        place: Place,
    },
    /// About files that are referred to.
    File(FileCommand),
    /// Keep a root of a lease, by and by.
    Lease(Root),
    EndLease(Vec<Vec<u8>>),
}

/// What became of a sweep.
#[derive(Debug)]
pub(super) enum Swept {
    /// Nothing was removed: these came to be protected, with what is below them or without, and are to be marked first.
    Mark(Vec<(Cid, bool)>),
    Removed(Vec<Key>),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
