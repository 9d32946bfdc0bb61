//! Nodes of the IPLD data model: what a block of any codec we know holds, and which blocks it names.
//!
//! Read as the field reads (Kubo 0.43), written in the one canonical form. Links are found without building the node, so
//! that a block costs no more than its own length; building one, or a node nested deeper than [`MAX_DEPTH`], has limits.

mod codec;
mod dag_cbor;
mod dag_json;
mod dag_pb_node;
mod resolve;

use std::sync::Arc;

use bytes::Bytes;
pub use ipld_core::ipld::Ipld;

use crate::block::{DAG_PB, Links, RAW};
use crate::dag_pb;
pub use codec::{CBOR, DAG_CBOR, DAG_JSON, JSON, LIBP2P_KEY, codec_code, codec_name, codec_names};
pub use resolve::{PathFailure, Walked, walk};

/// The blocks that a block of this codec names, in its order, with repetitions.
///
/// Plain cbor and json, raw and the keys of peers have none, as the field has it. What other codecs link to is unknown
/// here, and an error: nobody may believe that a DAG is whole whose links were not followed.
pub fn links(codec: u64, data: &Bytes) -> Result<Links, NodeError> {
    match codec {
        RAW | CBOR | JSON | LIBP2P_KEY => Ok(Links::default()),
        DAG_PB => Ok(dag_pb::links(data)?),
        DAG_CBOR => dag_cbor::links(data).map(Arc::from),
        DAG_JSON => dag_json::links(data).map(Arc::from),
        code => Err(NodeError::UnknownCodec { code }),
    }
}

/// Read a block's node. Plain cbor and json are read by the rules of dag-cbor and dag-json, but hold no links.
pub fn decode(codec: u64, data: &Bytes) -> Result<Ipld, NodeError> {
    match codec {
        RAW => Ok(Ipld::Bytes(data.to_vec())),
        DAG_PB => Ok(dag_pb_node::read(&dag_pb::Node::decode(data)?)),
        DAG_CBOR => dag_cbor::decode(data),
        DAG_JSON => dag_json::decode(data),
        CBOR => dag_cbor::decode_plain(data),
        JSON => dag_json::decode_plain(data),
        code => Err(NodeError::UnknownCodec { code }),
    }
}

/// Write a node in the canonical form of a codec. Fails where the codec cannot say it.
pub fn encode(codec: u64, node: &Ipld) -> Result<Bytes, NodeError> {
    match (codec, node) {
        (RAW, Ipld::Bytes(bytes)) => Ok(bytes.clone().into()),
        (RAW, _) => Err(NodeError::Unfit { codec: "raw", why: "it is a block of bytes, and this is something else" }),
        (DAG_PB, node) => Ok(dag_pb_node::write(node)?.encode()),
        (DAG_CBOR, node) => dag_cbor::encode(node),
        (DAG_JSON, node) => dag_json::encode(node),
        (CBOR, node) if has_links(node) => Err(NodeError::Unfit { codec: "cbor", why: "it has no links" }),
        (CBOR, node) => dag_cbor::encode(node),
        (JSON, node) => dag_json::encode_plain(node),
        (code, _) => Err(NodeError::UnknownCodec { code }),
    }
}

fn has_links(node: &Ipld) -> bool {
    match node {
        Ipld::Link(_) => true,
        Ipld::List(items) => items.iter().any(has_links),
        Ipld::Map(entries) => entries.values().any(has_links),
        _ => false,
    }
}

/// Most lists and maps one within the other. Readers are recursive, that of JSON ends at 128, two of which bytes may take, and
/// no schema of the field comes near it.
pub const MAX_DEPTH: usize = 120;

/// Why bytes are no node, or a node cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Not as the specification of the codec has it.
    #[error("not {codec}: {why} at byte {offset}")]
    Malformed {
        /// Of the codec.
        codec: &'static str,
        /// What is wrong.
        why: &'static str,
        /// Where.
        offset: usize,
    },
    /// The JSON of it is malformed.
    #[error("not dag-json: {why}")]
    Json {
        /// What is wrong, and where.
        why: String,
    },
    /// No dag-pb.
    #[error("not dag-pb: {0}")]
    Pb(#[from] dag_pb::DecodeError),
    /// Written, it would be something else.
    #[error("this cannot be written as {codec}: {why}")]
    Unfit {
        /// Of the codec.
        codec: &'static str,
        /// What it does not have.
        why: &'static str,
    },
    /// We cannot read it.
    #[error("codec {} is not known here, so that what it links to is not known", codec_name(*code))]
    UnknownCodec {
        /// Its multicodec.
        code: u64,
    },
}

#[cfg(test)]
mod tests;
