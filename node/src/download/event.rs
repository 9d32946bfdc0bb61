//! What a download gives, and how what the machine puts out becomes that.

use bytes::Bytes;
use cidra_content::Block;
use cidra_content::fetch::{DagError, Output, Path};
use cidra_content::unixfs::{Entity, Metadata};

use super::State;

/// What a download gives, in the order of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadEvent {
    /// A folder begins.
    Directory {
        /// Its names from the root down.
        path: Path,
        /// Permissions and time, where stored.
        metadata: Metadata,
    },
    /// A file begins.
    File {
        /// Its names from the root down.
        path: Path,
        /// Its length in bytes.
        size: u64,
        /// Permissions and time, where stored.
        metadata: Metadata,
    },
    /// A symbolic link.
    Symlink {
        /// Its names from the root down.
        path: Path,
        /// Its target.
        target: Bytes,
        /// Permissions and time, where stored.
        metadata: Metadata,
    },
    /// The next bytes of the file that began last.
    Bytes(Bytes),
    /// All bytes of the file that began last stand in the one that was given for it. What the store reads out of it from here on
    /// is on the disk; bytes that it has elsewhere may not be yet.
    Placed {
        /// How many they are.
        size: u64,
    },
    /// Told about twice a second.
    State(State),
}

/// What is put out, once its block is read, where it has one; `None` where it needs one.
pub(super) fn event(output: Output, block: Option<&Block>) -> Result<Option<DownloadEvent>, DagError> {
    Ok(Some(match output {
        Output::Directory { path, metadata } => DownloadEvent::Directory { path, metadata },
        Output::File { path, size, metadata } => DownloadEvent::File { path, size, metadata },
        Output::Symlink { path, target, metadata } => DownloadEvent::Symlink { path, target, metadata },
        Output::Bytes { skip, len, .. } => {
            let Some(block) = block else { return Ok(None) };
            DownloadEvent::Bytes(part(block, skip, len)?)
        }
    }))
}

/// Bytes of a file in a block of it.
pub(super) fn part(block: &Block, skip: u64, len: u64) -> Result<Bytes, DagError> {
    let entity = Entity::parse(block)?;
    let bytes = entity.into_file().map(|file| file.data().clone()).unwrap_or_default();
    Ok(bytes.slice(skip as usize..(skip + len) as usize))
}
