//! The UnixFS message that stands in the data of a dag-pb node.
//!
//! Written as Go writes it: fields by number, sizes of blocks one by one. Read as protobuf is read: any order, packed
//! sizes too, the last of a repeated field, unknown fields skipped.

use bytes::Bytes;

use super::parameters::MAX_CHUNK;
use crate::dag_pb::MAX_LINKS;
use crate::dag_pb::wire::{self, Fields, Value, WireError};

/// What a node is, in UnixFS terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// File, folder, …
    pub kind: Type,
    /// Bytes of a file, the target of a symbolic link, the bit field of a shard.
    pub data: Option<Bytes>,
    /// Bytes of the file below and in this node.
    pub file_size: Option<u64>,
    /// Bytes of the file below each link.
    pub block_sizes: Vec<u64>,
    /// Of a shard: the function that places names.
    pub hash_type: Option<u64>,
    /// Of a shard: its slots.
    pub fanout: Option<u64>,
    /// Permissions and time, when they were kept.
    pub metadata: Metadata,
}

/// What UnixFS can keep about a file beside its bytes. Both profiles leave it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permissions as Unix has them, and other bits as they stand there.
    pub mode: Option<u32>,
    /// When it was last changed.
    pub mtime: Option<Time>,
}

/// A moment, which may lie before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Since 1970, UTC.
    pub seconds: i64,
    /// Below a thousand million.
    pub nanoseconds: u32,
}

/// The kinds of nodes. `Metadata` of the specification is not among them: nobody writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A part of a file, as the first years wrote it.
    Raw,
    /// A folder in one block.
    Directory,
    /// A file or a part of one.
    File,
    /// A symbolic link.
    Symlink,
    /// A part of a folder in many blocks.
    HamtShard,
}

impl Type {
    pub(super) fn number(self) -> u64 {
        match self {
            Type::Raw => 0,
            Type::Directory => 1,
            Type::File => 2,
            Type::Symlink => 4,
            Type::HamtShard => 5,
        }
    }

    fn from_number(number: u64) -> Option<Type> {
        let types = [Type::Raw, Type::Directory, Type::File, Type::Symlink, Type::HamtShard];
        types.into_iter().find(|kind| kind.number() == number)
    }
}

impl Message {
    /// With nothing but its type.
    pub fn new(kind: Type) -> Message {
        let (data, file_size, hash_type, fanout) = Default::default();
        Message { kind, data, file_size, block_sizes: Vec::new(), hash_type, fanout, metadata: Metadata::default() }
    }

    /// Read the data of a node.
    pub fn decode(bytes: &Bytes) -> Result<Message, MessageError> {
        let mut kind = None;
        let mut message = Message::new(Type::Raw);
        for field in Fields::new(bytes) {
            match field? {
                (1, Value::Varint(number)) => kind = Some(number),
                (2, Value::Bytes(data)) => message.data = Some(bytes.slice_ref(data)),
                (3, Value::Varint(size)) => message.file_size = Some(size),
                (4, Value::Varint(size)) => message.push_size(size)?,
                (4, Value::Bytes(sizes)) => {
                    for size in wire::packed(sizes) {
                        message.push_size(size?)?;
                    }
                }
                (5, Value::Varint(hash_type)) => message.hash_type = Some(hash_type),
                (6, Value::Varint(fanout)) => message.fanout = Some(fanout),
                (7, Value::Varint(mode)) => message.metadata.mode = Some(mode as u32),
                (8, Value::Bytes(time)) => message.metadata.mtime = Some(decode_time(time)?),
                (number @ 1..=8, _) => return Err(MessageError::WrongType { number }),
                _ => {}
            }
        }
        let number = kind.ok_or(MessageError::NoType)?;
        message.kind = Type::from_number(number).ok_or(MessageError::UnknownType { number })?;
        Ok(message)
    }

    /// There is a size for each link, and so no more of them. Packed, a size takes an eighth of what it takes in memory.
    fn push_size(&mut self, size: u64) -> Result<(), MessageError> {
        if self.block_sizes.len() == MAX_LINKS {
            return Err(MessageError::TooManySizes);
        }
        self.block_sizes.push(size);
        Ok(())
    }

    /// The bytes, as Go writes them.
    pub fn encode(&self) -> Bytes {
        let data_len = self.data.as_ref().map_or(0, Bytes::len);
        let mut out = Vec::with_capacity(data_len + self.block_sizes.len() * 5 + 64);
        wire::put_varint(&mut out, 1, self.kind.number());
        if let Some(data) = &self.data {
            wire::put_bytes(&mut out, 2, data);
        }
        if let Some(size) = self.file_size {
            wire::put_varint(&mut out, 3, size);
        }
        for &size in &self.block_sizes {
            wire::put_varint(&mut out, 4, size);
        }
        for (number, value) in [(5, self.hash_type), (6, self.fanout), (7, self.metadata.mode.map(u64::from))] {
            if let Some(value) = value {
                wire::put_varint(&mut out, number, value);
            }
        }
        if let Some(time) = self.metadata.mtime {
            wire::put_bytes(&mut out, 8, &encode_time(time));
        }
        out.into()
    }
}

/// The node of a leaf of a file that is not raw: one copy of the bytes, and nothing else of them.
pub(super) fn wrap(chunk: &[u8]) -> Bytes {
    wrap_as(Type::File, chunk)
}

