//! `block/…`: single blocks.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use cidra_content::block::{DAG_PB, MAX_BLOCK_SIZE, RAW};
use cidra_content::hash::{Function, LeafKind};
use serde_json::{Value, json};

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::{Call, Piped, cid_only, hash_function};
use super::upload::{Piece, Upload};
use super::walk::protectors;
use crate::node::Node;

pub(super) async fn get(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let options = call.fetch_options()?;
    let cid = node.resolve(&call.path()?, &options).await?;
    let data = node.block(&cid, &options).await?.into_data();
    let shape = Shape::bytes("application/vnd.ipld.raw", Some(data.len() as u64));
    stream(&call, shape, |output| async move {
        output.bytes(data).await;
        Ok(())
    })
    .await
}

pub(super) async fn stat(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let options = call.fetch_options()?;
    let cid = node.resolve(&call.path()?, &options).await?;
    let block = node.block(&cid, &options).await?;
    Ok(one(&json!({"Key": call.cid_form()?.text(&cid), "Size": block.data().len()})))
}

/// Each part of the upload is a block.
pub(super) async fn put(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let kind = kind(&call)?;
    let form = call.cid_form()?;
    let pin = call.is("pin")?;
    let mut upload = Upload::new(&headers, body)?;
    stream(&call, Shape::Objects, |output| async move {
        let _lease = node.store().lease().await;
        let mut data: Option<BytesMut> = None;
        loop {
            let piece = upload.next().await?;
            if let Some(Piece::Data(bytes)) = piece {
                let data = data.as_mut().ok_or_else(|| Failure::usage("expected a file"))?;
                if data.len() + bytes.len() > MAX_BLOCK_SIZE {
                    return Err(Failure::failed(TOO_BIG));
                }
                data.extend_from_slice(&bytes);
                continue;
            }
            if let Some(data) = data.take() {
                output.object(&keep(&node, kind, data.freeze(), pin, |cid| form.text(cid)).await?).await;
            }
            match piece {
                None => return Ok(()),
                Some(_) => data = Some(BytesMut::new()),
            }
        }
    })
    .await
}

const TOO_BIG: &str = "produced block is over 2MiB: big blocks can't be exchanged with other peers; consider adding it as a file, which is cut into smaller blocks";

async fn keep(
    node: &Node,
    kind: LeafKind,
    data: Bytes,
    pin: bool,
    text: impl Fn(&cid::Cid) -> String,
) -> Result<Value, Failure> {
    let size = data.len();
    let block = node.pool().make(kind, vec![data]).await.pop().expect("one comes back for one");
    let cid = *block.cid();
    node.store().put(vec![block]).await?;
    node.store().commit().await?;
    if pin {
        node.record_pin(cid, true, None).await?;
    }
    Ok(json!({"Key": text(&cid), "Size": size}))
}

fn kind(call: &Call) -> Result<LeafKind, Failure> {
    let hash = hash_function(call.text("mhtype")?.filter(|name| !name.is_empty()).unwrap_or("sha2-256"))?;
    let whole = match hash {
        Function::Identity => -1,
        Function::Sha2_256 => 32,
        Function::Sha2_512 => 64,
    };
    if call.number::<i64>("mhlen")?.is_some_and(|length| length != -1 && length != whole) {
        return Err(Failure::usage("mhlen: only hashes of full length are made"));
    }
    let codec = call.text("cid-codec")?.filter(|name| !name.is_empty());
    let format = call.text("format")?.filter(|name| !name.is_empty());
    let (name, version) = match (codec, format) {
        (Some(codec), Some(_)) if codec != "raw" => {
            return Err(Failure::usage(
                "unable to use \"format\" (deprecated) and a custom \"cid-codec\" at the same time",
            ));
        }
        (_, Some("v0")) => ("dag-pb", cid::Version::V0),
        (_, Some("protobuf")) => ("dag-pb", cid::Version::V1),
        (_, Some("cbor")) => ("dag-cbor", cid::Version::V1),
        (_, Some(format)) => (format, cid::Version::V1),
        (codec, None) => (codec.unwrap_or("raw"), cid::Version::V1),
    };
    let Some((_, codec)) = CODECS.iter().find(|(known, _)| *known == name) else {
        return Err(Failure::usage(format!(
            "cid-codec {name}: unknown; known are {}",
            CODECS.map(|(name, _)| name).join(", ")
        )));
    };
    Ok(LeafKind { codec: *codec, version, hash })
}

const CODECS: [(&str, u64); 8] = [
    ("raw", RAW),
    ("dag-pb", DAG_PB),
    ("dag-cbor", 0x71),
    ("dag-json", 0x0129),
    ("dag-jose", 0x85),
    ("cbor", 0x51),
    ("json", 0x0200),
    ("libp2p-key", 0x72),
];

/// An object for each block: removed, or why not.
pub(super) async fn rm(State(node): State<Node>, call: Call) -> Answer {
    let cids = call.arguments("cid")?.iter().map(|text| cid_only(text)).collect::<Result<Vec<_>, _>>()?;
    let (force, quiet, form) = (call.is("force")?, call.is("quiet")?, call.cid_form()?);
    stream(&call, Shape::Objects, |output| async move {
        let protected = protectors(&node, &cids).await?;
        for (cid, protector) in cids.iter().zip(protected) {
            let hash = form.text(cid);
            if let Some(protector) = protector {
                output.object(&json!({"Hash": hash, "Error": format!("pinned: {}", protector.text(&form))})).await;
                continue;
            }
            let was_there = node.store().remove(vec![*cid]).await?.first().copied().unwrap_or(false);
            if !was_there && !force {
                output.object(&json!({"Hash": hash, "Error": format!("ipld: could not find {hash}")})).await;
            } else if !quiet {
                output.object(&json!({"Hash": hash})).await;
            }
        }
        Ok(())
    })
    .await
}
