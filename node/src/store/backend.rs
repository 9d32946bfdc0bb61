//! A file as redb has it. redb marks a file when it opens it and tidies it up when it closes it, with a sync or more each time.
//! Neither is of use here: each commit records what opening needs after a crash. So what redb writes before the first commit
//! waits for that commit, what it writes at the end goes nowhere, and a new file is synced once, when it is made.

use std::io::{self, IoSlice};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::StorageBackend;

use super::disk::File;

/// One file; clones are the same file.
#[derive(Clone, Debug)]
pub(super) struct Backend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<dyn File>,
    state: RwLock<State>,
}

/// What becomes of what redb writes.
#[derive(Debug)]
enum State {
    /// It is written, and synced when the file is made to the end.
    Making,
    /// It waits.
    Waiting(Held),
    /// It is written and synced.
    Through,
    /// It goes nowhere; redb reads it all the same.
    Ended(Held),
}

impl Backend {
    /// Of a file that holds a database.
    pub(super) fn new(file: Arc<dyn File>) -> Backend {
        Backend::with(file, State::Waiting(Held::default()))
    }

    /// Of a file that is of no use before `finish`.
    pub(super) fn making(file: Arc<dyn File>) -> Backend {
        Backend::with(file, State::Making)
    }

    fn with(file: Arc<dyn File>, state: State) -> Backend {
        Backend(Arc::new(Inner { file, state: RwLock::new(state) }))
    }

    /// Write and sync from here on, what waits first.
    pub(super) fn begin(&self) -> io::Result<()> {
        if !matches!(*self.state(), State::Waiting(_)) {
            return Ok(());
        }
        let mut state = self.state_mut();
        if let State::Waiting(held) = &*state {
            held.write_to(&*self.0.file)?;
            *state = State::Through;
        }
        Ok(())
    }

    /// The file is made.
    pub(super) fn finish(&self) -> io::Result<()> {
        let mut state = self.state_mut();
        if matches!(*state, State::Making) {
            self.0.file.sync_data()?;
            *state = State::Through;
        }
        Ok(())
    }

    /// Write nothing from here on.
    pub(super) fn end(&self) {
        let mut state = self.state_mut();
        let held = match &mut *state {
            State::Waiting(held) => std::mem::take(held),
            State::Making | State::Through => Held::default(),
            State::Ended(_) => return,
        };
        *state = State::Ended(held);
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let state = self.state();
        match &*state {
            State::Making if matches!(change, Change::Sync) => return Ok(()),
            State::Making | State::Through => return change.make(&*self.0.file),
            State::Waiting(_) | State::Ended(_) => drop(state),
        }
        match &mut *self.state_mut() {
            State::Waiting(held) | State::Ended(held) => held.0.push(change),
            State::Making | State::Through => return change.make(&*self.0.file),
        }
        Ok(())
    }
}

/// redb locks what it opens: here the repository's lock does.
impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let length = self.0.file.len()?;
        match &*self.state() {
            State::Making | State::Through => Ok(length),
            State::Waiting(held) | State::Ended(held) => Ok(held.len(length)),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.state() {
            State::Making | State::Through => self.0.file.read_into(offset, out),
            State::Waiting(held) | State::Ended(held) => held.read(&*self.0.file, offset, out),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::SetLen(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Change::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, data.to_vec()))
    }
}

/// Changes that are not made, in their order: a few pages.
#[derive(Debug, Default)]
struct Held(Vec<Change>);

#[derive(Debug)]
enum Change {
    SetLen(u64),
    Sync,
    Write(u64, Vec<u8>),
}

impl Held {
    fn write_to(&self, file: &dyn File) -> io::Result<()> {
        self.0.iter().try_for_each(|change| change.make(file))
    }

    fn len(&self, length: u64) -> u64 {
        self.0.iter().fold(length, |length, change| match change {
            Change::SetLen(length) => *length,
            Change::Sync => length,
            Change::Write(offset, data) => length.max(offset + data.len() as u64),
        })
    }

