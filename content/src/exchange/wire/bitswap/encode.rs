//! Messages into bytes.

use bytes::{BufMut, BytesMut};
use cid::Cid;
use unsigned_varint::encode as varint;

use super::{
    BLOCKS, Dialect, ENTRIES, ENTRY_CANCEL, ENTRY_CID, ENTRY_PRIORITY, ENTRY_SEND_DONT_HAVE, ENTRY_TYPE, Entry, FULL,
    Message, PAYLOAD, PAYLOAD_DATA, PAYLOAD_PREFIX, PENDING, PRESENCE_CID, PRESENCE_TYPE, PRESENCES, TYPE_DONT_HAVE,
    TYPE_HAVE, WANTLIST, Wish,
};
use crate::dag_pb::wire::{put_bytes, put_length, put_varint};
use crate::exchange::message::Kind;

/// Appends a message without blocks, its length before it. Peers of before 1.2.0 are told nothing of what is there; who speaks
/// to them asks for blocks only.
pub fn encode(message: &Message, dialect: Dialect, out: &mut BytesMut) {
    let mut body = Vec::new();
    if message.full || !message.entries.is_empty() {
        let mut list = Vec::new();
        for entry in &message.entries {
            put_bytes(&mut list, ENTRIES, &entry_bytes(entry));
        }
        if message.full {
            put_varint(&mut list, FULL, 1);
        }
        put_bytes(&mut body, WANTLIST, &list);
    }
    if dialect == Dialect::Presence {
        message.haves.iter().for_each(|cid| put_bytes(&mut body, PRESENCES, &presence_bytes(cid, true)));
        message.dont_haves.iter().for_each(|cid| put_bytes(&mut body, PRESENCES, &presence_bytes(cid, false)));
    }
    put_pending(&mut body, message.pending, dialect);
    out.put_slice(varint::usize(body.len(), &mut varint::usize_buffer()));
    out.put_slice(&body);
}

/// One message of blocks, whose bytes it does not hold: what stands before the bytes of each. `blocks` are their CIDs and
/// lengths, together within [`super::MAX_MESSAGE`]; `pending` is what is queued for the peer beyond them.
pub fn heads(blocks: &[(Cid, usize)], pending: u64, dialect: Dialect) -> Vec<Vec<u8>> {
    let mut heads: Vec<Vec<u8>> = blocks.iter().map(|(cid, len)| block_head(cid, *len, dialect)).collect();
    let Some(first) = heads.first_mut() else { return heads };
    let mut body = Vec::new();
    put_pending(&mut body, pending, dialect);
    body.append(first);
    *first = body;
    let len: usize = heads.iter().map(Vec::len).sum::<usize>() + blocks.iter().map(|(_, len)| len).sum::<usize>();
    heads[0].splice(..0, varint::usize(len, &mut varint::usize_buffer()).iter().copied());
    heads
}

fn block_head(cid: &Cid, len: usize, dialect: Dialect) -> Vec<u8> {
    let mut head = Vec::new();
    if dialect == Dialect::Bare {
        put_length(&mut head, BLOCKS, len);
        return head;
    }
    let mut inner = Vec::new();
    put_bytes(&mut inner, PAYLOAD_PREFIX, &prefix_bytes(cid));
    put_length(&mut inner, PAYLOAD_DATA, len);
    put_length(&mut head, PAYLOAD, inner.len() + len);
    head.append(&mut inner);
    head
}

fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_bytes(&mut bytes, ENTRY_CID, &entry.cid.to_bytes());
    // An int32 below zero is written as the 64 bits of the same number.
    put_varint(&mut bytes, ENTRY_PRIORITY, i64::from(entry.priority) as u64);
    match entry.wish {
        Wish::Cancel => put_varint(&mut bytes, ENTRY_CANCEL, 1),
        Wish::Want(Kind::Have) => put_varint(&mut bytes, ENTRY_TYPE, TYPE_HAVE),
        Wish::Want(Kind::Block) => {}
    }
    if entry.send_dont_have {
        put_varint(&mut bytes, ENTRY_SEND_DONT_HAVE, 1);
    }
    bytes
}

fn presence_bytes(cid: &Cid, here: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_bytes(&mut bytes, PRESENCE_CID, &cid.to_bytes());
    if !here {
        put_varint(&mut bytes, PRESENCE_TYPE, TYPE_DONT_HAVE);
    }
    bytes
}

fn prefix_bytes(cid: &Cid) -> Vec<u8> {
    let mut bytes = Vec::new();
    let hash = cid.hash();
    for number in [u64::from(cid.version()), cid.codec(), hash.code(), u64::from(hash.size())] {
        bytes.extend_from_slice(varint::u64(number, &mut varint::u64_buffer()));
    }
    bytes
}

fn put_pending(out: &mut Vec<u8>, pending: u64, dialect: Dialect) {
    if pending > 0 && dialect == Dialect::Presence {
        put_varint(out, PENDING, pending.min(i32::MAX as u64));
    }
}
