//! Files and folders as a tree on the wire, read as it is asked for.
//!
//! Everything is looked at once before anything is sent, so that what cannot be read is named before anything is imported.
//! Then it is read; a file that is not at its end what it was at its beginning is an error, not content.

mod names;

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::vec;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, open};

use self::names::Names;
use super::ignore::Ignored;
use crate::api::tree::{Entry, Frame, Kind, Mtime};
use crate::cli::failure::{Failure, Outcome};

/// Which entries of a folder are taken.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Selection {
    /// Names that begin with a dot, too.
    pub(super) hidden: bool,
    /// What is left out.
    pub(super) ignored: Ignored,
    /// A symlink that is named itself stands for what it points to.
    pub(super) follow_named: bool,
    /// Tell permissions …
    pub(super) mode: bool,
    /// … and the time of the last change.
    pub(super) mtime: bool,
    /// Files are named, and read by the node.
    pub(super) in_place: bool,
}

impl Selection {
    /// Everything, and what a named symlink points to; files are named and not copied.
    pub(in crate::cli) fn all() -> Self {
        Self { hidden: true, follow_named: true, in_place: true, ..Self::default() }
    }
}

/// The frames of some paths, one after the other. Of the files it holds one open, of the folders their names.
#[derive(Debug)]
pub(super) struct Walk {
    selection: Selection,
    roots: vec::IntoIter<PathBuf>,
    folders: Vec<Folder>,
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    wire: Vec<u8>,
    /// Relative to the root: for patterns.
    below: Vec<u8>,
    names: Names,
}

#[derive(Debug)]
struct Reading {
    path: PathBuf,
    file: File,
    before: Metadata,
    read: u64,
}

impl Walk {
    pub(super) fn new(paths: Vec<PathBuf>, selection: Selection) -> Self {
        Self { selection, roots: paths.into_iter(), folders: vec![], reading: None }
    }

    /// Looks at everything, opens nothing, and gives the number of bytes in all files.
    ///
    /// Fails at the first thing that cannot be imported, and names it.
    pub(super) fn survey(mut self) -> Outcome<u64> {
        let mut total = 0u64;
        while let Some(found) = self.advance()? {
            if let Kind::File = found.kind {
                total = total.saturating_add(found.metadata.len());
            }
            // Root may read everything; the system is asked, not the permission bits.
            let right = if found.kind == Kind::Directory { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
            if found.kind != Kind::Symlink {
                accessat(CWD, &found.path, right, AtFlags::EACCESS)
                    .map_err(|error| unreadable(&found.path, &error.into()))?;
            }
        }
        Ok(total)
    }

    /// The next frame of the tree, its end not included.
    pub(super) fn next_frame(&mut self) -> Outcome<Option<Frame>> {
        if let Some(reading) = &mut self.reading {
            match reading.next()? {
                Some(bytes) => return Ok(Some(Frame::Data(bytes))),
                None => self.reading = None,
            }
        }
        let Some(found) = self.advance()? else { return Ok(None) };
        let mut entry = Entry::new(found.wire, found.kind);
        entry.mode = self.selection.mode.then(|| found.metadata.mode() & MODE);
        entry.mtime = self.selection.mtime.then(|| mtime(&found.metadata));
        match found.kind {
            Kind::Directory => {}
            Kind::Symlink => {
                let target = fs::read_link(&found.path).map_err(|error| unreadable(&found.path, &error))?;
                entry.target = Some(target.into_os_string().into_vec());
            }
            Kind::File if self.selection.in_place => {
                // No folder on the way there is a symlink, which could lead elsewhere some day.
                let real = fs::canonicalize(&found.path).map_err(|error| unreadable(&found.path, &error))?;
                entry.size = Some(found.metadata.len());
                entry.source = Some(real.into_os_string().into_vec());
            }
            Kind::File => {
                let reading = Reading::open(found.path, found.is_named && self.selection.follow_named)?;
                entry.size = Some(reading.before.len());
                self.reading = Some(reading);
            }
        }
        Ok(Some(Frame::Entry(entry)))
    }

    fn advance(&mut self) -> Outcome<Option<Found>> {
        loop {
            let Some(folder) = self.folders.last_mut() else {
                let Some(path) = self.roots.next() else { return Ok(None) };
                let wire = wire_name(&path)?;
                let metadata =
                    if self.selection.follow_named { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
                let metadata = metadata.map_err(|error| unreadable(&path, &error))?;
                return self.enter(Found::new(path, wire, vec![], metadata, true)?).map(Some);
            };
            let Some(name) = folder.names.next() else {
                self.folders.pop();
                continue;
            };
            let path = folder.path.join(&name);
            let wire = joined(&folder.wire, name.as_bytes());
            let below = joined(&folder.below, name.as_bytes());
            let metadata = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, &error))?;
            if self.selection.leaves_out(&name, &below, metadata.is_dir()) {
                continue;
            }
            return self.enter(Found::new(path, wire, below, metadata, false)?).map(Some);
        }
    }

