//! Reads CARv1 and CARv2 as their bytes come.

use bytes::{Buf, Bytes, BytesMut};
use cid::Cid;

use super::{CarError, MAX_CID, MAX_HEADER, MAX_SECTION};
use crate::block::MAX_BLOCK_SIZE;
use crate::ipld::{self, Ipld};

/// A reader of one file. A CARv2's index, and what else lies about the window of its blocks, is passed over.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// What was pushed and lies in pieces.
    buffer: BytesMut,
    /// What was pushed last, while nothing before it is to be read: sections are slices of it.
    chunk: Bytes,
    /// Where in the file the next unread byte stands.
    offset: u64,
    /// Where the blocks end, in a CARv2.
    end: Option<u64>,
    roots: Vec<Cid>,
    last: Option<Cid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The header of a CARv1, or the pragma of a CARv2; within a CARv2 only the former.
    Header {
        inner: bool,
    },
    /// Where a CARv2 has its blocks.
    Characteristics,
    /// What lies before them.
    Padding {
        to: u64,
    },
    Sections,
    /// Behind the blocks of a CARv2: whatever comes means nothing here.
    Ended,
}

/// A block as a file claims it: nothing is proved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub cid: Cid,
    /// Its bytes.
    pub data: Bytes,
    /// Where in the file it begins, its length included.
    pub offset: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            state: State::Header { inner: false },
            buffer: BytesMut::new(),
            chunk: Bytes::new(),
            offset: 0,
            end: None,
            roots: Vec::new(),
            last: None,
        }
    }
}

impl Reader {
    /// The next bytes of the file. To be called when `poll` has nothing more to give: at most a section is held.
    pub fn push(&mut self, bytes: Bytes) {
        if self.buffer.is_empty() && self.chunk.is_empty() {
            self.chunk = bytes;
            return;
        }
        if !self.chunk.is_empty() {
            self.buffer.extend_from_slice(&std::mem::take(&mut self.chunk));
        }
        self.buffer.extend_from_slice(&bytes);
    }

    /// The next section; `None` when more bytes are needed, or when all were given. After an error nothing follows.
    pub fn poll(&mut self) -> Result<Option<Section>, CarError> {
        let next = self.advance();
        if next.is_err() {
            self.state = State::Ended;
        }
        next
    }

    /// The roots that the header names. Empty until it was read.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// To be called at the end of the file: fails when it ends within something.
    pub fn finish(&self) -> Result<(), CarError> {
        match self.state {
            State::Ended => Ok(()),
            // Only a CARv2 says how long it is.
            State::Sections if self.end.is_none() && self.unread().is_empty() => Ok(()),
            _ => Err(CarError::CutShort { offset: self.offset + self.unread().len() as u64, last: self.last }),
        }
    }

    fn advance(&mut self) -> Result<Option<Section>, CarError> {
        loop {
            match self.state {
                State::Header { inner } => {
                    let Some(header) = self.header()? else { return Ok(None) };
                    match read_header(&header)? {
                        Header::V1 { roots } => {
                            self.roots = roots;
                            self.state = State::Sections;
                        }
                        Header::V2 if !inner => self.state = State::Characteristics,
                        Header::V2 => return Err(CarError::BadHeader { why: "there is a CARv2 within a CARv2" }),
                    }
                }
                State::Characteristics => {
                    if self.unread().len() < CHARACTERISTICS {
                        return Ok(None);
                    }
                    let bytes = self.take(CHARACTERISTICS);
                    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
                    let (offset, size) = (number(16), number(24));
                    let end = offset.checked_add(size).filter(|_| offset >= self.offset);
                    self.end = Some(end.ok_or(CarError::BadWindow { offset, size })?);
                    self.state = State::Padding { to: offset };
                }
                State::Padding { to } => {
                    let skipped = (self.unread().len() as u64).min(to - self.offset);
                    self.skip(skipped as usize);
                    if self.offset < to {
                        return Ok(None);
                    }
                    self.state = State::Header { inner: true };
                }
                State::Sections if self.end == Some(self.offset) => self.state = State::Ended,
                State::Sections => return self.section(),
                State::Ended => {
                    self.buffer.clear();
                    self.chunk.clear();
                    return Ok(None);
                }
            }
        }
    }

    fn header(&mut self) -> Result<Option<Bytes>, CarError> {
        let Some((length, prefix)) = self.length()? else { return Ok(None) };
        if length > MAX_HEADER as u64 {
            return Err(CarError::HeaderTooLong { length });
        }
        // Most other files are told by their second byte, before as many bytes are waited for as the first one claims.
        let first = self.unread().get(prefix).filter(|_| length > 0);
        if first.is_some_and(|first| first >> 5 != CBOR_MAP) {
            return Err(CarError::BadHeader { why: "these are the bytes of something else" });
        }
        self.whole(length, prefix)
    }

