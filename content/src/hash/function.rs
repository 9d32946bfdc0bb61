//! The hash functions of the multicodec table that blocks may be named by, and how long their digests must be.
//!
//! The list is that of boxo's `verifcid`: what is not on it is neither made, asked for, served nor kept, for a hash that can be
//! broken would let anybody pass off other bytes under a CID. (sha1 is on it for the sake of Git.)

use blake2::digest::Output;
use blake2::digest::block_api::{Buffer, UpdateCore, VariableOutputCore};
use blake2::{Blake2bVarCore, Blake2sVarCore};
use sha2::{Digest, Sha256, Sha512};
use sha3::{Keccak224, Keccak256, Keccak384, Keccak512, Sha3_224, Sha3_256, Sha3_384, Sha3_512};
use shake::{ExtendableOutput, Shake256};

/// The hash functions we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// BLAKE2b with a digest of so many bytes.
    Blake2b(BlakeLength),
    /// BLAKE2s with a digest of so many bytes.
    Blake2s(BlakeLength),
    /// BLAKE3, 32 bytes unless a CID has more.
    Blake3,
    /// sha2-256 of the sha2-256, as Bitcoin names its blocks.
    DblSha2_256,
    /// The digest is the content itself, at most [`MAX_INLINE`] bytes.
    Identity,
    /// Keccak as it was before it became SHA-3, with 28 bytes.
    Keccak224,
    /// Keccak as it was before it became SHA-3, with 32 bytes: Ethereum's.
    Keccak256,
    /// Keccak as it was before it became SHA-3, with 48 bytes.
    Keccak384,
    /// Keccak as it was before it became SHA-3, with 64 bytes.
    Keccak512,
    /// Git's. Two different contents with one digest can be made, though not another content for a given one.
    Sha1,
    /// The one that nearly all blocks have.
    Sha2_256,
    /// Twice as long.
    Sha2_512,
    /// SHA-3 with 28 bytes.
    Sha3_224,
    /// SHA-3 with 32 bytes.
    Sha3_256,
    /// SHA-3 with 48 bytes.
    Sha3_384,
    /// SHA-3 with 64 bytes.
    Sha3_512,
    /// SHAKE256, 64 bytes unless a CID has fewer.
    Shake256,
}

/// How many bytes a BLAKE2 digest has: from [`MIN_DIGEST`] to what the function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlakeLength(u8);

/// Most bytes that a CID itself can hold: what the CIDs of this workspace have room for (others allow 128).
pub const MAX_INLINE: usize = 64;

/// Longest digest in bytes: what the CIDs of this workspace have room for.
pub const MAX_DIGEST: usize = 64;

/// A shorter digest proves nothing: with fewer bits, bytes to match a given digest can be found (boxo's bound).
pub const MIN_DIGEST: usize = 20;

impl Function {
    /// Its multihash code.
    pub fn code(self) -> u64 {
        match self {
            Function::Blake2b(length) => BLAKE2B + u64::from(length.0),
            Function::Blake2s(length) => BLAKE2S + u64::from(length.0),
            other => FIXED.iter().find(|(_, _, function)| *function == other).expect("all others are there").1,
        }
    }

    /// The function of a multihash code.
    pub fn from_code(code: u64) -> Option<Function> {
        let blake = |base: u64, most: usize| {
            let length = code.checked_sub(base).and_then(|length| u8::try_from(length).ok())?;
            (MIN_DIGEST..=most).contains(&usize::from(length)).then_some(BlakeLength(length))
        };
        let fixed = FIXED.iter().find(|(_, known, _)| *known == code).map(|(.., function)| *function);
        fixed
            .or_else(|| blake(BLAKE2B, 64).map(Function::Blake2b))
            .or_else(|| blake(BLAKE2S, 32).map(Function::Blake2s))
    }

    /// The function of a name of the multicodec table, such as `sha2-256` or `blake2b-160`.
    pub fn from_name(name: &str) -> Option<Function> {
        let name = match name {
            // As Kubo has it.
            "id" => "identity",
            "sha3" => "sha3-512",
            name => name,
        };
        if let Some((.., function)) = FIXED.iter().find(|(known, ..)| *known == name) {
            return Some(*function);
        }
        let (family, bits) = name.rsplit_once('-')?;
        let bytes = bits.parse::<u64>().ok().filter(|bits| bits % 8 == 0)? / 8;
        match family {
            "blake2b" => {
                Function::from_code(BLAKE2B + bytes).filter(|function| matches!(function, Function::Blake2b(_)))
            }
            "blake2s" => {
                Function::from_code(BLAKE2S + bytes).filter(|function| matches!(function, Function::Blake2s(_)))
            }
            _ => None,
        }
    }

