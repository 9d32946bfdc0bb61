//! `ls`: the entries of folders.

use axum::extract::State;
use serde_json::{Value, json};

use super::answer::{Answer, Shape, one, stream};
use super::call::{Call, CidForm};
use crate::node::{Kind, Listed, Node};

/// One object with all folders, or with `stream` one for each entry.
pub(super) async fn ls(State(node): State<Node>, call: Call) -> Answer {
    let paths = call.paths()?;
    let names = call.arguments("ipfs-path")?.to_vec();
    let options = call.fetch_options()?;
    let form = call.cid_form()?;
    if call.is("stream")? {
        return stream(&call, Shape::Objects, |output| async move {
            for (path, name) in paths.iter().zip(&names) {
                let cid = node.resolve(path, &options).await?;
                for entry in node.ls(&cid, &options).await?.iter().filter(|entry| !entry.name.is_empty()) {
                    let link = link(entry, &form);
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
        let mut entries = node.ls(&cid, &options).await?;
        // A file is listed as itself, without a name; Kubo lists none then.
        entries.retain(|entry| !entry.name.is_empty());
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
    }
}
