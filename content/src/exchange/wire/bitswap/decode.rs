//! Bytes into frames. Limits are checked from announced lengths, before the bytes are waited for; the bytes of a block are handed
//! on as they come.

use cid::Cid;
use unsigned_varint::decode as varint;

use super::{
    BLOCKS, ENTRIES, ENTRY_CANCEL, ENTRY_CID, ENTRY_PRIORITY, ENTRY_SEND_DONT_HAVE, ENTRY_TYPE, Entry, FULL, Frame,
    MAX_ENTRIES, MAX_ITEM, MAX_MESSAGE, MAX_PRESENCES, Message, PAYLOAD, PAYLOAD_DATA, PAYLOAD_PREFIX, PENDING,
    PRESENCE_CID, PRESENCE_TYPE, PRESENCES, TYPE_DONT_HAVE, TYPE_HAVE, WANTLIST, Wish,
};
use crate::block::{DAG_PB, MAX_BLOCK_SIZE};
use crate::dag_pb::WireError as ProtobufError;
use crate::dag_pb::wire::{Fields, Value};
use crate::exchange::message::{Kind, MAX_CID_LENGTH};
use crate::hash::{Function, Prefix};

/// Reads the messages of one stream. After an error the stream is of no more use.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// Messages within messages, the outermost first, each with its bytes that are still to come.
    within: Vec<(Part, usize)>,
    /// Bytes to be passed over.
    skip: usize,
    /// The length of the message under way.
    announced: usize,
    message: Message,
    /// The block under way.
    prefix: Option<Prefix>,
    data: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Message,
    Wantlist,
    Payload,
    /// The bytes of a block of this length, in a payload or (1.0.0) alone.
    Data {
        len: usize,
        alone: bool,
    },
}

