//! Hash functions: one block or many at once.
//!
//! One sha2-256 cannot use the vector unit of a CPU, many at once can: that is several times as fast, and ten times on a
//! CPU without SHA instructions. Which way is taken is decided at run time. The vector code is another party's and
//! unaudited: before its first use it must agree with `sha2` in this process, or it is not used at all.

mod function;
mod many;

use bytes::Bytes;
use cid::{Cid, Version};
use multihash::Multihash;
use sha2::{Digest, Sha256};

use crate::block::{Block, BlockError, MAX_BLOCK_SIZE};
pub use function::{BlakeLength, Function, MAX_DIGEST, MAX_INLINE, MIN_DIGEST};
use many::sha256_many;

/// Check many blocks of others; the answers are in the order of the questions.
pub fn verify_many(blocks: Vec<(Expect, Bytes)>) -> Vec<Result<Block, BlockError>> {
    let batch: Vec<&[u8]> =
        blocks.iter().filter(|(expect, data)| expect.joins(data)).map(|(_, data)| &data[..]).collect();
    let mut digests = sha256_many(&batch).into_iter();
    let mut answers = Vec::with_capacity(blocks.len());
    for (expect, data) in blocks {
        let proven = if expect.joins(&data) {
            let digest = digests.next().expect("one digest for each that joined");
            prove_with(expect, data, &digest)
        } else {
            prove(expect, data)
        };
        answers.push(proven.map(Block::from));
    }
    answers
}

/// Make many blocks of one kind out of our own bytes.
pub fn new_many(kind: LeafKind, data: Vec<Bytes>) -> Vec<Block> {
    if kind.hash != Function::Sha2_256 {
        return data.into_iter().map(|data| Block::of(kind, data)).collect();
    }
    let batch: Vec<&[u8]> = data.iter().map(|data| &data[..]).collect();
    let digests = sha256_many(&batch);
    let proven = data.into_iter().zip(digests).map(|(data, digest)| {
        let hash = Multihash::wrap(Function::Sha2_256.code(), &digest).expect("32 bytes fit");
        Proven { cid: kind.cid(hash), data }
    });
    proven.map(Block::from).collect()
}

/// Can blocks with this multihash code be checked here?
pub fn supported(code: u64) -> bool {
    Function::from_code(code).is_some()
}

/// What is known of a block before its bytes are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Its name.
    Cid(Cid),
    /// Its name but for the digest, as in Bitswap: any bytes match, and the name is computed.
    Prefix(Prefix),
}

impl Expect {
    fn function(&self) -> (u64, usize) {
        match self {
            Expect::Cid(cid) => (cid.hash().code(), usize::from(cid.hash().size())),
            Expect::Prefix(prefix) => (prefix.code, prefix.length),
        }
    }

    /// Whether this one is hashed together with others.
    fn joins(&self, data: &Bytes) -> bool {
        let (code, length) = self.function();
        code == Function::Sha2_256.code() && Function::Sha2_256.has_length(length) && data.len() <= MAX_BLOCK_SIZE
    }
}

/// A CID without its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Version of the CID: 0 or 1.
    pub version: u64,
    /// Multicodec of the content.
    pub codec: u64,
    /// Multihash code.
    pub code: u64,
    /// Length of the digest in bytes.
    pub length: usize,
}

/// How our own bytes become a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafKind {
    /// Multicodec of the content.
    pub codec: u64,
    /// Version of the CID; version 0 is for dag-pb with sha2-256 and becomes 1 where it cannot be.
    pub version: Version,
    /// The hash function.
    pub hash: Function,
}

impl LeafKind {
    fn cid(&self, hash: Multihash<64>) -> Cid {
        Cid::new(self.version, self.codec, hash).unwrap_or_else(|_| Cid::new_v1(self.codec, hash))
    }
}

/// Bytes that were hashed here, on their way into a `Block`. Made in this file only.
#[derive(Debug)]
pub(crate) struct Proven {
    cid: Cid,
    data: Bytes,
}

