//! What an HTTP gateway is asked, and what the specifications of IPFS gateways have it answer: formats, ranges, types of files,
//! names of hosts, `_redirects`. The headers of a request go in as text; sockets and blocks are the node's.

pub mod car;
pub mod format;
pub mod host;
pub mod media_type;
pub mod query;
pub mod range;
pub mod redirects;
pub mod routing;
pub mod tag;

pub use car::CarRequest;
pub use format::{Format, Wish};
pub use host::Host;
pub use query::Query;
pub use range::Ranges;
pub use redirects::Redirects;
