//! What only several nodes can show, and the tools to show it with.
//!
//! The programs are run as their users run them: found beside the test's own executable, given folders of their own,
//! and waited for by what they print. Nothing here waits for a while and hopes.

mod counters;
pub mod crowd;
pub mod daemon;
pub mod kubo;
pub mod lan;
pub mod mount;
pub mod program;
pub mod relay;
pub mod repository;
pub mod rpc;
pub mod sample;
pub mod source;
pub mod suite;
pub mod swarm;
mod transcript;

pub use crowd::Crowd;
pub use daemon::Daemon;
pub use kubo::Kubo;
pub use lan::{Host, Lan, Ports};
pub use mount::Mount;
pub use program::{Call, Finished, Memory, Program, Running};
pub use relay::Relay;
pub use repository::Repository;
pub use suite::Suite;
