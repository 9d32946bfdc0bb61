//! Paths of content as people write them.
