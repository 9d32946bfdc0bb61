//! Names of DNS (RFC 1035, section 3.1), with the shortening of section 4.1.4.

use bytes::BufMut;

use super::MdnsError;

/// A name: its labels in small letters, each followed by a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(Vec<u8>);

impl Name {
    /// What libp2p's nodes are found by.
    pub(super) fn service() -> Self {
        Self(SERVICE.to_vec())
    }

    pub(super) fn is_service(&self) -> bool {
        self.0 == SERVICE
    }

    /// Whether it is that of one node.
    pub(super) fn is_instance(&self) -> bool {
        self.0.strip_suffix(SERVICE).is_some_and(|instance| instance.ends_with(b"."))
    }

    /// Writes it as it is.
    pub(super) fn put(&self, packet: &mut Vec<u8>) {
        for label in self.0.split(|byte| *byte == b'.').filter(|label| !label.is_empty()) {
            packet.put_u8(label.len() as u8);
            packet.extend_from_slice(label);
        }
        packet.put_u8(0);
    }

    /// Reads the name that begins at `at`, and moves that past it.
    pub(super) fn read(packet: &[u8], at: &mut usize) -> Result<Self, MdnsError> {
        let byte = |at: usize| packet.get(at).copied().ok_or(MdnsError::CutShort);
        let mut name = vec![];
        let mut here = *at;
        let mut begin = here;
        // Where reading goes on once the name is read: set by the first reference.
        let mut after = None;
        loop {
            let length = usize::from(byte(here)?);
            match length >> 6 {
                0 if length == 0 => break,
                0 => {
                    let label = packet.get(here + 1..here + 1 + length).ok_or(MdnsError::CutShort)?;
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    name.push(b'.');
                    if name.len() > MAX_NAME {
                        return Err(MdnsError::Name);
                    }
                    here += 1 + length;
                }
                3 => {
                    let there = (length & 0x3f) << 8 | usize::from(byte(here + 1)?);
                    after.get_or_insert(here + 2);
                    // Each refers to what stands before it, so that none comes back to itself.
                    if there >= begin {
                        return Err(MdnsError::Name);
                    }
                    begin = there;
                    here = there;
                }
                _ => return Err(MdnsError::Name),
            }
        }
        *at = after.unwrap_or(here + 1);
        Ok(Self(name))
    }
}

const SERVICE: &[u8] = b"_p2p._udp.local.";
/// In a packet: a byte for the length of each label in place of its dot, and one for the end.
pub(super) const SERVICE_LEN: usize = SERVICE.len() + 1;
/// RFC 1035, section 2.3.4.
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(packet: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), MdnsError> {
        Name::read(packet, &mut at).map(|name| (name.0, at))
    }

    #[test]
    fn follows_what_it_refers_to() {
        let packet = b"\x05lOcal\0\x02me\xc0\x00rest";

        assert_eq!(read(packet, 7), Ok((b"me.local.".to_vec(), 12)));
    }

    #[test]
    fn a_name_that_refers_to_itself_is_refused() {
        assert_eq!(read(b"\x01a\xc0\x00", 0), Err(MdnsError::Name));
        assert_eq!(read(b"\xc0\x02\xc0\x00", 2), Err(MdnsError::Name));
        assert_eq!(read(b"\x01a\xc0\x09", 0), Err(MdnsError::Name));
    }

    #[test]
    fn a_name_past_the_limit_is_refused() {
        let of = |labels: usize, last: usize| {
            let mut packet = [&[63][..], &[b'x'; 63]].concat().repeat(labels);
            packet.push(last as u8);
            packet.extend(vec![b'x'; last]);
            packet.push(0);
            read(&packet, 0).map(|(name, _)| name.len())
        };

        assert_eq!(of(3, 62), Ok(MAX_NAME));
        assert_eq!(of(3, 63), Err(MdnsError::Name));
    }
}
