//! dag-pb nodes: links with names, and data.
//!
//! Written in the one canonical form: links before data, each link with hash, name and size. Read as the field reads:
//! data may stand before the links (nodes of the first years do), but the links must stand together, and a field that
//! the format does not have, has twice or has out of order is an error. Names and data are slices of the block.

pub(crate) mod wire;

use bytes::Bytes;
use cid::Cid;

use crate::block::Links;
pub use wire::WireError;
use wire::{Fields, Value};

/// A dag-pb node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// In the order of the block.
    pub links: Vec<Link>,
    /// What the node itself carries; for files and folders a UnixFS message.
    pub data: Option<Bytes>,
}

impl Node {
    /// Read a node. Fails on anything but dag-pb, and past [`MAX_LINKS`] links.
    pub fn decode(bytes: &Bytes) -> Result<Node, DecodeError> {
        let mut node = Node::default();
        visit(bytes, |part| match part {
            Part::Data(data) => node.data = Some(bytes.slice_ref(data)),
            Part::Link(link) => {
                node.links.push(Link { cid: link.cid, name: bytes.slice_ref(link.name), tsize: link.tsize })
            }
        })?;
        Ok(node)
    }

    /// The canonical bytes. The links are written in the order in which they stand.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        for link in &self.links {
            wire::put_length(&mut out, 2, link.encoded_len());
            link.encode(&mut out);
        }
        if let Some(data) = &self.data {
            wire::put_bytes(&mut out, 1, data);
        }
        out.into()
    }

    /// How many bytes `encode` gives.
    pub fn encoded_len(&self) -> usize {
        let links: usize = self.links.iter().map(Link::encoded_len_within_node).sum();
        links + self.data.as_ref().map_or(0, |data| wire::bytes_len(data.len()))
    }
}

/// A named reference from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The block it leads to.
    pub cid: Cid,
    /// Empty within a file; a file name within a folder.
    pub name: Bytes,
    /// What the writer claims to be the bytes of all blocks below, with repetitions. Nobody proves it.
    pub tsize: u64,
}

impl Link {
    fn encode(&self, out: &mut Vec<u8>) {
        wire::put_bytes(out, 1, &self.cid.to_bytes());
        wire::put_bytes(out, 2, &self.name);
        wire::put_varint(out, 3, self.tsize);
    }

    fn encoded_len(&self) -> usize {
        wire::bytes_len(self.cid.encoded_len()) + wire::bytes_len(self.name.len()) + wire::varint_len(self.tsize)
    }

    /// What this link adds to the node that has it.
    pub(crate) fn encoded_len_within_node(&self) -> usize {
        wire::bytes_len(self.encoded_len())
    }
}

/// Most links of one node: a block of 2 MiB full of links with a hash of 32 bytes has fewer, and a block of links to
/// nothing at all would otherwise take seventeen times its size in memory.
pub const MAX_LINKS: usize = 65_536;

/// Only where a node leads to.
pub(crate) fn links(bytes: &Bytes) -> Result<Links, DecodeError> {
    let mut links = Vec::new();
    visit(bytes, |part| {
        if let Part::Link(link) = part {
            links.push(link.cid);
        }
    })?;
    Ok(links.into())
}

enum Part<'a> {
    Data(&'a [u8]),
    Link(Borrowed<'a>),
}

struct Borrowed<'a> {
    cid: Cid,
    name: &'a [u8],
    tsize: u64,
}

fn visit<'a>(bytes: &'a [u8], mut part: impl FnMut(Part<'a>)) -> Result<(), DecodeError> {
    let mut links = 0;
    let mut links_ended = false;
    let mut has_data = false;
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(_)) if has_data => return Err(DecodeError::Repeated { field: "Data" }),
            (1, Value::Bytes(data)) => {
                has_data = true;
                links_ended = links > 0;
                part(Part::Data(data));
            }
            (2, Value::Bytes(_)) if links_ended => return Err(DecodeError::Repeated { field: "Links" }),
            (2, Value::Bytes(_)) if links == MAX_LINKS => return Err(DecodeError::TooManyLinks),
            (2, Value::Bytes(link)) => {
                links += 1;
                part(Part::Link(decode_link(link)?));
            }
            (number, _) => return Err(DecodeError::Unexpected { message: "PBNode", number }),
        }
    }
    Ok(())
}

