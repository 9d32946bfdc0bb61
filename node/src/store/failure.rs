//! Why the store does not do what it is asked.

use std::path::PathBuf;
use std::sync::Arc;

use cid::Cid;

use super::Root;
use super::record::DATA_MAX;

/// Why the store did not do what it was asked. It says for whom it failed: blocks of others are not touched.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It was closed.
    #[error("the store is closed")]
    Closed,
    /// A database cannot be read or written.
    #[error("{path}: the database failed")]
    Database {
        /// Its file.
        path: PathBuf,
        /// What redb says.
        source: Arc<redb::Error>,
    },
    /// Another process took the store over while this one collected.
    #[error("a daemon took over this repository ({}) during the collection; run it again to go on with it", folder.display())]
    Elsewhere {
        /// The store.
        folder: PathBuf,
    },
    /// No space is left. What was committed is there; the store goes on when there is room.
    #[error("{folder}: the disk is full; make room on it, or free some with `cidra repo gc`")]
    Full {
        /// The store.
        folder: PathBuf,
    },
    /// The daemon that took the store over is gone.
    #[error(
        "the daemon that took over this repository ({}) went away: {why}; what was acknowledged is kept, run this again",
        socket.display()
    )]
    Gone {
        /// Its socket.
        socket: PathBuf,
        /// What was seen of it.
        why: String,
    },
    /// The daemon that took the store over could not do it.
    #[error("{message}")]
    Holder {
        /// What it says.
        message: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: Arc<std::io::Error>,
    },
    /// The disk lost blocks that were put and not committed. The store takes no more until it is opened again.
    #[error("{folder}: the disk lost what was written to it ({why}); check the disk, then start again")]
    Lost {
        /// The store.
        folder: PathBuf,
        /// What was found.
        why: String,
    },
    /// A root's key or name is too long.
    #[error("a name for {cid} is longer than {} bytes", Root::NAME_MAX)]
    NameTooLong {
        /// What it should name.
        cid: Cid,
    },
    /// It is somebody else's, and cannot be handed over.
    #[error("this process does not hold the store")]
    NotHeld,
    /// A block is too large to be kept.
    #[error("block {cid}: {length} bytes are more than the {DATA_MAX} that the store keeps")]
    TooLarge {
        /// The block.
        cid: Cid,
        /// Its length in bytes.
        length: usize,
    },
}
