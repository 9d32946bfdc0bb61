//! `refs/local`: every block that is here.

use axum::extract::State;
use cid::Cid;
use cidra_content::block::RAW;
use serde_json::json;

use super::answer::{Answer, Shape, stream};
use super::call::Call;
use crate::node::Node;

/// The store knows blocks by their hashes, so that each is named as a raw block, as in Kubo.
pub(super) async fn local(State(node): State<Node>, call: Call) -> Answer {
    let form = call.cid_form()?;
    stream(&call, Shape::Objects, |output| async move {
        let mut after = None;
        loop {
            let page = node.store().list(after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (hash, _) in page {
                output.object(&json!({"Ref": form.text(&Cid::new_v1(RAW, hash)), "Err": ""})).await;
            }
        }
    })
    .await
}

/// Blocks looked up at a time.
const PAGE: usize = 1024;
