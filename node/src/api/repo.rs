//! `repo/…`: what the repository holds, whether it is whole, and getting rid of what nobody wants.

use std::time::{Duration, Instant};

use axum::extract::State;
use cid::Cid;
use cidra_content::block::RAW;
use futures::future::join_all;
use serde_json::json;

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::Call;
use super::id::KUBO_REPOSITORY;
use crate::http::describe;
use crate::node::Node;
use crate::store::Source;
use crate::store::{Collected, Extent, Step, StoreError};

pub(super) async fn stat(State(node): State<Node>, call: Call) -> Answer {
    let stat = node.store().stat().await?;
    let most = node.config().store.max.bytes().unwrap_or(NO_LIMIT);
    if call.is("size-only")? {
        let zero =
            json!({"RepoSize": stat.used_bytes, "StorageMax": most, "NumObjects": 0, "RepoPath": "", "Version": ""});
        return Ok(one(&zero));
    }
    Ok(one(&json!({
        "RepoSize": stat.used_bytes,
        "StorageMax": most,
        "NumObjects": stat.blocks,
        "RepoPath": node.repository_path().to_string_lossy(),
        "Version": format!("fs-repo@{KUBO_REPOSITORY}"),
    })))
}

/// Deletes what nobody protects: an object for each block. With `progress`, tells how far it is and, at the end, what came back.
pub(super) async fn gc(State(node): State<Node>, call: Call) -> Answer {
    let (silent, progress) = (call.is("silent")?, call.is("progress")?);
    // One error ends it here: there is none that concerns a single block.
    let streams_errors = call.is("stream-errors")?;
    let form = call.cid_form()?;
    stream(&call, Shape::Objects, |output| async move {
        let collect = async {
            let mut collection = node.store().collect(Extent::All).await?;
            let mut told = Instant::now();
            while let Some(step) = collection.next().await? {
                if let (Step::Removed(removed), false) = (&step, silent) {
                    let key = |hash| json!({"Key": {"/": form.text(&Cid::new_v1(RAW, hash))}});
                    output.objects(removed.iter().copied().map(key)).await;
                }
                if progress && told.elapsed() >= PROGRESS_EVERY {
                    told = Instant::now();
                    let Collected { marked, removed, .. } = collection.collected();
                    output.object(&json!({"Marked": marked, "Removed": removed})).await;
                }
            }
            Ok::<Collected, StoreError>(collection.collected())
        };
        match collect.await {
            Ok(Collected { marked, removed, unreadable, freed }) if progress => {
                let end = json!({"Marked": marked, "Removed": removed, "Unreadable": unreadable, "Freed": freed});
                output.object(&end).await;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if streams_errors => {
                output.object(&json!({"Error": describe(&error)})).await;
                Err(Failure::failed("encountered errors during gc run"))
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}

const PROGRESS_EVERY: Duration = Duration::from_millis(500);

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
            let cids: Vec<Cid> = page.iter().map(|(hash, _)| Cid::new_v1(RAW, *hash)).collect();
            // Before they are read: a file that is not what it was is forgotten then.
            let sources = node.store().sources_of(cids.clone()).await?;
            let placed: Vec<(Cid, Option<Source>)> = cids.into_iter().zip(sources).collect();
            for batch in placed.chunks(SIDE_BY_SIDE) {
                let blocks = join_all(batch.iter().map(|(cid, _)| node.store().block(cid))).await;
                for ((cid, source), block) in batch.iter().zip(blocks) {
                    seen += 1;
                    let what = match block {
                        Ok(Some(_)) => continue,
                        Ok(None) if source.is_some() => "this file is not what it was".to_owned(),
                        Ok(None) => "its bytes do not match its hash".to_owned(),
                        Err(error) => describe(&error),
                    };
                    bad += 1;
                    let place =
                        source.as_ref().map(|source| format!(" in {}", source.path.display())).unwrap_or_default();
                    let message = format!("block {cid}{place} was corrupt ({what})");
                    output.object(&json!({"Msg": message, "Progress": 0})).await;
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
