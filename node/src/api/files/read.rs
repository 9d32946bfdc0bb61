//! `files/ls` and `files/read`.

use axum::extract::State;
use cidra_content::fetch::Selector;
use cidra_content::unixfs::Entity;
use serde::Serialize;

use super::files_path;
use crate::api::answer::{Answer, Failure, Shape, one, stream};
use crate::api::call::Call;
use crate::download::DownloadEvent;
use crate::node::{Kind, Node};

/// The names in a folder, or of a file; with `long` their kinds, sizes and CIDs, too.
pub(in crate::api) async fn ls(State(node): State<Node>, call: Call) -> Answer {
    let path = files_path(call.optional_arguments().first().map_or("/", String::as_str))?;
    let (options, long) = (call.fetch_options()?, call.is("long")?);
    let place = node.files_lookup(&path, &options).await?;
    let form = call.cid_form()?;
    let mut entries: Vec<Entry> = vec![];
    match node.entity(&place.cid, &options).await? {
        Entity::Directory(_) | Entity::Shard(_) => {
            let mut listing = node.list(&place.cid, long, &options).await?;
            while let Some(entry) = listing.next().await? {
                let name = String::from_utf8_lossy(&entry.name).into_owned();
                entries.push(match long {
                    true => Entry {
                        r#type: u8::from(entry.kind == Kind::Directory),
                        size: if entry.kind == Kind::Directory { 0 } else { entry.size },
                        // As in Kubo, in its own base.
                        hash: entry.cid.to_string(),
                        name,
                    },
                    false => Entry { name, ..Entry::default() },
                });
            }
        }
        entity => {
            let name = path.name().unwrap_or_default().to_owned();
            entries.push(match long {
                true => {
                    Entry { name, r#type: 0, size: super::super::cat::length(&entity), hash: form.text(&place.cid) }
                }
                false => Entry { name, ..Entry::default() },
            });
        }
    }
    // As Go writes a list that never was.
    let entries = Some(entries).filter(|entries| !entries.is_empty());
    Ok(one(&Entries { entries }))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entries {
    entries: Option<Vec<Entry>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: String,
    r#type: u8,
    size: u64,
    hash: String,
}

/// The bytes of a file.
pub(in crate::api) async fn read(State(node): State<Node>, call: Call) -> Answer {
    let path = files_path(call.argument("path")?)?;
    let options = call.fetch_options()?;
    let place = node.files_lookup(&path, &options).await;
    let place = place.map_err(|error| Failure::from(error).within(&path.to_string()))?;
    let offset = call.number::<i64>("offset")?.unwrap_or_default();
    let offset = u64::try_from(offset).map_err(|_| Failure::usage("cannot specify negative offset"))?;
    let count = match call.number::<i64>("count")? {
        None => u64::MAX,
        Some(count) => u64::try_from(count).map_err(|_| Failure::usage("cannot specify negative 'count'"))?,
    };
    let entity = node.entity(&place.cid, &options).await?;
    if !matches!(entity, Entity::File(_) | Entity::Raw(_)) {
        return Err(Failure::failed(format!("{path} was not a file")));
    }
    let size = super::super::cat::length(&entity);
    if offset > size {
        return Err(Failure::failed(format!("offset was past end of file ({offset} > {size})")));
    }
    let range = offset..size.min(offset.saturating_add(count));
    stream(&call, Shape::plain(None), |output| async move {
        if range.is_empty() {
            return Ok(());
        }
        let mut download = node.download(place.cid, Selector::Entity { range: Some(range) }, options);
        while let Some(event) = download.next().await {
            if let DownloadEvent::Bytes(bytes) = event? {
                output.bytes(bytes).await;
            }
        }
        Ok(())
    })
    .await
}
