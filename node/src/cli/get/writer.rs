//! A file or a folder from the wire, saved under one name. Until all of it is there nothing stands under that name.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::FileType;

use super::folder::{Folder, kind};
use super::sink::{Part, Place, Saved, Sink, busy, cannot_write};
use super::target::Target;
use super::tree::{Tree, link, part_file};
use crate::api::tree::{Entry, Kind};
use crate::cli::failure::{Failure, Outcome};

/// Saves what comes to one target.
#[derive(Debug)]
pub(super) struct Writer {
    target: Target,
    force: bool,
    /// Files and folders that may still come.
    entries_left: u64,
    folder: Arc<Folder>,
    root: Option<Root>,
}

#[derive(Debug)]
enum Root {
    File(Box<Sink>),
    /// The path of the folder's own entry, which those below begin with.
    Folder(Vec<u8>, Box<Tree>, Form),
    Symlink(Saved),
    /// A file that was written leaf by leaf.
    Placed(Saved),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It was there.
    Completed,
    /// It stands beside its place until it is whole.
    Fresh,
}

impl Writer {
    /// Opens the folder of the target, or makes it. No more than `max_entries` files and folders are made.
    pub(super) fn new(target: Target, force: bool, max_entries: u64) -> Outcome<Self> {
        let folder = Folder::named(&target.folder).map_err(|error| cannot_write(&target.folder, &error))?;
        Ok(Self { target, force, entries_left: max_entries, folder: Arc::new(folder), root: None })
    }

    /// Where it is saved.
    pub(super) fn path(&self) -> PathBuf {
        self.target.path()
    }

    /// The next entry; the first is that of the whole.
    pub(super) fn entry(&mut self, entry: Entry) -> Outcome {
        let Some(left) = self.entries_left.checked_sub(1) else { return Err(self.give_up()) };
        self.entries_left = left;
        match &mut self.root {
            None => self.begin(entry),
            Some(Root::Folder(path, tree, _)) => {
                let below = match path.is_empty() {
                    true => Some(&entry.path[..]),
                    false => entry.path.strip_prefix(&path[..]).and_then(|rest| rest.strip_prefix(b"/")),
                };
                let below = below.unwrap_or_default().to_vec();
                tree.entry(&below, entry)
            }
            Some(_) => Err(Failure::failed("the node sent more than one file")),
        }
    }

    /// The next bytes of the file whose entry came last.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Outcome {
        match &mut self.root {
            Some(Root::File(sink)) => sink.write(bytes),
            Some(Root::Folder(_, tree, _)) => tree.data(bytes),
            _ => Err(Failure::failed("the node sent bytes that belong to no file")),
        }
    }

    /// The file that came last while it is not whole, and its absolute path, if it is all that comes and is written.
    pub(super) fn part_file(&self) -> Outcome<Option<(File, PathBuf)>> {
        match &self.root {
            Some(Root::File(sink)) => sink.part_file(),
            _ => Ok(None),
        }
    }

    /// So many bytes were written into that file: all of them. Puts it in its place; the absolute path of that.
    pub(super) fn placed(&mut self, bytes: u64) -> Outcome<Option<PathBuf>> {
        let Some(Root::File(sink)) = self.root.take() else {
            return Err(Failure::failed("the node placed a file that nobody gave it"));
        };
        let (saved, path) = sink.end_placed(bytes)?;
        self.root = Some(Root::Placed(saved));
        Ok(path)
    }

    /// Puts what came in its place.
    pub(super) fn finish(self) -> Outcome<Saved> {
        let failed = |error: io::Error| cannot_write(&self.target.path(), &error);
        let (tree, form) = match self.root {
            Some(Root::File(sink)) => return sink.end(),
            Some(Root::Symlink(saved) | Root::Placed(saved)) => return Ok(saved),
            Some(Root::Folder(_, tree, form)) => (tree, form),
            None => return Err(Failure::failed("the node sent nothing")),
        };
        let saved = tree.finish()?;
        let part = self.target.part_name();
        if form == Form::Completed {
            self.folder.remove(&part).map_err(failed)?;
            return Ok(saved);
        }
        if self.force
            && let Some(stat) = self.folder.stat(&self.target.name).map_err(failed)?
            && kind(&stat) != FileType::Directory
        {
            self.folder.remove(&self.target.name).map_err(failed)?;
        }
        self.folder.rename(&part, &self.folder, &self.target.name, false).map_err(failed)?;
        Ok(saved)
    }

    /// There are too many entries: those that were made beside the place of the folder go again, as nobody asked for so many.
    fn give_up(&mut self) -> Failure {
        self.root = None;
        let part = self.target.part_name();
        if let Err(error) = self.folder.remove(&part) {
            return cannot_write(&self.target.part_path(), &error);
        }
        let path = self.target.path();
        Failure::failed(format!(
            "{} would be more files and folders than are made unasked: --max-entries allows more",
            path.display()
        ))
    }

    fn begin(&mut self, entry: Entry) -> Outcome {
        let part = Part { folder: self.folder.clone(), name: self.target.part_name(), path: self.target.part_path() };
        let place = Place {
            folder: self.folder.clone(),
            name: self.target.name.clone(),
            part: Some(part),
            force: self.force,
            path: self.target.path(),
        };
        self.root = Some(match entry.kind {
            Kind::File => Root::File(Box::new(Sink::begin(place, &entry)?)),
            Kind::Symlink => Root::Symlink(link(&place, &entry)?),
            Kind::Directory => {
                let path = entry.path.clone();
                let (tree, form) = self.begin_folder(&place, entry)?;
                Root::Folder(path, Box::new(tree), form)
            }
        });
        Ok(())
    }

    fn begin_folder(&self, place: &Place, entry: Entry) -> Outcome<(Tree, Form)> {
        let failed = |error: io::Error| place.failure(&error);
        match self.folder.stat(&place.name).map_err(failed)? {
            Some(stat) if kind(&stat) == FileType::Directory => {
                let folder = self.folder.open(&place.name).map_err(failed)?;
                let path = self.target.part_path();
                let part =
                    Part { folder: Arc::new(self.part_folder()?), name: part_file(), path: path.join(part_file()) };
                Ok((Tree::completing(folder, place.path.clone(), entry, part, self.force), Form::Completed))
            }
            there => {
                there.map_or(Ok(()), |stat| place.may_replace(&stat, "is no folder"))?;
                Ok((Tree::fresh(self.part_folder()?, place.path.clone(), entry), Form::Fresh))
            }
        }
    }

    /// The folder beside the target, empty and ours alone.
    fn part_folder(&self) -> Outcome<Folder> {
        let (name, path) = (self.target.part_name(), self.target.part_path());
        let failed = |error: io::Error| cannot_write(&path, &error);
        for _ in 0..ATTEMPTS {
            let there = self.folder.stat(&name).map_err(failed)?;
            if there.is_some_and(|stat| kind(&stat) != FileType::Directory) {
                self.folder.remove(&name).map_err(failed)?;
            }
            let folder = match self.folder.make(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.folder.open(&name),
                result => result,
            };
            let folder = folder.map_err(failed)?;
            if !folder.lock().map_err(failed)? {
                return Err(busy(&path));
            }
            // Whoever had it before may have renamed it meanwhile.
            if self.folder.holds(&name, folder.fd()).map_err(failed)? {
                // What an interrupted call left may be of other content; its blocks are in the repository.
                folder.clear().map_err(failed)?;
                return Ok(folder);
            }
        }
        Err(busy(&path))
    }
}

/// So often another call may come between.
const ATTEMPTS: usize = 10;

#[cfg(test)]
mod tests;
