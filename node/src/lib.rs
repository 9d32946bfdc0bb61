//! The Cidra node: network, store, local API and the command line.

pub mod config;
pub mod identity;
pub mod pool;
pub mod repository;
pub mod store;
