//! A disk in memory that forgets what was not synced, tears writes, runs full, and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::disk::{Disk, File};

/// A disk; clones are the same disk.
#[derive(Clone, Debug)]
pub(in crate::store) struct UnreliableDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Names as the running system sees them, and as they are after power loss.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    files: Vec<Content>,
    /// Operations that change something until everything fails.
    operations_left: Option<u64>,
    capacity: Option<u64>,
    /// The next sync of a file fails, and loses what it should have put on the disk.
    fail_sync: bool,
    not_writable: bool,
    no_holes: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Pages that take room: written ones, not those that a longer length left empty.
    pages: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Punch(u64, u64),
}

impl UnreliableDisk {
    pub(in crate::store) fn new() -> UnreliableDisk {
        UnreliableDisk::of(BTreeMap::new())
    }

    fn of(files: BTreeMap<String, Vec<u8>>) -> UnreliableDisk {
        let names: BTreeMap<String, usize> = files.keys().cloned().zip(0..).collect();
        let content = |bytes: Vec<u8>| {
            let pages = (0..(bytes.len() as u64).div_ceil(PAGE)).collect();
            Content { seen: bytes.clone(), durable: bytes, pages, ..Content::default() }
        };
        let state = State {
            durable_names: names.clone(),
            names,
            files: files.into_values().map(content).collect(),
            operations_left: None,
            capacity: None,
            fail_sync: false,
            not_writable: false,
            no_holes: false,
        };
        UnreliableDisk(Arc::new(Mutex::new(state)))
    }

    /// From the `count`th change on, everything fails: the power is off.
    pub(in crate::store) fn crash_after(&self, count: u64) {
        self.lock().operations_left = Some(count);
    }

    pub(in crate::store) fn is_crashed(&self) -> bool {
        self.lock().operations_left == Some(0)
    }

    /// Let no more than this many bytes be in use.
    pub(in crate::store) fn set_capacity(&self, capacity: Option<u64>) {
        self.lock().capacity = capacity;
    }

    pub(in crate::store) fn used(&self) -> u64 {
        self.lock().used()
    }

    pub(in crate::store) fn fail_next_sync(&self) {
        self.lock().fail_sync = true;
    }

    pub(in crate::store) fn forbid_writing(&self) {
        self.lock().not_writable = true;
    }

    /// From here on no space inside a file can be given back.
    pub(in crate::store) fn forbid_holes(&self) {
        self.lock().no_holes = true;
    }

