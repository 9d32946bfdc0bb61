//! What the index says about a block: in which record it is, or where in somebody's file.

use cid::Cid;
use cidra_content::unixfs::Wrapping;

/// A multihash in bytes: what a block is kept under, whatever version or codec its CIDs have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) Box<[u8]>);

impl From<&Cid> for Key {
    fn from(cid: &Cid) -> Key {
        Key(cid.hash().to_bytes().into())
    }
}

/// A block's place, and when it was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: Place,
    /// In which it was put last.
    pub(super) generation: u32,
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a segment.
    Record(Location),
    /// In a file that belongs to somebody else.
    Reference(Reference),
}

impl Place {
    /// The bytes of the block.
    pub(super) fn length(self) -> u32 {
        match self {
            Place::Record(location) => location.length,
            Place::Reference(reference) => reference.block_length(),
        }
    }

    /// The number of its segment or file, and where in it: who reads many reads in this order.
    pub(super) fn position(self) -> (u32, u64) {
        match self {
            Place::Record(location) => (location.segment, location.offset.into()),
            Place::Reference(reference) => (reference.file, reference.offset),
        }
    }
}

/// A record: its segment, where its head begins there, and how many bytes of data it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// A block made of a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The row of its file, beside the roots. Numbers are never given twice: an entry whose row is gone leads nowhere.
    pub(super) file: u32,
    /// Where its bytes begin in the file.
    pub(super) offset: u64,
    /// How many bytes of the file are in it.
    pub(super) length: u32,
    pub(super) wrapping: Wrapping,
}

impl Reference {
    pub(super) fn block_length(self) -> u32 {
        u32::try_from(self.wrapping.block_len(self.length as usize)).unwrap_or(u32::MAX)
    }
}

impl Entry {
    pub(super) fn encode(self) -> [u8; ENTRY] {
        let (kind, number, offset, length) = match self.place {
            Place::Record(Location { segment, offset, length }) => (RECORD, segment, offset.into(), length),
            Place::Reference(Reference { file, offset, length, wrapping }) => match wrapping {
                Wrapping::Bare => (BARE_REFERENCE, file, offset, length),
                Wrapping::Node => (WRAPPED_REFERENCE, file, offset, length),
            },
        };
        let mut bytes = [0; ENTRY];
        bytes[0] = kind;
        bytes[1..5].copy_from_slice(&number.to_le_bytes());
        bytes[5..13].copy_from_slice(&u64::to_le_bytes(offset));
        bytes[13..17].copy_from_slice(&length.to_le_bytes());
        bytes[17..].copy_from_slice(&self.generation.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; ENTRY]) -> Option<Entry> {
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let offset = u64::from_le_bytes(bytes[5..13].try_into().expect("eight bytes"));
        let (file, length, generation) = (number(1), number(13), number(17));
        let reference = |wrapping| Place::Reference(Reference { file, offset, length, wrapping });
        let place = match bytes[0] {
            RECORD => Place::Record(Location { segment: file, offset: u32::try_from(offset).ok()?, length }),
            BARE_REFERENCE => reference(Wrapping::Bare),
            WRAPPED_REFERENCE => reference(Wrapping::Node),
            _ => return None,
        };
        Some(Entry { place, generation })
    }
}

/// A kind, the number of a segment or a file, where in it, how long, and the generation.
pub(super) const ENTRY: usize = 21;
const RECORD: u8 = 1;
const BARE_REFERENCE: u8 = 2;
const WRAPPED_REFERENCE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_reads_back_as_it_was_written(
            kind in 0..3, number: u32, offset: u64, length: u32, generation: u32,
        ) {
            let reference = |wrapping| Place::Reference(Reference { file: number, offset, length, wrapping });
            let place = match kind {
                0 => Place::Record(Location { segment: number, offset: offset as u32, length }),
                1 => reference(Wrapping::Bare),
                _ => reference(Wrapping::Node),
            };
            let entry = Entry { place, generation };
            prop_assert_eq!(Entry::decode(entry.encode()), Some(entry));
        }

        #[test]
        fn any_bytes_are_an_entry_or_none(bytes: [u8; ENTRY]) {
            if let Some(entry) = Entry::decode(bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }
}