impl Proven {
    pub(crate) fn into_parts(self) -> (Cid, Bytes) {
        (self.cid, self.data)
    }
}

pub(crate) fn make(kind: LeafKind, data: Bytes) -> Proven {
    let kind = match kind.hash {
        Function::Identity if data.len() > MAX_INLINE => LeafKind { hash: Function::Sha2_256, ..kind },
        _ => kind,
    };
    let hash = multihash(kind.hash, &data).expect("the digest of a function fits, and what is inlined is short");
    Proven { cid: kind.cid(hash), data }
}

pub(crate) fn prove(expect: Expect, data: Bytes) -> Result<Proven, BlockError> {
    if data.len() > MAX_BLOCK_SIZE {
        return Err(BlockError::TooLarge { length: data.len() });
    }
    let (code, length) = expect.function();
    let function = Function::from_code(code).filter(|function| function.has_length(length));
    match function.ok_or(BlockError::UnsupportedHash { code, length })? {
        Function::Identity => prove_with(expect, data.clone(), &data),
        function => prove_with(expect, data.clone(), &function.digest(&data)),
    }
}

fn prove_with(expect: Expect, data: Bytes, digest: &[u8]) -> Result<Proven, BlockError> {
    match expect {
        Expect::Cid(cid) => {
            let inline = cid.hash().code() == Function::Identity.code();
            let digest = if inline { digest } else { &digest[..usize::from(cid.hash().size())] };
            if cid.hash().digest() != digest {
                return Err(BlockError::HashMismatch { cid, length: data.len() });
            }
            Ok(Proven { cid, data })
        }
        Expect::Prefix(prefix) => {
            let Prefix { version, codec, code, length } = prefix;
            let bad = || BlockError::BadPrefix { version, codec, code, length };
            let digest = digest.get(..length).ok_or_else(bad)?;
            if code == Function::Identity.code() && length != data.len() {
                return Err(bad());
            }
            let hash = Multihash::wrap(code, digest).map_err(|_| bad())?;
            let version = Version::try_from(version).map_err(|_| bad())?;
            let cid = Cid::new(version, codec, hash).map_err(|_| bad())?;
            Ok(Proven { cid, data })
        }
    }
}

/// For names of our own.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

