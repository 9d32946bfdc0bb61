//! `ls`: the entries of folders.

use axum::extract::State;
use cid::Cid;
use cidra_content::unixfs::Entity;
use serde_json::{Value, json};

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::{CidForm, Piped};
use crate::download::FetchOptions;
use crate::node::{Kind, Listed, Node};

/// One object with all folders, or with `stream` one for each entry.
pub(super) async fn ls(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let paths = call.paths()?;
    let names = call.arguments("ipfs-path")?.to_vec();
    let options = call.fetch_options()?;
    let form = call.cid_form()?;
    if call.is("stream")? {
        return stream(&call, Shape::Objects, |output| async move {
            for (path, name) in paths.iter().zip(&names) {
                let cid = node.resolve(path, &options).await?;
                for entry in entries(&node, cid, &options).await? {
                    let link = link(&entry, &form);
                    output.object(&json!({"Objects": [{"Hash": name, "Links": [link]}]})).await;
                }
            }
            Ok(())
        })
        .await;
    }
    let mut objects = vec![];
    for (path, name) in paths.iter().zip(&names) {
        let cid = node.resolve(path, &options).await?;
        let mut entries = entries(&node, cid, &options).await?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let links: Vec<Value> = entries.iter().map(|entry| link(entry, &form)).collect();
        objects.push(json!({"Hash": name, "Links": links}));
    }
    Ok(one(&json!({"Objects": objects})))
}

/// The entries of a folder; of a file, as in Kubo, its parts where it has some.
async fn entries(node: &Node, cid: Cid, options: &FetchOptions) -> Result<Vec<Listed>, Failure> {
    let entries = node.ls(&cid, options).await?;
    if !matches!(&entries[..], [only] if only.name.is_empty()) {
        return Ok(entries);
    }
    let Entity::File(file) = node.entity(&cid, options).await? else { return Ok(vec![]) };
    let parts = file.children(0..file.size()).map(|part| Listed {
        name: vec![],
        cid: part.cid,
        size: part.range.end - part.range.start,
        kind: Kind::File,
        target: None,
    });
    Ok(parts.collect())
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
    }
}
