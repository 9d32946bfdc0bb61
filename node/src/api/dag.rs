//! `dag/…`: nodes of any codec, and whole DAGs.

mod archive;
mod stat;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use bytes::Bytes;
use cidra_content::block::MAX_BLOCK_SIZE;
use cidra_content::ipld::{self, Walked};
use serde_json::{Value, json};

pub(super) use archive::{export, import};
pub(super) use stat::stat;

use super::answer::{Answer, Failure, Shape, one, stream};
use super::block::{TOO_BIG, codec_argument, keep, prefix};
use super::call::{Call, CidForm, Piped, hash_function};
use super::upload::Upload;
use crate::http::describe;
use crate::node::Node;

/// The node at a path, or a value within one, in another codec.
pub(super) async fn get(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let path = call.path(&node).await?;
    let options = call.fetch_options()?;
    let codec = codec_argument("output-codec", call.text("output-codec")?.unwrap_or("dag-json"))?;
    let found = node.follow(&path, &options).await?;
    let whole = node.ipld(&found.cid, &options).await?;
    let value = match ipld::walk(&whole, &found.rest)? {
        Walked::Value(value) => value,
        Walked::Link { .. } => unreachable!("the path was followed through all links"),
    };
    let bytes = ipld::encode(codec, value)?;
    stream(&call, Shape::plain(Some(bytes.len() as u64)), |output| async move {
        output.bytes(bytes).await;
        Ok(())
    })
    .await
}

/// Each part of the upload is a node.
pub(super) async fn put(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let input = codec_argument("input-codec", call.text("input-codec")?.unwrap_or("dag-json"))?;
    let store = codec_argument("store-codec", call.text("store-codec")?.unwrap_or("dag-cbor"))?;
    let hash = hash_function(call.text("hash")?.filter(|name| !name.is_empty()).unwrap_or("sha2-256"))?;
    let pin = call.is("pin")?;
    refuse_big_blocks(&call)?;
    let mut upload = Upload::new(&headers, body)?;
    stream(&call, Shape::Objects, |output| async move {
        let _lease = node.store().lease().await;
        let too_long = || Failure::failed(format!("a node of more than {MAX_INPUT} bytes: {TOO_BIG}"));
        while let Some(data) = upload.next_whole(MAX_INPUT, too_long).await? {
            let data = convert(input, store, &data)?;
            let cid = keep(&node, prefix(1, store, hash, None, &data), data, pin).await?;
            output.object(&json!({"Cid": link(&cid, &CidForm::default())})).await;
        }
        Ok(())
    })
    .await
}

/// What people write takes more room than the block that is made of it.
const MAX_INPUT: usize = 4 * MAX_BLOCK_SIZE;

fn convert(input: u64, store: u64, data: &Bytes) -> Result<Bytes, Failure> {
    let node = ipld::decode(input, data).map_err(|error| Failure::misused(&error))?;
    let bytes = ipld::encode(store, &node).map_err(|error| Failure::misused(&error))?;
    if bytes.len() > MAX_BLOCK_SIZE { Err(Failure::failed(TOO_BIG)) } else { Ok(bytes) }
}

fn refuse_big_blocks(call: &Call) -> Result<(), Failure> {
    match call.is("allow-big-block")? {
        true => {
            Err(Failure::usage(format!("option allow-big-block: no block has more than {MAX_BLOCK_SIZE} bytes here")))
        }
        false => Ok(()),
    }
}

/// The block that a path leads to, and what is left of it.
pub(super) async fn resolve(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let path = call.path(&node).await?;
    let found = node.follow(&path, &call.fetch_options()?).await?;
    let form = call.cid_form_like(&path.cid)?;
    Ok(one(&json!({"Cid": link(&found.cid, &form), "RemPath": remaining(&found.rest)})))
}

/// A path with everything that can be resolved put into its CID.
pub(super) async fn resolve_path(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let path = call.path(&node).await?;
    let found = node.follow(&path, &call.fetch_options()?).await?;
    let form = call.cid_form_like(&path.cid)?;
    Ok(one(&json!({"Path": format!("/ipfs/{}{}", form.text(&found.cid), remaining(&found.rest))})))
}

fn remaining(rest: &[String]) -> String {
    rest.iter().map(|segment| format!("/{segment}")).collect()
}

/// A CID as Go writes one in JSON.
fn link(cid: &cid::Cid, form: &CidForm) -> Value {
    json!({"/": form.text(cid)})
}

/// What is said of an error in an object of the answer.
fn told(result: Result<(), crate::download::FetchError>) -> String {
    result.err().map(|error| describe(&error)).unwrap_or_default()
}
