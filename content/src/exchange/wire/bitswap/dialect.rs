//! The versions of Bitswap, and what each lacks.

use crate::exchange::Protocol;

/// What is said on streams of one of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// 1.0.0 and the name without a version: blocks are bytes alone, and so all of CIDv0.
    Bare,
    /// 1.1.0: a block comes with what its CID is made of.
    Prefixed,
    /// 1.2.0: whether a block is there can be asked and said.
    Presence,
}

impl Dialect {
    /// The one that a name in negotiation stands for.
    pub fn of(name: &str) -> Option<Self> {
        let number = PROTOCOLS.iter().position(|known| *known == name)?;
        Some([Self::Presence, Self::Prefixed, Self::Bare, Self::Bare][number])
    }

    /// What a peer that speaks it understands.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Presence => Protocol::BITSWAP,
            Self::Bare | Self::Prefixed => Protocol::OLD_BITSWAP,
        }
    }
}

/// The names in negotiation, the best first.
pub const PROTOCOLS: [&str; 4] = ["/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap"];
