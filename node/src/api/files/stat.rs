//! `files/stat`: what a path leads to, in the tree or below a CID.

use std::collections::HashSet;

use axum::extract::State;
use cid::Cid;
use cidra_content::unixfs::{Entity, Metadata};
use cidra_content::walk::{MAX_AHEAD, TooWide};
use serde::Serialize;

use super::entry;
use crate::api::answer::{Answer, Failure, one};
use crate::api::call::Call;
use crate::node::Node;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    hash: String,
    size: u64,
    cumulative_size: u64,
    blocks: usize,
    r#type: &'static str,
    #[serde(skip_serializing_if = "is_false")]
    with_locality: bool,
    #[serde(skip_serializing_if = "is_false")]
    local: bool,
    #[serde(skip_serializing_if = "is_zero")]
    size_local: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime_nsecs: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

pub(in crate::api) async fn stat(State(node): State<Node>, call: Call) -> Answer {
    let options = call.fetch_options()?;
    let cid = entry(&node, call.argument("path")?, &options).await?;
    let block = node.block(&cid, &options).await?;
    let entity = Entity::parse(&block).map_err(|_| Failure::failed("not unixfs node (proto or raw)"))?;
    let place = node.measure(&cid, &options).await?;
    let with_locality = call.is("with-local")?;
    let (local, size_local) = if with_locality { here(&node, cid).await? } else { (false, 0) };
    let is_folder = matches!(entity, Entity::Directory(_) | Entity::Shard(_));
    let Metadata { mtime, .. } = entity.metadata();
    Ok(one(&Stat {
        hash: call.cid_form()?.text(&cid),
        size: match &entity {
            Entity::Symlink(link) => link.target.len() as u64,
            entity => crate::api::cat::length(entity),
        },
        cumulative_size: place.tsize,
        blocks: block.links().map_or(0, |links| links.len()),
        r#type: if is_folder { "directory" } else { "file" },
        with_locality,
        local,
        size_local,
        mode: mode(&entity).map(|mode| format!("{mode:04o}")).unwrap_or_default(),
        mtime: mtime.map(|time| time.seconds).filter(|seconds| *seconds != 0),
        mtime_nsecs: mtime.map(|time| time.nanoseconds).filter(|nanoseconds| *nanoseconds != 0),
    }))
}

/// Permissions as Go has them, with what they are those of.
fn mode(entity: &Entity) -> Option<u32> {
    const SYMLINK: u32 = 1 << 27;
    const DIRECTORY: u32 = 1 << 31;
    let own = entity.metadata().mode.map(|mode| mode & 0xfff).filter(|mode| *mode != 0);
    let special = |mode: u32| {
        let bits = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
        bits.iter().filter(|(ours, _)| mode & ours != 0).fold(mode & 0o777, |mode, (_, theirs)| mode | theirs)
    };
    match entity {
        Entity::Symlink(_) => Some(SYMLINK | own.map_or(0o777, special)),
        Entity::Directory(_) | Entity::Shard(_) => own.map(|mode| DIRECTORY | special(mode)),
        Entity::File(_) | Entity::Raw(_) => own.map(special),
    }
}

/// Whether all of a DAG is here, and how many bytes of it, each block counted once.
async fn here(node: &Node, root: Cid) -> Result<(bool, u64), Failure> {
    let (mut is_whole, mut bytes) = (true, 0);
    let mut seen: HashSet<Cid> = HashSet::from([root]);
    let mut ahead = vec![root];
    while let Some(cid) = ahead.pop() {
        let Some(block) = node.store().block(&cid).await? else {
            is_whole = false;
            continue;
        };
        bytes += block.data().len() as u64;
        let links = block.links().unwrap_or_default();
        ahead.extend(links.iter().filter(|cid| seen.insert(**cid)));
        if ahead.len() > MAX_AHEAD {
            return Err(TooWide.into());
        }
    }
    Ok((is_whole, bytes))
}
