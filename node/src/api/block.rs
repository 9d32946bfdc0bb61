//! `block/…`: single blocks.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use bytes::Bytes;
use cid::Cid;
use cidra_content::block::MAX_BLOCK_SIZE;
use cidra_content::hash::{Expect, Function, MIN_DIGEST, Prefix};
use cidra_content::ipld;
use serde_json::json;

use super::answer::{Answer, Failure, Shape, one, stream};
use super::call::{Call, Piped, cid_only, hash_function};
use super::upload::Upload;
use super::walk::protectors;
use crate::node::Node;

pub(super) async fn get(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let options = call.fetch_options()?;
    let cid = node.resolve(&call.path(&node).await?, &options).await?;
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
    let cid = node.resolve(&call.path(&node).await?, &options).await?;
    let block = node.block(&cid, &options).await?;
    Ok(one(&json!({"Key": call.cid_form()?.text(&cid), "Size": block.data().len()})))
}

/// Each part of the upload is a block.
pub(super) async fn put(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let kind = Kind::of(&call)?;
    let form = call.cid_form()?;
    let pin = call.is("pin")?;
    let mut upload = Upload::new(&headers, body)?;
    stream(&call, Shape::Objects, |output| async move {
        let _lease = node.store().lease().await;
        while let Some(data) = upload.next_whole(MAX_BLOCK_SIZE, || Failure::failed(TOO_BIG)).await? {
            let size = data.len();
            let cid = keep(&node, kind.prefix(&data), data, pin).await?;
            output.object(&json!({"Key": form.text(&cid), "Size": size})).await;
        }
        Ok(())
    })
    .await
}

/// Why a block of more than [`MAX_BLOCK_SIZE`] is refused (Kubo has --allow-big-block).
pub(super) const TOO_BIG: &str = "produced block is over 2MiB: big blocks can't be exchanged with other peers; consider adding it as a file, which is cut into smaller blocks";

/// Stores one block and gives its CID; with `pin` it is kept, with all below it that is here.
pub(super) async fn keep(node: &Node, prefix: Prefix, data: Bytes, pin: bool) -> Result<Cid, Failure> {
    let verified = node.pool().verify(vec![(Expect::Prefix(prefix), data)]).await;
    let block = verified.into_iter().next().expect("one comes back for one");
    let block = block.map_err(|error| Failure::misused(&error))?;
    let cid = *block.cid();
    node.store().put(vec![block]).await?;
    node.store().commit().await?;
    if pin {
        node.record_pin(cid, true, None).await?;
    }
    Ok(cid)
}

/// How the CIDs of a `block put` are made. Kubo's rules, in which `format` is the older name of `cid-codec`.
struct Kind {
    version: u64,
    codec: u64,
    hash: Function,
    /// `None`: as many bytes as the function gives.
    length: Option<usize>,
}

impl Kind {
    fn of(call: &Call) -> Result<Self, Failure> {
        let hash = hash_function(call.text("mhtype")?.filter(|name| !name.is_empty()).unwrap_or("sha2-256"))?;
        let length = match call.number::<i64>("mhlen")?.filter(|length| *length != -1) {
            None => None,
            Some(length) => match usize::try_from(length).ok().filter(|length| hash.has_length(*length)) {
                Some(length) => Some(length),
                None => {
                    let what = format!("mhlen: a digest of {} cannot have {length} bytes", hash.name());
                    return Err(Failure::usage(format!("{what}: {MIN_DIGEST} are the fewest that prove anything")));
                }
            },
        };
        let codec = call.text("cid-codec")?.filter(|name| !name.is_empty());
        let format = call.text("format")?.filter(|name| !name.is_empty());
        let (name, version) = match (codec, format) {
            (Some(codec), Some(_)) if codec != "raw" => {
                return Err(Failure::usage(
                    "unable to use \"format\" (deprecated) and a custom \"cid-codec\" at the same time",
                ));
            }
            (_, Some("v0")) => ("dag-pb", 0),
            (_, Some("protobuf")) => ("dag-pb", 1),
            (_, Some("cbor")) => ("dag-cbor", 1),
            (_, Some(format)) => (format, 1),
            (codec, None) => (codec.unwrap_or("raw"), 1),
        };
        if version == 0 && (hash != Function::Sha2_256 || length.is_some_and(|length| length != 32)) {
            return Err(Failure::usage("only sha2-256 with 32 bytes is allowed with CIDv0"));
        }
        Ok(Self { version, codec: codec_argument("cid-codec", name)?, hash, length })
    }

    fn prefix(&self, data: &Bytes) -> Prefix {
        prefix(self.version, self.codec, self.hash, self.length, data)
    }
}

/// Of a CID to be made for these bytes.
pub(super) fn prefix(version: u64, codec: u64, hash: Function, length: Option<usize>, data: &Bytes) -> Prefix {
    let length = length.or(hash.length()).unwrap_or(data.len());
    Prefix { version, codec, code: hash.code(), length }
}

/// A codec by its name.
pub(super) fn codec_argument(option: &str, name: &str) -> Result<u64, Failure> {
    ipld::codec_code(name).ok_or_else(|| {
        Failure::usage(format!("{option}: unknown multicodec {name:?}; known are {}", ipld::codec_names()))
    })
}

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
