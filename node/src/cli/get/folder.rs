//! An open folder, and what is done in it by name. No name is ever followed through a symlink, so whatever else happens to the
//! path meanwhile, nothing is written anywhere else.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
};
use rustix::io::Errno;

use crate::api::tree::Mtime;

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
}

impl Folder {
    /// Opens the folder that a person named, making it and those above it where they are not there.
    pub(super) fn named(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd })
    }

    /// What stands under a name, if something does.
    pub(super) fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a folder in it.
    pub(super) fn open(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(&self.fd, name, flags, Mode::empty())? })
    }

    /// Makes a folder in it. Fails when something stands there.
    pub(super) fn make(&self, name: &OsStr) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777))?;
        self.open(name)
    }

    /// Makes a file in it. Fails when something stands there.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file in it for reading and writing, making it where there is none. What it holds stays.
    pub(super) fn create_or_open(&self, name: &OsStr) -> io::Result<File> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK)
    }

    /// Opens a file in it for reading.
    pub(super) fn read(&self, name: &OsStr) -> io::Result<File> {
        self.open_file(name, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    fn open_file(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o666))?.into())
    }

    /// Makes a symlink in it. Fails when something stands there.
    pub(super) fn link(&self, name: &OsStr, target: &[u8]) -> io::Result<()> {
        let target = CString::new(target)?;
        Ok(rustix::fs::symlinkat(target, &self.fd, name)?)
    }

    /// What a symlink in it points to.
    pub(super) fn link_target(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// Sets when the symlink itself was last changed, where that is known.
    pub(super) fn set_link_time(&self, name: &OsStr, mtime: Option<Mtime>) -> io::Result<()> {
        let Some(Mtime { secs, nanos }) = mtime else { return Ok(()) };
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access, last_modification: Timespec { tv_sec: secs, tv_nsec: nanos.into() } };
        Ok(rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Gives what stands under `from` here the name `to` there. Fails when something stands there, unless told to replace it.
    pub(super) fn rename(&self, from: &OsStr, there: &Self, to: &OsStr, replace: bool) -> io::Result<()> {
        if replace {
            return Ok(rustix::fs::renameat(&self.fd, from, &there.fd, to)?);
        }
        match rustix::fs::renameat_with(&self.fd, from, &there.fd, to, RenameFlags::NOREPLACE) {
            // Some file systems do not know the flag.
            Err(Errno::INVAL | Errno::NOSYS) if there.stat(to)?.is_none() => {
                Ok(rustix::fs::renameat(&self.fd, from, &there.fd, to)?)
            }
            Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
            result => Ok(result?),
        }
    }

    /// Removes what stands under a name, with all that is in it; nothing there is no error.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        self.open(name)?.clear()?;
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes all that is in it.
    pub(super) fn clear(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                self.remove(super::target::os_name(name))?;
            }
        }
        Ok(())
    }

    /// Puts its names on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.fd) {
            // Some file systems cannot, and need not.
            Ok(()) | Err(Errno::INVAL | Errno::ROFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the lock of the folder; false when another process has it.
    pub(super) fn lock(&self) -> io::Result<bool> {
        lock(&self.fd)
    }

    /// Whether `name` still leads to `other`.
    pub(super) fn holds(&self, name: &OsStr, other: &impl rustix::fd::AsFd) -> io::Result<bool> {
        let there = rustix::fs::fstat(other)?;
        Ok(self.stat(name)?.is_some_and(|here| (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)))
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// Takes the lock of an open file or folder; false when another process has it.
pub(super) fn lock(fd: &impl rustix::fd::AsFd) -> io::Result<bool> {
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        // Without locks two that write the same cannot be told apart, and one alone works.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// What kind of thing a name stands for.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_are_never_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "untouched").unwrap();
        let inside = tempfile::tempdir().unwrap();
        symlink(outside.path(), inside.path().join("folder")).unwrap();
        symlink(outside.path().join("file"), inside.path().join("file")).unwrap();
        let folder = Folder::named(inside.path()).unwrap();

        assert!(folder.open(OsStr::new("folder")).is_err());
        assert!(folder.create_or_open(OsStr::new("file")).is_err());
        assert!(folder.create(OsStr::new("file")).is_err());
        assert!(folder.make(OsStr::new("folder")).is_err());
        folder.remove(OsStr::new("folder")).unwrap();

        assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"untouched");
    }

    #[test]
    fn a_rename_replaces_only_when_told() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a"), "a").unwrap();
        fs::write(place.path().join("b"), "b").unwrap();
        let folder = Folder::named(place.path()).unwrap();

        let refused = folder.rename(OsStr::new("a"), &folder, OsStr::new("b"), false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        folder.rename(OsStr::new("a"), &folder, OsStr::new("b"), true).unwrap();

        assert_eq!(fs::read(place.path().join("b")).unwrap(), b"a");
    }

    #[test]
    fn a_folder_is_removed_with_all_that_is_in_it() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("x/y/z")).unwrap();
        fs::write(place.path().join("x/y/f"), "").unwrap();

        Folder::named(place.path()).unwrap().remove(OsStr::new("x")).unwrap();

        assert!(!place.path().join("x").exists());
    }

    #[test]
    fn one_holder_of_a_lock_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::named(place.path()).unwrap();

        assert!(first.lock().unwrap());
        assert!(!Folder::named(place.path()).unwrap().lock().unwrap());
        drop(first);
        assert!(Folder::named(place.path()).unwrap().lock().unwrap());
    }
}
