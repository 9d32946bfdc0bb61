//! dag-pb nodes, canonical.