fn decode_link(bytes: &[u8]) -> Result<Borrowed<'_>, DecodeError> {
    let mut cid = None;
    let mut name = None;
    let mut tsize = None;
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Bytes(_)) if cid.is_some() => return Err(DecodeError::Repeated { field: "Hash" }),
            (1, Value::Bytes(_)) if name.is_some() || tsize.is_some() => return Err(DecodeError::OutOfOrder),
            (1, Value::Bytes(bytes)) => cid = Some(decode_cid(bytes)?),
            (2, Value::Bytes(_)) if name.is_some() => return Err(DecodeError::Repeated { field: "Name" }),
            (2, Value::Bytes(_)) if tsize.is_some() => return Err(DecodeError::OutOfOrder),
            (2, Value::Bytes(bytes)) => name = Some(bytes),
            (3, Value::Varint(_)) if tsize.is_some() => return Err(DecodeError::Repeated { field: "Tsize" }),
            (3, Value::Varint(number)) => tsize = Some(number),
            (number, _) => return Err(DecodeError::Unexpected { message: "PBLink", number }),
        }
    }
    let cid = cid.ok_or(DecodeError::BadCid)?;
    Ok(Borrowed { cid, name: name.unwrap_or_default(), tsize: tsize.unwrap_or_default() })
}

fn decode_cid(mut bytes: &[u8]) -> Result<Cid, DecodeError> {
    let cid = Cid::read_bytes(&mut bytes).map_err(|_| DecodeError::BadCid)?;
    if bytes.is_empty() { Ok(cid) } else { Err(DecodeError::BadCid) }
}

