//! The Cidra node.