    fn section(&mut self) -> Result<Option<Section>, CarError> {
        let Some((length, prefix)) = self.length()? else { return Ok(None) };
        let offset = self.offset;
        if length > MAX_SECTION as u64 {
            return Err(CarError::TooLarge { offset, length, last: self.last });
        }
        let Some(mut data) = self.whole(length, prefix)? else { return Ok(None) };
        let mut rest = &data[..data.len().min(MAX_CID)];
        let before = rest.len();
        let cid = Cid::read_bytes(&mut rest).map_err(|_| CarError::BadCid { offset })?;
        let taken = before - rest.len();
        data.advance(taken);
        if data.len() > MAX_BLOCK_SIZE {
            return Err(CarError::TooLarge { offset, length, last: self.last });
        }
        self.last = Some(cid);
        Ok(Some(Section { cid, data, offset }))
    }

    /// So many bytes behind their prefix, once all of them are here.
    fn whole(&mut self, length: u64, prefix: usize) -> Result<Option<Bytes>, CarError> {
        let length = length as usize; // a limit was held to it
        self.within_window(prefix + length)?;
        if self.unread().len() < prefix + length {
            return Ok(None);
        }
        self.skip(prefix);
        Ok(Some(self.take(length)))
    }

    /// The length that stands next, and how many bytes it takes.
    fn length(&self) -> Result<Option<(u64, usize)>, CarError> {
        let malformed = || CarError::Varint { offset: self.offset, last: self.last };
        let mut length = 0;
        for (place, byte) in self.unread().iter().take(MAX_VARINT).enumerate() {
            length |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                let is_minimal = *byte != 0 || place == 0;
                return if is_minimal { Ok(Some((length, place + 1))) } else { Err(malformed()) };
            }
        }
        if self.unread().len() >= MAX_VARINT {
            return Err(malformed());
        }
        self.within_window(self.unread().len() + 1)?;
        Ok(None)
    }

    /// Fails when what begins here ends behind the window of a CARv2.
    fn within_window(&self, length: usize) -> Result<(), CarError> {
        match self.end {
            Some(end) if self.offset + length as u64 > end => Err(CarError::CutShort { offset: end, last: self.last }),
            _ => Ok(()),
        }
    }

    fn unread(&self) -> &[u8] {
        if self.buffer.is_empty() { &self.chunk } else { &self.buffer }
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.offset += length as u64;
        if self.buffer.is_empty() { self.chunk.split_to(length) } else { self.buffer.split_to(length).freeze() }
    }

    fn skip(&mut self, length: usize) {
        self.offset += length as u64;
        if self.buffer.is_empty() { self.chunk.advance(length) } else { self.buffer.advance(length) }
    }
}

/// The major type of a map (RFC 8949, section 3.1), which every header is.
const CBOR_MAP: u8 = 5;

/// Of nine bytes, 63 bits: the longest that multiformats allow.
const MAX_VARINT: usize = 9;

/// The fixed header of a CARv2: 16 bytes of flags, where its blocks begin, how long they are, where its index begins.
const CHARACTERISTICS: usize = 40;

enum Header {
    V1 { roots: Vec<Cid> },
    V2,
}

fn read_header(bytes: &Bytes) -> Result<Header, CarError> {
    let bad = |why| CarError::BadHeader { why };
    let node = ipld::decode(ipld::DAG_CBOR, bytes).map_err(|_| bad("what stands there is no dag-cbor"))?;
    let Ipld::Map(mut entries) = node else { return Err(bad("what stands there is no map")) };
    let Some(Ipld::Integer(version)) = entries.remove("version") else { return Err(bad("it has no version")) };
    let roots = entries.remove("roots");
    if !entries.is_empty() {
        return Err(bad("it has keys that there are not"));
    }
    match (version, roots) {
        (1, Some(Ipld::List(roots))) => {
            let roots = roots.into_iter().map(|root| match root {
                Ipld::Link(cid) => Ok(cid),
                _ => Err(bad("a root is no link")),
            });
            Ok(Header::V1 { roots: roots.collect::<Result<_, _>>()? })
        }
        (1, _) => Err(bad("it has no list of roots")),
        (2, None) => Ok(Header::V2),
        (2, Some(_)) => Err(bad("there are roots where a CARv2 has none")),
        (version, _) => Err(CarError::Version { version }),
    }
}
