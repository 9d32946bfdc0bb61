//! What decides the CID of a file or folder beside its content (IPIP-499).

use cid::Version;

use super::importer::Layout;
use super::shard::MAX_FANOUT;
use crate::block::{DAG_PB, RAW};
use crate::hash::{Function, LeafKind, MAX_INLINE};

/// How files are cut and folders are written. Two nodes with equal parameters give equal CIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    chunk_size: usize,
    raw_leaves: bool,
    cid_version: Version,
    max_links: usize,
    hash: Function,
    fanout: u32,
    measure: Measure,
    layout: Layout,
    inline: usize,
}

/// What of a folder is measured against [`SHARD_THRESHOLD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// The sum of names and CIDs.
    NamesAndCids,
    /// The block that it would be.
    Block,
}

impl Parameters {
    /// The profile `unixfs-v1-2025`, which is the default.
    pub const V1_2025: Parameters = Parameters {
        chunk_size: 1024 * 1024,
        raw_leaves: true,
        cid_version: Version::V1,
        max_links: 1024,
        hash: Function::Sha2_256,
        fanout: 256,
        measure: Measure::Block,
        layout: Layout::Balanced,
        inline: 0,
    };

    /// The profile `unixfs-v0-2015`: what Kubo gives by default.
    pub const V0_2015: Parameters = Parameters {
        chunk_size: 256 * 1024,
        raw_leaves: false,
        cid_version: Version::V0,
        max_links: 174,
        hash: Function::Sha2_256,
        fanout: 256,
        measure: Measure::NamesAndCids,
        layout: Layout::Balanced,
        inline: 0,
    };

    /// Cut files into so many bytes: 1 to [`MAX_CHUNK`].
    pub fn with_chunk_size(self, chunk_size: usize) -> Result<Parameters, ParametersError> {
        if chunk_size == 0 || chunk_size > MAX_CHUNK {
            return Err(ParametersError::ChunkSize { chunk_size });
        }
        Ok(Parameters { chunk_size, ..self })
    }

    /// Leaves are the bytes of the file and nothing else.
    pub fn with_raw_leaves(self, raw_leaves: bool) -> Parameters {
        Parameters { raw_leaves, ..self }
    }

    /// Version 0 is there for sha2-256 only.
    pub fn with_cid_version(self, cid_version: Version) -> Result<Parameters, ParametersError> {
        if cid_version == Version::V0 && self.hash != Function::Sha2_256 {
            return Err(ParametersError::HashOfVersion0);
        }
        Ok(Parameters { cid_version, ..self })
    }

    /// Most links of a node within a file: 2 to [`MAX_FILE_LINKS`].
    pub fn with_max_links(self, max_links: usize) -> Result<Parameters, ParametersError> {
        if !(2..=MAX_FILE_LINKS).contains(&max_links) {
            return Err(ParametersError::MaxLinks { max_links });
        }
        Ok(Parameters { max_links, ..self })
    }

    /// Another hash function than sha2-256 makes CIDs of version 1. Identity holds for blocks that are short enough,
    /// the others get sha2-256.
    pub fn with_hash(self, hash: Function) -> Parameters {
        let cid_version = if hash == Function::Sha2_256 { self.cid_version } else { Version::V1 };
        Parameters { hash, cid_version, ..self }
    }

    /// Slots of a shard of a large folder: a power of two from 8 to [`MAX_FANOUT`].
    pub fn with_fanout(self, fanout: u32) -> Result<Parameters, ParametersError> {
        if !fanout.is_power_of_two() || !(8..=MAX_FANOUT).contains(&fanout) {
            return Err(ParametersError::Fanout { fanout });
        }
        Ok(Parameters { fanout, ..self })
    }

    /// How the leaves of a file stand below its root.
    pub fn with_layout(self, layout: Layout) -> Parameters {
        Parameters { layout, ..self }
    }

    /// Blocks of at most so many bytes are held by their CIDs and need not be kept: 0 (none) to [`MAX_INLINE`].
    pub fn with_inline(self, inline: usize) -> Result<Parameters, ParametersError> {
        if inline > MAX_INLINE {
            return Err(ParametersError::Inline { inline });
        }
        Ok(Parameters { inline, ..self })
    }

    /// Bytes of a file in one leaf.
    pub fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Whether leaves are the bytes of the file and nothing else.
    pub fn raw_leaves(&self) -> bool {
        self.raw_leaves
    }