fn multihash(function: Function, data: &[u8]) -> Option<Multihash<64>> {
    let digest = function.digest(data);
    let length = function.length().unwrap_or(digest.len());
    Multihash::wrap(function.code(), digest.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::{DAG_PB, RAW};

    proptest! {
        #[test]
        fn many_at_once_are_what_they_are_one_by_one(
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..80),
        ) {
            let data: Vec<Bytes> = data.into_iter().map(Bytes::from).collect();
            let kind = LeafKind { codec: RAW, version: Version::V1, hash: Function::Sha2_256 };

            let many = new_many(kind, data.clone());

            let single: Vec<Block> = data.into_iter().map(|data| Block::new(RAW, data)).collect();
            prop_assert_eq!(many, single);
        }
    }

    #[test]
    fn answers_stand_in_the_order_of_the_questions() {
        let blocks: Vec<Block> =
            (0..40u8).map(|index| Block::new(RAW, vec![index; 100 << (index % 8)].into())).collect();
        let mut questions: Vec<(Expect, Bytes)> =
            blocks.iter().map(|block| (Expect::Cid(*block.cid()), block.data().clone())).collect();
        questions[3].1 = Bytes::from_static(b"something else");
        let inline = Block::of(
            LeafKind { codec: RAW, version: Version::V1, hash: Function::Identity },
            Bytes::from_static(b"inline"),
        );
        questions.insert(10, (Expect::Cid(*inline.cid()), inline.data().clone()));

        let mut answers = verify_many(questions);

        assert_eq!(answers.remove(10).as_ref(), Ok(&inline));
        assert_eq!(answers[3], Err(BlockError::HashMismatch { cid: *blocks[3].cid(), length: 14 }));
        for index in (0..40).filter(|&index| index != 3) {
            assert_eq!(answers[index].as_ref(), Ok(&blocks[index]));
        }
    }

    #[test]
    fn completes_a_prefix_to_the_cid() {
        let data = Bytes::from_static(&[0x0a, 2, 8, 1]);
        let prefix = |version, codec, code, length| Expect::Prefix(Prefix { version, codec, code, length });
        let verify = |expect| verify_many(vec![(expect, data.clone())]).remove(0);

        assert_eq!(verify(prefix(0, DAG_PB, 0x12, 32)), Ok(Block::new_v0(data.clone())));
        assert_eq!(verify(prefix(1, RAW, 0x12, 32)), Ok(Block::new(RAW, data.clone())));
        assert!(matches!(verify(prefix(0, RAW, 0x12, 32)), Err(BlockError::BadPrefix { .. })));
        assert!(matches!(verify(prefix(2, RAW, 0x12, 32)), Err(BlockError::BadPrefix { .. })));
        assert!(matches!(verify(prefix(1, RAW, 0x00, 3)), Err(BlockError::BadPrefix { .. })));
        assert!(matches!(verify(prefix(1, RAW, 0x00, 5)), Err(BlockError::BadPrefix { .. })));
        assert!(matches!(verify(prefix(1, RAW, 0xd5, 16)), Err(BlockError::UnsupportedHash { .. })));
    }

    #[test]
    fn takes_digests_cut_to_twenty_bytes_and_refuses_shorter_ones() {
        let data = Bytes::from_static(b"cut");
        let digest = Function::Sha2_256.digest(&data);
        let cut = |length: usize| Cid::new_v1(RAW, Multihash::wrap(0x12, &digest[..length]).expect("short"));

        assert!(Block::verify(cut(20), data.clone()).is_ok());
        assert_eq!(Block::verify(cut(19), data.clone()), Err(BlockError::UnsupportedHash { code: 0x12, length: 19 }));
    }

    #[test]
    fn makes_and_proves_blocks_of_every_function() {
        let data = Bytes::from_static(b"abc");
        for name in ["sha1", "sha2-512", "dbl-sha2-256", "sha3-224", "keccak-256", "shake-256", "blake2b-160", "blake3"]
        {
            let hash = Function::from_name(name).expect(name);
            let block = Block::of(LeafKind { codec: RAW, version: Version::V1, hash }, data.clone());

            assert_eq!(Some(usize::from(block.cid().hash().size())), hash.length(), "{name}");
            assert!(Block::verify(*block.cid(), data.clone()).is_ok(), "{name}");
            assert!(Block::verify(*block.cid(), Bytes::from_static(b"abd")).is_err(), "{name}");
        }
        assert!(supported(0x1e) && !supported(0xd5));
    }

    #[test]
    fn a_longer_digest_of_blake3_is_proved_to_its_end() {
        let data = Bytes::from_static(b"abc");
        let mut digest = Function::Blake3.digest(&data);
        let cid = |digest: &[u8]| Cid::new_v1(RAW, Multihash::wrap(0x1e, digest).expect("it fits"));

        assert!(Block::verify(cid(&digest), data.clone()).is_ok());
        digest[63] ^= 1;
        assert!(matches!(Block::verify(cid(&digest), data), Err(BlockError::HashMismatch { .. })));
    }

    #[test]
    fn inlines_what_fits_and_hashes_one_byte_more() {
        let kind = LeafKind { codec: RAW, version: Version::V1, hash: Function::Identity };

        assert_eq!(Block::of(kind, vec![1; MAX_INLINE].into()).cid().hash().code(), 0);
        assert_eq!(Block::of(kind, vec![1; MAX_INLINE + 1].into()).cid().hash().code(), 0x12);
    }
}
