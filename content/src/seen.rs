//! Which blocks a walk has been at, in 16 bytes each.

use std::collections::BTreeSet;

use cid::{Cid, Version};

use crate::hash::{self, Function};

/// A set of CIDs that can only grow. Two different ones are told apart unless somebody finds a collision of 128 bits.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    keys: BTreeSet<[u8; 16]>,
}

impl Seen {
    /// Adds a CID; false when it was there. Version 0 and version 1 of one CID are two, as a CAR file has both.
    pub fn insert(&mut self, cid: &Cid) -> bool {
        self.keys.insert(key(cid))
    }

    /// Whether it was added.
    pub fn contains(&self, cid: &Cid) -> bool {
        self.keys.contains(&key(cid))
    }

    /// How many were added.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The end of the digest, the codec, which decides what the same bytes link to, and the version. What stands in an inline CID is anybody's
/// choice, and is hashed first.
fn key(cid: &Cid) -> [u8; 16] {
    let inline = cid.hash().code() == Function::Identity.code();
    let hashed = inline.then(|| hash::sha256(cid.hash().digest()));
    let digest = hashed.as_ref().map_or(cid.hash().digest(), |hashed| &hashed[..]);
    let mut key = [0; 16];
    let taken = digest.len().min(key.len());
    key[..taken].copy_from_slice(&digest[digest.len() - taken..]);
    for (byte, codec) in key.iter_mut().zip(cid.codec().to_be_bytes()) {
        *byte ^= codec;
    }
    key[8] ^= u8::from(cid.version() == Version::V0);
    key
}

#[cfg(test)]
mod tests {
    use multihash::Multihash;

    use super::*;

    #[test]
    fn inline_cids_of_one_ending_and_codecs_of_one_hash_are_told_apart() {
        let inline = |text: &str| Cid::new_v1(0x70, Multihash::wrap(0, text.as_bytes()).expect("it fits"));
        let mut seen = Seen::default();

        assert!(seen.insert(&inline("first, and then sixteen more bytes")));
        assert!(seen.insert(&inline("other, and then sixteen more bytes")));
        assert!(!seen.insert(&inline("first, and then sixteen more bytes")));

        let hash = Multihash::wrap(0x12, &[7; 32]).expect("it fits");
        assert!(seen.insert(&Cid::new_v1(0x71, hash)) && seen.insert(&Cid::new_v1(0x0129, hash)));
        assert!(seen.insert(&Cid::new_v0(hash).expect("sha2-256")) && seen.insert(&Cid::new_v1(0x70, hash)));
        assert_eq!(seen.len(), 6);
    }
}