    /// Of all blocks that are not raw.
    pub fn cid_version(&self) -> Version {
        self.cid_version
    }

    /// Most links of a node within a file.
    pub fn max_links(&self) -> usize {
        self.max_links
    }

    /// Of all blocks.
    pub fn hash(&self) -> Function {
        self.hash
    }

    /// How leaves become blocks.
    pub fn leaf_kind(&self) -> LeafKind {
        let (codec, version) = if self.raw_leaves { (RAW, Version::V1) } else { (DAG_PB, self.cid_version) };
        LeafKind { codec, version, hash: self.hash }
    }

    /// The kind of a block that would be of `kind` but is so short that its CID holds it.
    pub(super) fn inlined(&self, kind: LeafKind, length: usize) -> Option<LeafKind> {
        let is_short = length <= self.inline && self.inline > 0;
        is_short.then_some(LeafKind { version: Version::V1, hash: Function::Identity, ..kind })
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn fanout(&self) -> u32 {
        self.fanout
    }

    pub(super) fn measure(&self) -> Measure {
        self.measure
    }
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters::V1_2025
    }
}

/// Largest leaf, so that it is within the largest block when it is wrapped, too (boxo's bound).
pub const MAX_CHUNK: usize = 2 * 1024 * 1024 - 256;

/// So many links take less than half of the largest block.
pub const MAX_FILE_LINKS: usize = 8192;

/// A folder that measures more is cut into shards.
pub const SHARD_THRESHOLD: usize = 256 * 1024;

/// What cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// 0, or more than [`MAX_CHUNK`].
    #[error("chunks of {chunk_size} bytes: between 1 and {MAX_CHUNK} is possible")]
    ChunkSize {
        /// In bytes.
        chunk_size: usize,
    },
    /// Not a power of two from 8 to [`MAX_FANOUT`].
    #[error("a fan-out of {fanout}: a power of two from 8 to {MAX_FANOUT} is possible")]
    Fanout {
        /// Slots of a shard.
        fanout: u32,
    },
    /// CIDs of version 0 name sha2-256 hashes only.
    #[error("a CID of version 0 has sha2-256 as its hash")]
    HashOfVersion0,
    /// More than [`MAX_INLINE`].
    #[error("inline blocks of {inline} bytes: at most {MAX_INLINE} fit into a CID here")]
    Inline {
        /// In bytes.
        inline: usize,
    },
    /// Fewer than 2, or more than [`MAX_FILE_LINKS`].
    #[error("{max_links} links per node: between 2 and {MAX_FILE_LINKS} is possible")]
    MaxLinks {
        /// Per node.
        max_links: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_parameters_at_their_limits_and_none_past_them() {
        let parameters = Parameters::default();

        assert!(parameters.with_chunk_size(1).is_ok() && parameters.with_chunk_size(MAX_CHUNK).is_ok());
        assert!(parameters.with_chunk_size(0).is_err() && parameters.with_chunk_size(MAX_CHUNK + 1).is_err());
        assert!(parameters.with_max_links(2).is_ok() && parameters.with_max_links(MAX_FILE_LINKS).is_ok());
        assert!(parameters.with_max_links(1).is_err() && parameters.with_max_links(MAX_FILE_LINKS + 1).is_err());
        assert!(parameters.with_fanout(8).is_ok() && parameters.with_fanout(MAX_FANOUT).is_ok());
        assert!([0, 4, 100, 2 * MAX_FANOUT].into_iter().all(|fanout| parameters.with_fanout(fanout).is_err()));
        assert!(parameters.with_inline(0).is_ok() && parameters.with_inline(MAX_INLINE).is_ok());
        assert!(parameters.with_inline(MAX_INLINE + 1).is_err());
    }

    #[test]
    fn version_0_and_another_hash_do_not_meet() {
        let parameters = Parameters::V0_2015.with_hash(Function::Sha2_512);

        assert_eq!(parameters.cid_version(), Version::V1);
        assert_eq!(parameters.with_cid_version(Version::V0), Err(ParametersError::HashOfVersion0));
    }

    #[test]
    fn raw_leaves_are_version_1_under_version_0_nodes() {
        let kind = Parameters::V0_2015.with_raw_leaves(true).leaf_kind();

        assert_eq!((kind.codec, kind.version), (RAW, Version::V1));
    }
}
