//! CAR files: blocks one after the other, and which of them are roots (the IPLD specifications of CARv1 and CARv2).
//!
//! Bytes in, sections out: nothing here reads a file, and no more is held than one section, whatever a head claims. The bytes
//! of a section are slices of what was pushed where it lay whole in one push. Whether they match their CID, `hash` says.

mod reader;
mod writer;

pub use reader::{Reader, Section};
pub use writer::{header, section_head};

use cid::Cid;

use crate::block::MAX_BLOCK_SIZE;

/// Longest header in bytes: some 25,000 roots.
pub const MAX_HEADER: usize = 1024 * 1024;

/// Longest CID in bytes that a section may begin with: one of version 1 with two long varints and the longest digest we hold.
pub const MAX_CID: usize = 4 * 10 + crate::hash::MAX_DIGEST;

/// Longest section in bytes, CID included.
pub const MAX_SECTION: usize = MAX_BLOCK_SIZE + MAX_CID;

/// Why bytes are no CAR file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarError {
    /// What a section begins with is no CID, or one of a kind that is not held here.
    #[error("the section at byte {offset} begins with no CID that can be read here")]
    BadCid {
        /// Where in the file.
        offset: u64,
    },
    /// The header is not what the specification says.
    #[error("it begins with no CAR header: {why}")]
    BadHeader {
        /// What is wrong.
        why: &'static str,
    },
    /// The window that a CARv2 names lies before its own header, or is longer than numbers go.
    #[error("its header says that the blocks lie where they cannot: at byte {offset}, {size} bytes")]
    BadWindow {
        /// Where the window should begin.
        offset: u64,
        /// How long it should be.
        size: u64,
    },
    /// It ends too early.
    #[error("it is cut short at byte {offset}{}", after(last))]
    CutShort {
        /// Where it ends.
        offset: u64,
        /// The last whole section.
        last: Option<Cid>,
    },
    /// More than [`MAX_HEADER`].
    #[error("its header claims {length} bytes: the limit is {MAX_HEADER}")]
    HeaderTooLong {
        /// What it claims.
        length: u64,
    },
    /// More than a block may have.
    #[error("the section at byte {offset} claims {length} bytes{}: a block has {MAX_BLOCK_SIZE} at most", after(last))]
    TooLarge {
        /// Where in the file.
        offset: u64,
        /// What it claims.
        length: u64,
        /// The last whole section before it.
        last: Option<Cid>,
    },
    /// A length that is written longer than it must be, or has more than 64 bits.
    #[error("the length at byte {offset} is no number as the format has it{}", after(last))]
    Varint {
        /// Where in the file.
        offset: u64,
        /// The last whole section before it.
        last: Option<Cid>,
    },
    /// Neither 1 nor 2.
    #[error("CAR version {version} is not known, only 1 and 2 are")]
    Version {
        /// As its header says.
        version: i128,
    },
}

fn after(last: &Option<Cid>) -> String {
    last.map(|cid| format!(" (after block {cid})")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
