//! The messages by which peers on one local network find each other: multicast DNS (RFC 6762) as libp2p's "Peer Discovery with
//! mDNS" uses it. A question asks for the service; an answer names an instance of it, whose TXT record says where a peer is.
//!
//! Only that much of DNS is spoken as this takes. What others add (SRV, A, NSEC records) is stepped over.

mod name;

use bytes::BufMut;

use name::Name;

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody gives addresses, each a multiaddr as text with the peer at its end; at most [`MAX_ADDRESSES`]. Nothing in it is
    /// proven.
    Answer {
        /// As they stand in the packet.
        addresses: Vec<String>,
    },
    /// Somebody asks who is there.
    Query,
    /// It is about something else.
    Other,
}

/// The packet that asks who is there.
pub fn query() -> Vec<u8> {
    let mut packet = header(0, 1, 0, 0);
    Name::service().put(&mut packet);
    packet.put_u16(PTR);
    packet.put_u16(INTERNET);
    packet
}

/// The packet that says where a peer is: as many of `addresses` as fit, in their order. `instance` is any name of 1 to 63 letters
/// and digits; that it is not the peer's id keeps it out of other programs' lists of services.
pub fn answer<'a>(instance: &str, addresses: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut records = vec![];
    let mut count = 0;
    for address in addresses {
        let text = [TEXT_PREFIX, address.as_bytes()].concat();
        let Ok(length) = u8::try_from(text.len()) else { continue };
        let mut record = vec![];
        record.put_u16(POINTER | INSTANCE_AT as u16);
        record.put_u16(TXT);
        record.put_u16(INTERNET | CACHE_FLUSH);
        record.put_u32(TTL);
        record.put_u16(u16::from(length) + 1);
        record.put_u8(length);
        record.extend_from_slice(&text);
        if INSTANCE_AT + instance.len() + 3 + records.len() + record.len() > MAX_SENT {
            break;
        }
        count += 1;
        records.extend(record);
    }
    let mut packet = header(RESPONSE, 0, 1, count);
    Name::service().put(&mut packet);
    packet.put_u16(PTR);
    packet.put_u16(INTERNET);
    packet.put_u32(TTL);
    // The instance's name is one label, and the service's name where it stands already.
    packet.put_u16(instance.len() as u16 + 3);
    debug_assert_eq!(packet.len(), INSTANCE_AT);
    packet.put_u8(instance.len() as u8);
    packet.extend_from_slice(instance.as_bytes());
    packet.put_u16(POINTER | HEADER as u16);
    packet.extend(records);
    packet
}

/// Reads a packet.
pub fn decode(packet: &[u8]) -> Result<Message, MdnsError> {
    if packet.len() > MAX_PACKET {
        return Err(MdnsError::TooLong { len: packet.len() });
    }
    let mut reader = Reader { packet, at: 0 };
    reader.u16()?;
    let flags = reader.u16()?;
    let questions = reader.u16()?;
    let mut records = 0u16;
    for _ in 0..3 {
        records = records.saturating_add(reader.u16()?);
    }
    if flags & RESPONSE == 0 {
        return reader.questions(questions);
    }
    for _ in 0..questions.min(MAX_RECORDS) {
        reader.question()?;
    }
    reader.records(records)
}

fn header(flags: u16, questions: u16, answers: u16, additional: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(MAX_SENT);
    for field in [0, flags, questions, answers, 0, additional] {
        packet.put_u16(field);
    }
    packet
}

