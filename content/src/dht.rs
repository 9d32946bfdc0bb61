//! What a node decides in a Kademlia DHT: which addresses belong in which table, and how many of one network.
//!
//! The routing itself is libp2p's; here are the rules around it, as values.

pub mod diversity;
pub mod range;

pub use diversity::admits;
pub use range::Range;
