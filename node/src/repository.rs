//! The folder that holds everything a node keeps, and the lock that says who has it.
//!
//! It is made on first use. Whoever opens it holds its lock until the `Repository` is dropped; the lock is the kernel's, so a
//! killed process leaves none behind. What stands inside is named here and nowhere else.

pub mod socket;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A repository whose lock this process holds, or held until it was released.
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
    lock: Mutex<Option<File>>,
}

/// What came of asking for a repository.
#[derive(Debug)]
pub enum Opening {
    /// It is ours.
    Held(Repository),
    /// Another process holds it.
    Busy,
}

impl Repository {
    /// Takes the repository at `path`, making it where there is none.
    ///
    /// Fails when it cannot be made or written, or when its layout is not one this version reads.
    pub fn open(path: &Path) -> Result<Opening, RepositoryError> {
        make(path)?;
        let Some(lock) = take_lock(path)? else { return Ok(Opening::Busy) };
        check_layout(path)?;
        Ok(Opening::Held(Self { path: path.to_owned(), lock: Mutex::new(Some(lock)) }))
    }

    /// Gives up the lock: another process may take the repository now.
    pub fn release(&self) {
        // Closing it is what frees it.
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(lock);
    }

    /// Takes the lock again that was released; false when another process holds it.
    pub fn retake(&self) -> Result<bool, RepositoryError> {
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = take_lock(&self.path)?;
        }
        Ok(held.is_some())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the blocks and their index are.
    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Where the network keeps known peers and provider records.
    pub fn network(&self) -> PathBuf {
        self.path.join("network")
    }

    /// The configuration, for people to edit.
    pub fn config(&self) -> PathBuf {
        config_path(&self.path)
    }

    /// The private key of this node.
    pub fn identity(&self) -> PathBuf {
        self.path.join("identity.key")
    }

    /// The keys of names.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// The records of names that this node published or was given.
    pub fn names(&self) -> PathBuf {
        self.path.join("names")
    }

    /// The key of a private network, where this is in one.
    pub fn swarm_key(&self) -> PathBuf {
        self.path.join("swarm.key")
    }

    /// Writes where the API listens on TCP, for tools that look for it there; `None` takes it away.
    pub fn announce_api(&self, address: Option<&str>) -> io::Result<()> {
        let file = self.path.join("api");
        match address {
            Some(address) => fs::write(file, address),
            None => match fs::remove_file(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            },
        }
    }
}

/// The socket that the holder of the repository at `path` serves.
pub fn socket_path(path: &Path) -> PathBuf {
    path.join("api.sock")
}

/// The configuration file of the repository at `path`.
pub fn config_path(path: &Path) -> PathBuf {
    path.join("config.toml")
}

/// Where the repository is when nobody says: `.cidra` in the home folder.
pub fn default_path() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".cidra"))
}

/// Writes a small file so that after a crash it holds either what it held or all of `contents`.
pub fn write_atomically(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn make(path: &Path) -> Result<(), RepositoryError> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| RepositoryError::Unusable { path: path.to_owned(), source })
}

/// The lock; none when another process holds it.
fn take_lock(path: &Path) -> Result<Option<File>, RepositoryError> {
    let lock = open_lock(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(RepositoryError::Unusable { path: path.to_owned(), source }),
    }
}

fn open_lock(path: &Path) -> Result<File, RepositoryError> {
    let file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path.join("lock"));
    file.map_err(|source| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            RepositoryError::ReadOnly { path: path.to_owned(), source }
        }
        _ => RepositoryError::Unusable { path: path.to_owned(), source },
    })
}

fn check_layout(path: &Path) -> Result<(), RepositoryError> {
    let file = path.join("version");
    let unusable = |source| RepositoryError::Unusable { path: file.clone(), source };
    let mut text = String::new();
    match File::open(&file) {
        Ok(open) => {
            open.take(64).read_to_string(&mut text).map_err(unusable)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let written = write_atomically(&file, format!("{LAYOUT}\n").as_bytes(), 0o600);
            return written.map_err(|source| match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    RepositoryError::ReadOnly { path: path.to_owned(), source }
                }
                _ => RepositoryError::Unusable { path: path.to_owned(), source },
            });
        }
        Err(error) => return Err(unusable(error)),
    }
    match text.trim().parse::<u32>() {
        Ok(LAYOUT) => Ok(()),
        Ok(found) if found > LAYOUT => Err(RepositoryError::Newer { path: path.to_owned(), found, known: LAYOUT }),
        _ => Err(RepositoryError::Version { path: file, found: text.trim().to_owned() }),
    }
}

/// The version of the folder's layout that this program writes.
const LAYOUT: u32 = 1;

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// A later version of the program made it.
    #[error(
        "the repository {} has layout {found}; this cidra knows layouts up to {known}: use a newer cidra, or another folder with --repo",
        path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The layout it has.
        found: u32,
        /// The newest layout known here.
        known: u32,
    },
    /// It may not be written.
    #[error(
        "the repository {} cannot be written: give this user the right to write there, or name another folder with --repo",
        path.display()
    )]
    ReadOnly {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something about it cannot be read or made.
    #[error("the repository cannot be used: {}", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its version file holds no version.
    #[error("{}: {found:?} is no version of a repository's layout", path.display())]
    Version {
        /// The version file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_a_drop_frees_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repo");

        let Opening::Held(held) = Repository::open(&path).unwrap() else { panic!("nobody else holds it") };
        assert!(matches!(Repository::open(&path).unwrap(), Opening::Busy));
        drop(held);

        assert!(matches!(Repository::open(&path).unwrap(), Opening::Held(_)));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_lock_that_was_released_is_anybodys_and_can_be_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let Opening::Held(first) = Repository::open(folder.path()).unwrap() else { panic!("nobody else holds it") };

        first.release();
        let Opening::Held(second) = Repository::open(folder.path()).unwrap() else { panic!("it was released") };

        assert!(!first.retake().unwrap());
        drop(second);
        assert!(first.retake().unwrap());
        assert!(matches!(Repository::open(folder.path()).unwrap(), Opening::Busy));
    }

    #[test]
    fn a_newer_layout_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("version"), "2\n").unwrap();

        let error = Repository::open(folder.path()).unwrap_err();

        assert!(matches!(error, RepositoryError::Newer { found: 2, known: 1, .. }), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("version")).unwrap(), "2\n");
    }

    #[test]
    fn an_unreadable_version_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("version"), "soup").unwrap();

        assert!(Repository::open(folder.path()).unwrap_err().to_string().contains("soup"));
    }
}