    /// Its name in the multicodec table.
    pub fn name(self) -> String {
        match self {
            Function::Blake2b(length) => format!("blake2b-{}", u32::from(length.0) * 8),
            Function::Blake2s(length) => format!("blake2s-{}", u32::from(length.0) * 8),
            other => FIXED.iter().find(|(.., function)| *function == other).expect("all others are there").0.to_owned(),
        }
    }

    /// Names for a message that says what may be written.
    pub fn names() -> String {
        let fixed: Vec<&str> = FIXED.iter().map(|(name, ..)| *name).collect();
        format!("{}, blake2b-160 to blake2b-512, blake2s-160 to blake2s-256", fixed.join(", "))
    }

    /// How many bytes its digest has where nothing else is asked for; `None`: as many as the content.
    pub fn length(self) -> Option<usize> {
        match self {
            Function::Identity => None,
            Function::Sha1 => Some(20),
            Function::Keccak224 | Function::Sha3_224 => Some(28),
            Function::Blake3
            | Function::DblSha2_256
            | Function::Keccak256
            | Function::Sha2_256
            | Function::Sha3_256 => Some(32),
            Function::Keccak384 | Function::Sha3_384 => Some(48),
            Function::Keccak512 | Function::Sha2_512 | Function::Sha3_512 | Function::Shake256 => Some(64),
            Function::Blake2b(length) | Function::Blake2s(length) => Some(length.0.into()),
        }
    }

    /// Whether a CID may have a digest of so many bytes: cut short, but not to nothing.
    pub fn has_length(self, length: usize) -> bool {
        match (self, self.length()) {
            (Function::Blake3, _) => (MIN_DIGEST..=MAX_DIGEST).contains(&length),
            (_, Some(most)) => (MIN_DIGEST..=most).contains(&length),
            (_, None) => length <= MAX_INLINE,
        }
    }

    /// The digest, as long as it can be: a shorter one is the beginning of it. The content itself for `Identity`.
    pub(crate) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Function::Blake2b(length) => blake2b(length, data),
            Function::Blake2s(length) => blake2s(length, data),
            Function::Blake3 => {
                let mut digest = vec![0; MAX_DIGEST];
                blake3::Hasher::new().update(data).finalize_xof().fill(&mut digest);
                digest
            }
            Function::DblSha2_256 => Sha256::digest(Sha256::digest(data)).to_vec(),
            Function::Identity => data.to_vec(),
            Function::Keccak224 => Keccak224::digest(data).to_vec(),
            Function::Keccak256 => Keccak256::digest(data).to_vec(),
            Function::Keccak384 => Keccak384::digest(data).to_vec(),
            Function::Keccak512 => Keccak512::digest(data).to_vec(),
            Function::Sha1 => sha1::Sha1::digest(data).to_vec(),
            Function::Sha2_256 => Sha256::digest(data).to_vec(),
            Function::Sha2_512 => Sha512::digest(data).to_vec(),
            Function::Sha3_224 => Sha3_224::digest(data).to_vec(),
            Function::Sha3_256 => Sha3_256::digest(data).to_vec(),
            Function::Sha3_384 => Sha3_384::digest(data).to_vec(),
            Function::Sha3_512 => Sha3_512::digest(data).to_vec(),
            Function::Shake256 => {
                let mut digest = vec![0; MAX_DIGEST];
                Shake256::digest_xof(data, &mut digest);
                digest
            }
        }
    }
}

/// Names and codes of the multicodec table.
const FIXED: [(&str, u64, Function); 15] = [
    ("sha2-256", 0x12, Function::Sha2_256),
    ("sha2-512", 0x13, Function::Sha2_512),
    ("sha3-224", 0x17, Function::Sha3_224),
    ("sha3-256", 0x16, Function::Sha3_256),
    ("sha3-384", 0x15, Function::Sha3_384),
    ("sha3-512", 0x14, Function::Sha3_512),
    ("shake-256", 0x19, Function::Shake256),
    ("keccak-224", 0x1a, Function::Keccak224),
    ("keccak-256", 0x1b, Function::Keccak256),
    ("keccak-384", 0x1c, Function::Keccak384),
    ("keccak-512", 0x1d, Function::Keccak512),
    ("blake3", 0x1e, Function::Blake3),
    ("sha1", 0x11, Function::Sha1),
    ("dbl-sha2-256", 0x56, Function::DblSha2_256),
    ("identity", 0x00, Function::Identity),
];

