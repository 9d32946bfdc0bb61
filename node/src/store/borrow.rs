//! Reading a block out of somebody's file. Whoever has the file may do anything to it at any moment, so it is looked at before
//! and after it is read, and nothing but a regular file is ever opened: no symlink is followed, no pipe waits for a writer.

use std::fs::File as SystemFile;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::disk::File;
use super::entry::Reference;
use super::source::{Identity, Source, State};

/// The bytes of a block.
pub(super) struct Borrowed {
    pub(super) data: Bytes,
    /// Whether they were hashed when the file was exactly what it is.
    pub(super) is_sure: bool,
}

/// Read a block.
pub(super) fn read(source: &Source, reference: Reference) -> Result<Borrowed, BorrowError> {
    let (file, before, is_sure) = open(source)?;
    let content = match File::read_at(&file, reference.offset, reference.length as usize) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(BorrowError::Changed("it is too short".into()));
        }
        content => content?,
    };
    if let State::Whole { .. } = source.state
        && Identity::of(&file.metadata()?) != Some(before)
    {
        return Err(BorrowError::Changed("it was changed while it was read".into()));
    }
    let (prefix, suffix) = reference.wrapping.around(content.len());
    let data = match prefix.is_empty() && suffix.is_empty() {
        true => content.into(),
        false => [prefix, content, suffix].concat().into(),
    };
    Ok(Borrowed { data, is_sure })
}

/// Put its bytes on the disk. One that is gone needs none.
pub(super) fn sync(source: &Source) -> io::Result<()> {
    match open(source) {
        Ok((file, ..)) => file.sync_all(),
        Err(BorrowError::Changed(_)) => Ok(()),
        Err(BorrowError::Io(error)) => Err(error),
    }
}

/// The file where it stands, what it is, and whether that is exactly what was hashed.
fn open(source: &Source) -> Result<(SystemFile, Identity, bool), BorrowError> {
    let mut why = "it is gone";
    for (turn, path) in source.places().iter().enumerate() {
        let (file, identity) = match open_regular(path) {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                why = "it is no file any more";
                continue;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(error.into()),
        };
        match source.state {
            State::Growing { device, inode } if (identity.device, identity.inode) == (device, inode) => {
                return Ok((file, identity, false));
            }
            State::Whole { identity: expected, hashed } if identity == expected => {
                return Ok((file, identity, hashed && turn == 0));
            }
            // Renamed, or other permissions, or edited and its time set back: its bytes will tell.
            State::Whole { identity: expected, .. } if identity.is_like(&expected) => {
                return Ok((file, identity, false));
            }
            _ => why = "it was changed",
        }
    }
    Err(BorrowError::Changed(why.into()))
}

/// Opens a regular file for reading; `None` when something else stands there.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<(SystemFile, Identity)>> {
    // Opening a device may do something; what is put there after this look is opened without waiting for it.
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
    }
    let file = match options.open(path) {
        #[cfg(unix)]
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => return Ok(None),
        opened => opened?,
    };
    Ok(Identity::of(&file.metadata()?).map(|identity| (file, identity)))
}

/// Why a block cannot be read out of a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum BorrowError {
    /// It is not the file that it was.
    #[error("{0}")]
    Changed(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}
