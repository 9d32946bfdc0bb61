//! Reading a file that is to be referred to, from its beginning to its end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::StoreError;
use super::borrow::open_regular;
use super::disk::File;
use super::source::{Claim, Identity, Source, State};

/// A file that is read for its leaves to be referred to. Nothing may write to it meanwhile.
#[derive(Debug)]
pub struct InPlace {
    path: PathBuf,
    identity: Identity,
    file: Arc<std::fs::File>,
    /// Whether an edit from here on must change what the system says of it.
    is_steady: bool,
    read: u64,
}

impl InPlace {
    /// Opens the regular file at `path`, which must be absolute. No symlink is followed at its end.
    pub async fn open(path: PathBuf) -> Result<InPlace, InPlaceError> {
        if !path.is_absolute() {
            return Err(InPlaceError::Relative { path });
        }
        blocking(move || {
            let unreadable = |source| InPlaceError::Unreadable { path: path.clone(), source };
            let Some((file, mut identity)) = open_regular(&path).map_err(unreadable)? else {
                return Err(InPlaceError::NoFile { path });
            };
            let mut is_steady = false;
            if identity.size >= WORTH_A_SYNC {
                // Before it is hashed: then what a program writes to a page that it has mapped is told in the file's times.
                file.sync_all().map_err(unreadable)?;
                let again = Identity::of(&file.metadata().map_err(unreadable)?);
                identity = again.ok_or_else(|| InPlaceError::NoFile { path: path.clone() })?;
                is_steady = tells_edits(&file) && is_settled(&identity, SystemTime::now());
            }
            Ok(InPlace { path, identity, file: Arc::new(file), is_steady, read: 0 })
        })
        .await
    }

    /// The file as its references name it while it is read.
    pub fn source(&self) -> Source {
        let state = State::Whole { identity: self.identity, hashed: false };
        Source { path: self.path.clone(), claim: Claim::Kept, state }
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.identity.size
    }

    /// The next bytes, at most `most`; none at the end. Fails when the file is shorter than it was.
    pub async fn read(&mut self, most: usize) -> Result<Bytes, InPlaceError> {
        let (file, offset) = (self.file.clone(), self.read);
        let length = (self.identity.size - offset).min(most as u64) as usize;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let path = self.path.clone();
        let bytes = blocking(move || {
            File::read_at(&*file, offset, length).map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => InPlaceError::Changed { path },
                _ => InPlaceError::Unreadable { path, source },
            })
        })
        .await?;
        self.read += bytes.len() as u64;
        Ok(bytes.into())
    }

    /// Looks at the file once more: the file as its references name it from here on. Fails when it was changed since it was
    /// opened.
    pub async fn finish(self) -> Result<Source, InPlaceError> {
        let source = self.source();
        let InPlace { path, identity, file, is_steady, .. } = self;
        let at_path = path.clone();
        let (open, there) = blocking(move || Ok((file.metadata(), std::fs::symlink_metadata(at_path)))).await?;
        let same = |metadata: io::Result<std::fs::Metadata>| {
            metadata.is_ok_and(|metadata| Identity::of(&metadata) == Some(identity))
        };
        if !same(open) || !same(there) {
            return Err(InPlaceError::Changed { path });
        }
        Ok(Source { state: State::Whole { identity, hashed: is_steady }, ..source })
    }
}

/// A file of so many bytes is put on the disk by itself, before it is read. Of a shorter one each leaf is hashed whenever it is
/// read, which costs less.
const WORTH_A_SYNC: u64 = 4 * 1024 * 1024;

/// Files that are read in place and may not be on the disk yet.
#[derive(Debug, Default)]
pub struct Unsynced {
    few: Vec<(u64, PathBuf, Arc<std::fs::File>)>,
    /// One of each file system where there are many.
    systems: BTreeMap<u64, (PathBuf, Arc<std::fs::File>)>,
}

impl Unsynced {
    /// One more.
    pub fn add(&mut self, file: &InPlace) {
        let device = file.identity.device;
        if file.identity.size >= WORTH_A_SYNC || self.systems.contains_key(&device) {
            return;
        }
        self.few.push((device, file.path.clone(), file.file.clone()));
        if cfg!(target_os = "linux") && self.few.len() > FEW {
            let few = self.few.drain(..);
            self.systems.extend(few.map(|(device, path, file)| (device, (path, file))));
        }
    }

    /// Put all of them on the disk; to be awaited before they are referred to.
    pub async fn sync(self) -> Result<(), StoreError> {
        if self.few.is_empty() && self.systems.is_empty() {
            return Ok(());
        }
        let sync = move || {
            let failed = |path: &PathBuf, error| StoreError::Io { path: path.clone(), source: Arc::new(error) };
            for (_, path, file) in &self.few {
                file.sync_all().map_err(|error| failed(path, error))?;
            }
            #[cfg(target_os = "linux")]
            for (path, file) in self.systems.values() {
                rustix::fs::syncfs(file).map_err(|error| failed(path, error.into()))?;
            }
            Ok(())
        };
        tokio::task::spawn_blocking(sync).await.map_err(|_| StoreError::Closed)?
    }
}

/// So many are put on the disk one by one, each at the cost of a flush; of more, their whole file system is.
const FEW: usize = 8;

/// Whether so much time lies between the last change and now that another one has another time.
fn is_settled(identity: &Identity, now: SystemTime) -> bool {
    let Some(latest) = now.checked_sub(COARSEST).and_then(|time| time.duration_since(UNIX_EPOCH).ok()) else {
        return false;
    };
    let before = |(seconds, _): (i64, u32)| u64::try_from(seconds).is_ok_and(|seconds| seconds < latest.as_secs());
    before(identity.mtime) && before(identity.ctime)
}

/// No clock of a file system that [`tells_edits`] names is coarser than a second; this is twice that, and room for the
/// difference between its clock and the one that programs see.
const COARSEST: Duration = Duration::from_secs(3);

/// Whether this file system is one whose times change with every edit, through mapped pages, too, and by this machine's clock.
/// Those of the network go by another's, and some in memory do not tell of mapped pages.
#[cfg(target_os = "linux")]
fn tells_edits(file: &std::fs::File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| STEADY.contains(&(stat.f_type as u64)))
}

#[cfg(not(target_os = "linux"))]
fn tells_edits(_: &std::fs::File) -> bool {
    false
}

/// ext2 to ext4, XFS, Btrfs, F2FS.
#[cfg(target_os = "linux")]
const STEADY: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InPlaceError> + Send + 'static,
) -> Result<T, InPlaceError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| InPlaceError::Stopped)?
}

/// Why a file cannot be referred to.
#[derive(Debug, thiserror::Error)]
pub enum InPlaceError {
    /// It was written to.
    #[error("{} changed while it was read: add it again when nothing writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A folder, a symlink, a pipe.
    #[error("{} is no regular file: only those can be referred to", path.display())]
    NoFile {
        /// What it should be.
        path: PathBuf,
    },
    /// Nobody knows from where.
    #[error("{} is not an absolute path", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// The process ends.
    #[error("the process is about to end")]
    Stopped,
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_a_moment_ago_may_be_changed_again_unseen() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let identity = |mtime, ctime| Identity { device: 1, inode: 2, size: 3, mtime: (mtime, 0), ctime: (ctime, 0) };

        assert!(is_settled(&identity(996, 996), now));
        assert!(!is_settled(&identity(-5_000, 996), now), "before 1970 nobody knows");
        assert!(!is_settled(&identity(997, 996), now) && !is_settled(&identity(996, 997), now));
        assert!(!is_settled(&identity(996, 5_000), now), "a clock that was set back");
    }
}
