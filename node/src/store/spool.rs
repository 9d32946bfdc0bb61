//! What somebody has to remember for a while and has no room for in memory: a file without a name, gone when it is closed.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::{Store, StoreError};

/// Bytes out of memory, beside the store.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// Made when it is needed.
    file: Option<Arc<File>>,
    length: u64,
}

impl Store {
    /// Something to put bytes into; a crash leaves nothing of it.
    pub fn spool(&self) -> Spool {
        Spool { folder: self.0.folder.clone(), file: None, length: 0 }
    }
}

impl Spool {
    /// Puts bytes behind those that are there; says where they are.
    pub async fn append(&mut self, bytes: Bytes) -> Result<Range<u64>, StoreError> {
        let (file, folder) = (self.file.clone(), self.folder.clone());
        let place = self.length..self.length + bytes.len() as u64;
        let append = move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(folder)?),
            };
            (&*file).write_all(&bytes)?;
            Ok(file)
        };
        self.file = Some(self.blocking(append).await?);
        self.length = place.end;
        Ok(place)
    }

    /// Reads bytes that were put.
    pub async fn read(&self, place: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let file = self.file.clone();
        let read = move || {
            let mut bytes = vec![0; (place.end - place.start) as usize];
            file.ok_or(io::ErrorKind::UnexpectedEof)?.read_exact_at(&mut bytes, place.start)?;
            Ok(bytes)
        };
        self.blocking(read).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?;
        done.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { folder: self.folder.clone() }
            }
            _ => StoreError::Io { path: self.folder.clone(), source: Arc::new(error) },
        })
    }
}