/// Addresses that are taken from one packet; the rest is left out.
pub const MAX_ADDRESSES: usize = 64;
/// RFC 6762, section 17: the longest packet, in bytes.
pub const MAX_PACKET: usize = 9000;
/// Questions or records that are read of one packet; the rest is left out.
const MAX_RECORDS: u16 = 128;
/// What fits into one frame of Ethernet with room for the heads.
const MAX_SENT: usize = 1400;
/// The head of every packet.
const HEADER: usize = 12;
/// In our answers: after the head, the service's name, and the fixed part of its record.
const INSTANCE_AT: usize = HEADER + name::SERVICE_LEN + 10;
/// For so many seconds what is said holds.
const TTL: u32 = 120;
const RESPONSE: u16 = 0x8000;
const POINTER: u16 = 0xc000;
const PTR: u16 = 12;
const TXT: u16 = 16;
const ANY: u16 = 255;
const INTERNET: u16 = 1;
const CACHE_FLUSH: u16 = 0x8000;
const TEXT_PREFIX: &[u8] = b"dnsaddr=";

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn questions(&mut self, count: u16) -> Result<Message, MdnsError> {
        for _ in 0..count.min(MAX_RECORDS) {
            if self.question()? {
                return Ok(Message::Query);
            }
        }
        Ok(Message::Other)
    }

    /// Whether it is ours.
    fn question(&mut self) -> Result<bool, MdnsError> {
        let name = self.name()?;
        let kind = self.u16()?;
        self.u16()?;
        Ok(name.is_service() && matches!(kind, PTR | ANY))
    }

    fn records(&mut self, count: u16) -> Result<Message, MdnsError> {
        let mut addresses = vec![];
        let mut is_ours = false;
        for _ in 0..count.min(MAX_RECORDS) {
            let name = self.name()?;
            let kind = self.u16()?;
            self.u16()?;
            let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
            let length = self.u16()?;
            let data = self.take(usize::from(length))?;
            is_ours |= name.is_service() || name.is_instance();
            // Without time to live, it says good-bye.
            if kind == TXT && name.is_instance() && ttl > 0 {
                addresses.extend(texts(data).filter_map(address).take(MAX_ADDRESSES - addresses.len()));
            }
        }
        Ok(if is_ours { Message::Answer { addresses } } else { Message::Other })
    }

    fn name(&mut self) -> Result<Name, MdnsError> {
        Name::read(self.packet, &mut self.at)
    }

    fn u16(&mut self) -> Result<u16, MdnsError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], MdnsError> {
        let bytes = self.packet[self.at..].get(..count).ok_or(MdnsError::CutShort)?;
        self.at += count;
        Ok(bytes)
    }
}

/// The strings of a TXT record, as far as they are whole.
fn texts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        data = rest;
        Some(text)
    })
}

fn address(text: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(text.strip_prefix(TEXT_PREFIX)?).ok()?.to_owned())
}

/// Why a packet cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MdnsError {
    /// It ends before it should.
    #[error("the packet is cut short")]
    CutShort,
    /// A name in it is too long, has an unknown kind of label, or refers to what does not stand before it.
    #[error("a name in the packet is malformed")]
    Name,
    /// It is longer than any may be.
    #[error("the packet has {len} bytes, and {MAX_PACKET} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_is_what_libp2p_asks() {
        let expected = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";

        assert_eq!(query(), expected);
        assert_eq!(decode(&query()), Ok(Message::Query));
    }

    #[test]
    fn what_does_not_fit_into_a_frame_is_left_out() {
        let addresses: Vec<String> =
            (0..100).map(|n| format!("/ip4/10.0.0.{n}/tcp/4001/p2p/{}", "x".repeat(52))).collect();

        let packet = answer("me", addresses.iter().map(String::as_str));

        assert!(packet.len() <= MAX_SENT && packet.len() > MAX_SENT - 150, "{}", packet.len());
        let Ok(Message::Answer { addresses: read }) = decode(&packet) else { panic!("it is an answer") };
        assert_eq!(read, addresses[..read.len()]);
    }

    #[test]
    fn a_text_with_more_addresses_than_the_limit_gives_as_many() {
        let mut packet = header(RESPONSE, 0, 1, 0);
        packet.extend_from_slice(b"\x01a");
        Name::service().put(&mut packet);
        packet.extend_from_slice(b"\0\x10\0\x01\0\0\0\x78");
        let texts = b"\x09dnsaddr=/".repeat(MAX_ADDRESSES + 1);
        packet.put_u16(texts.len() as u16);
        packet.extend(texts);

        let Ok(Message::Answer { addresses }) = decode(&packet) else { panic!("it is an answer") };

        assert_eq!(addresses, vec!["/"; MAX_ADDRESSES]);
    }

    #[test]
    fn a_good_bye_gives_no_address() {
        let mut packet = answer("me", ["/ip4/10.0.0.1/tcp/4001"]);
        let ttl = INSTANCE_AT + "me".len() + 3 + 6;
        assert_eq!(packet[ttl..ttl + 4], TTL.to_be_bytes());
        packet[ttl..ttl + 4].fill(0);

        assert_eq!(decode(&packet), Ok(Message::Answer { addresses: vec![] }));
    }

    #[test]
    fn a_packet_past_the_limit_is_refused() {
        assert_eq!(decode(&[0; MAX_PACKET + 1]), Err(MdnsError::TooLong { len: MAX_PACKET + 1 }));
        assert_eq!(decode(&[0; MAX_PACKET]), Ok(Message::Other));
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard(addresses in prop::collection::vec("/[ -~]{0,60}", 0..8), instance in "[a-z0-9]{1,63}") {
            let packet = answer(&instance, addresses.iter().map(String::as_str));

            prop_assert_eq!(decode(&packet), Ok(Message::Answer { addresses }));
        }
    }
}
