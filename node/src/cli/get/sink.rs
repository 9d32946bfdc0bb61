//! One file on its way to its place. Until it is whole it stands elsewhere, and what stands in its place is compared, not written.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};

use super::folder::{Folder, kind, lock};
use crate::api::tree::{Entry, Mtime};
use crate::cli::failure::{Failure, Outcome};

/// Where a file shall stand.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) folder: Arc<Folder>,
    pub(super) name: OsString,
    /// Where it stands until it is whole. `None`: in a folder that is itself not in its place yet, and nothing is there.
    pub(super) part: Option<Part>,
    /// Whether what stands there and is something else is replaced.
    pub(super) force: bool,
    /// For messages.
    pub(super) path: PathBuf,
}

/// Where what is not whole stands.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) folder: Arc<Folder>,
    pub(super) name: OsString,
    pub(super) path: PathBuf,
}

/// A file that is being written or compared.
#[derive(Debug)]
pub(super) struct Sink {
    place: Place,
    state: State,
    /// Bytes that came so far.
    came: u64,
    size: Option<u64>,
    mode: Option<u32>,
    mtime: Option<Mtime>,
}

#[derive(Debug)]
enum State {
    /// All that came is what stands there.
    Comparing(File),
    /// It is written where it stays.
    Direct(File),
    /// It is written beside, and renamed.
    Parted(File),
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// It was there, the same to the last byte.
    Already,
    /// It is there.
    Now,
}

impl Sink {
    /// Begins with the file that `entry` describes.
    pub(super) fn begin(place: Place, entry: &Entry) -> Outcome<Self> {
        let state = match &place.part {
            None => State::Direct(place.folder.create(&place.name).map_err(|error| place.collision(&error))?),
            Some(_) => match place.folder.stat(&place.name).map_err(|error| place.failure(&error))? {
                None => State::Parted(place.open_part()?),
                Some(stat) if kind(&stat) == FileType::RegularFile => place.compare(entry.size, stat.st_size)?,
                Some(stat) => {
                    place.may_replace(&stat, "is something else")?;
                    State::Parted(place.open_part()?)
                }
            },
        };
        Ok(Self { place, state, came: 0, size: entry.size, mode: entry.mode, mtime: entry.mtime })
    }

    /// Where it shall stand.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Outcome {
        if let State::Comparing(existing) = &mut self.state {
            if starts_with(existing, bytes).map_err(|error| self.place.failure(&error))? {
                self.came += bytes.len() as u64;
                return Ok(());
            }
            self.differs()?;
        }
        match &mut self.state {
            State::Direct(file) | State::Parted(file) => {
                file.write_all(bytes).map_err(|error| self.place.failure(&error))?;
            }
            State::Comparing(_) => unreachable!("one that differs is written"),
        }
        self.came += bytes.len() as u64;
        Ok(())
    }

    /// The file that is not whole yet and where it stands, for whoever can write it leaf by leaf. `None`: it has to be written
    /// from its beginning to its end.
    pub(super) fn part_file(&self) -> Outcome<Option<(File, PathBuf)>> {
        let (State::Parted(file), 0, Some(part)) = (&self.state, self.came, &self.place.part) else { return Ok(None) };
        let failed = |error: io::Error| cannot_write(&part.path, &error);
        let Ok(path) = absolute(&part.path, &part.name) else { return Ok(None) };
        // So that what is known of its blocks after a power cut leads to it.
        part.folder.sync().map_err(failed)?;
        Ok(Some((file.try_clone().map_err(failed)?, path)))
    }

    /// So many bytes were written into the [part file](Self::part_file): all of them. Puts it in its place.
    pub(super) fn end_placed(mut self, bytes: u64) -> Outcome<(Saved, Option<PathBuf>)> {
        self.came = bytes;
        let place = self.place.clone();
        let saved = self.end()?;
        Ok((saved, absolute(&place.path, &place.name).ok()))
    }

    /// Ends with what came, and puts it in its place.
    pub(super) fn end(mut self) -> Outcome<Saved> {
        if self.size.is_some_and(|size| size != self.came) {
            let path = self.place.path.display();
            return Err(Failure::failed(format!("{path}: only {} of its bytes came", self.came)));
        }
        if let State::Comparing(existing) = &mut self.state {
            let mut more = [0];
            if existing.read(&mut more).map_err(|error| self.place.failure(&error))? == 0 {
                return Ok(Saved::Already);
            }
            self.differs()?;
        }
        self.finish().map_err(|error| self.place.failure(&error))?;
        Ok(Saved::Now)
    }

    fn finish(&self) -> io::Result<()> {
        let (State::Direct(file) | State::Parted(file)) = &self.state else { return Ok(()) };
        if let State::Parted(file) = &self.state {
            // What an interrupted call left there may be longer.
            file.set_len(self.came)?;
        }
        if let Some(mode) = self.mode {
            file.set_permissions(Permissions::from_mode(mode & PERMISSIONS))?;
        }
        if let Some(time) = self.mtime.and_then(system_time) {
            file.set_modified(time)?;
        }
        match &self.place.part {
            Some(part) if !part.folder.holds(&part.name, file)? => {
                Err(io::Error::other(format!("{} was replaced meanwhile", part.path.display())))
            }
            Some(part) => part.folder.rename(&part.name, &self.place.folder, &self.place.name, self.place.force),
            None => Ok(()),
        }
    }

    /// What stands there is not what comes: it is refused, or what was the same so far is copied beside it.
    fn differs(&mut self) -> Outcome {
        let State::Comparing(existing) = &mut self.state else { return Ok(()) };
        if !self.place.force {
            return Err(self.place.refused("is different"));
        }
        let mut part = self.place.open_part()?;
        let copied = existing.seek(SeekFrom::Start(0)).and_then(|_| io::copy(&mut existing.take(self.came), &mut part));
        copied.map_err(|error| self.place.failure(&error))?;
        self.state = State::Parted(part);
        Ok(())
    }
}

