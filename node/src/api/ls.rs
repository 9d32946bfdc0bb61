//! `ls`: the entries of folders.

use std::borrow::Cow;
use std::iter;

use axum::extract::State;
use cidra_content::unixfs::Time;
use serde::Serialize;

use super::answer::{Answer, Shape, one, stream};
use super::call::{CidForm, Piped};
use super::date::Date;
use crate::node::{Kind, Listed, Node};

/// One object with all folders, or with `stream` one for each entry. As in Kubo, children are looked into unless neither their
/// types nor their sizes are wanted.
pub(super) async fn ls(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let paths = call.paths(&node).await?;
    let names = call.arguments("ipfs-path")?.to_vec();
    let options = call.fetch_options()?;
    let form = call.cid_form()?;
    let looks_into = call.flag("resolve-type")?.unwrap_or(true) || call.flag("size")?.unwrap_or(true);
    if call.is("stream")? {
        return stream(&call, Shape::Objects, |output| async move {
            for (path, name) in paths.iter().zip(&names) {
                let cid = node.resolve(path, &options).await?;
                let mut listing = node.list(&cid, looks_into, &options).await?;
                while let Some(entry) = listing.next().await? {
                    let entries = iter::once(entry).chain(iter::from_fn(|| listing.try_next()));
                    let links =
                        entries.map(|entry| Objects { objects: [Folder { hash: name, links: [link(entry, &form)] }] });
                    output.objects(links).await;
                }
            }
            Ok(())
        })
        .await;
    }
    let mut objects: Vec<Folder<Vec<Link>>> = vec![];
    for (path, name) in paths.iter().zip(&names) {
        let cid = node.resolve(path, &options).await?;
        let mut listing = node.list(&cid, looks_into, &options).await?;
        let mut entries = vec![];
        while let Some(entry) = listing.next().await? {
            entries.push(entry);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let links = entries.into_iter().map(|entry| link(entry, &form)).collect();
        objects.push(Folder { hash: name, links });
    }
    Ok(one(&Objects { objects }))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Objects<F> {
    objects: F,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Folder<'a, L> {
    /// The path, as it was asked for.
    hash: &'a str,
    links: L,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    name: String,
    hash: String,
    size: u64,
    r#type: u8,
    target: String,
    mode: u32,
    mod_time: Cow<'static, str>,
}

fn link(entry: Listed, form: &CidForm) -> Link {
    Link {
        name: text(entry.name),
        hash: form.text(&entry.cid),
        size: entry.size,
        r#type: unixfs_type(entry.kind),
        target: entry.target.map(text).unwrap_or_default(),
        mode: entry.metadata.mode.map_or(0, |mode| go_mode(mode, entry.kind)),
        mod_time: entry.metadata.mtime.and_then(written).map_or(NEVER.into(), Into::into),
    }
}

/// Names are bytes, and JSON is text.
fn text(name: Vec<u8>) -> String {
    String::from_utf8(name).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A mode as Go has it: special bits elsewhere than in Unix, and what it is the mode of.
fn go_mode(mode: u32, kind: Kind) -> u32 {
    let kind = match kind {
        Kind::Directory => 1 << 31,
        Kind::Symlink => 1 << 27,
        Kind::File | Kind::Unknown => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(ours, _)| mode & ours != 0).map(|(_, theirs)| theirs);
    special.fold(mode & 0o777 | kind, |bits, bit| bits | bit)
}

fn written(time: Time) -> Option<String> {
    Date::of(time.seconds, time.nanoseconds).map(|date| date.to_string())
}

/// Go's time that is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The numbers of the UnixFS data types.
fn unixfs_type(kind: Kind) -> u8 {
    match kind {
        Kind::Directory => 1,
        Kind::File => 2,
        Kind::Symlink => 4,
        Kind::Unknown => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of Kubo 0.43.
    #[test]
    fn modes_are_those_of_go() {
        assert_eq!(go_mode(0o644, Kind::File), 420);
        assert_eq!(go_mode(0o104_755, Kind::File), 8_389_101);
        assert_eq!(go_mode(0o1777, Kind::Directory), 2_148_532_735);
        assert_eq!(go_mode(0o2777, Kind::Symlink), 1 << 27 | 1 << 22 | 0o777);
    }

    #[test]
    fn a_time_that_rfc_3339_cannot_write_is_none() {
        assert_eq!(written(Time { seconds: i64::MAX, nanoseconds: 0 }), None);
    }
}