/// Why bytes are no dag-pb node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The hash of a link is missing, or is no CID.
    #[error("a link without a CID that can be read")]
    BadCid,
    /// Within a link: hash, name, size is the only order.
    #[error("the fields of a link are out of order")]
    OutOfOrder,
    /// A field that may be there once.
    #[error("{field} is there twice")]
    Repeated {
        /// Its name in the specification.
        field: &'static str,
    },
    /// More than [`MAX_LINKS`].
    #[error("more than {MAX_LINKS} links")]
    TooManyLinks,
    /// A field that the format does not have, or of a wrong type.
    #[error("field {number} of a {message} is unknown or of a wrong type")]
    Unexpected {
        /// The message's name in the specification.
        message: &'static str,
        /// The field's number.
        number: u32,
    },
    /// No protobuf at all.
    #[error(transparent)]
    Wire(#[from] WireError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::{Block, DAG_PB, RAW};

    proptest! {
        #[test]
        fn nodes_come_back(
            links in prop::collection::vec((any::<Vec<u8>>(), any::<bool>(), any::<Vec<u8>>(), any::<u64>()), 0..20),
            data: Option<Vec<u8>>,
        ) {
            let links = links.into_iter().map(|(content, first, name, tsize)| {
                let block = if first { Block::new_v0(content.into()) } else { Block::new(RAW, content.into()) };
                Link { cid: *block.cid(), name: name.into(), tsize }
            });
            let node = Node { links: links.collect(), data: data.map(Bytes::from) };

            let bytes = node.encode();

            prop_assert_eq!(bytes.len(), node.encoded_len());
            let cids: Vec<Cid> = node.links.iter().map(|link| link.cid).collect();
            let links = Block::new(DAG_PB, bytes.clone()).links().expect("a node");
            prop_assert_eq!(&links[..], cids);
            prop_assert_eq!(Node::decode(&bytes), Ok(node));
        }
    }

    #[test]
    fn writes_links_first_and_every_field_of_a_link() {
        let node = Node { links: vec![link(b"leaf", "a", 4)], data: Some(Bytes::from_static(&[8, 1])) };

        let bytes = node.encode();

        assert_eq!(bytes[..4], [0x12, 43, 0x0a, 36]);
        assert_eq!(bytes[40..], [0x12, 1, b'a', 0x18, 4, 0x0a, 2, 8, 1]);
        assert_eq!(bytes.len(), node.encoded_len());
        assert_eq!(Node::decode(&bytes), Ok(node));
    }

    #[test]
    fn reads_data_before_the_links_but_no_links_on_both_sides() {
        let links = Node { links: vec![link(b"leaf", "a", 4)], data: None }.encode();
        let data = Bytes::from_static(&[0x0a, 1, 7]);
        let join = |parts: &[&Bytes]| Bytes::from(parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>());

        let node = Node::decode(&join(&[&data, &links, &links])).expect("as the first years wrote it");
        assert_eq!((node.links.len(), node.data), (2, Some(Bytes::from_static(&[7]))));
        assert_eq!(Node::decode(&join(&[&links, &data, &links])), Err(DecodeError::Repeated { field: "Links" }));
        assert_eq!(Node::decode(&join(&[&data, &data])), Err(DecodeError::Repeated { field: "Data" }));
    }

    #[test]
    fn refuses_links_that_are_not_as_the_specification_has_them() {
        let cid = link(b"leaf", "", 0).cid.to_bytes();
        let decode = |parts: &[&[u8]]| {
            let link: Vec<u8> = parts.concat();
            let mut bytes = vec![0x12, link.len() as u8];
            bytes.extend(link);
            Node::decode(&bytes.into())
        };
        let hash = [&[0x0a, cid.len() as u8][..], &cid].concat();
        let long_hash = [&[0x0a, cid.len() as u8 + 1][..], &cid, &[0]].concat();

        assert!(decode(&[&hash]).is_ok());
        assert!(decode(&[&hash, &[0x12, 0], &[0x18, 1]]).is_ok());
        assert_eq!(decode(&[&[0x12, 0], &[0x18, 1]]), Err(DecodeError::BadCid));
        assert_eq!(decode(&[&long_hash]), Err(DecodeError::BadCid));
        assert_eq!(decode(&[&[0x12, 0], &hash]), Err(DecodeError::OutOfOrder));
        assert_eq!(decode(&[&hash, &[0x18, 1], &[0x12, 0]]), Err(DecodeError::OutOfOrder));
        assert_eq!(decode(&[&hash, &hash]), Err(DecodeError::Repeated { field: "Hash" }));
        assert_eq!(decode(&[&hash, &[0x20, 1]]), Err(DecodeError::Unexpected { message: "PBLink", number: 4 }));
        assert_eq!(decode(&[&hash, &[0x1a, 0]]), Err(DecodeError::Unexpected { message: "PBLink", number: 3 }));
    }

    #[test]
    fn reads_the_most_links_and_refuses_one_more() {
        let smallest = [0x12, 6, 0x0a, 4, 1, 0x55, 0, 0];

        let most = Node::decode(&smallest.repeat(MAX_LINKS).into()).expect("at the limit");
        assert_eq!(most.links.len(), MAX_LINKS);
        assert_eq!(Node::decode(&smallest.repeat(MAX_LINKS + 1).into()), Err(DecodeError::TooManyLinks));
        assert_eq!(links(&smallest.repeat(MAX_LINKS + 1).into()), Err(DecodeError::TooManyLinks));
    }

    fn link(content: &'static [u8], name: &'static str, tsize: u64) -> Link {
        let cid = *Block::new(RAW, Bytes::from_static(content)).cid();
        Link { cid, name: Bytes::from_static(name.as_bytes()), tsize }
    }
}
