//! `files/…`: the tree of files that a person arranges, with the arguments and fields of Kubo.

mod read;
mod stat;
mod write;

use axum::extract::State;
use cid::Version;
use cidra_content::path::ContentPath;
use cidra_content::unixfs::edit::{self, Blocks, EditError, Fashion, FilesPath, Stop};
use cidra_content::unixfs::{Metadata, Time};
use serde_json::json;

use super::answer::{Answer, Failure, Shape, nothing, one, stream};
use super::call::{Call, hash_function};
use crate::download::FetchOptions;
use crate::node::{Changing, FilesError, Node};
pub(super) use read::{ls, read};
pub(super) use stat::stat;
pub(super) use write::write;

/// Links to what is at a content path, or somewhere else in the tree.
pub(super) async fn cp(State(node): State<Node>, call: Call) -> Answer {
    let [source, dest] = two(&call, ["source", "dest"])?;
    let options = call.fetch_options()?;
    let changing = changing(&call)?;
    let (force, parents, fashion) = (call.is("force")?, call.is("parents")?, fashion(&call)?.unwrap_or(Fashion::V0));
    let mut path = files_path(dest)?;
    if path.is_folder {
        let base = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        path = path.join(base);
    }
    put(&node, source, path, &Put { options, changing, force, parents, fashion }).await?;
    Ok(nothing())
}

/// How something is linked to.
pub(super) struct Put {
    pub(super) options: FetchOptions,
    pub(super) changing: Changing,
    pub(super) force: bool,
    pub(super) parents: bool,
    pub(super) fashion: Fashion,
}

/// Puts what is at `source` at a path of the tree.
pub(super) async fn put(node: &Node, source: &str, path: FilesPath, how: &Put) -> Result<(), Failure> {
    let in_front = |error: Failure| error.within(&format!("cp: cannot get node from path {source}"));
    let cid = entry(node, source, &how.options).await.map_err(in_front)?;
    let lease = node.store().lease().await;
    lease.protect(cid).await?;
    let block = node.block(&cid, &how.options).await?;
    let change = |blocks: &mut Blocks, root: &cid::Cid| {
        blocks.insert(block.clone());
        let child = edit::Child::of(blocks, &cid).map_err(|stop| match stop {
            Stop::Refused(_) => EditError::NotUnixFs { cid }.into(),
            stop => stop,
        })?;
        let mut root = *root;
        if how.parents {
            root = edit::make_folder(blocks, &root, &path.parent(), true, how.fashion)?;
        }
        if how.force
            && let Some(name) = path.name()
            && let Some(there) = edit::find(blocks, &edit::lookup(blocks, &root, &path.parent())?.cid, name.as_bytes())?
        {
            if edit::is_folder(blocks, &there.cid)? {
                return Err(EditError::Exists.into());
            }
            root = edit::remove(blocks, &root, &path)?;
        }
        edit::insert(blocks, &root, &path, child)
    };
    let changed = node.change_files(&how.changing, change).await;
    changed.map_err(|error| Failure::from(error).within(&format!("cp: cannot put node in path {path}")))?;
    Ok(())
}

/// Moves a file or a folder.
pub(super) async fn mv(State(node): State<Node>, call: Call) -> Answer {
    let [source, dest] = two(&call, ["source", "dest"])?;
    let (from, to) = (files_path(source)?, files_path(dest)?);
    node.change_files(&changing(&call)?, |blocks, root| edit::rename(blocks, root, &from, &to)).await?;
    Ok(nothing())
}

/// Removes files, and folders where it is told to.
pub(super) async fn rm(State(node): State<Node>, call: Call) -> Answer {
    if call.flag("flush")? == Some(false) {
        return Err(Failure::failed(
            "files rm always flushes for safety. The --flush flag cannot be set to false for this command",
        ));
    }
    let paths = call.arguments("path")?.to_vec();
    let (force, recursive) = (call.is("force")?, call.is("recursive")?);
    let changing = changing(&call)?;
    let mut failed = vec![];
    for text in paths {
        match files_path(&text) {
            Err(error) => failed.push(format!("{text} is not a valid path: {}", error.message())),
            Ok(path) => {
                let removed = remove(&node, &path, force, recursive, &changing).await;
                failed.extend(removed.err().map(|error| format!("{path}: {}", error.message())));
            }
        }
    }
    if failed.is_empty() {
        return Ok(nothing());
    }
    stream(&call, Shape::Objects, |output| async move {
        output.objects(&failed).await;
        Err(Failure::failed("can't remove some files"))
    })
    .await
}

