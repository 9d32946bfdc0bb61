//! What the fuzz targets do with their bytes. Each panics when a promise is broken.

use bytes::{Bytes, BytesMut};
use cidra_content::exchange::message;
use cidra_content::exchange::wire::bitswap;
use cidra_content::exchange::wire::native::{self, Frame, Lane, Referral};
use cidra_content::ipns::{Entry, Moment, Name, Record};
use cidra_content::negotiation::{Negotiation, Outcome, Side};
use cidra_content::unixfs::{DirectoryReader, Entity, Message, Reader, leaf_data, shard::ShardLookup};
use cidra_content::{Block, Cid, block, car, dag_pb, ipld, mdns, path};

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("autonat", autonat),
    ("bitswap", bitswap),
    ("car", car),
    ("cid", cid),
    ("dag_pb", dag_pb),
    ("ipld", ipld),
    ("ipns", ipns),
    ("mdns", mdns),
    ("negotiation", negotiation),
    ("path", path),
    ("unixfs", unixfs),
    ("wire", wire),
];

/// Takes any bytes, and panics when a promise is broken.
pub type Target = fn(&[u8]);

/// A record of a name, and the name of a record's key: what is read says the same of itself when it is read again, and a name
/// that is written is read back.
pub fn ipns(data: &[u8]) {
    let key = (!data.is_empty()).then(|| Name::of_public_key(data));
    let names = [Name::of_multihash(data).ok(), Name::of_routing_key(data), key];
    for name in names.into_iter().flatten() {
        assert_eq!(Name::parse(&name.to_string()), Ok(name));
        assert_eq!(Name::parse(&name.peer_id()), Ok(name));
        assert_eq!(Name::of_routing_key(&name.routing_key()), Some(name));
    }
    let _ = Name::parse(&String::from_utf8_lossy(data));
    let Ok(entry) = Entry::parse(data) else { return };
    assert_eq!(entry.bytes(), data);
    let name = Name::of_public_key(&[7; 36]);
    if let Ok(record) = Record::verify(&name, data, Moment::default(), |_| true) {
        assert_eq!((Ok(record.sequence()), Ok(record.ttl())), (entry.sequence(), entry.ttl()));
        assert_eq!((Ok(record.path().to_owned()), Ok(record.validity())), (entry.path(), entry.validity()));
        assert!(!record.is_better_than(&record));
    }
}

/// A stream of Bitswap, whole and in two parts: the same comes of it; what was said can be said again, and a list of wants keeps
/// its limit.
pub fn bitswap(data: &[u8]) {
    let whole = bitswap_heard(&[data]);
    let (head, tail) = data.split_at(data.len() / 2);
    assert_eq!(whole, bitswap_heard(&[head, tail]));
    let mut wants = bitswap::Wants::default();
    for (_, message) in whole {
        let mut again = BytesMut::new();
        bitswap::encode(&message, bitswap::Dialect::Presence, &mut again);
        assert_eq!(bitswap_heard(&[&again]), [(0, message.clone())]);
        for said in wants.handle_message(message).said {
            let message::Message::Want(want) = &said else { continue };
            assert!(want.cids.len() <= message::MAX_CIDS);
            wants.translate(message::Message::DontHave { request: want.request, cids: want.cids.clone() });
        }
    }
}

/// Messages, each with how many bytes of blocks came before it.
fn bitswap_heard(parts: &[&[u8]]) -> Vec<(usize, bitswap::Message)> {
    let mut decoder = bitswap::Decoder::default();
    let (mut held, mut bytes, mut heard) = (Vec::new(), 0, Vec::new());
    for part in parts {
        held.extend_from_slice(part);
        let mut rest = &held[..];
        loop {
            match decoder.decode(&mut rest) {
                Ok(Some(bitswap::Frame::Data { data, .. })) => bytes += data.len(),
                Ok(Some(bitswap::Frame::Block(_))) => {}
                Ok(Some(bitswap::Frame::Message(message))) => heard.push((bytes, message)),
                Ok(None) => break,
                Err(_) => return heard,
            }
        }
        held = rest.to_vec();
    }
    heard
}

/// A CAR file, whole and in two parts: the same sections come of it, and no byte of it twice.
pub fn car(data: &[u8]) {
    let whole = sections(&[data]);
    let (head, tail) = data.split_at(data.len() / 2);
    assert_eq!(whole, sections(&[head, tail]));
    let length: usize = whole.0.iter().map(|section| section.data.len() + section.cid.encoded_len()).sum();
    assert!(length <= data.len());
}

