//! The wires: how what peers say is written in bytes. No IO here: bytes in, frames out, and back.

pub mod bitswap;
pub mod native;
