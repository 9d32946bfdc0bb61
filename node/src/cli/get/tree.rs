//! The entries of one folder, made into files.
//!
//! They were made by strangers. Each name is one plain name in a folder that is held open, no symlink is followed, and no entry
//! is written over another: in a fresh folder the system sees to that, in one that was there the names are remembered.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::FileType;

use super::folder::{Folder, kind};
use super::sink::{PERMISSIONS, Part, Place, Saved, Sink, cannot_write, collision, system_time};
use super::target::{is_plain, os_name};
use crate::api::tree::{Entry, Kind};
use crate::cli::failure::{Failure, Outcome};

/// Writes what is below one folder.
#[derive(Debug)]
pub(super) struct Tree {
    /// The folders that are open, from the top down; never empty.
    levels: Vec<Level>,
    /// Where files of a folder that was there stand until they are whole. `None`: the folder is fresh.
    part: Option<Part>,
    force: bool,
    sink: Option<Sink>,
    saved: Saved,
    /// Device and inode of what was written into a folder that was there.
    written: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Level {
    folder: Arc<Folder>,
    name: Vec<u8>,
    path: PathBuf,
    entry: Entry,
    /// The names that came, in a folder that was there.
    seen: BTreeSet<Vec<u8>>,
}

impl Tree {
    /// Writes into `folder`, which is empty and not in its place yet.
    pub(super) fn fresh(folder: Folder, path: PathBuf, entry: Entry) -> Self {
        Self::new(folder, path, entry, None, false)
    }

    /// Checks and completes `folder`.
    pub(super) fn completing(folder: Folder, path: PathBuf, entry: Entry, part: Part, force: bool) -> Self {
        Self::new(folder, path, entry, Some(part), force)
    }

    fn new(folder: Folder, path: PathBuf, entry: Entry, part: Option<Part>, force: bool) -> Self {
        let saved = if part.is_some() { Saved::Already } else { Saved::Now };
        let top = Level { folder: Arc::new(folder), name: vec![], path, entry, seen: BTreeSet::new() };
        Self { levels: vec![top], part, force, sink: None, saved, written: BTreeSet::new() }
    }

    /// The next entry, whose path below the folder is `below`. The file before it is whole.
    pub(super) fn entry(&mut self, below: &[u8], entry: Entry) -> Outcome {
        self.end_file()?;
        let names: Vec<&[u8]> = below.split(|byte| *byte == b'/').collect();
        if !names.iter().all(|name| is_plain(name)) {
            let what = "which would lead out of its folder or is no name: it is not saved";
            return Err(Failure::failed(format!("this content has an entry named \"{}\", {what}", shown(below))));
        }
        let (name, above) = names.split_last().expect("a split gives at least one part");
        self.ascend_to(above, below)?;
        let place = self.place(name)?;
        match entry.kind {
            Kind::File => self.sink = Some(Sink::begin(place, &entry)?),
            Kind::Directory => self.enter(place, name.to_vec(), entry)?,
            Kind::Symlink => {
                let saved = link(&place, &entry)?;
                self.note(saved, &place)?;
            }
        }
        Ok(())
    }

    /// The next bytes of the file whose entry came last.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Outcome {
        match &mut self.sink {
            Some(sink) => sink.write(bytes),
            None => Err(Failure::failed("the node sent bytes that belong to no file")),
        }
    }

    /// All is there.
    pub(super) fn finish(mut self) -> Outcome<Saved> {
        self.end_file()?;
        while let Some(level) = self.levels.pop() {
            level.finish()?;
        }
        Ok(self.saved)
    }

    fn end_file(&mut self) -> Outcome {
        let Some(sink) = self.sink.take() else { return Ok(()) };
        let place = sink.place().clone();
        let saved = sink.end()?;
        self.note(saved, &place)
    }

    fn note(&mut self, saved: Saved, place: &Place) -> Outcome {
        if saved == Saved::Now {
            self.saved = Saved::Now;
            if self.part.is_some()
                && let Some(stat) = place.folder.stat(&place.name).map_err(|error| place.failure(&error))?
            {
                self.written.insert((stat.st_dev, stat.st_ino));
            }
        }
        Ok(())
    }

