//! Blocks, files, downloads and the block exchange of Cidra: values in, values out.
//!
//! Everything that can be wrong in an interesting way is decided here: how a file is cut, whom to ask for a block, what to
//! answer, when to give up. Nothing in this crate opens a file or a socket, reads a clock, starts a thread or waits;
//! time and randomness are arguments.

pub mod autonat;
pub mod block;
pub mod car;
pub mod dag_pb;
pub mod deny;
pub mod dht;
pub mod dnslink;
pub mod exchange;
pub mod fetch;
pub mod garbage;
pub mod gateway;
pub mod hash;
pub mod ipld;
pub mod ipns;
pub mod mdns;
pub mod negotiation;
pub mod path;
pub mod reach;
pub mod seen;
pub mod unixfs;
pub mod walk;

pub use block::Block;
pub use cid::Cid;
pub use multihash::Multihash;