fn sections(parts: &[&[u8]]) -> (Vec<car::Section>, Result<(), car::CarError>) {
    let mut reader = car::Reader::default();
    let mut sections = Vec::new();
    for part in parts {
        reader.push(Bytes::copy_from_slice(part));
        loop {
            match reader.poll() {
                Ok(Some(section)) => sections.push(section),
                Ok(None) => break,
                Err(error) => return (sections, Err(error)),
            }
        }
    }
    let end = reader.finish();
    (sections, end)
}

/// A node of each codec: what can be read can be written, and stays what it was; in JSON but for floats, which may come back as
/// integers.
pub fn ipld(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    for codec in [ipld::DAG_CBOR, ipld::DAG_JSON, ipld::CBOR, ipld::JSON] {
        let links = ipld::links(codec, &data);
        let Ok(node) = ipld::decode(codec, &data) else { continue };
        assert!(links.expect("what can be built can be looked through").len() <= data.len());
        let Ok(canonical) = ipld::encode(codec, &node) else { continue };
        let again = ipld::decode(codec, &canonical).expect("what is written can be read");
        if matches!(codec, ipld::DAG_CBOR | ipld::CBOR) {
            assert_eq!(again, node);
            assert_eq!(ipld::encode(codec, &again), Ok(canonical));
        } else {
            // The second time, as -0.0 is written -0, which is read as 0.
            let settled = ipld::encode(codec, &again).expect("it was written before");
            let node = ipld::decode(codec, &settled).expect("what is written can be read");
            assert_eq!(ipld::encode(codec, &node), Ok(settled));
        }
    }
}

/// A CID in bytes, and blocks that claim it.
pub fn cid(data: &[u8]) {
    let mut rest = data;
    let Ok(cid) = Cid::read_bytes(&mut rest) else { return };
    assert_eq!(path::parse_cid(&cid.to_string()), Ok(cid));
    if let Ok(block) = Block::verify(cid, Bytes::copy_from_slice(rest)) {
        assert_eq!((block.cid(), &block.data()[..]), (&cid, rest));
        let _ = block.links();
    }
    assert_eq!(Block::inline(cid).is_some(), cid.hash().code() == 0);
}

/// A dag-pb node: what can be read can be written, and stays what it was.
pub fn dag_pb(data: &[u8]) {
    let Ok(node) = dag_pb::Node::decode(&Bytes::copy_from_slice(data)) else { return };
    let canonical = node.encode();
    assert_eq!(canonical.len(), node.encoded_len());
    assert_eq!(dag_pb::Node::decode(&canonical), Ok(node.clone()));

    let links = Block::new(block::DAG_PB, canonical).links().expect("it can be read");
    assert!(links.iter().eq(node.links.iter().map(|link| &link.cid)));
}

/// A message of AutoNAT, and what a server says where it dialled: what is read is written and read again as the same.
pub fn autonat(data: &[u8]) {
    use cidra_content::autonat::{MAX_ADDRESSES, Message, PIECE, dial_back, dialled_back};

    if let Ok(nonce) = dialled_back(data) {
        assert_eq!(dialled_back(&dial_back(nonce)), Ok(nonce));
    }
    let Ok(message) = Message::decode(data) else { return };
    match &message {
        Message::Request { addresses, .. } => assert!(addresses.len() <= MAX_ADDRESSES),
        // Nobody says more than a piece at a time; whoever reads counts what comes.
        Message::Paid { bytes } if *bytes > PIECE => return,
        _ => {}
    }
    assert_eq!(Message::decode(&message.encode()), Ok(message));
}

/// A packet of multicast DNS: what is heard in it stays within its limit, and can be said again.
pub fn mdns(data: &[u8]) {
    let Ok(mdns::Message::Answer { addresses }) = mdns::decode(data) else { return };
    assert!(addresses.len() <= mdns::MAX_ADDRESSES);
    let again = mdns::answer("again", addresses.iter().map(String::as_str));
    let Ok(mdns::Message::Answer { addresses: heard }) = mdns::decode(&again) else { panic!("it is an answer") };
    assert!(addresses.starts_with(&heard) && (heard.len() == addresses.len() || again.len() > 1000));
}