    fn read(&self, file: &dyn File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (mut length, end) = (file.len()?, offset + out.len() as u64);
        let there = (length.min(end).saturating_sub(offset)) as usize;
        if there > 0 {
            file.read_into(offset, &mut out[..there])?;
        }
        out[there..].fill(0);
        for change in &self.0 {
            match change {
                Change::SetLen(shorter) => {
                    if *shorter < end.min(length) {
                        out[shorter.saturating_sub(offset) as usize..].fill(0);
                    }
                    length = *shorter;
                }
                Change::Sync => {}
                Change::Write(at, data) => {
                    let (from, to) = (offset.max(*at), end.min(at + data.len() as u64));
                    if from < to {
                        let data = &data[(from - at) as usize..(to - at) as usize];
                        out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(data);
                    }
                    length = length.max(at + data.len() as u64);
                }
            }
        }
        if end > length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Change {
    fn make(&self, file: &dyn File) -> io::Result<()> {
        match self {
            Change::SetLen(length) => file.set_len(*length),
            Change::Sync => file.sync_data(),
            Change::Write(offset, data) => file.write_at(*offset, &mut [IoSlice::new(data)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::Disk;
    use super::super::tests::UnreliableDisk;
    use super::*;
    use proptest::prelude::*;

    fn bytes(backend: &Backend) -> Vec<u8> {
        let mut bytes = vec![1; backend.len().unwrap() as usize];
        backend.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn only_what_is_begun_is_written() {
        let disk = UnreliableDisk::new();
        let file = disk.create("file").unwrap();
        file.write_at(0, &mut [IoSlice::new(b"before")]).unwrap();
        let backend = Backend::new(file.clone());

        backend.write(3, b"ween times").unwrap();
        backend.sync_data().unwrap();
        assert_eq!((bytes(&backend), file.read_at(0, 6).unwrap()), (b"befween times".to_vec(), b"before".to_vec()));
        backend.begin().unwrap();
        assert_eq!(file.read_at(0, 13).unwrap(), b"befween times");
        backend.write(0, b"x").unwrap();
        backend.end();
        backend.write(1, b"yz").unwrap();
        backend.set_len(2).unwrap();

        assert_eq!((bytes(&backend), file.read_at(0, 13).unwrap()), (b"xy".to_vec(), b"xefween times".to_vec()));
        assert_eq!(backend.read(1, &mut [0; 2]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_made_is_synced_once_at_its_end() {
        let disk = UnreliableDisk::new();
        let backend = Backend::making(disk.create("file").unwrap());
        disk.sync_folder().unwrap();
        disk.fail_next_sync();

        backend.write(0, b"made").unwrap();
        backend.sync_data().unwrap();
        assert!(backend.finish().is_err(), "that was the sync");

        backend.finish().unwrap();
        backend.finish().unwrap();
    }

    proptest! {
        #[test]
        fn what_waits_is_read_as_if_it_were_written(
            changes in prop::collection::vec((0_u64..40, prop::option::of(0_u8..20)), 0..12),
            (offset, length) in (0_u64..50, 0_usize..30),
        ) {
            let disk = UnreliableDisk::new();
            let files = ["now", "later"].map(|name| disk.create(name).unwrap());
            files.iter().for_each(|file| file.write_at(0, &mut [IoSlice::new(&[9; 25])]).unwrap());
            let [now, later] = files.map(Backend::new);
            now.begin().unwrap();
            for (number, (at, write)) in (10..).zip(&changes) {
                for backend in [&now, &later] {
                    match write {
                        Some(length) => backend.write(*at, &vec![number; usize::from(*length) + 1]).unwrap(),
                        None => backend.set_len(*at).unwrap(),
                    }
                }
            }
            let read = |backend: &Backend| {
                let mut out = vec![1; length];
                (backend.len().unwrap(), backend.read(offset, &mut out).map(|()| out).map_err(|error| error.kind()))
            };

            prop_assert_eq!(read(&now), read(&later));
            later.begin().unwrap();
            prop_assert_eq!(bytes(&now), bytes(&later));
        }
    }
}