/// The code of BLAKE2b with a digest of n bytes is this and n.
const BLAKE2B: u64 = 0xb200;
/// The code of BLAKE2s with a digest of n bytes is this and n.
const BLAKE2S: u64 = 0xb240;

fn blake2b(length: BlakeLength, data: &[u8]) -> Vec<u8> {
    blake(Blake2bVarCore::new_with_params(&[], &[], 0, length.0.into()), length, data)
}

fn blake2s(length: BlakeLength, data: &[u8]) -> Vec<u8> {
    blake(Blake2sVarCore::new_with_params(&[], &[], 0, length.0.into()), length, data)
}

/// The crate's own types have the length as a parameter of the type: one function for each of 58 would be made.
fn blake<C: VariableOutputCore + UpdateCore>(mut core: C, length: BlakeLength, data: &[u8]) -> Vec<u8> {
    let mut buffer = Buffer::<C>::default();
    buffer.digest_blocks(data, |blocks| core.update_blocks(blocks));
    let mut digest = Output::<C>::default();
    core.finalize_variable_core(&mut buffer, &mut digest);
    digest[..length.0.into()].to_vec()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// "abc", as the specifications of the functions have it (FIPS 180-4, FIPS 202, RFC 7693), and their test vectors.
    #[test]
    fn knows_the_published_digests() {
        let vectors = [
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha2-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "sha2-512",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            ("dbl-sha2-256", "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"),
            ("sha3-224", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
            ("sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            (
                "sha3-384",
                "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
            ),
            (
                "sha3-512",
                "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
            ),
            ("keccak-224", "c30411768506ebe1c2871b1ee2e87d38df342317300a9b97a95ec6a8"),
            ("keccak-256", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
            (
                "keccak-384",
                "f7df1165f033337be098e7d288ad6a2f74409d7a60b49c36642218de161b1f99f8c681e4afaf31a34db29fb763e3c28e",
            ),
            (
                "keccak-512",
                "18587dc2ea106b9a1563e32b3312421ca164c7f1f07bc922a9c83d77cea3a1e5d0c69910739025372dc14ac9642629379540c17e2a65b19d77aa511a9d00bb96",
            ),
            ("shake-256", "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739"),
            (
                "blake2b-512",
                "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
            ),
            ("blake2b-256", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
            ("blake2s-256", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
            ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ];
        for (name, digest) in vectors {
            let function = Function::from_name(name).expect(name);
            assert!(HEXLOWER.encode(&function.digest(b"abc")).starts_with(digest), "{name}");
            assert!(function.digest(b"abc").len() >= function.length().expect("no identity"), "{name}");
        }
    }

    #[test]
    fn names_and_codes_come_back() {
        let blake = (0xb200 + 20..=0xb200 + 64).chain(0xb240 + 20..=0xb240 + 32);
        for code in FIXED.iter().map(|(_, code, _)| *code).chain(blake) {
            let function = Function::from_code(code).expect("on the list");
            assert_eq!((function.code(), Function::from_name(&function.name())), (code, Some(function)));
            assert!(function.length().is_none_or(|length| function.has_length(length)));
        }
        assert_eq!(Function::from_name("sha3").map(Function::code), Some(0x14));
    }

    /// Among them md5, murmur3, blake2b-152 and skein, which prove nothing or which nobody else takes.
    #[test]
    fn what_is_not_on_the_list_is_unknown() {
        for code in [0xd5, 0x22, 0xb213, 0xb253, 0xb261, 0x1052, 0xb301, 0x18, u64::MAX] {
            assert_eq!(Function::from_code(code), None, "{code:#x}");
        }
        for name in ["md5", "blake2b-152", "blake2b-520", "blake2s-264", "blake2b-161", "blake2b", "SHA2-256", ""] {
            assert_eq!(Function::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn digests_may_be_cut_but_not_to_nothing() {
        for function in FIXED.iter().map(|(.., function)| *function).filter(|function| *function != Function::Identity)
        {
            let whole = if function == Function::Blake3 { MAX_DIGEST } else { function.length().expect("it has one") };
            assert!(function.has_length(MIN_DIGEST) && function.has_length(whole), "{function:?}");
            assert!(!function.has_length(MIN_DIGEST - 1) && !function.has_length(whole + 1), "{function:?}");
        }
        assert!(Function::Identity.has_length(0) && !Function::Identity.has_length(MAX_INLINE + 1));
    }
}
