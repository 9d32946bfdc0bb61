//! `ls`: the entries of folders.

use axum::extract::State;
use serde_json::{Value, json};

use super::answer::{Answer, Shape, one, stream};
use super::call::{CidForm, Piped};
use crate::node::{Kind, Listed, Node};

/// One object with all folders, or with `stream` one for each entry. As in Kubo, children are looked into unless neither their
/// types nor their sizes are wanted.
pub(super) async fn ls(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let paths = call.paths()?;
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
                    output.object(&json!({"Objects": [{"Hash": name, "Links": [link(&entry, &form)]}]})).await;
                }
            }
            Ok(())
        })
        .await;
    }
    let mut objects = vec![];
    for (path, name) in paths.iter().zip(&names) {
        let cid = node.resolve(path, &options).await?;
        let mut listing = node.list(&cid, looks_into, &options).await?;
        let mut entries = vec![];
        while let Some(entry) = listing.next().await? {
            entries.push(entry);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let links: Vec<Value> = entries.iter().map(|entry| link(entry, &form)).collect();
        objects.push(json!({"Hash": name, "Links": links}));
    }
    Ok(one(&json!({"Objects": objects})))
}

fn link(entry: &Listed, form: &CidForm) -> Value {
    let target = entry.target.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    json!({
        "Name": String::from_utf8_lossy(&entry.name),
        "Hash": form.text(&entry.cid),
        "Size": entry.size,
        "Type": unixfs_type(entry.kind),
        "Target": target,
        "Mode": 0,
        "ModTime": "0001-01-01T00:00:00Z",
    })
}

/// The numbers of the UnixFS data types.
fn unixfs_type(kind: Kind) -> u8 {
    match kind {
        Kind::Directory => 1,
        Kind::File => 2,
        Kind::Symlink => 4,
        Kind::Unknown => 0,
    }
}
