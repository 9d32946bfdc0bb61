//! How a name is placed in a folder of many blocks: by the bits of its murmur3 hash, from the highest down.

/// What of a name's hash was used on the way down from the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    hash: u64,
    used: u32,
}

impl Place {
    pub(super) fn of(name: &[u8]) -> Place {
        Place { hash: murmur3(name), used: 0 }
    }

    /// The slot in the next shard, which has `1 << bits` of them; none when the hash is used up.
    pub(super) fn next(&mut self, bits: u32) -> Option<u32> {
        let slot = slot(self.hash, self.used, bits)?;
        self.used += bits;
        Some(slot)
    }
}

/// A place as far as it is known to those who come down through the shards without a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The bits walked so far, at the high end.
    hash: u64,
    used: u32,
}

impl Prefix {
    /// One shard further down; none when there are no bits left.
    pub(super) fn with(self, slot: u32, bits: u32) -> Option<Prefix> {
        let used = self.used + bits;
        (used <= u64::BITS).then(|| Prefix { hash: self.hash | u64::from(slot) << (u64::BITS - used), used })
    }

    /// Does the name belong below here?
    pub(super) fn holds(self, name: &[u8]) -> bool {
        self.used == 0 || (murmur3(name) ^ self.hash) >> (u64::BITS - self.used) == 0
    }
}

/// The `bits` bits after the highest `used` ones.
pub(super) fn slot(hash: u64, used: u32, bits: u32) -> Option<u32> {
    let left = u64::BITS.checked_sub(used + bits)?;
    Some((hash >> left) as u32 & ((1 << bits) - 1))
}

/// The slots that are taken, as a number of `fanout` bits: big-endian, without leading zero bytes.
///
/// The specification says little-endian; the folders that there are say otherwise.
pub(super) fn bitfield(slots: impl Iterator<Item = u32>, fanout: u32) -> Vec<u8> {
    let mut bytes = vec![0; fanout.div_ceil(8) as usize];
    for slot in slots {
        let index = bytes.len() - 1 - (slot / 8) as usize;
        bytes[index] |= 1 << (slot % 8);
    }
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.split_off(zeros)
}

/// The multihash code of murmur3-x64-64: the first half of MurmurHash3 x64-128 with seed 0.
pub(super) const MURMUR3_X64_64: u64 = 0x22;

pub(super) fn murmur3(data: &[u8]) -> u64 {
    let (mut first, mut second) = (0u64, 0u64);
    let (pairs, tail) = data.as_chunks::<16>();
    for pair in pairs {
        first = (first ^ scramble_first(word(&pair[..8]))).rotate_left(27).wrapping_add(second);
        first = first.wrapping_mul(5).wrapping_add(0x52dc_e729);
        second = (second ^ scramble_second(word(&pair[8..]))).rotate_left(31).wrapping_add(first);
        second = second.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let (low, high) = tail.split_at(tail.len().min(8));
    first ^= scramble_first(word(low));
    second ^= scramble_second(word(high));

    first ^= data.len() as u64;
    second ^= data.len() as u64;
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    finish(first).wrapping_add(finish(second))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn scramble_first(word: u64) -> u64 {
    word.wrapping_mul(0x87c3_7b91_1142_53d5).rotate_left(31).wrapping_mul(0x4cf5_ad43_2745_937f)
}

fn scramble_second(word: u64) -> u64 {
    word.wrapping_mul(0x4cf5_ad43_2745_937f).rotate_left(33).wrapping_mul(0x87c3_7b91_1142_53d5)
}

fn finish(mut word: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        word = (word ^ word >> 33).wrapping_mul(factor);
    }
    word ^ word >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_published() {
        assert_eq!(murmur3(b""), 0);
        assert_eq!(murmur3(b"hello"), 0xcbd8_a7b3_41bd_9b02);
        assert_eq!(murmur3(b"hello, world"), 0x342f_ac62_3a5e_bc8e);
        assert_eq!(murmur3(b"19 Jan 2038 at 3:14:07 AM"), 0xb89e_5988_b737_affc);
        assert_eq!(murmur3(b"The quick brown fox jumps over the lazy dog."), 0xcd99_481f_9ee9_02c9);
    }

    #[test]
    fn takes_bits_from_the_highest_down_until_there_are_none() {
        let mut place = Place::of(b"hello");
        let slots: Vec<_> = std::iter::from_fn(|| place.next(8)).collect();
        assert_eq!(slots, [0xcb, 0xd8, 0xa7, 0xb3, 0x41, 0xbd, 0x9b, 0x02]);

        let mut place = Place::of(b"hello");
        assert_eq!([place.next(3), place.next(10)], [Some(0b110), Some(0b01011_11011)]);
    }

    #[test]
    fn a_name_belongs_below_its_own_slots_only() {
        let root = Prefix::default();
        let below = root.with(0xcb, 8).and_then(|prefix| prefix.with(0xd8, 8)).expect("bits are left");
        let beside = root.with(0xcb, 8).and_then(|prefix| prefix.with(0xd9, 8)).expect("bits are left");

        assert!(root.holds(b"hello") && below.holds(b"hello") && !beside.holds(b"hello"));

        let full = (0..8).try_fold(root, |prefix, _| prefix.with(0, 8)).expect("64 bits");
        assert_eq!(full.with(0, 8), None);
        assert!(full.holds(b""));
    }

    #[test]
    fn the_bit_field_is_big_endian_without_leading_zeros() {
        assert_eq!(bitfield([0, 9].into_iter(), 256), [2, 1]);
        assert_eq!(bitfield([255].into_iter(), 256)[..2], [0x80, 0]);
        assert!(bitfield([].into_iter(), 256).is_empty());
    }
}
