//! Names and CIDs in, blocks out: a folder, in one block or, past the threshold, in shards.
//!
//! Of a large folder the entries are kept as bytes, sorted in runs, which may be kept elsewhere. When it is written a
//! thirty-second of each run is here, so memory grows with that.

mod run;
mod writer;

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use self::run::{Run, Unsorted};
pub use self::writer::{DirectoryWriter, Written};
use super::message::{Message, Metadata, Type};
use super::node::is_plain_name;
use super::parameters::{Measure, SHARD_THRESHOLD};
use super::{Parameters, Root};
use crate::block::Block;
use crate::dag_pb::{Link, Node};

/// One folder on its way into blocks. The same entries in any order give the same CID.
#[derive(Debug)]
pub struct DirectoryImporter {
    parameters: Parameters,
    metadata: Metadata,
    /// What decides whether it is one block, in bytes.
    size: usize,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    /// They fit into one block.
    Few(BTreeMap<Bytes, (Cid, u64)>),
    /// They do not.
    Many { unsorted: Unsorted, runs: Vec<Run>, runs_taken: usize, bytes_here: usize },
}

impl DirectoryImporter {
    /// An empty folder so far.
    pub fn new(parameters: Parameters) -> DirectoryImporter {
        DirectoryImporter::with_metadata(parameters, Metadata::default())
    }

    /// The same with permissions and time, which its root will hold.
    pub fn with_metadata(parameters: Parameters, metadata: Metadata) -> DirectoryImporter {
        let size = match parameters.measure() {
            Measure::NamesAndCids => 0,
            Measure::Block => Node { links: Vec::new(), data: Some(message(metadata).encode()) }.encoded_len(),
        };
        DirectoryImporter { parameters, metadata, size, entries: Entries::Few(BTreeMap::new()) }
    }

    /// Add an entry; `tsize` is that of the root it leads to. Of two entries of one name the second is refused here or, in a large
    /// folder, when it is written.
    pub fn add(&mut self, name: &[u8], cid: Cid, tsize: u64) -> Result<(), DirectoryError> {
        if !is_plain_name(name) {
            return Err(DirectoryError::BadName { name: lossy(name) });
        }
        if name.len() > MAX_NAME {
            return Err(DirectoryError::LongName { length: name.len() });
        }
        let link = Link { cid, name: Bytes::copy_from_slice(name), tsize };
        if let Entries::Few(entries) = &self.entries
            && entries.contains_key(name)
        {
            return Err(DirectoryError::Duplicate { name: lossy(name) });
        }
        self.size = self.size.saturating_add(match self.parameters.measure() {
            Measure::NamesAndCids => name.len() + cid.encoded_len(),
            Measure::Block => link.encoded_len_within_node(),
        });
        if self.size > SHARD_THRESHOLD {
            self.entries.become_many();
        }
        self.entries.add(link);
        Ok(())
    }

    /// A run of sorted entries that is to be kept elsewhere, where more of them are here than should be. The writer asks for it
    /// again, piece by piece.
    pub fn take_run(&mut self) -> Option<Bytes> {
        let Entries::Many { runs, runs_taken, bytes_here, .. } = &mut self.entries else { return None };
        if *bytes_here <= RUNS_HERE && *runs_taken == 0 {
            return None;
        }
        let taken = runs.get_mut(*runs_taken)?.take()?;
        *bytes_here -= taken.len();
        *runs_taken += 1;
        Some(taken)
    }

    /// There are no more entries.
    pub fn into_writer(self) -> DirectoryWriter {
        let (parameters, metadata) = (self.parameters, self.metadata);
        match self.entries {
            Entries::Few(entries) => {
                let links = entries.into_iter().map(|(name, (cid, tsize))| Link { cid, name, tsize });
                DirectoryWriter::of_one_block(&parameters, links.collect(), &message(metadata))
            }
            Entries::Many { mut unsorted, mut runs, .. } => {
                runs.push(Run::here(unsorted.sort()));
                DirectoryWriter::of_shards(parameters, metadata, runs)
            }
        }
    }

    /// All blocks, children before parents, and the root; for folders of which no run was taken.
    pub fn finish(self) -> Result<(Vec<Block>, Root), DirectoryError> {
        let mut writer = self.into_writer();
        let mut blocks = vec![];
        loop {
            match writer.poll()? {
                Written::Block(block) => blocks.push(block),
                Written::Done(root) => return Ok((blocks, root)),
                Written::Need { .. } => return Err(DirectoryError::Run),
            }
        }
    }
}

/// Longest name in bytes, as file systems have it.
pub const MAX_NAME: usize = 255;

/// Bytes of sorted runs that stay here: some 80,000 entries.
const RUNS_HERE: usize = 4 << 20;

impl Entries {
    fn become_many(&mut self) {
        let Self::Few(few) = self else { return };
        let few = std::mem::take(few);
        *self = Self::Many { unsorted: Unsorted::default(), runs: vec![], runs_taken: 0, bytes_here: 0 };
        few.into_iter().for_each(|(name, (cid, tsize))| self.add(Link { cid, name, tsize }));
    }

    fn add(&mut self, link: Link) {
        match self {
            Self::Few(entries) => {
                entries.insert(link.name, (link.cid, link.tsize));
            }
            Self::Many { unsorted, runs, bytes_here, .. } => {
                unsorted.add(&link);
                if unsorted.is_full() {
                    let run = unsorted.sort();
                    *bytes_here += run.len();
                    runs.push(Run::here(run));
                }
            }
        }
    }
}

fn message(metadata: Metadata) -> Message {
    Message { metadata, ..Message::new(Type::Directory) }
}

/// Nobody proves these numbers, so a sum past 64 bits is no reason to fail.
fn tsize_below(links: &[Link]) -> u64 {
    links.iter().fold(0, |sum, link| sum.saturating_add(link.tsize))
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Why a folder cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Empty, `.`, `..`, or with a slash or a zero in it.
    #[error("{name:?} cannot be a name in a folder")]
    BadName {
        /// As far as it can be shown.
        name: String,
    },
    /// Two names whose 64-bit hashes are the same: a large folder has no place for both.
    #[error("{name:?} and another name of this large folder have the same hash")]
    Collision {
        /// One of them.
        name: String,
    },
    /// Two entries of one name.
    #[error("{name:?} is in the folder already")]
    Duplicate {
        /// As far as it can be shown.
        name: String,
    },
    /// More than [`MAX_NAME`] bytes.
    #[error("a name of {length} bytes: the limit is {MAX_NAME}")]
    LongName {
        /// In bytes.
        length: usize,
    },
    /// What was kept elsewhere did not come back as it was.
    #[error("the list of the entries, which was kept in a file, is damaged")]
    Run,
}

#[cfg(test)]
mod tests;
