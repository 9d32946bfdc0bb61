//! What a node decides in a Kademlia DHT: which addresses belong in which table, how many of one network, and what is announced
//! when and to whom.
//!
//! The routing itself is libp2p's; here are the rules around it, as values.

pub mod diversity;
pub mod exploration;
pub mod key;
pub mod range;
pub mod sweep;

pub use diversity::admits;
pub use exploration::Exploration;
pub use key::{Key, Region, nearest};
pub use range::Range;
pub use sweep::Sweep;
