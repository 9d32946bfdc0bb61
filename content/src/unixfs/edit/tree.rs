//! The tree from its root: where a path leads, and the root of the tree with a change at a path.

use cid::Cid;

use super::folder::{self, Child};
use super::{Blocks, EditError, Fashion, FilesPath, Node, Stop};
use crate::block::DAG_PB;
use crate::unixfs::message::{Message, Metadata, Type};

/// Something at a path.
pub type Place = Child;

/// What a path leads to.
pub fn lookup(blocks: &Blocks, root: &Cid, path: &FilesPath) -> Result<Place, Stop> {
    let mut place: Option<Place> = None;
    for (depth, name) in path.names.iter().enumerate() {
        let folder = place.map_or(*root, |place| place.cid);
        if !folder::is_folder(blocks, &folder)? {
            return Err(EditError::NotDirectory { path: path.names[..=depth].join("/") }.into());
        }
        place = Some(folder::find(blocks, &folder, name.as_bytes())?.ok_or(EditError::NotFound)?);
    }
    match place {
        Some(place) => Ok(place),
        None => Child::of(blocks, root),
    }
}

/// The root with a new name at `path`, whose folder is there.
pub fn insert(blocks: &mut Blocks, root: &Cid, path: &FilesPath, child: Child) -> Result<Cid, Stop> {
    let name = path.name().ok_or(EditError::IsRoot { verb: "replace" })?;
    change(blocks, root, &path.parent(), &mut |blocks, folder| {
        if folder::find(blocks, folder, name.as_bytes())?.is_some() {
            return Err(EditError::Exists.into());
        }
        folder::put(blocks, folder, name.as_bytes(), child)
    })
}

/// The root with `child` at `path` where `was` is.
pub fn swap(blocks: &mut Blocks, root: &Cid, path: &FilesPath, was: &Cid, child: Child) -> Result<Cid, Stop> {
    let name = path.name().ok_or(EditError::IsRoot { verb: "replace" })?;
    change(blocks, root, &path.parent(), &mut |blocks, folder| {
        let there = folder::find(blocks, folder, name.as_bytes())?;
        if there.is_none_or(|there| there.cid != *was) {
            return Err(EditError::Changed { path: path.to_string() }.into());
        }
        folder::put(blocks, folder, name.as_bytes(), child)
    })
}

/// The root without what is at `path`.
pub fn remove(blocks: &mut Blocks, root: &Cid, path: &FilesPath) -> Result<Cid, Stop> {
    let name = path.name().ok_or(EditError::IsRoot { verb: "delete" })?;
    change(blocks, root, &path.parent(), &mut |blocks, folder| {
        folder::find(blocks, folder, name.as_bytes())?.ok_or(EditError::NotFound)?;
        folder::take(blocks, folder, name.as_bytes())
    })
}