    fn enter(&mut self, found: Found) -> Outcome<Found> {
        if found.kind == Kind::Directory {
            let names = Names::of(&found.path).map_err(|error| unreadable(&found.path, &error))?;
            let (path, wire, below) = (found.path.clone(), found.wire.clone(), found.below.clone());
            self.folders.push(Folder { path, wire, below, names });
        }
        Ok(found)
    }
}

/// Permissions with setuid, setgid and sticky.
const MODE: u32 = 0o7777;

fn mtime(metadata: &Metadata) -> Mtime {
    let nanos = u32::try_from(metadata.mtime_nsec()).expect("a second has fewer nanoseconds");
    Mtime { secs: metadata.mtime(), nanos }
}

impl Selection {
    fn leaves_out(&self, name: &OsStr, below: &[u8], is_folder: bool) -> bool {
        !self.hidden && name.as_bytes().starts_with(b".") || self.ignored.matches(below, is_folder)
    }
}

struct Found {
    path: PathBuf,
    wire: Vec<u8>,
    below: Vec<u8>,
    kind: Kind,
    metadata: Metadata,
    is_named: bool,
}

impl Found {
    fn new(path: PathBuf, wire: Vec<u8>, below: Vec<u8>, metadata: Metadata, is_named: bool) -> Outcome<Self> {
        let kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Symlink,
            kind => {
                let what = if kind.is_fifo() {
                    "a pipe"
                } else if kind.is_socket() {
                    "a socket"
                } else {
                    "a device"
                };
                let next = "only files, folders and symlinks can be added: leave it out with --ignore";
                return Err(Failure::failed(format!("{} is {what}: {next}", path.display())));
            }
        };
        Ok(Self { path, wire, below, kind, metadata, is_named })
    }
}

impl Reading {
    fn open(path: PathBuf, follow: bool) -> Outcome<Self> {
        // What was a file a moment ago may be a pipe by now, whose opening would wait for ever.
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        flags.set(OFlags::NOFOLLOW, !follow);
        let file = open(&path, flags, Mode::empty()).map_err(|error| unreadable(&path, &error.into()))?;
        let file = File::from(file);
        let before = file.metadata().map_err(|error| unreadable(&path, &error))?;
        if !before.is_file() {
            return Err(changed(&path, "it is no file any more"));
        }
        Ok(Self { path, file, before, read: 0 })
    }

    fn next(&mut self) -> Outcome<Option<Bytes>> {
        let left = self.before.len().saturating_sub(self.read);
        // One byte more than there should be shows that it grew.
        let room = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(PIECE);
        let mut bytes = BytesMut::zeroed(room);
        let mut filled = 0;
        while filled < room {
            match self.file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&self.path, &error)),
            }
        }
        self.read += filled as u64;
        if self.read > self.before.len() {
            return Err(changed(&self.path, "it grew"));
        }
        if filled > 0 {
            bytes.truncate(filled);
            return Ok(Some(bytes.freeze()));
        }
        self.check_unchanged()?;
        Ok(None)
    }

    fn check_unchanged(&self) -> Outcome {
        if self.read < self.before.len() {
            let short = format!("{} bytes were there at first, {} could be read", self.before.len(), self.read);
            return Err(changed(&self.path, &short));
        }
        let after = self.file.metadata().map_err(|error| unreadable(&self.path, &error))?;
        let time = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if time(&after) != time(&self.before) {
            return Err(changed(&self.path, "it was written to"));
        }
        Ok(())
    }
}

/// How much of a file is read at a time, in bytes: a leaf of the default size.
pub(super) const PIECE: usize = 1024 * 1024;

/// What a path is called: its last name, and for `.` and the like that of the folder it leads to.
pub(in crate::cli) fn wire_name(path: &Path) -> Outcome<Vec<u8>> {
    let last = path.as_os_str().as_bytes().trim_ascii_end().rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
    if let Some(name) = path.file_name().filter(|_| !matches!(last, Some(b"." | b".."))) {
        return Ok(name.as_bytes().to_vec());
    }
    let real = fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
    Ok(real.file_name().unwrap_or(OsStr::new("root")).as_bytes().to_vec())
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("cannot read {}", path.display()), error)
}

fn changed(path: &Path, how: &str) -> Failure {
    let message = format!("{} changed while it was read: {how}", path.display());
    Failure::failed(format!("{message}: add it again when nothing writes to it"))
}

#[cfg(test)]
mod tests;
