//! Bytes into frames. Limits are checked from announced lengths, before the bytes are waited for.

use cid::Cid;
use unsigned_varint::decode as varint;

use super::{
    BLOCK_HEADER, CANCEL, DATA_BULK, DATA_URGENT, DONT_HAVE, FLAG_CREDIT, FLAG_HAVE, FLAG_ROOT, Frame, HAVE, HEAD,
    Lane, MAX_DATA, MAX_PAYLOAD, MAX_PEER_ID, MAX_RECORD, PENDING, REFER, Referral, SKIPPED, WANT,
};
use crate::block::MAX_BLOCK_SIZE;
use crate::exchange::message::{Credit, Kind, MAX_CID_LENGTH, MAX_CIDS, MAX_REFERRALS, Message, RequestId, Want};

/// Reads the frames of one direction of one stream. After an error the stream is of no more use.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    bulk: usize,
    urgent: usize,
    /// A block of no bytes was announced: its end is still to be told.
    empty: Option<Lane>,
    /// The Data frame that began, and how much of it is still to come.
    within: Option<(Lane, usize)>,
}

impl Decoder {
    /// Takes the next frame off the front of `input`; `None`: more bytes are needed, after those that are left in `input`.
    /// Data is not waited for: what is there of its frame is returned.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, WireError> {
        if let Some(lane) = self.empty.take() {
            return Ok(Some(Frame::Data { lane, data: &[], last: true }));
        }
        loop {
            if let Some((lane, left)) = self.within {
                return Ok(self.data(lane, left, input));
            }
            let Some((kind, len)) = head(input) else { return Ok(None) };
            self.check(kind, len)?;
            match kind {
                DATA_BULK => self.within = Some((Lane::Bulk, len)),
                DATA_URGENT => self.within = Some((Lane::Urgent, len)),
                _ if input.len() < HEAD + len => return Ok(None),
                _ => {
                    let payload = &input[HEAD..HEAD + len];
                    *input = &input[HEAD + len..];
                    match self.frame(kind, payload)? {
                        Some(frame) => return Ok(Some(frame)),
                        None => continue,
                    }
                }
            }
            *input = &input[HEAD..];
        }
    }

    /// Whether a Data frame has begun whose end has not come.
    pub fn is_within_data(&self) -> bool {
        self.within.is_some()
    }

    fn check(&self, kind: u8, len: usize) -> Result<(), WireError> {
        let (most, least) = match kind {
            DATA_BULK => (MAX_DATA.min(self.bulk), 1),
            DATA_URGENT => (MAX_DATA.min(self.urgent), 1),
            WANT..=PENDING | SKIPPED.. => (MAX_PAYLOAD, 0),
            _ => return Err(WireError::UnknownKind { kind }),
        };
        if len > most || len < least { Err(WireError::Length { kind, len, most }) } else { Ok(()) }
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<Option<Frame<'static>>, WireError> {
        let mut fields = Fields { rest: payload };
        let frame = match kind {
            WANT => Frame::Message(Message::Want(fields.want()?)),
            CANCEL => Frame::Message(Message::Cancel { request: fields.request()?, cids: fields.cids()? }),
            HAVE => Frame::Message(Message::Have { cids: fields.cids()? }),
            DONT_HAVE => Frame::Message(Message::DontHave { request: fields.request()?, cids: fields.cids()? }),
            BLOCK_HEADER => self.header(&mut fields)?,
            REFER => fields.refer()?,
            PENDING => Frame::Message(Message::Pending { bytes: fields.number()? }),
            _ => return Ok(None),
        };
        if fields.rest.is_empty() { Ok(Some(frame)) } else { Err(WireError::LeftOver { kind }) }
    }

    fn header(&mut self, fields: &mut Fields<'_>) -> Result<Frame<'static>, WireError> {
        let (request, len, cid) = (fields.request()?, fields.number()?, fields.cid()?);
        let len = u32::try_from(len).ok().filter(|len| *len as usize <= MAX_BLOCK_SIZE);
        let len = len.ok_or(WireError::BlockTooLarge)?;
        let lane = Lane::of(&cid);
        match lane {
            Lane::Bulk => self.bulk = len as usize,
            Lane::Urgent => self.urgent = len as usize,
        }
        self.empty = (len == 0).then_some(lane);
        Ok(Frame::Message(Message::BlockHeader { request, cid, len }))
    }

    fn data<'a>(&mut self, lane: Lane, left: usize, input: &mut &'a [u8]) -> Option<Frame<'a>> {
        let (data, rest) = input.split_at(left.min(input.len()));
        if data.is_empty() {
            return None;
        }
        *input = rest;
        self.within = Some((lane, left - data.len())).filter(|(_, left)| *left > 0);
        let of_block = match lane {
            Lane::Bulk => &mut self.bulk,
            Lane::Urgent => &mut self.urgent,
        };
        *of_block -= data.len();
        Some(Frame::Data { lane, data, last: *of_block == 0 })
    }
}