/// The root with an empty folder at `path`; with `parents` those above it are made, too, and one that is there will do.
pub fn make_folder(
    blocks: &mut Blocks,
    root: &Cid,
    path: &FilesPath,
    parents: bool,
    fashion: Fashion,
) -> Result<Cid, Stop> {
    let mut root = *root;
    if path.names.is_empty() {
        return if parents { Ok(root) } else { Err(EditError::FileExists.into()) };
    }
    for depth in 1..=path.names.len() {
        let is_last = depth == path.names.len();
        let part = FilesPath { names: path.names[..depth].to_vec(), is_folder: true };
        match lookup(blocks, &root, &part) {
            Ok(there) if !is_last || parents => {
                if !folder::is_folder(blocks, &there.cid)? {
                    let error = if is_last {
                        EditError::FileExists
                    } else {
                        EditError::NotDirectory { path: part.names.join("/") }
                    };
                    return Err(error.into());
                }
            }
            Ok(_) => return Err(EditError::FileExists.into()),
            Err(stop) if stop.is_not_found() && (parents || is_last) => {
                let empty = folder::empty(blocks, fashion);
                root = insert(blocks, &root, &part, empty)?;
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(root)
}

/// The root with what was at `from` at `to`. A file that is there makes room; a folder that is there takes it in.
pub fn rename(blocks: &mut Blocks, root: &Cid, from: &FilesPath, to: &FilesPath) -> Result<Cid, Stop> {
    let name = from.name().ok_or(EditError::IsRoot { verb: "move" })?;
    let moved = lookup(blocks, root, from)?;
    let mut to = if to.is_folder { to.join(name) } else { to.clone() };
    let mut target = lookup_if_there(blocks, root, &to)?;
    if let Some(there) = target
        && to != *from
        && folder::is_folder(blocks, &there.cid)?
    {
        to = to.join(name);
        target = lookup_if_there(blocks, root, &to)?;
        if target.is_some() && to != *from {
            return Err(EditError::Exists.into());
        }
    }
    if to == *from {
        return Ok(*root);
    }
    if from.holds(&to) {
        return Err(EditError::IntoItself { from: from.to_string() }.into());
    }
    let mut root = *root;
    if target.is_some() {
        root = remove(blocks, &root, &to)?;
    }
    root = insert(blocks, &root, &to, moved)?;
    remove(blocks, &root, from)
}

/// The root with the folder at `path` named in another fashion.
pub fn refashion(blocks: &mut Blocks, root: &Cid, path: &FilesPath, fashion: Fashion) -> Result<Cid, Stop> {
    change(blocks, root, path, &mut |blocks, folder| folder::refashion(blocks, folder, fashion))
}

/// The root with other permissions or another time at `path`: those that are given. A mode of 0 is none.
pub fn restat(blocks: &mut Blocks, root: &Cid, path: &FilesPath, metadata: Metadata) -> Result<Cid, Stop> {
    let was = lookup(blocks, root, path)?.cid;
    let block = blocks.get(&was)?;
    let mut node = match was.codec() {
        DAG_PB => Node::read(&block)?,
        // A raw leaf has no place for them.
        _ => Node {
            links: Vec::new(),
            message: Message {
                data: Some(block.data().clone()),
                file_size: Some(block.data().len() as u64),
                ..Message::new(Type::File)
            },
        },
    };
    if let Some(mode) = metadata.mode {
        let kept = node.message.metadata.mode.unwrap_or_default() & !0xfff | mode & 0xfff;
        node.message.metadata.mode = (kept != 0).then_some(kept);
    }
    node.message.metadata.mtime = metadata.mtime.or(node.message.metadata.mtime);
    // As in Kubo: a wrapped leaf is named as any new node is.
    let fashion = if was.codec() == DAG_PB { Fashion::of(&was)? } else { Fashion::V0 };
    let child = blocks.write(fashion, &node);
    match path.name() {
        None => Ok(child.cid),
        Some(_) => swap(blocks, root, path, &was, child),
    }
}

fn lookup_if_there(blocks: &Blocks, root: &Cid, path: &FilesPath) -> Result<Option<Place>, Stop> {
    match lookup(blocks, root, path) {
        Ok(place) => Ok(Some(place)),
        Err(stop) if stop.is_not_found() => {
            // The folder that it would be in must be one.
            let parent = lookup(blocks, root, &path.parent())?;
            match folder::is_folder(blocks, &parent.cid)? {
                true => Ok(None),
                false => Err(EditError::NotDirectory { path: path.parent().to_string() }.into()),
            }
        }
        Err(stop) => Err(stop),
    }
}

/// The root with the folder at `path` changed, and all above it.
fn change(
    blocks: &mut Blocks,
    root: &Cid,
    path: &FilesPath,
    act: &mut dyn FnMut(&mut Blocks, &Cid) -> Result<Child, Stop>,
) -> Result<Cid, Stop> {
    let mut folders = vec![*root];
    for (depth, name) in path.names.iter().enumerate() {
        let folder = folders.last().expect("the root is there");
        if !folder::is_folder(blocks, folder)? {
            return Err(EditError::NotDirectory { path: path.names[..=depth].join("/") }.into());
        }
        folders.push(folder::find(blocks, folder, name.as_bytes())?.ok_or(EditError::NotFound)?.cid);
    }
    let last = folders.pop().expect("the root is there");
    if !folder::is_folder(blocks, &last)? {
        return Err(EditError::NotFolder.into());
    }
    let mut child = act(blocks, &last)?;
    for (folder, name) in folders.iter().zip(&path.names).rev() {
        child = folder::put(blocks, folder, name.as_bytes(), child)?;
    }
    Ok(child.cid)
}
