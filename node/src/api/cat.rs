//! `cat`: the bytes of files.

use std::ops::Range;

use axum::extract::State;
use cid::Cid;
use cidra_content::fetch::Selector;
use cidra_content::unixfs::Entity;

use super::answer::{Answer, Failure, Shape, stream};
use super::call::{Call, Piped};
use crate::download::{DownloadEvent, FetchOptions};
use crate::node::Node;

/// `offset` and `length` count over all files named, one after the other.
pub(super) async fn cat(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let paths = call.paths(&node).await?;
    let options = call.fetch_options()?;
    let mut skip = unsigned(&call, "offset")?.unwrap_or(0);
    let mut left = unsigned(&call, "length")?.unwrap_or(u64::MAX);
    let mut pieces: Vec<(Cid, Range<u64>)> = vec![];
    for path in paths {
        if left == 0 {
            break;
        }
        let cid = node.resolve(&path, &options).await?;
        let size = file_size(&node, &cid, &options).await?;
        let start = skip.min(size);
        let length = left.min(size - start);
        skip -= start;
        left -= length;
        if length > 0 {
            pieces.push((cid, start..start + length));
        }
    }
    let total = pieces.iter().map(|(_, range)| range.end - range.start).sum();
    stream(&call, Shape::plain(Some(total)), |output| async move {
        for (cid, range) in pieces {
            let mut download = node.download(cid, Selector::Entity { range: Some(range) }, options.clone());
            while let Some(event) = download.next().await {
                if let DownloadEvent::Bytes(bytes) = event? {
                    output.bytes(bytes).await;
                }
            }
        }
        Ok(())
    })
    .await
}

async fn file_size(node: &Node, cid: &Cid, options: &FetchOptions) -> Result<u64, Failure> {
    match node.entity(cid, options).await? {
        entity @ (Entity::File(_) | Entity::Raw(_)) => Ok(length(&entity)),
        Entity::Directory(_) | Entity::Shard(_) => {
            Err(Failure::failed(format!("{cid}: this dag node is a directory: `ls` lists it, `get` fetches it")))
        }
        Entity::Symlink(_) => Err(Failure::failed(format!("{cid}: this dag node is a symbolic link, not a file"))),
    }
}

/// Bytes of a file's content; none for what is no file.
pub(super) fn length(entity: &Entity) -> u64 {
    match entity {
        Entity::File(file) => file.size(),
        Entity::Raw(data) => data.len() as u64,
        Entity::Directory(_) | Entity::Shard(_) | Entity::Symlink(_) => 0,
    }
}

fn unsigned(call: &Call, name: &str) -> Result<Option<u64>, Failure> {
    match call.number::<i64>(name)? {
        None => Ok(None),
        Some(number) => match u64::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::usage(format!("cannot specify negative {name}"))),
        },
    }
}