    pub(in crate::store) fn remove_file(&self, name: &str) {
        let mut state = self.lock();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// Change the bytes of a file behind the store's back.
    pub(in crate::store) fn damage(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let index = state.names[name];
        let file = &mut state.files[index];
        damage(&mut file.seen);
        file.durable = file.seen.clone();
    }

    pub(in crate::store) fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// What the disk holds when the power comes back: of the changes that were not synced, any may have reached it, whole,
    /// in part or not at all; of names made or removed since the folder was synced too. `chance` decides.
    pub(in crate::store) fn after_power_loss(&self, mut chance: impl FnMut(u64) -> u64) -> UnreliableDisk {
        let state = self.lock();
        let mut names = state.durable_names.clone();
        for (name, index) in &state.names {
            if !names.contains_key(name) && chance(2) == 0 {
                names.insert(name.clone(), *index);
            }
        }
        names.retain(|name, _| state.names.contains_key(name) || chance(2) == 0);
        let mut survive = |index: usize| {
            let file = &state.files[index];
            let mut bytes = file.durable.clone();
            for change in &file.unsynced {
                match (change, chance(4)) {
                    (_, 0) => {}
                    (Change::Write(offset, data), 1) => {
                        // A disk writes sectors.
                        let sectors = chance(1 + data.len() as u64 / 512) as usize;
                        Change::Write(*offset, data[..sectors * 512].to_vec()).apply(&mut bytes);
                    }
                    (change, _) => change.apply(&mut bytes),
                }
            }
            bytes
        };
        UnreliableDisk::of(names.iter().map(|(name, index)| (name.clone(), survive(*index))).collect())
    }

    /// The disk as a process finds it that starts after another was killed: nothing is forgotten.
    pub(in crate::store) fn after_kill(&self) -> UnreliableDisk {
        let state = self.lock();
        UnreliableDisk::of(
            state.names.iter().map(|(name, index)| (name.clone(), state.files[*index].seen.clone())).collect(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names.values().map(|index| self.files[*index].pages.len() as u64 * PAGE).sum()
    }

    /// Count a change of something.
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => return Err(io::Error::other("the power is off")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.operations_left == Some(0) { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Take the pages for a write, and say how many of its bytes got one.
    fn take_room(&mut self, index: usize, offset: u64, length: u64) -> u64 {
        let mut free = self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()) / PAGE);
        let pages = &mut self.files[index].pages;
        for page in offset / PAGE..(offset + length).div_ceil(PAGE) {
            if pages.insert(page) {
                if free == 0 {
                    pages.remove(&page);
                    return (page * PAGE).saturating_sub(offset);
                }
                free -= 1;
            }
        }
        length
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.not_writable { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::SetLen(length) => bytes.resize(*length as usize, 0),
            Change::Punch(offset, length) => {
                let end = bytes.len().min((*offset + *length) as usize);
                bytes[(*offset as usize).min(end)..end].fill(0);
            }
            Change::Write(_, data) if data.is_empty() => {}
            Change::Write(offset, data) => {
                let (start, end) = (*offset as usize, *offset as usize + data.len());
                bytes.resize(bytes.len().max(end), 0);
                bytes[start..end].copy_from_slice(data);
            }
        }
    }
}

const PAGE: u64 = 4096;

impl Disk for UnreliableDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = self.lock();
        let index = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        state.check_writable()?;
        Ok(Arc::new(UnreliableFile { disk: self.clone(), index }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        state.operate()?;
        state.check_writable()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let index = state.files.len();
        state.files.push(Content::default());
        state.names.insert(name.to_owned(), index);
        Ok(Arc::new(UnreliableFile { disk: self.clone(), index }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        state.check_writable()?;
        state.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn allocated(&self, name: &str) -> io::Result<u64> {
        let state = self.lock();
        let index = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.files[index].pages.len() as u64 * PAGE)
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }
}

#[derive(Debug)]
struct UnreliableFile {
    disk: UnreliableDisk,
    index: usize,
}

impl File for UnreliableFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.index].seen.len() as u64)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut out = vec![0; length];
        self.read_into(offset, &mut out).map(|()| out)
    }

    fn read_into(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.lock();
        let bytes = &state.files[self.index].seen;
        let bytes = bytes.get(offset as usize..offset as usize + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut data: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let mut state = self.disk.lock();
        state.operate()?;
        let fits = state.take_room(self.index, offset, data.len() as u64);
        let full = fits < data.len() as u64;
        // What does not fit is missing; what does is written.
        data.truncate(fits as usize);
        state.files[self.index].change(Change::Write(offset, data));
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.operate()?;
        let file = &mut state.files[self.index];
        file.pages.retain(|page| page * PAGE < length);
        file.change(Change::SetLen(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.operate()?;
        let fails = std::mem::take(&mut state.fail_sync);
        let file = &mut state.files[self.index];
        // After a failure the system believes that nothing is left to write.
        let unsynced = std::mem::take(&mut file.unsynced);
        if fails {
            return Err(io::Error::other("a sector could not be written"));
        }
        unsynced.iter().for_each(|change| change.apply(&mut file.durable));
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.operate()?;
        if state.take_room(self.index, 0, length) < length {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files[self.index].change(Change::SetLen(length));
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        if state.no_holes {
            return Err(io::ErrorKind::Unsupported.into());
        }
        state.operate()?;
        let file = &mut state.files[self.index];
        file.pages.retain(|page| page * PAGE < offset || (page + 1) * PAGE > offset + length);
        file.change(Change::Punch(offset, length));
        Ok(())
    }
}
