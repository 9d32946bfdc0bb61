//! Frames into bytes.

use bytes::{BufMut, BytesMut};
use cid::Cid;
use unsigned_varint::encode as varint;

use super::{
    BLOCK_HEADER, CANCEL, DATA_BULK, DATA_URGENT, DONT_HAVE, FLAG_CREDIT, FLAG_HAVE, FLAG_ROOT, HAVE, HEAD, Lane,
    PENDING, REFER, Referral, WANT,
};
use crate::exchange::message::{Credit, Kind, Message, RequestId, Want};

/// Appends the frame of a message. It must keep the limits of `message` (the machine's messages do).
pub fn encode(message: &Message, out: &mut BytesMut) {
    match message {
        Message::Want(want) => frame(WANT, out, |out| put_want(want, out)),
        Message::Cancel { request, cids } => frame(CANCEL, out, |out| put_request(*request, cids, out)),
        Message::Have { cids } => frame(HAVE, out, |out| put_cids(cids, out)),
        Message::DontHave { request, cids } => frame(DONT_HAVE, out, |out| put_request(*request, cids, out)),
        Message::BlockHeader { request, cid, len } => frame(BLOCK_HEADER, out, |out| {
            put_number(request.0, out);
            put_number(u64::from(*len), out);
            put_cid(cid, out);
        }),
        Message::Pending { bytes } => frame(PENDING, out, |out| put_number(*bytes, out)),
    }
}

/// Appends the frame of a referral. It must keep the limits of the module.
pub fn encode_refer(root: &Cid, peers: &[Referral], out: &mut BytesMut) {
    frame(REFER, out, |out| {
        put_cid(root, out);
        put_number(peers.len() as u64, out);
        for referral in peers {
            put_bytes(&referral.peer, out);
            put_bytes(&referral.signed_record, out);
        }
    });
}

/// What stands before `len` bytes of a block, 1 to `MAX_DATA` of them.
pub fn data_frame_head(lane: Lane, len: usize) -> [u8; HEAD] {
    let kind = match lane {
        Lane::Bulk => DATA_BULK,
        Lane::Urgent => DATA_URGENT,
    };
    let [a, b, c, d] = (len as u32).to_be_bytes();
    [kind, a, b, c, d]
}

fn frame(kind: u8, out: &mut BytesMut, payload: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    payload(out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn put_want(want: &Want, out: &mut BytesMut) {
    put_number(want.request.0, out);
    let root = if want.root.is_some() { FLAG_ROOT } else { 0 };
    let kind = if want.kind == Kind::Have { FLAG_HAVE } else { 0 };
    let credit = if want.credit == Credit::All { 0 } else { FLAG_CREDIT };
    out.put_u8(root | kind | credit);
    out.put_i32(want.priority);
    if let Credit::Any(count) = want.credit {
        put_number(u64::from(count), out);
    }
    if let Some(root) = &want.root {
        put_cid(root, out);
    }
    put_cids(&want.cids, out);
}

fn put_request(request: RequestId, cids: &[Cid], out: &mut BytesMut) {
    put_number(request.0, out);
    put_cids(cids, out);
}

fn put_cids(cids: &[Cid], out: &mut BytesMut) {
    put_number(cids.len() as u64, out);
    for cid in cids {
        put_cid(cid, out);
    }
}

fn put_cid(cid: &Cid, out: &mut BytesMut) {
    put_number(cid.encoded_len() as u64, out);
    cid.write_bytes(out.writer()).expect("writing to memory does not fail");
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_number(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn put_number(number: u64, out: &mut BytesMut) {
    out.put_slice(varint::u64(number, &mut varint::u64_buffer()));
}
