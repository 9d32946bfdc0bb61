//! Networks of a few nodes in one process, over real sockets on loopback.

#[path = "network/bitswap.rs"]
mod bitswap;
#[path = "network/fetch.rs"]
mod fetch;
#[path = "network/find.rs"]
mod find;
#[path = "network/house.rs"]
mod house;
#[path = "network/late.rs"]
mod late;
#[path = "network/reach.rs"]
mod reach;
#[path = "network/stranger.rs"]
mod stranger;
#[path = "network/strangers.rs"]
mod strangers;
#[path = "network/trust.rs"]
mod trust;
#[path = "network/values.rs"]
mod values;
