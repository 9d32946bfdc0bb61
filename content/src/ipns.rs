//! IPNS: names that are hashes of public keys, and the signed records that say where they lead at the moment.
//!
//! What arithmetic of keys there is stays outside: whoever verifies or signs hands in a function for it. All else of the
//! specification is here: <https://specs.ipfs.tech/ipns/ipns-record/>.

mod draft;
mod entry;
mod moment;
mod name;
mod record;

pub use draft::{Draft, MAX_SEQUENCE};
pub use entry::{Entry, MAX_RECORD};
pub use moment::Moment;
pub use name::{BadName, Name};
pub use record::{Claim, Record};

use crate::dag_pb::WireError;
use crate::ipld::NodeError;

/// For how long a record is valid where nobody says: as long as the DHT keeps it.
pub const LIFETIME: std::time::Duration = std::time::Duration::from_secs(48 * 3600);
/// For how long a record may be believed unasked where nobody says, as the specification proposes.
pub const TTL: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// Why bytes are no record, or none of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// What is signed and the copy of it for old readers say different things.
    #[error("{field} is one thing in the signed data and another in the field of version 1")]
    Contradiction {
        /// Which of them.
        field: &'static str,
    },
    /// Its validity is over.
    #[error("the record expired at {at}")]
    Expired {
        /// When.
        at: Moment,
    },
    /// No public key, or one of another name.
    #[error("the public key in the record is not that of {name}")]
    ForeignKey {
        /// Whose record it should be.
        name: Name,
    },
    /// Whoever signed it is not who the name stands for.
    #[error("the signature is not by the key of {name}")]
    Forged {
        /// Whose record it should be.
        name: Name,
    },
    /// A field that is not there, or not of its type.
    #[error("the record has no sound {field}")]
    Missing {
        /// Which of them.
        field: &'static str,
    },
    /// The name is a hash, and the record does not bring the key.
    #[error("the record does not bring the public key of {name}")]
    NoKey {
        /// Whose record it should be.
        name: Name,
    },
    /// What is signed cannot be read.
    #[error("the signed data of the record")]
    Node(#[from] NodeError),
    /// It is too large.
    #[error("a record of {length} bytes: the limit is {MAX_RECORD}")]
    TooLarge {
        /// In bytes.
        length: usize,
    },
    /// Where it leads is no path.
    #[error("the value of the record is no path of content")]
    Value,
    /// It is no protobuf.
    #[error("an IPNS record")]
    Wire(#[from] WireError),
}

#[cfg(test)]
mod tests;