/// The same for a leaf that is called [`Type::Raw`].
pub(super) fn wrap_as(kind: Type, chunk: &[u8]) -> Bytes {
    debug_assert!(chunk.len() <= MAX_CHUNK, "checked where the size of chunks is set");
    let size = chunk.len() as u64;
    let data_len = if chunk.is_empty() { 0 } else { wire::bytes_len(chunk.len()) };
    let message_len = wire::varint_len(kind.number()) + data_len + wire::varint_len(size);
    let mut out = Vec::with_capacity(wire::bytes_len(message_len));
    wire::put_length(&mut out, 1, message_len);
    wire::put_varint(&mut out, 1, kind.number());
    if !chunk.is_empty() {
        wire::put_bytes(&mut out, 2, chunk);
    }
    wire::put_varint(&mut out, 3, size);
    out.into()
}

fn encode_time(time: Time) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_varint(&mut out, 1, time.seconds as u64);
    if time.nanoseconds != 0 {
        wire::put_fixed32(&mut out, 2, time.nanoseconds);
    }
    out
}

fn decode_time(bytes: &[u8]) -> Result<Time, MessageError> {
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    for field in Fields::new(bytes) {
        match field? {
            (1, Value::Varint(seconds)) => time.seconds = seconds as i64,
            (2, Value::Fixed32(nanoseconds)) => time.nanoseconds = nanoseconds,
            (1 | 2, _) => return Err(MessageError::BadTime),
            _ => {}
        }
    }
    if time.nanoseconds < 1_000_000_000 { Ok(time) } else { Err(MessageError::BadTime) }
}

/// Why data is no UnixFS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The time of the last change is none.
    #[error("mtime is no time")]
    BadTime,
    /// The one field that must be there.
    #[error("it does not say what it is")]
    NoType,
    /// More than a node can have links.
    #[error("sizes for more than {MAX_LINKS} parts")]
    TooManySizes,
    /// One of those that the specification keeps out of use, or a later one.
    #[error("type {number} is unknown")]
    UnknownType {
        /// As it stands there.
        number: u64,
    },
    /// No protobuf at all.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A field that the format has otherwise.
    #[error("field {number} is of a wrong type")]
    WrongType {
        /// The field's number.
        number: u32,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_back(message in message()) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
            if let Ok(message) = Message::decode(&bytes.into()) {
                prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
            }
        }

        #[test]
        fn a_wrapped_leaf_is_the_node_of_its_message(chunk in prop::collection::vec(any::<u8>(), 0..300)) {
            let data = (!chunk.is_empty()).then(|| Bytes::from(chunk.clone()));
            let message = Message { data, file_size: Some(chunk.len() as u64), ..Message::new(Type::File) };
            let node = crate::dag_pb::Node { links: Vec::new(), data: Some(message.encode()) };

            prop_assert_eq!(wrap(&chunk), node.encode());
        }
    }

    #[test]
    fn reads_packed_sizes_and_skips_what_it_does_not_know() {
        let bytes =
            Bytes::from_static(&[0x22, 2, 3, 4, 0x08, 2, 0x48, 9, 0x20, 5, 0x7a, 1, 0, 0x79, 0, 0, 0, 0, 0, 0, 0, 0]);

        let message = Message::decode(&bytes).expect("protobuf as any library reads it");

        assert_eq!((message.kind, message.block_sizes), (Type::File, vec![3, 4, 5]));
    }

    #[test]
    fn reads_a_size_for_each_of_the_most_links_and_refuses_one_more() {
        let message = |sizes: usize| {
            let mut bytes = vec![8, 2];
            wire::put_bytes(&mut bytes, 4, &vec![1; sizes]);
            Message::decode(&bytes.into())
        };

        assert_eq!(message(MAX_LINKS).map(|message| message.block_sizes.len()), Ok(MAX_LINKS));
        assert_eq!(message(MAX_LINKS + 1), Err(MessageError::TooManySizes));
        let one_by_one: Vec<u8> = [8, 2].into_iter().chain([0x20, 1].repeat(MAX_LINKS + 1)).collect();
        assert_eq!(Message::decode(&one_by_one.into()), Err(MessageError::TooManySizes));
    }

    #[test]
    fn says_what_is_wrong() {
        let decode = |bytes: &'static [u8]| Message::decode(&Bytes::from_static(bytes));

        assert_eq!(decode(&[]), Err(MessageError::NoType));
        assert_eq!(decode(&[8, 3]), Err(MessageError::UnknownType { number: 3 }));
        assert_eq!(decode(&[8, 2, 0x1a, 0]), Err(MessageError::WrongType { number: 3 }));
        assert_eq!(decode(&[8, 2, 0x12, 9]), Err(MessageError::Wire(WireError::Truncated)));
        assert_eq!(decode(&[8, 2, 0x42, 5, 0x15, 0x00, 0xca, 0x9a, 0x3b]), Err(MessageError::BadTime));
    }

    fn message() -> impl Strategy<Value = Message> {
        let types = vec![Type::Raw, Type::Directory, Type::File, Type::Symlink, Type::HamtShard];
        let time = (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds });
        let numbers = (any::<Option<u64>>(), any::<Vec<u64>>(), any::<Option<u64>>(), any::<Option<u64>>());
        let metadata =
            (any::<Option<u32>>(), prop::option::of(time)).prop_map(|(mode, mtime)| Metadata { mode, mtime });
        (prop::sample::select(types), any::<Option<Vec<u8>>>(), numbers, metadata).prop_map(
            |(kind, data, (file_size, block_sizes, hash_type, fanout), metadata)| Message {
                kind,
                data: data.map(Bytes::from),
                file_size,
                block_sizes,
                hash_type,
                fanout,
                metadata,
            },
        )
    }
}
