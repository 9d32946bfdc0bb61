//! Writes CARv1: the header, and the head of each section. The blocks themselves go out as they are.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use unsigned_varint::encode;

use crate::ipld::{self, Ipld};

/// The header of a CARv1 with these roots, its length before it.
pub fn header(roots: &[Cid]) -> Bytes {
    let roots = roots.iter().map(|root| Ipld::Link(*root)).collect();
    let entries = BTreeMap::from([("roots".to_owned(), Ipld::List(roots)), ("version".to_owned(), Ipld::Integer(1))]);
    let body = ipld::encode(ipld::DAG_CBOR, &Ipld::Map(entries)).expect("links and a number have a form in dag-cbor");
    prefixed(body.len(), &body)
}

/// What stands before the `length` bytes of a block: how long it and its CID are, and its CID.
pub fn section_head(cid: &Cid, length: usize) -> Bytes {
    let cid = cid.to_bytes();
    prefixed(cid.len() + length, &cid)
}

fn prefixed(length: usize, behind: &[u8]) -> Bytes {
    let mut buffer = encode::usize_buffer();
    let prefix = encode::usize(length, &mut buffer);
    let mut bytes = BytesMut::with_capacity(prefix.len() + behind.len());
    bytes.extend_from_slice(prefix);
    bytes.extend_from_slice(behind);
    bytes.freeze()
}
