use bytes::{BufMut, BytesMut};
use cid::Cid;
use multihash::Multihash;
use proptest::prelude::*;

use super::*;
use crate::exchange::message::{Credit, Kind, MAX_CIDS, MAX_REFERRALS, RequestId, Want};

#[test]
fn an_urgent_block_goes_between_the_frames_of_a_leaf() {
    let mut out = BytesMut::new();
    let (leaf, node) = (cid(RAW, 1), cid(0x70, 2));
    encode(&header(leaf, 6), &mut out);
    put_data(Lane::Bulk, b"abc", &mut out);
    encode(&header(node, 2), &mut out);
    put_data(Lane::Urgent, b"XY", &mut out);
    put_data(Lane::Bulk, b"def", &mut out);

    let frames = decode_all(&mut Decoder::default(), &out).unwrap();

    let data = |lane, data, last| Frame::Data { lane, data, last };
    assert_eq!(frames[1], data(Lane::Bulk, b"abc", false));
    assert_eq!(frames[3], data(Lane::Urgent, b"XY", true));
    assert_eq!(frames[4], data(Lane::Bulk, b"def", true));
}

#[test]
fn data_is_handed_on_as_it_comes() {
    let mut out = BytesMut::new();
    encode(&header(cid(RAW, 1), 5), &mut out);
    let before = out.len();
    put_data(Lane::Bulk, b"abc", &mut out);
    put_data(Lane::Bulk, b"de", &mut out);
    let mut decoder = Decoder::default();
    decode_all(&mut decoder, &out[..before]).unwrap();

    let mut next = |from: usize, to: usize| {
        let frames = decode_all(&mut decoder, &out[before + from..before + to]).unwrap();
        let pieces = frames.iter().map(|frame| match frame {
            Frame::Data { data, last, .. } => (data.to_vec(), *last),
            other => panic!("{other:?}"),
        });
        (pieces.collect::<Vec<_>>(), decoder.is_within_data())
    };

    assert_eq!(next(0, 5), (vec![], true));
    assert_eq!(next(5, 7), (vec![(b"ab".to_vec(), false)], true));
    assert_eq!(next(7, 8), (vec![(b"c".to_vec(), false)], false));
    assert_eq!(next(8, 15), (vec![(b"de".to_vec(), true)], false));
}

#[test]
fn a_block_of_no_bytes_ends_with_its_header() {
    let mut out = BytesMut::new();
    encode(&header(cid(RAW, 1), 0), &mut out);
    let frames = decode_all(&mut Decoder::default(), &out).unwrap();
    assert_eq!(frames[1], Frame::Data { lane: Lane::Bulk, data: &[], last: true });
}

#[test]
fn more_data_than_announced_ends_the_stream() {
    let mut out = BytesMut::new();
    encode(&header(cid(RAW, 1), 3), &mut out);
    put_data(Lane::Bulk, b"abcd", &mut out);
    let error = decode_all(&mut Decoder::default(), &out).unwrap_err();
    assert!(matches!(error, WireError::Length { len: 4, most: 3, .. }), "{error}");
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
    for kind in [WANT, CANCEL, HAVE, DONT_HAVE, BLOCK_HEADER, REFER, PENDING, SKIPPED] {
        let decode = |len| Decoder::default().decode(&mut &head_of(kind, len)[..]).map(|frame| frame.is_none());
        assert!(matches!(decode(MAX_PAYLOAD), Ok(true)));
        assert!(matches!(decode(MAX_PAYLOAD + 1), Err(WireError::Length { .. })));
    }
    let mut decoder = Decoder::default();
    let mut out = BytesMut::new();
    encode(&header(cid(RAW, 1), 1 << 20), &mut out);
    decode_all(&mut decoder, &out).unwrap();
    assert!(matches!(decoder.clone().decode(&mut &head_of(DATA_BULK, MAX_DATA)[..]), Ok(None)));
    assert!(matches!(decoder.decode(&mut &head_of(DATA_BULK, MAX_DATA + 1)[..]), Err(WireError::Length { .. })));
}

#[test]
fn one_name_and_one_peer_and_one_byte_too_many_are_refused() {
    let most = vec![cid(RAW, 1); MAX_CIDS];
    let mut out = BytesMut::new();
    encode(&Message::Have { cids: most.clone() }, &mut out);
    assert_eq!(decode_all(&mut Decoder::default(), &out).unwrap(), [Frame::Message(Message::Have { cids: most })]);

    let mut out = BytesMut::new();
    encode(&Message::Have { cids: vec![cid(RAW, 1); MAX_CIDS + 1] }, &mut out);
    assert!(matches!(decode_all(&mut Decoder::default(), &out), Err(WireError::Limit { .. })));

    let referral = Referral { peer: vec![1; MAX_PEER_ID], signed_record: vec![2; MAX_RECORD] };
    let mut out = BytesMut::new();
    encode_refer(&cid(RAW, 1), &vec![referral.clone(); MAX_REFERRALS], &mut out);
    assert_eq!(decode_all(&mut Decoder::default(), &out).unwrap().len(), 1);
    let mut out = BytesMut::new();
    encode_refer(&cid(RAW, 1), &vec![referral; MAX_REFERRALS + 1], &mut out);
    assert!(matches!(decode_all(&mut Decoder::default(), &out), Err(WireError::Limit { .. })));

    let mut out = BytesMut::new();
    encode(&header(cid(RAW, 1), 2 * 1024 * 1024 + 1), &mut out);
    assert!(matches!(decode_all(&mut Decoder::default(), &out), Err(WireError::BlockTooLarge)));
}

