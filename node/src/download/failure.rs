//! Why a download ends without its content.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cid::Cid;
use cidra_content::deny::Denial;
use cidra_content::fetch::DagError;
use cidra_content::ipld::{self, PathFailure};
use cidra_content::unixfs::shard::DirectoryReadError;
use libp2p::PeerId;

use crate::node::NodeError;
use crate::store::StoreError;

/// Why content cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Its blocks make no sense.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// A list says that it is not to be had here.
    #[error("{what} is denied by {}", denial.list)]
    Denied {
        /// The block, or the path.
        what: String,
        /// Which list, and how a gateway says so.
        denial: Box<Denial>,
    },
    /// A folder of many blocks is malformed.
    #[error("folder {cid} is malformed")]
    Folder {
        /// The folder.
        cid: Cid,
        /// What is wrong.
        source: Box<DirectoryReadError>,
    },
    /// There is no network to fetch from.
    #[error(transparent)]
    Network(#[from] NodeError),
    /// A name that the folder does not have.
    #[error("no link named {name:?} under {cid}")]
    NoSuchName {
        /// The folder.
        cid: Cid,
        /// The name.
        name: String,
    },
    /// A path leads into a node, where a block was wanted.
    #[error("/{} is within block {cid}, not a block of its own: `dag get` shows it", rest.join("/"))]
    NoBlock {
        /// The block.
        cid: Cid,
        /// What is left of the path.
        rest: Vec<String>,
    },
    /// A node does not have the key.
    #[error("the path ends in block {cid}")]
    NoSuchKey {
        /// Its block.
        cid: Cid,
        /// What is not there.
        source: Box<PathFailure>,
    },
    /// Only the store was asked, and it does not have it.
    #[error("block {cid} is not here, and fetching is off (--offline)")]
    NotHere {
        /// The block.
        cid: Cid,
    },
    /// Peers were asked, and none delivered. In brackets the words by which clients of Kubo know it.
    #[error("nobody delivered block {cid} within {} s (context deadline exceeded): {report}", waited.as_secs())]
    NotDelivered {
        /// The block.
        cid: Cid,
        /// For how long nothing came.
        waited: Duration,
        /// Whom we asked, what they said, what to do.
        report: Box<Answers>,
    },
    /// A block is no node of its codec.
    #[error("block {cid} cannot be read")]
    NotANode {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        source: Box<ipld::NodeError>,
    },
    /// The file that it is written into cannot be written.
    #[error("cannot write {}{}", path.display(), advice(source))]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The node was stopped meanwhile.
    #[error("the node stopped while it fetched")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its bytes could not be proved.
    #[error("block {cid} is named by hash function {code:#x}, which this version cannot check")]
    UnsupportedHash {
        /// The block.
        cid: Cid,
        /// The multihash code.
        code: u64,
    },
}

/// What peers said of a block that none delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Whom we asked, and what each said; the first few.
    pub asked: Vec<(PeerId, String)>,
    /// The same for people, and what to do.
    pub text: String,
}

impl fmt::Display for Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FetchError {
    /// Whether the content is not to be had, rather than something being broken (exit code 3 of the command line).
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoSuchKey { .. } | Self::NoSuchName { .. } | Self::NotHere { .. } | Self::NotDelivered { .. }
        )
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (make room and run the same command again, it goes on where it stopped)"
        }
        _ => "",
    }
}
