//! Whether others can reach this node, and what it does where they cannot: which of its addresses are tested at which peer,
//! what the answers mean, and at which relays it asks for a place.

mod allowance;
mod prober;
mod relays;

pub use allowance::Allowance;
pub use prober::{Action, Answer, Prober, Scope};
pub use relays::{Relays, Step};

/// Whether others can reach a node. `A` is an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reachability<A> {
    /// Nothing says so, or not yet.
    #[default]
    Unknown,
    /// Nobody who was asked could dial it.
    Private,
    /// It was dialled at these addresses, which lead to it from everywhere.
    Public(Vec<A>),
}