async fn remove(node: &Node, path: &FilesPath, force: bool, recursive: bool, how: &Changing) -> Result<(), Failure> {
    if path.names.is_empty() {
        return Err(Failure::failed("cannot delete root"));
    }
    let change = |blocks: &mut Blocks, root: &cid::Cid| {
        if !force {
            let there = edit::lookup(blocks, root, path)?;
            if !recursive && edit::is_folder(blocks, &there.cid)? {
                return Err(EditError::NotFile { path: path.to_string() }.into());
            }
        }
        edit::remove(blocks, root, path)
    };
    match node.change_files(how, change).await {
        Ok(_) => Ok(()),
        Err(FilesError::Edit(EditError::NotFound)) if force => Ok(()),
        Err(FilesError::Edit(EditError::NotFile { .. })) => {
            Err(Failure::failed("path is a directory, use -r to remove directories"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder.
pub(super) async fn mkdir(State(node): State<Node>, call: Call) -> Answer {
    let path = files_path(call.argument("path")?)?;
    let (parents, fashion) = (call.is("parents")?, fashion(&call)?.unwrap_or(Fashion::V0));
    let change = |blocks: &mut Blocks, root: &cid::Cid| edit::make_folder(blocks, root, &path, parents, fashion);
    node.change_files(&changing(&call)?, change).await?;
    Ok(nothing())
}

/// Makes durable what was changed without that, and says what a path leads to.
pub(super) async fn flush(State(node): State<Node>, call: Call) -> Answer {
    let path = files_path(call.optional_arguments().first().map_or("/", String::as_str))?;
    let place = node.files_lookup(&path, &call.fetch_options()?).await?;
    node.flush_files().await?;
    Ok(one(&json!({"Cid": call.cid_form()?.text(&place.cid)})))
}

/// Names a folder in another way.
pub(super) async fn chcid(State(node): State<Node>, call: Call) -> Answer {
    let path = files_path(call.argument("path")?)?;
    if path.names.is_empty() {
        return Err(Failure::failed("cannot change CID format of the MFS root"));
    }
    let changing = changing(&call)?;
    match fashion(&call)? {
        Some(fashion) => {
            let change = |blocks: &mut Blocks, root: &cid::Cid| edit::refashion(blocks, root, &path, fashion);
            node.change_files(&changing, change).await?;
        }
        None => drop(node.files_lookup(&path, &changing.options).await?),
    }
    Ok(nothing())
}

/// Sets permissions.
pub(super) async fn chmod(State(node): State<Node>, call: Call) -> Answer {
    let [mode, path] = two(&call, ["mode", "path"])?;
    let path = files_path(path)?;
    let parsed = u32::from_str_radix(mode, 8).map(|mode| mode & 0o777);
    let mode = parsed.map_err(|_| Failure::usage(format!("{mode:?} is no mode in octal digits, such as 0644")))?;
    let metadata = Metadata { mode: Some(mode), mtime: None };
    node.change_files(&flushing(&call)?, |blocks, root| edit::restat(blocks, root, &path, metadata)).await?;
    Ok(nothing())
}

/// Sets the time of the last change.
pub(super) async fn touch(State(node): State<Node>, call: Call) -> Answer {
    let path = files_path(call.argument("path")?)?;
    let time = match call.number::<i64>("mtime")?.filter(|seconds| *seconds != 0) {
        Some(seconds) => {
            let nanoseconds = call.number::<u32>("mtime-nsecs")?.unwrap_or_default();
            if nanoseconds >= 1_000_000_000 {
                return Err(Failure::usage("option mtime-nsecs: a second has no more than 999999999 nanoseconds"));
            }
            Time { seconds, nanoseconds }
        }
        None => FileTime::now(),
    };
    let metadata = Metadata { mode: None, mtime: Some(time) };
    node.change_files(&flushing(&call)?, |blocks, root| edit::restat(blocks, root, &path, metadata)).await?;
    Ok(nothing())
}

/// Time as files have it.
struct FileTime;

impl FileTime {
    fn now() -> Time {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Time { seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nanoseconds: now.subsec_nanos() }
    }
}

/// The CID of an entry by its path in the tree, or by a content path.
async fn entry(node: &Node, text: &str, options: &FetchOptions) -> Result<cid::Cid, Failure> {
    if let Ok(path) = ContentPath::parse(text) {
        return Ok(node.resolve(&path, options).await?);
    }
    Ok(node.files_lookup(&files_path(text)?, options).await?.cid)
}

fn files_path(text: &str) -> Result<FilesPath, Failure> {
    FilesPath::parse(text).map_err(|error| Failure::misused(&error))
}

fn changing(call: &Call) -> Result<Changing, Failure> {
    Ok(Changing { flush: call.flag("flush")?.unwrap_or(true), options: call.fetch_options()? })
}

fn flushing(call: &Call) -> Result<Changing, Failure> {
    Ok(Changing { flush: true, options: call.fetch_options()? })
}

/// How new nodes are to be named, where that is said.
fn fashion(call: &Call) -> Result<Option<Fashion>, Failure> {
    let version = call.number::<u64>("cid-version")?;
    let hash = call.text("hash")?.filter(|name| !name.is_empty()).map(hash_function).transpose()?;
    let version = match (version, hash) {
        (None, None) => return Ok(None),
        (Some(1), _) | (_, Some(_)) => Version::V1,
        (Some(0), None) => Version::V0,
        (Some(other), None) => return Err(Failure::usage(format!("unknown CID version: {other}"))),
    };
    Ok(Some(Fashion { version, hash: hash.unwrap_or(Fashion::V0.hash) }))
}

fn two<'a>(call: &'a Call, names: [&str; 2]) -> Result<[&'a str; 2], Failure> {
    match call.optional_arguments() {
        [first, second] => Ok([first, second]),
        [] => Err(Failure::usage(format!("argument \"{}\" is required", names[0]))),
        [_] => Err(Failure::usage(format!("argument \"{}\" is required", names[1]))),
        more => Err(Failure::usage(format!("two arguments are expected, there are {}", more.len()))),
    }
}
