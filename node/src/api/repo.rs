//! `repo/…`: what the repository holds, and whether it is whole.

use axum::extract::State;
use cid::Cid;
use cidra_content::block::RAW;
use futures::future::join_all;
use serde_json::json;

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::Call;
use super::id::KUBO_REPOSITORY;
use crate::node::Node;

pub(super) async fn stat(State(node): State<Node>, call: Call) -> Answer {
    let stat = node.store().stat().await?;
    if call.is("size-only")? {
        let zero = json!({"RepoSize": stat.disk_bytes, "StorageMax": NO_LIMIT, "NumObjects": 0, "RepoPath": "", "Version": ""});
        return Ok(one(&zero));
    }
    Ok(one(&json!({
        "RepoSize": stat.disk_bytes,
        "StorageMax": NO_LIMIT,
        "NumObjects": stat.blocks,
        "RepoPath": node.repository_path().to_string_lossy(),
        "Version": format!("fs-repo@{KUBO_REPOSITORY}"),
    })))
}

/// What Kubo says where storage has no limit.
const NO_LIMIT: u64 = u64::MAX;

pub(super) async fn version() -> Answer {
    Ok(one(&json!({"Version": KUBO_REPOSITORY})))
}

/// Reads and hashes every block. Fails at the end when some were bad; each is named when it is found.
pub(super) async fn verify(State(node): State<Node>, call: Call) -> Answer {
    if call.is("drop")? || call.is("heal")? {
        return Err(Failure::usage("drop, heal: a bad block is never served; fetching it again is not supported yet"));
    }
    stream(&call, Shape::Objects, |output| async move {
        let (mut after, mut seen, mut bad) = (None, 0, 0);
        loop {
            let page = node.store().list(after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for batch in page.chunks(SIDE_BY_SIDE) {
                let cids: Vec<Cid> = batch.iter().map(|(hash, _)| Cid::new_v1(RAW, *hash)).collect();
                let blocks = join_all(cids.iter().map(|cid| node.store().block(cid))).await;
                for (cid, block) in cids.iter().zip(blocks) {
                    seen += 1;
                    let what = match block {
                        Ok(Some(_)) => continue,
                        Ok(None) => "its bytes do not match its hash".to_owned(),
                        Err(error) => super::answer::describe(&error),
                    };
                    bad += 1;
                    output.object(&json!({"Msg": format!("block {cid} was corrupt ({what})"), "Progress": 0})).await;
                }
            }
            output.object(&json!({"Msg": "", "Progress": seen})).await;
        }
        if bad > 0 {
            return Err(Failure::failed(format!("verify complete, {bad} blocks corrupt")));
        }
        output.object(&json!({"Msg": "verify complete, all blocks validated.", "Progress": 0})).await;
        Ok(())
    })
    .await
}

/// Blocks between two reports of progress.
const PAGE: usize = 256;
/// Blocks in memory at a time.
const SIDE_BY_SIDE: usize = 8;