/// A negotiation, of which the first byte says how much the dialer says: however it comes, its outcome is the same, and what is
/// agreed on both have said.
pub fn negotiation(data: &[u8]) {
    let Some((cut, said)) = data.split_first() else { return };
    let (dialer, listener) = said.split_at(usize::from(*cut).min(said.len()));
    let mut whole = Negotiation::default();
    assert_eq!(whole.hear(Side::Dialer, dialer), None);
    let outcome = whole.hear(Side::Listener, listener);
    let mut piece_by_piece = Negotiation::default();
    dialer.iter().for_each(|byte| assert_eq!(piece_by_piece.hear(Side::Dialer, &[*byte]), None));
    let mut heard = 0;
    let again = listener.iter().find_map(|byte| {
        heard += 1;
        piece_by_piece.hear(Side::Listener, &[*byte])
    });
    match (outcome, again) {
        (Some(Outcome::Agreed { protocol, dialer: before, listener: after }), Some(again)) => {
            assert_eq!(after, (listener.len() - heard) as u64);
            assert_eq!(again, Outcome::Agreed { protocol: protocol.clone(), dialer: before, listener: 0 });
            for said in [dialer, listener] {
                assert!(said.windows(protocol.len()).any(|part| part == protocol.as_bytes()));
            }
        }
        (outcome, again) => assert_eq!(outcome, again),
    }
}

/// A path or a CID in text.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(cid) = path::parse_cid(text) {
        assert_eq!(path::parse_cid(&cid.to_string()), Ok(cid));
    }
    if let Ok(path) = path::ContentPath::parse(text) {
        assert!(path.segments.iter().all(|segment| !matches!(segment.as_str(), "" | "." | "..")));
    }
}

/// A block as a part of a file and of a folder; a message.
pub fn unixfs(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    if let Ok(message) = Message::decode(&data) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
    let wrapped = dag_pb::Node { links: Vec::new(), data: Some(data.clone()) }.encode();
    for block in [Block::new_v0(data), Block::new_v0(wrapped)] {
        let _ = leaf_data(&block);
        let _ = Reader::new(*block.cid(), 1..100).handle_block(&block);
        let _ = DirectoryReader::new(*block.cid()).handle_block(&block);
        match Entity::parse(&block) {
            Ok(Entity::File(file)) => {
                let below: u64 = file.children(0..u64::MAX).map(|child| child.range.end - child.range.start).sum();
                assert_eq!(file.size(), file.data().len() as u64 + below);
            }
            Ok(Entity::Shard(shard)) => drop(ShardLookup::new(b"name").step(&shard)),
            _ => {}
        }
    }
}

/// A stream of `/cidra/blocks`, whole and in two parts: the same comes of it; what was said can be said again.
pub fn wire(data: &[u8]) {
    let whole = heard(&[data]);
    let (head, tail) = data.split_at(data.len() / 2);
    assert_eq!(whole, heard(&[head, tail]));
    for said in &whole {
        let Heard::Message(message) = said else { continue };
        let mut again = BytesMut::new();
        native::encode(message, &mut again);
        assert_eq!(heard(&[&again]), std::slice::from_ref(said));
    }
}

/// What came of a stream, however it was cut.
#[derive(Debug, PartialEq)]
enum Heard {
    Data(Lane, Vec<u8>, bool),
    Message(message::Message),
    Refer(Cid, Vec<Referral>),
}

fn heard(parts: &[&[u8]]) -> Vec<Heard> {
    let mut decoder = native::Decoder::default();
    let (mut held, mut heard) = (Vec::new(), Vec::new());
    for part in parts {
        held.extend_from_slice(part);
        let mut rest = &held[..];
        loop {
            match decoder.decode(&mut rest) {
                Ok(Some(Frame::Data { lane, data, last })) => match heard.last_mut() {
                    Some(Heard::Data(before, bytes, ended @ false)) if *before == lane => {
                        bytes.extend_from_slice(data);
                        *ended = last;
                    }
                    _ => heard.push(Heard::Data(lane, data.to_vec(), last)),
                },
                Ok(Some(Frame::Message(message))) => heard.push(Heard::Message(message)),
                Ok(Some(Frame::Refer { root, peers })) => heard.push(Heard::Refer(root, peers)),
                Ok(None) => break,
                Err(_) => return heard,
            }
        }
        held = rest.to_vec();
    }
    heard
}
