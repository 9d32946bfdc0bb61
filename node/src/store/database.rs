//! A redb database in a file of the store's disk. redb gives a database up after the first failed write, so this one opens
//! it again: a full disk must not end the store.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

use super::disk::{Disk, File};

/// A database that is opened again after a failure.
#[derive(Debug)]
pub(super) struct Database {
    disk: Arc<dyn Disk>,
    name: &'static str,
    cache: usize,
    open: RwLock<State>,
}

#[derive(Debug)]
enum State {
    /// For good: another process may have the file.
    Closed,
    /// Until it could be opened again.
    Failed,
    Open(redb::Database),
}

impl State {
    fn get(&self) -> Result<&redb::Database, redb::Error> {
        match self {
            Self::Open(database) => Ok(database),
            Self::Closed | Self::Failed => Err(redb::Error::DatabaseClosed),
        }
    }
}

impl Database {
    /// Open the database `name`, made when it is missing; it caches at most `cache` bytes.
    pub(super) fn open(disk: Arc<dyn Disk>, name: &'static str, cache: usize) -> Result<Database, redb::Error> {
        let database = open(&disk, name, cache)?;
        Ok(Database { disk, name, cache, open: RwLock::new(State::Open(database)) })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(database) = &*open {
            return read(&database.begin_read()?);
        }
        drop(open);
        self.reopen()?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        read(&open.get()?.begin_read()?)
    }

    /// Change the database in one transaction, durable on return. After an error the change may be there or not.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        if matches!(*self.open.read().unwrap_or_else(PoisonError::into_inner), State::Failed) {
            self.reopen()?;
        }
        let result = self.try_write(change);
        if result.is_err() {
            self.give_up();
            if let Err(error) = self.reopen() {
                tracing::debug!(database = self.name, %error, "could not be opened again yet");
            }
        }
        result
    }

    fn try_write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = open.get()?.begin_write()?;
        // Without it, opening after a crash walks the whole database.
        transaction.set_quick_repair(true);
        let value = change(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Closes the file for good; redb writes to it once more. Whatever is asked of it later fails.
    pub(super) fn close(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = State::Closed;
    }

    fn give_up(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(_) = *open {
            *open = State::Failed;
        }
    }

    fn reopen(&self) -> Result<(), redb::Error> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Failed = *open {
            *open = State::Open(self::open(&self.disk, self.name, self.cache)?);
        }
        Ok(())
    }
}

fn open(disk: &Arc<dyn Disk>, name: &str, cache: usize) -> Result<redb::Database, redb::Error> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = disk.create(name)?;
            disk.sync_folder()?;
            file
        }
        opened => opened?,
    };
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache);
    // redb asserts on some files that are damaged.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(Backend(file))));
    Ok(opened
        .unwrap_or(Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted("it makes redb panic".into()))))?)
}

/// redb locks what it opens: here the repository's lock does.
#[derive(Debug)]
struct Backend(Arc<dyn File>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_into(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, &mut [io::IoSlice::new(data)])
    }
}
