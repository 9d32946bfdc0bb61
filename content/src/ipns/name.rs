//! The name of a key: its multihash, and how that is written.

use std::fmt;

use cid::Cid;
use multibase::Base;
use multihash::Multihash;

use crate::hash;
use crate::ipld::LIBP2P_KEY;
use crate::path::{PathError, parse_cid};

/// The multihash of a public key, which holds the key itself where that is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Multihash<64>);

impl Name {
    /// Reads a name in any of its forms, with or without `/ipns/` before it: a CID of a key in any multibase, or a peer id.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = text.strip_prefix("/ipns/").unwrap_or(text);
        if text.starts_with("Qm") || text.starts_with('1') {
            if text.len() > MAX_PEER_ID {
                return Err(BadName::Hash);
            }
            let bytes = Base::Base58Btc.decode(text).map_err(|_| BadName::Hash)?;
            return Self::of_multihash(&bytes);
        }
        let cid = parse_cid(text)?;
        match cid.codec() {
            LIBP2P_KEY => Self::of_hash(*cid.hash()),
            codec => Err(BadName::Codec { codec }),
        }
    }

    /// The name of a key, given as the protobuf of a public key.
    pub fn of_public_key(key: &[u8]) -> Self {
        Self(match key.len() <= MAX_INLINE {
            true => Multihash::wrap(IDENTITY, key).expect("42 bytes fit into 64"),
            false => Multihash::wrap(SHA2_256, &hash::sha256(key)).expect("32 bytes fit into 64"),
        })
    }

    /// The name whose multihash these bytes are.
    pub fn of_multihash(bytes: &[u8]) -> Result<Self, BadName> {
        Multihash::from_bytes(bytes).map_err(|_| BadName::Hash).and_then(Self::of_hash)
    }

    fn of_hash(hash: Multihash<64>) -> Result<Self, BadName> {
        match (hash.code(), hash.size()) {
            (IDENTITY, 1..=64) | (SHA2_256, 32) => Ok(Self(hash)),
            _ => Err(BadName::Hash),
        }
    }

    /// The name whose record the DHT keeps under this key.
    pub fn of_routing_key(key: &[u8]) -> Option<Self> {
        Self::of_multihash(key.strip_prefix(PREFIX)?).ok()
    }

    /// Under which the DHT keeps its record.
    pub fn routing_key(&self) -> Vec<u8> {
        [PREFIX, &self.0.to_bytes()].concat()
    }

    /// As bytes, which are those of the peer id.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The public key, as protobuf, where the name holds it.
    pub fn public_key(&self) -> Option<&[u8]> {
        (self.0.code() == IDENTITY).then(|| self.0.digest())
    }

    /// As a CID.
    pub fn cid(&self) -> Cid {
        Cid::new_v1(LIBP2P_KEY, self.0)
    }

    /// As a CID in this base.
    pub fn in_base(&self, base: Base) -> String {
        multibase::encode(base, self.cid().to_bytes())
    }

    /// As a peer id is written.
    pub fn peer_id(&self) -> String {
        Base::Base58Btc.encode(self.0.to_bytes())
    }
}

/// As a CID in base36, which fits into the name of a host.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.in_base(Base::Base36Lower))
    }
}

const PREFIX: &[u8] = b"/ipns/";
const IDENTITY: u64 = 0;
const SHA2_256: u64 = 0x12;
/// Keys of this length and less stand in their names.
const MAX_INLINE: usize = 42;
/// Longest text of a peer id that is looked at: one of 64 bytes of key has some 90 characters.
const MAX_PEER_ID: usize = 100;

/// Why a text is the name of no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is another kind of CID.
    #[error("it is a CID of {}, and no name of a key", crate::ipld::codec_name(*codec))]
    Codec {
        /// Its multicodec.
        codec: u64,
    },
    /// It is a hash that names no key.
    #[error("it is no hash of a key")]
    Hash,
    /// It is no CID.
    #[error(transparent)]
    NoCid(#[from] PathError),
}
