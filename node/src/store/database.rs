//! A redb database in a file of the store's disk. redb gives a database up after the first failed write, so this one opens
//! it again: a full disk must not end the store.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{ReadTransaction, ReadableDatabase, StorageBackend as _, WriteTransaction};

use super::backend::Backend;
use super::disk::Disk;

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
    Open(redb::Database, Backend),
}

impl State {
    fn get(&self) -> Result<(&redb::Database, &Backend), redb::Error> {
        match self {
            Self::Open(database, backend) => Ok((database, backend)),
            Self::Closed | Self::Failed => Err(redb::Error::DatabaseClosed),
        }
    }

    /// Closes the file as it is: redb would write to it once more.
    fn end(&mut self, then: State) {
        if let Self::Open(_, backend) = self {
            backend.end();
        }
        *self = then;
    }
}

impl Database {
    /// Open the database `name`, made when it is missing; it caches at most `cache` bytes.
    pub(super) fn open(disk: Arc<dyn Disk>, name: &'static str, cache: usize) -> Result<Database, redb::Error> {
        let open = open(&disk, name, cache)?;
        Ok(Database { disk, name, cache, open: RwLock::new(open) })
    }

    /// Make the database `name`, which is not durable before `finish`: after power loss it may be anything.
    pub(super) fn make(disk: Arc<dyn Disk>, name: &'static str, cache: usize) -> Result<Database, redb::Error> {
        let open = open_with(Backend::making(disk.create(name)?), cache)?;
        Ok(Database { disk, name, cache, open: RwLock::new(open) })
    }

    /// Make a database durable that was made; its name is the caller's to sync.
    pub(super) fn finish(&self) -> Result<(), redb::Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let (_, backend) = open.get()?;
        Ok(backend.finish()?)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(database, _) = &*open {
            return read(&database.begin_read()?);
        }
        drop(open);
        self.reopen()?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        read(&open.get()?.0.begin_read()?)
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
        let (database, backend) = open.get()?;
        backend.begin()?;
        let mut transaction = database.begin_write()?;
        // Without it, opening after a crash walks the whole database.
        transaction.set_quick_repair(true);
        let value = change(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> Result<u64, redb::Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        Ok(open.get()?.1.len()?)
    }

    /// Gives the pages of the file back that hold nothing, which are else used again. Nobody reads meanwhile, for as long as it
    /// takes to move what the database holds. To be followed by a write: what redb commits here does not have what opening
    /// needs after a crash.
    pub(super) fn compact(&self) -> Result<(), redb::Error> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let State::Open(database, backend) = &mut *open else { return Err(redb::Error::DatabaseClosed) };
        let compacted = backend.begin().map_err(redb::Error::from).and_then(|()| Ok(database.compact()?));
        if compacted.is_err() {
            open.end(State::Failed);
        }
        compacted.map(|_| ())
    }

    /// Closes the file for good. Whatever is asked of it later fails.
    pub(super) fn close(&self) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).end(State::Closed);
    }

    fn give_up(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(..) = *open {
            open.end(State::Failed);
        }
    }

    fn reopen(&self) -> Result<(), redb::Error> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Failed = *open {
            *open = self::open(&self.disk, self.name, self.cache)?;
        }
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.close();
    }
}

fn open(disk: &Arc<dyn Disk>, name: &str, cache: usize) -> Result<State, redb::Error> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = disk.create(name)?;
            disk.sync_folder()?;
            file
        }
        opened => opened?,
    };
    open_with(Backend::new(file), cache)
}

fn open_with(backend: Backend, cache: usize) -> Result<State, redb::Error> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache);
    // redb asserts on some files that are damaged.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend.clone())));
    let database = opened
        .unwrap_or(Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted("it makes redb panic".into()))))?;
    Ok(State::Open(database, backend))
}
