//! Paths within a node: keys of maps, indexes of lists, up to the first link.

use cid::Cid;

use super::Ipld;

/// Where a path leads within a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Walked<'a> {
    /// To a value of this node, for all segments.
    Value(&'a Ipld),
    /// To another block, for the first `used` segments.
    Link {
        /// The block.
        cid: Cid,
        /// How many segments led there.
        used: usize,
    },
}

/// Follow segments from `node` on to the end, or to the first link on the way.
pub fn walk<'a>(node: &'a Ipld, segments: &[String]) -> Result<Walked<'a>, PathFailure> {
    let mut here = node;
    for (used, segment) in segments.iter().enumerate() {
        here = match here {
            Ipld::Link(cid) => return Ok(Walked::Link { cid: *cid, used }),
            Ipld::Map(entries) => entries.get(segment),
            Ipld::List(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => return Err(PathFailure::NotAContainer { segment: segment.clone() }),
        }
        .ok_or_else(|| PathFailure::NoSuchKey { segment: segment.clone() })?;
    }
    match here {
        Ipld::Link(cid) if !segments.is_empty() => Ok(Walked::Link { cid: *cid, used: segments.len() }),
        value => Ok(Walked::Value(value)),
    }
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFailure {
    /// The map or list has no such key.
    #[error("key not found: {segment:?}")]
    NoSuchKey {
        /// The key.
        segment: String,
    },
    /// Something that is neither map nor list has nothing below.
    #[error("there is nothing below a value that is neither a map nor a list: {segment:?}")]
    NotAContainer {
        /// What should be below.
        segment: String,
    },
}