    /// Closes the folders that are whole, up to the one that these names lead to.
    fn ascend_to(&mut self, above: &[&[u8]], below: &[u8]) -> Outcome {
        let same = self.levels.iter().skip(1).zip(above).take_while(|(level, name)| level.name == **name).count();
        while self.levels.len() > same + 1 {
            self.levels.pop().expect("there are more").finish()?;
        }
        match same < above.len() {
            true => Err(Failure::failed(format!("the node sent \"{}\" without its folder", shown(below)))),
            false => Ok(()),
        }
    }

    fn place(&mut self, name: &[u8]) -> Outcome<Place> {
        let level = self.levels.last_mut().expect("the top is never closed before the end");
        let path = level.path.join(os_name(name));
        if self.part.is_some() {
            // On a file system that folds names two of them may lead to one file.
            let there = level.folder.stat(os_name(name)).map_err(|error| cannot_write(&path, &error))?;
            let is_ours = there.is_some_and(|stat| self.written.contains(&(stat.st_dev, stat.st_ino)));
            if is_ours || !level.seen.insert(name.to_vec()) {
                return Err(collision(&path));
            }
        }
        Ok(Place {
            folder: level.folder.clone(),
            name: os_name(name).to_owned(),
            part: self.part.clone(),
            force: self.force,
            path,
        })
    }

    fn enter(&mut self, place: Place, name: Vec<u8>, entry: Entry) -> Outcome {
        let failed = |error: io::Error| place.failure(&error);
        let there = match self.part {
            Some(_) => place.folder.stat(&place.name).map_err(failed)?,
            None => None,
        };
        let folder = match there {
            Some(stat) if kind(&stat) == FileType::Directory => place.folder.open(&place.name).map_err(failed)?,
            there => {
                if let Some(stat) = there {
                    place.may_replace(&stat, "is no folder")?;
                    place.folder.remove(&place.name).map_err(failed)?;
                }
                self.saved = Saved::Now;
                place.folder.make(&place.name).map_err(|error| place.collision(&error))?
            }
        };
        self.levels.push(Level { folder: Arc::new(folder), name, path: place.path, entry, seen: BTreeSet::new() });
        Ok(())
    }
}

impl Level {
    /// What would keep us from writing into it, and what writing into it changes, is set last.
    fn finish(self) -> Outcome {
        let failed = |error: io::Error| cannot_write(&self.path, &error);
        let file = File::from(self.folder.fd().try_clone().map_err(failed)?);
        if let Some(mode) = self.entry.mode {
            file.set_permissions(Permissions::from_mode(mode & PERMISSIONS)).map_err(failed)?;
        }
        if let Some(time) = self.entry.mtime.and_then(system_time) {
            file.set_modified(time).map_err(failed)?;
        }
        Ok(())
    }
}

/// Makes the symlink that `entry` describes.
pub(super) fn link(place: &Place, entry: &Entry) -> Outcome<Saved> {
    let target = entry.target.as_deref().unwrap_or_default();
    let failed = |error: io::Error| place.failure(&error);
    let Some(part) = &place.part else {
        place.folder.link(&place.name, target).map_err(|error| place.collision(&error))?;
        place.folder.set_link_time(&place.name, entry.mtime).map_err(failed)?;
        return Ok(Saved::Now);
    };
    match place.folder.stat(&place.name).map_err(failed)? {
        None => place.folder.link(&place.name, target).map_err(failed)?,
        Some(stat) => {
            let is_link = kind(&stat) == FileType::Symlink;
            if is_link && place.folder.link_target(&place.name).map_err(failed)? == target {
                return Ok(Saved::Already);
            }
            place.may_replace(&stat, "is something else")?;
            part.folder.remove(&part.name).map_err(failed)?;
            part.folder.link(&part.name, target).map_err(failed)?;
            part.folder.rename(&part.name, &place.folder, &place.name, true).map_err(failed)?;
        }
    }
    place.folder.set_link_time(&place.name, entry.mtime).map_err(failed)?;
    Ok(Saved::Now)
}

/// A name from elsewhere, fit for a message.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

/// The name of a file that is not whole, in the folder of such files.
pub(super) fn part_file() -> OsString {
    OsString::from("file")
}
