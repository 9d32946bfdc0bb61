//! A tree of files on the wire: the framing of `/api/v0/cidra/add` and `/api/v0/cidra/get`, the same in both directions.
//!
//! A frame is the length of its payload (u32, big endian), its kind (u8) and the payload. Entries come depth first: a folder
//! before what is in it, and the bytes of a file right after its entry. Nothing here does IO: the command line and the server
//! use the same code. `Data` is handed on piece by piece as it comes in, so a reader never holds a whole frame of it.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A file, a folder or a symlink begins.
    Entry(Entry),
    /// The next bytes of the file whose entry came last.
    Data(Bytes),
    /// Something to tell: progress, a line of what was added. A JSON object.
    Note(serde_json::Map<String, serde_json::Value>),
    /// It failed; nothing comes after it.
    Error(Failed),
    /// All was sent; nothing comes after it.
    End,
}

/// What stands before the bytes of a file, the entries of a folder or the next entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    /// Names joined by `/`, relative to what was asked for; any bytes. Empty for a single entry without a name.
    #[serde(with = "any_bytes")]
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Bytes that follow, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permission bits, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// When it was last changed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Mtime>,
    /// What a symlink points to.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_bytes")]
    pub target: Option<Vec<u8>>,
    /// The absolute path of a file that is to be referred to: no bytes follow.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_bytes")]
    pub source: Option<Vec<u8>>,
}

impl Entry {
    /// An entry of which no more than path and kind is known.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind) -> Self {
        Self { path: path.into(), kind, size: None, mode: None, mtime: None, target: None, source: None }
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its bytes follow.
    File,
    /// Entries whose path begins with its own follow.
    Directory,
    /// It has a target.
    Symlink,
}

/// A time of the Unix clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mtime {
    /// Seconds since 1970, negative before.
    pub secs: i64,
    /// Nanoseconds of the second.
    #[serde(default)]
    pub nanos: u32,
}

/// Why the other side gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failed {
    /// What to tell a person.
    pub message: String,
    /// The exit code that a command should end with.
    pub exit: u8,
}

impl Failed {
    /// The message is cut where it would not fit into a frame.
    pub fn new(message: &str, exit: u8) -> Self {
        Self { message: message.chars().take(MAX_MESSAGE).collect(), exit }
    }
}

/// The most characters of a message; JSON takes at most 6 bytes for one of a byte and fewer for longer ones.
const MAX_MESSAGE: usize = MAX_HEAD / 6 - 64;

/// The largest `Data` frame, in bytes: a whole leaf fits in one.
pub const MAX_DATA: usize = 2 * 1024 * 1024;

/// The largest payload of any other frame, in bytes: a path and a target of 4,096 bytes each, percent-encoded, fit twice.
pub const MAX_HEAD: usize = 64 * 1024;

impl Frame {
    /// The bytes of this frame. Of `Data` longer than [`MAX_DATA`] it makes several frames.
    ///
    /// Fails when an entry, a note or an error takes more than [`MAX_HEAD`] bytes.
    pub fn encode(&self) -> Result<Bytes, TreeError> {
        let mut out = BytesMut::new();
        self.put(&mut out)?;
        Ok(out.freeze())
    }

    /// As [`encode`](Self::encode), behind what is in `out`, which stays as it was where that fails.
    pub fn put(&self, out: &mut BytesMut) -> Result<(), TreeError> {
        match self {
            Self::Data(data) => {
                for piece in data.chunks(MAX_DATA) {
                    out.extend_from_slice(&data_head(piece.len()));
                    out.extend_from_slice(piece);
                }
            }
            Self::Entry(entry) => put_json(out, ENTRY, entry)?,
            Self::Note(note) => put_json(out, NOTE, note)?,
            Self::Error(failed) => put_json(out, ERROR, failed)?,
            Self::End => out.extend_from_slice(&head(END, 0)),
        }
        Ok(())
    }
}

/// What stands before `length` bytes of data (at most [`MAX_DATA`]), for writers that do not want to copy the bytes.
pub fn data_head(length: usize) -> [u8; HEAD] {
    debug_assert!(length <= MAX_DATA, "a frame of data holds {MAX_DATA} bytes");
    head(DATA, length)
}

const HEAD: usize = 5;
const ENTRY: u8 = 1;
const DATA: u8 = 2;
const NOTE: u8 = 3;
const ERROR: u8 = 4;
const END: u8 = 5;

fn head(kind: u8, length: usize) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..4].copy_from_slice(&u32::try_from(length).expect("frames are small").to_be_bytes());
    bytes[4] = kind;
    bytes
}

fn put_json(out: &mut BytesMut, kind: u8, payload: &impl Serialize) -> Result<(), TreeError> {
    let begin = out.len();
    out.extend_from_slice(&[0; HEAD]);
    serde_json::to_writer(out.writer(), payload).expect("these types have a JSON form, and memory takes it");
    let length = out.len() - begin - HEAD;
    if length > MAX_HEAD {
        out.truncate(begin);
        return Err(TreeError::TooLarge { length, limit: MAX_HEAD });
    }
    out[begin..begin + HEAD].copy_from_slice(&head(kind, length));
    Ok(())
}

