//! What stands around the bytes of a file in a leaf: nothing, or the few bytes of a dag-pb node. Both can be computed from
//! their number, so whoever has the file needs to keep no more of a leaf than where its bytes are.

use bytes::Bytes;

use super::message::{self, Type};
use crate::block::{Block, DAG_PB, RAW};
use crate::dag_pb::wire::{self, bytes_len, varint_len};

/// The form of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// The bytes of the file and nothing else.
    Bare,
    /// The node that the importer makes of them, which has no mode and no time.
    Node,
}

impl Wrapping {
    /// The form of this block, and the bytes of the file in it; `None` when it is no leaf, or one that others wrote in
    /// another way.
    pub fn of(block: &Block) -> Option<(Wrapping, Bytes)> {
        let data = block.data();
        match block.cid().codec() {
            RAW => Some((Wrapping::Bare, data.clone())),
            DAG_PB => {
                let content = super::leaf_data(block).ok()?;
                let is_ours = Wrapping::Node.block_len(content.len()) == data.len() && message::wrap(&content) == *data;
                is_ours.then_some((Wrapping::Node, content))
            }
            _ => None,
        }
    }

    /// The length of the leaf of so many bytes of the file.
    pub fn block_len(self, content: usize) -> usize {
        match self {
            Wrapping::Bare => content,
            Wrapping::Node => bytes_len(message_len(content)),
        }
    }

    /// What stands before and behind so many bytes of the file.
    pub fn around(self, content: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
        if self == Wrapping::Node {
            wire::put_length(&mut prefix, 1, message_len(content));
            wire::put_varint(&mut prefix, 1, Type::File.number());
            if content > 0 {
                wire::put_length(&mut prefix, 2, content);
            }
            wire::put_varint(&mut suffix, 3, content as u64);
        }
        (prefix, suffix)
    }
}

fn message_len(content: usize) -> usize {
    let data = if content == 0 { 0 } else { bytes_len(content) };
    varint_len(Type::File.number()) + data + varint_len(content as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_leaf_is_its_bytes_and_what_stands_around_them(content in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let node = Block::new(DAG_PB, message::wrap(&content));
            let (prefix, suffix) = Wrapping::Node.around(content.len());

            prop_assert_eq!([&prefix[..], &content, &suffix].concat(), node.data().to_vec());
            prop_assert_eq!(Wrapping::Node.block_len(content.len()), node.data().len());
            prop_assert_eq!(Wrapping::of(&node), Some((Wrapping::Node, content.into())));
        }
    }

    #[test]
    fn a_leaf_that_others_wrote_in_another_way_has_no_form_of_ours() {
        let message = message::Message { data: Some(Bytes::from_static(b"old")), ..message::Message::new(Type::Raw) };
        let node = crate::dag_pb::Node { links: Vec::new(), data: Some(message.encode()) };

        assert_eq!(Wrapping::of(&Block::new(DAG_PB, node.encode())), None);
        assert_eq!(Wrapping::of(&Block::new(0x71, Bytes::from_static(b"\xa0"))), None);
        let raw = Block::new(RAW, Bytes::from_static(b"bytes"));
        assert_eq!(Wrapping::of(&raw), Some((Wrapping::Bare, Bytes::from_static(b"bytes"))));
    }
}