impl Decoder {
    /// Takes the next frame off the front of `input`; `None`: more bytes are needed, after those that are left in `input`, at most
    /// a kilobyte. The bytes of blocks are not waited for: what is there of them is returned.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, WireError> {
        loop {
            if self.skip > 0 {
                let skipped = self.skip.min(input.len());
                self.take(input, skipped);
                self.skip -= skipped;
                if self.skip > 0 {
                    return Ok(None);
                }
            }
            let Some((part, left)) = self.within.last().copied() else {
                let Some(len) = number(input)? else { return Ok(None) };
                if len > MAX_MESSAGE as u64 {
                    return Err(WireError::MessageTooLarge { len });
                }
                self.announced = len as usize;
                self.within.push((Part::Message, self.announced));
                continue;
            };
            if left == 0 {
                self.within.pop();
                if let Some(frame) = self.end_of(part)? {
                    return Ok(Some(frame));
                }
                continue;
            }
            let complete = match part {
                Part::Data { len, .. } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let data = self.take(input, left.min(input.len()));
                    return Ok(Some(Frame::Data { len, data }));
                }
                Part::Message | Part::Payload | Part::Wantlist => self.field(part, left, input)?,
            };
            if !complete {
                return Ok(None);
            }
        }
    }

    /// Whether a message has begun whose end has not come.
    pub fn is_within_message(&self) -> bool {
        !self.within.is_empty()
    }

    /// The length of the message that has begun and not ended.
    pub fn announced(&self) -> Option<usize> {
        self.is_within_message().then_some(self.announced)
    }

    /// Takes one field in; false: it has not come whole.
    fn field(&mut self, part: Part, left: usize, input: &mut &[u8]) -> Result<bool, WireError> {
        let all: &[u8] = input;
        let within = &all[..left.min(all.len())];
        let mut rest = within;
        let incomplete = || if within.len() == left { Err(WireError::Truncated) } else { Ok(false) };
        let Some(key) = number(&mut rest)? else { return incomplete() };
        let (field, value) = (
            u32::try_from(key >> 3).unwrap_or(u32::MAX),
            match key & 7 {
                0 => number(&mut rest)?,
                1 => Some(8),
                2 => number(&mut rest)?,
                5 => Some(4),
                _ => return Err(WireError::Protobuf(ProtobufError::BadKey { key })),
            },
        );
        let Some(value) = value else { return incomplete() };
        let head = within.len() - rest.len();
        if key & 7 == 0 {
            self.take(input, head);
            self.number_of(part, field, value);
            return Ok(true);
        }
        let len = usize::try_from(value).ok().filter(|len| *len <= left - head).ok_or(WireError::Truncated)?;
        let item = key & 7 == 2 && len <= MAX_ITEM && is_item(part, field);
        if item {
            let Some(bytes) = rest.get(..len) else { return Ok(false) };
            self.take(input, head + len);
            self.item(part, field, bytes)?;
            return Ok(true);
        }
        self.take(input, head);
        match (part, field) {
            _ if key & 7 != 2 => self.skip = len,
            (Part::Message, WANTLIST) => self.within.push((Part::Wantlist, len)),
            (Part::Message, PAYLOAD) => self.within.push((Part::Payload, len)),
            (Part::Message, BLOCKS) => self.begin(len, true)?,
            (Part::Payload, PAYLOAD_DATA) => self.begin(len, false)?,
            (Part::Payload, PAYLOAD_PREFIX) => return Err(WireError::BadPrefix),
            _ => self.skip = len,
        }
        Ok(true)
    }

    fn begin(&mut self, len: usize, alone: bool) -> Result<(), WireError> {
        if len > MAX_BLOCK_SIZE {
            return Err(WireError::BlockTooLarge { len });
        }
        // A field that stands twice would make two blocks out of one.
        if !alone && std::mem::replace(&mut self.data, len) > 0 {
            return Err(WireError::BadPrefix);
        }
        self.within.push((Part::Data { len, alone }, len));
        Ok(())
    }

    fn number_of(&mut self, part: Part, field: u32, value: u64) {
        match (part, field) {
            (Part::Message, PENDING) => self.message.pending = u64::try_from(value as i32).unwrap_or(0),
            (Part::Wantlist, FULL) => self.message.full = value != 0,
            _ => {}
        }
    }

    fn item(&mut self, part: Part, field: u32, bytes: &[u8]) -> Result<(), WireError> {
        match (part, field) {
            (Part::Payload, PAYLOAD_PREFIX) => self.prefix = Some(prefix(bytes)?),
            (Part::Wantlist, ENTRIES) if self.message.entries.len() < MAX_ENTRIES => {
                self.message.entries.extend(entry(bytes)?);
            }
            (Part::Message, PRESENCES) => {
                let many = self.message.haves.len() + self.message.dont_haves.len() >= MAX_PRESENCES;
                match presence(bytes)?.filter(|_| !many) {
                    Some((cid, true)) => self.message.haves.push(cid),
                    Some((cid, false)) => self.message.dont_haves.push(cid),
                    None => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of(&mut self, part: Part) -> Result<Option<Frame<'static>>, WireError> {
        Ok(match part {
            Part::Message => {
                let message = std::mem::take(&mut self.message);
                (!message.is_empty()).then_some(Frame::Message(message))
            }
            Part::Payload => {
                self.data = 0;
                Some(Frame::Block(self.prefix.take().ok_or(WireError::BadPrefix)?))
            }
            Part::Data { alone: true, .. } => Some(Frame::Block(BARE)),
            Part::Data { .. } | Part::Wantlist => None,
        })
    }

    /// Takes bytes off the input; they count in all that they stand within.
    fn take<'a>(&mut self, input: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (taken, rest) = input.split_at(count);
        *input = rest;
        for (_, left) in &mut self.within {
            *left -= count;
        }
        taken
    }
}

/// Small, and of use only when it is there whole.
fn is_item(part: Part, field: u32) -> bool {
    matches!((part, field), (Part::Wantlist, ENTRIES) | (Part::Message, PRESENCES) | (Part::Payload, PAYLOAD_PREFIX))
}

/// What cannot be an entry for us is `None`: the others of its message are no worse for it.
fn entry(bytes: &[u8]) -> Result<Option<Entry>, WireError> {
    let (mut cid, mut priority, mut cancel, mut kind, mut send_dont_have) = (None, 0, false, Kind::Block, false);
    for field in Fields::new(bytes) {
        match field? {
            (ENTRY_CID, Value::Bytes(bytes)) => cid = read_cid(bytes),
            (ENTRY_PRIORITY, Value::Varint(number)) => priority = number as i32,
            (ENTRY_CANCEL, Value::Varint(number)) => cancel = number != 0,
            (ENTRY_TYPE, Value::Varint(number)) => kind = if number == TYPE_HAVE { Kind::Have } else { Kind::Block },
            (ENTRY_SEND_DONT_HAVE, Value::Varint(number)) => send_dont_have = number != 0,
            _ => {}
        }
    }
    let wish = if cancel { Wish::Cancel } else { Wish::Want(kind) };
    Ok(cid.map(|cid| Entry { cid, wish, priority, send_dont_have }))
}

/// A block, and whether it is there.
fn presence(bytes: &[u8]) -> Result<Option<(Cid, bool)>, WireError> {
    let (mut cid, mut here) = (None, true);
    for field in Fields::new(bytes) {
        match field? {
            (PRESENCE_CID, Value::Bytes(bytes)) => cid = read_cid(bytes),
            (PRESENCE_TYPE, Value::Varint(number)) => here = number != TYPE_DONT_HAVE,
            _ => {}
        }
    }
    Ok(cid.map(|cid| (cid, here)))
}

/// Identity CIDs hold their block themselves: nobody asks for it.
fn read_cid(bytes: &[u8]) -> Option<Cid> {
    let cid =
        Cid::read_bytes(bytes).ok().filter(|cid| bytes.len() <= MAX_CID_LENGTH && cid.encoded_len() == bytes.len());
    cid.filter(|cid| cid.hash().code() != Function::Identity.code())
}

fn prefix(bytes: &[u8]) -> Result<Prefix, WireError> {
    let mut rest = bytes;
    let mut next = || number(&mut rest).ok().flatten().ok_or(WireError::BadPrefix);
    let (version, codec, code, length) = (next()?, next()?, next()?, next()?);
    let length = usize::try_from(length).map_err(|_| WireError::BadPrefix)?;
    if rest.is_empty() { Ok(Prefix { version, codec, code, length }) } else { Err(WireError::BadPrefix) }
}

/// `None`: its bytes have not all come.
fn number(input: &mut &[u8]) -> Result<Option<u64>, WireError> {
    match varint::u64(input) {
        Ok((number, rest)) => {
            *input = rest;
            Ok(Some(number))
        }
        Err(varint::Error::Insufficient) => Ok(None),
        Err(_) => Err(WireError::Number),
    }
}

/// Of blocks that come without one.
const BARE: Prefix = Prefix { version: 0, codec: DAG_PB, code: 0x12, length: 32 };

/// Why a stream of Bitswap is ended.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A block does not say what its CID is made of, or says it twice.
    #[error("a block without a sound prefix of its CID")]
    BadPrefix,
    /// A block of more than 2 MiB was announced.
    #[error("a block of {len} bytes was announced, over 2 MiB")]
    BlockTooLarge {
        /// Announced.
        len: usize,
    },
    /// A message of more than 4 MiB was announced.
    #[error("a message of {len} bytes was announced, over 4 MiB")]
    MessageTooLarge {
        /// Announced.
        len: u64,
    },
    /// Not a number.
    #[error("not a number")]
    Number,
    /// An entry or a presence that is no protobuf.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// A field is longer than what it stands within.
    #[error("a field ends after what it stands within")]
    Truncated,
}