/// Reads frames from bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    input: VecDeque<Bytes>,
    waiting: usize,
    data_left: usize,
    ended: bool,
}

impl Decoder {
    /// Takes what came in next. Call [`next`](Self::next) until it has nothing more before giving it more.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.waiting += bytes.len();
            self.input.push_back(bytes);
        }
    }

    /// The next frame, or `None` when more bytes are needed. `Data` may be handed out in more pieces than it was sent in.
    ///
    /// Fails on an unknown kind, a frame over its limit (before its payload is read), malformed JSON and anything after the end.
    #[expect(clippy::should_implement_trait, reason = "None means that more bytes are needed, not that all is over")]
    pub fn next(&mut self) -> Result<Option<Frame>, TreeError> {
        if self.data_left > 0 {
            return Ok(self.next_data());
        }
        let Some((kind, length)) = self.peek_head() else { return Ok(None) };
        if self.ended {
            return Err(TreeError::AfterEnd);
        }
        let limit = match kind {
            DATA => MAX_DATA,
            ENTRY | NOTE | ERROR => MAX_HEAD,
            END => 0,
            _ => return Err(TreeError::UnknownKind { kind }),
        };
        if length > limit {
            return Err(TreeError::TooLarge { length, limit });
        }
        if kind == DATA {
            self.skip(HEAD);
            self.data_left = length;
            return if length == 0 { self.next() } else { Ok(self.next_data()) };
        }
        if self.waiting < HEAD + length {
            return Ok(None);
        }
        self.skip(HEAD);
        let payload = self.take(length);
        self.ended = matches!(kind, ERROR | END);
        match kind {
            ENTRY => Ok(Some(Frame::Entry(serde_json::from_slice(&payload)?))),
            NOTE => Ok(Some(Frame::Note(serde_json::from_slice(&payload)?))),
            ERROR => Ok(Some(Frame::Error(serde_json::from_slice(&payload)?))),
            _ => Ok(Some(Frame::End)),
        }
    }

    /// To be called when no more bytes come: fails when the tree was cut short.
    pub fn finish(&self) -> Result<(), TreeError> {
        if self.ended && self.waiting == 0 { Ok(()) } else { Err(TreeError::CutShort) }
    }

    fn next_data(&mut self) -> Option<Frame> {
        let mut front = self.input.pop_front()?;
        let piece = front.split_to(front.len().min(self.data_left));
        if !front.is_empty() {
            self.input.push_front(front);
        }
        self.waiting -= piece.len();
        self.data_left -= piece.len();
        Some(Frame::Data(piece))
    }

    fn peek_head(&self) -> Option<(u8, usize)> {
        let mut bytes = self.input.iter().flat_map(|chunk| chunk.iter().copied());
        let mut head = [0; HEAD];
        for byte in &mut head {
            *byte = bytes.next()?;
        }
        let length = u32::from_be_bytes(head[..4].try_into().expect("four bytes"));
        Some((head[4], length as usize))
    }

    fn skip(&mut self, mut count: usize) {
        self.waiting -= count;
        while count > 0 {
            let front = self.input.front_mut().expect("the caller saw that many bytes");
            let here = front.len().min(count);
            front.advance(here);
            count -= here;
            if front.is_empty() {
                self.input.pop_front();
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.input.iter().flat_map(|chunk| chunk.iter().copied()).take(count).collect();
        self.skip(count);
        bytes
    }
}

/// Names are bytes and JSON is text: what is not plain ASCII is percent-encoded, and `%` itself.
const AS_TEXT: &AsciiSet = &CONTROLS.add(b'%');

mod any_bytes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&percent_encode(bytes, AS_TEXT))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.is_ascii() {
            return Err(de::Error::custom("a name that is not percent-encoded"));
        }
        Ok(percent_decode_str(&text).collect())
    }
}

mod optional_bytes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        any_bytes::serialize(bytes.as_deref().unwrap_or_default(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        any_bytes::deserialize(deserializer).map(Some)
    }
}

/// What is wrong with bytes that should be a tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There are bytes after the end.
    #[error("there is more after the end of the tree")]
    AfterEnd,
    /// The end is missing.
    #[error("the tree was cut short")]
    CutShort,
    /// The payload is not the JSON of its kind.
    #[error("a frame of the tree is malformed")]
    Malformed(#[from] serde_json::Error),
    /// A frame is over its limit.
    #[error("a frame of the tree has {length} bytes, at most {limit} are allowed")]
    TooLarge {
        /// What was announced.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Nobody knows this kind.
    #[error("a frame of the tree is of the unknown kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
}

#[cfg(test)]
mod tests;