fn head(input: &[u8]) -> Option<(u8, usize)> {
    let [kind, a, b, c, d] = *input.first_chunk::<HEAD>()?;
    Some((kind, u32::from_be_bytes([a, b, c, d]) as usize))
}

/// The fields of a payload, as far as they are not read.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn want(&mut self) -> Result<Want, WireError> {
        let request = self.request()?;
        let [flags] = self.array()?;
        if flags & !(FLAG_ROOT | FLAG_HAVE | FLAG_CREDIT) != 0 {
            return Err(WireError::UnknownFlags { flags });
        }
        let priority = i32::from_be_bytes(self.array()?);
        let credit = if flags & FLAG_CREDIT == 0 {
            Credit::All
        } else {
            Credit::Any(u32::try_from(self.number()?).map_err(|_| WireError::Number)?)
        };
        let root = if flags & FLAG_ROOT == 0 { None } else { Some(self.cid()?) };
        let kind = if flags & FLAG_HAVE == 0 { Kind::Block } else { Kind::Have };
        Ok(Want { request, root, cids: self.cids()?, credit, kind, priority })
    }

    fn refer(&mut self) -> Result<Frame<'static>, WireError> {
        let root = self.cid()?;
        let count = self.count(MAX_REFERRALS)?;
        let mut peers = Vec::with_capacity(count);
        for _ in 0..count {
            let (peer, signed_record) = (self.bytes(MAX_PEER_ID)?.to_vec(), self.bytes(MAX_RECORD)?.to_vec());
            peers.push(Referral { peer, signed_record });
        }
        Ok(Frame::Refer { root, peers })
    }

    fn request(&mut self) -> Result<RequestId, WireError> {
        self.number().map(RequestId)
    }

    fn cids(&mut self) -> Result<Vec<Cid>, WireError> {
        let count = self.count(MAX_CIDS)?;
        (0..count).map(|_| self.cid()).collect()
    }

    fn cid(&mut self) -> Result<Cid, WireError> {
        let bytes = self.bytes(MAX_CID_LENGTH)?;
        let cid = Cid::read_bytes(bytes).map_err(WireError::Cid)?;
        if cid.encoded_len() == bytes.len() { Ok(cid) } else { Err(WireError::CidLength) }
    }

    fn bytes(&mut self, most: usize) -> Result<&'a [u8], WireError> {
        let len = self.count(most)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn count(&mut self, most: usize) -> Result<usize, WireError> {
        let count = self.number()?;
        usize::try_from(count).ok().filter(|count| *count <= most).ok_or(WireError::Limit { count, most })
    }

    fn number(&mut self) -> Result<u64, WireError> {
        let (number, rest) = varint::u64(self.rest).map_err(|_| WireError::Number)?;
        self.rest = rest;
        Ok(number)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Why a stream of the native protocol is ended.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A header announced more than 2 MiB.
    #[error("a block over 2 MiB was announced")]
    BlockTooLarge,
    /// Not a CID.
    #[error("not a CID")]
    Cid(#[source] cid::Error),
    /// A CID with something after it.
    #[error("bytes follow a CID")]
    CidLength,
    /// The payload is longer than its fields.
    #[error("bytes are left over in a frame of kind {kind}")]
    LeftOver {
        /// Of the frame.
        kind: u8,
    },
    /// The announced length is not allowed here.
    #[error("a frame of kind {kind} announced {len} bytes where at most {most} may come")]
    Length {
        /// Of the frame.
        kind: u8,
        /// Announced.
        len: usize,
        /// Allowed.
        most: usize,
    },
    /// A list or a field is longer than allowed.
    #[error("{count} items or bytes announced where at most {most} may stand")]
    Limit {
        /// Announced.
        count: u64,
        /// Allowed.
        most: usize,
    },
    /// Not a number, or one out of its range.
    #[error("not a number")]
    Number,
    /// The payload ends within a field.
    #[error("a frame ends too soon")]
    Short,
    /// Flags of a request that have no meaning.
    #[error("unknown flags {flags:#x} in a request")]
    UnknownFlags {
        /// As read.
        flags: u8,
    },
    /// A kind of frame below 128 that has no meaning.
    #[error("unknown kind of frame {kind}")]
    UnknownKind {
        /// As read.
        kind: u8,
    },
}
