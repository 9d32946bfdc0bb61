//! The records that this node published or was given, a file each, so that a restart forgets none of them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use cidra_content::ipns::{Moment, Name, Record};
use data_encoding::BASE32_NOPAD;

use crate::keys::is_signed;
use crate::repository::write_atomically;

/// A folder of records.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
}

impl Kept {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The record of a name, valid or not. A file that holds none is as good as no file.
    pub(super) fn get(&self, name: &Name) -> Result<Option<Record>, KeptError> {
        let bytes = match fs::read(self.path(name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.unusable(source)),
        };
        match Record::verify(name, &bytes, Moment::default(), is_signed) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                tracing::warn!(%name, %error, "a record that was kept is of no use");
                Ok(None)
            }
        }
    }

    /// Keeps a record in place of a worse one.
    pub(super) fn put(&self, record: &Record) -> Result<(), KeptError> {
        if let Some(kept) = self.get(record.name())? {
            if kept == *record {
                return Ok(());
            }
            if kept.is_better_than(record) {
                return Err(KeptError::Older { name: *record.name(), sequence: record.sequence() });
            }
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.and_then(|()| write_atomically(&self.path(record.name()), record.bytes(), 0o600))
            .map_err(|source| self.unusable(source))
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(BASE32_NOPAD.encode(&name.to_bytes()).to_ascii_lowercase())
    }

    fn unusable(&self, source: io::Error) -> KeptError {
        KeptError::Unusable { path: self.folder.clone(), source }
    }
}

/// Why a record is not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// There is a better one.
    #[error(
        "can't replace a newer value with an older value: a better record of {name} than number {sequence} is here"
    )]
    Older {
        /// Whose.
        name: Name,
        /// Of the one that was brought.
        sequence: u64,
    },
    /// The folder cannot be read or written.
    #[error("cannot use the records of names in {}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
