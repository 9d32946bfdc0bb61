//! The format of segments. A segment is a header and records one after the other, integers little-endian:
//!
//! | header | `cidraseg`, version u32 (1), number of the segment u32 |
//! |---|---|
//! | record | magic u32, kind u8, length of the multihash u8, zero u16, length of the data u32, crc32c of the data u32, crc32c of all that stands before it and of the multihash u32, multihash, data |
//!
//! The head has a checksum of its own, so that a walk can step over damaged data, and a magic number, so that it can find
//! the next record behind a damaged head. Kind 1 is a block; kind 2 a hole, whose data is to be skipped unread.

/// Bytes before the first record.
pub(super) const SEGMENT_HEADER: u32 = 16;
/// Bytes of a head before its multihash.
pub(super) const HEAD_FIXED: usize = 20;
/// The longest multihash: code and length of at most 10 bytes, a digest of at most 64.
pub(super) const MULTIHASH_MAX: usize = 84;
/// The longest data of a record, in bytes: what the largest block has, and room for what may come.
pub(super) const DATA_MAX: u32 = 4 * 1024 * 1024;

const SEGMENT_MAGIC: &[u8; 8] = b"cidraseg";
const SEGMENT_VERSION: u32 = 1;
const RECORD_MAGIC: [u8; 4] = [0xc1, 0xd7, 0xa5, 0x0b];

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Hole,
}

/// What stands before the data of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) multihash: Vec<u8>,
    pub(super) length: u32,
    pub(super) data_crc: u32,
}

impl Head {
    /// The head of a block's record.
    pub(super) fn of(multihash: &[u8], data: &[u8]) -> Head {
        let length = u32::try_from(data.len()).expect("blocks are checked against DATA_MAX before");
        Head { kind: Kind::Block, multihash: multihash.to_vec(), length, data_crc: crc32c::crc32c(data) }
    }

    /// Bytes of the head of a record with this multihash.
    pub(super) fn size_for(multihash: &[u8]) -> usize {
        HEAD_FIXED + multihash.len()
    }

    /// Bytes of the head itself.
    pub(super) fn size(&self) -> usize {
        Head::size_for(&self.multihash)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&RECORD_MAGIC);
        out.push(match self.kind {
            Kind::Block => 1,
            Kind::Hole => 2,
        });
        out.push(u8::try_from(self.multihash.len()).expect("MULTIHASH_MAX fits"));
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.data_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), &self.multihash);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.multihash);
    }

    /// The head at the start of `bytes`, when there is a whole and sound one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Head> {
        let (fixed, rest) = bytes.split_at_checked(HEAD_FIXED)?;
        let [m0, m1, m2, m3, kind, multihash_length, 0, 0, ..] = *fixed else { return None };
        let kind = match kind {
            1 => Kind::Block,
            2 => Kind::Hole,
            _ => return None,
        };
        let multihash = rest.get(..usize::from(multihash_length))?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed[..16]), multihash);
        if [m0, m1, m2, m3] != RECORD_MAGIC || multihash.len() > MULTIHASH_MAX || crc != integer(&fixed[16..20]) {
            return None;
        }
        let (length, data_crc) = (integer(&fixed[8..12]), integer(&fixed[12..16]));
        // A hole covers many records, a block is one.
        let fits = kind == Kind::Hole || length <= DATA_MAX;
        fits.then(|| Head { kind, multihash: multihash.to_vec(), length, data_crc })
    }

    /// Whether these are the bytes that the head was made for.
    pub(super) fn matches(&self, data: &[u8]) -> bool {
        data.len() == self.length as usize && crc32c::crc32c(data) == self.data_crc
    }
}

/// Where in `bytes` the next head may begin, from position `from` on.
pub(super) fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(4).position(|window| window == RECORD_MAGIC).map(|at| from + at)
}

/// The header of segment `number`.
pub(super) fn segment_header(number: u32) -> [u8; SEGMENT_HEADER as usize] {
    let mut header = [0; SEGMENT_HEADER as usize];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
    header[12..].copy_from_slice(&number.to_le_bytes());
    header
}

/// The name of the file that segment `number` is kept in.
pub(super) fn segment_name(number: u32) -> String {
    format!("{number:08}.segment")
}

/// The number of the segment kept under `name`, when it is the name of one.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".segment")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

fn integer(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes were cut out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_reads_back_as_it_was_written(multihash in prop::collection::vec(any::<u8>(), 0..=MULTIHASH_MAX), data: Vec<u8>) {
            let head = Head::of(&multihash, &data);
            let mut bytes = Vec::new();
            head.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), head.size());
            prop_assert_eq!(Head::decode(&bytes), Some(head));
        }

        #[test]
        fn one_changed_bit_anywhere_in_a_head_is_noticed(data: Vec<u8>, bit in 0usize..(HEAD_FIXED + 34) * 8) {
            let mut bytes = Vec::new();
            Head::of(&[0x12; 34], &data).encode(&mut bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Head::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Head::decode(&bytes);
        }
    }

    #[test]
    fn data_longer_than_the_limit_is_no_record() {
        let mut head = Head::of(&[0x12; 34], b"x");
        let encoded = |head: &Head| {
            let mut bytes = Vec::new();
            head.encode(&mut bytes);
            bytes
        };
        head.length = DATA_MAX;
        assert!(Head::decode(&encoded(&head)).is_some());
        head.length = DATA_MAX + 1;
        assert!(Head::decode(&encoded(&head)).is_none());
    }

    #[test]
    fn names_of_segments_read_back_and_others_are_left_alone() {
        assert_eq!(segment_number(&segment_name(7)), Some(7));
        assert_eq!(segment_number("7.segment"), None);
        assert_eq!(segment_number("index.redb"), None);
    }
}