#[test]
fn a_kind_for_later_is_skipped_and_one_below_128_is_not() {
    let mut out = BytesMut::new();
    out.extend_from_slice(&[200, 0, 0, 0, 2, 9, 9]);
    encode(&Message::Pending { bytes: 7 }, &mut out);
    let frames = decode_all(&mut Decoder::default(), &out).unwrap();
    assert_eq!(frames, [Frame::Message(Message::Pending { bytes: 7 })]);
    let out = BytesMut::from(&[9, 0, 0, 0, 0][..]);
    assert!(matches!(Decoder::default().decode(&mut &out[..]), Err(WireError::UnknownKind { kind: 9 })));
}

proptest! {
    #[test]
    fn what_is_written_is_read(messages in prop::collection::vec(any_message(), 1..20), cut in 1_usize..64) {
        let mut out = BytesMut::new();
        messages.iter().for_each(|message| encode(message, &mut out));
        let mut decoder = Decoder::default();
        let (mut held, mut read) = (Vec::new(), Vec::new());
        for piece in out.chunks(cut) {
            held.extend_from_slice(piece);
            let mut rest = &held[..];
            while let Some(frame) = decoder.decode(&mut rest).unwrap() {
                if let Frame::Message(message) = frame {
                    read.push(message);
                }
            }
            held = rest.to_vec();
        }
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn referrals_that_are_written_are_read(peers in prop::collection::vec(any_referral(), 0..=MAX_REFERRALS)) {
        let mut out = BytesMut::new();
        encode_refer(&cid(0x70, 3), &peers, &mut out);
        let read = decode_all(&mut Decoder::default(), &out).unwrap();
        prop_assert_eq!(read, [Frame::Refer { root: cid(0x70, 3), peers }]);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = decode_all(&mut Decoder::default(), &bytes);
    }

    #[test]
    fn no_payload_of_a_known_kind_makes_it_panic(kind in 0_u8..=PENDING, payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut buf = head_of(kind, payload.len());
        buf.extend_from_slice(&payload);
        let _ = decode_all(&mut Decoder::default(), &buf);
    }
}

fn decode_all<'a>(decoder: &mut Decoder, mut input: &'a [u8]) -> Result<Vec<Frame<'a>>, WireError> {
    std::iter::from_fn(|| decoder.decode(&mut input).transpose()).collect()
}

fn head_of(kind: u8, len: usize) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(kind);
    out.put_u32(len as u32);
    out
}

fn put_data(lane: Lane, data: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(&data_frame_head(lane, data.len()));
    out.extend_from_slice(data);
}

fn header(cid: Cid, len: u32) -> Message {
    Message::BlockHeader { request: RequestId(1), cid, len }
}

fn cid(codec: u64, seed: u8) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(0x12, &[seed; 32]).expect("32 bytes fit"))
}

fn any_cid() -> impl Strategy<Value = Cid> {
    (prop_oneof![Just(RAW), Just(0x70), Just(0x71)], any::<u8>()).prop_map(|(codec, seed)| cid(codec, seed))
}

fn any_referral() -> impl Strategy<Value = Referral> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    (bytes(40), bytes(200)).prop_map(|(peer, signed_record)| Referral { peer, signed_record })
}

fn any_message() -> impl Strategy<Value = Message> {
    let cids = || prop::collection::vec(any_cid(), 0..70);
    let request = || any::<u64>().prop_map(RequestId);
    let credit = prop_oneof![Just(Credit::All), any::<u32>().prop_map(Credit::Any)];
    let kind = prop_oneof![Just(Kind::Block), Just(Kind::Have)];
    let want = (request(), prop::option::of(any_cid()), cids(), credit, kind, any::<i32>());
    prop_oneof![
        want.prop_map(|(request, root, cids, credit, kind, priority)| {
            Message::Want(Want { request, root, cids, credit, kind, priority })
        }),
        (request(), cids()).prop_map(|(request, cids)| Message::Cancel { request, cids }),
        cids().prop_map(|cids| Message::Have { cids }),
        (request(), cids()).prop_map(|(request, cids)| Message::DontHave { request, cids }),
        (request(), any_cid(), 0_u32..=2 * 1024 * 1024).prop_map(|(request, cid, len)| Message::BlockHeader {
            request,
            cid,
            len
        }),
        any::<u64>().prop_map(|bytes| Message::Pending { bytes }),
    ]
}