/// The path without any symlink in it but its last name.
fn absolute(path: &Path, name: &OsStr) -> io::Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize()?.join(name))
}

/// Who owns a file is nothing that content decides, so no more than these.
pub(super) const PERMISSIONS: u32 = 0o777;

pub(super) fn system_time(time: Mtime) -> Option<SystemTime> {
    let seconds = Duration::from_secs(time.secs.unsigned_abs());
    let whole = match time.secs {
        0.. => SystemTime::UNIX_EPOCH.checked_add(seconds),
        _ => SystemTime::UNIX_EPOCH.checked_sub(seconds),
    };
    whole?.checked_add(Duration::from_nanos(time.nanos.into()))
}

fn starts_with(existing: &mut File, bytes: &[u8]) -> io::Result<bool> {
    let mut there = [0; 64 * 1024];
    for piece in bytes.chunks(there.len()) {
        let there = &mut there[..piece.len()];
        match existing.read_exact(there) {
            Ok(()) if there == piece => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

impl Place {
    fn compare(&self, size: Option<u64>, there: i64) -> Outcome<State> {
        if size.is_some_and(|size| size != there.unsigned_abs()) {
            return match self.force {
                true => Ok(State::Parted(self.open_part()?)),
                false => Err(self.refused("is different")),
            };
        }
        Ok(State::Comparing(self.folder.read(&self.name).map_err(|error| self.failure(&error))?))
    }

    /// Opens the file that is not whole yet, alone. What an interrupted call left there is written over.
    fn open_part(&self) -> Outcome<File> {
        let part = self.part.as_ref().expect("what can be compared has a part");
        let failed = |error: io::Error| cannot_write(&part.path, &error);
        for _ in 0..ATTEMPTS {
            match part.folder.stat(&part.name).map_err(failed)? {
                Some(stat) if kind(&stat) != FileType::RegularFile => part.folder.remove(&part.name).map_err(failed)?,
                _ => {}
            }
            let file = part.folder.create_or_open(&part.name).map_err(failed)?;
            if !lock(&file).map_err(failed)? {
                return Err(busy(&part.path));
            }
            // Whoever had it before may have renamed it meanwhile.
            if part.folder.holds(&part.name, &file).map_err(failed)? {
                return Ok(file);
            }
        }
        Err(busy(&part.path))
    }

    pub(super) fn failure(&self, error: &io::Error) -> Failure {
        cannot_write(&self.path, error)
    }

    /// Nothing was there before, so what stands there came from the same content.
    pub(super) fn collision(&self, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::AlreadyExists => collision(&self.path),
            _ => self.failure(error),
        }
    }

    pub(super) fn refused(&self, how: &str) -> Failure {
        let path = self.path.display();
        Failure::failed(format!("{path} is there already and {how}: --force replaces it, -o names another place"))
    }

    /// Whether something else may stand where this stands. A file and a symlink may go, with `--force`; others have more to
    /// them than can be fetched again: who replaces `/dev/null` has broken the machine.
    pub(super) fn may_replace(&self, there: &Stat, how: &str) -> Outcome {
        let (what, advice) = match kind(there) {
            FileType::RegularFile | FileType::Symlink if self.force => return Ok(()),
            FileType::RegularFile | FileType::Symlink => return Err(self.refused(how)),
            FileType::Directory => ("a folder", "move it away, or name another place with -o"),
            FileType::Fifo => ("a pipe", CAT),
            FileType::Socket => ("a socket", "name another place with -o"),
            _ => ("a device", CAT),
        };
        Err(Failure::failed(format!("{} is {what}, and is not replaced: {advice}", self.path.display())))
    }
}

const CAT: &str = "name another place with -o, or let `cidra cat` write into it";

/// So often another call may come between.
const ATTEMPTS: usize = 10;

pub(super) fn cannot_write(path: &std::path::Path, error: &io::Error) -> Failure {
    let next = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": make room and run the same command again, it goes on where it stopped"
        }
        _ => "",
    };
    Failure::failed(format!("cannot write {}: {error}{next}", path.display()))
}

pub(super) fn busy(path: &std::path::Path) -> Failure {
    let path = path.display();
    Failure::failed(format!("another command is writing {path}: wait for it, or name another place with -o"))
}

pub(super) fn collision(path: &std::path::Path) -> Failure {
    let path = path.display();
    Failure::failed(format!("two entries of this content would both stand at {path}: nothing is written over"))
}
